//! Records ahead of packets: what waits for which record, what does not, and in which order it leaves
//! (S109, D34, D37, E16).

mod machine;

use mqtt5_proto::{
    Op, Outbound, PacketType, Persisted, Properties, Property, QoS, Refused, RejectReason,
    TopicName,
};

use machine::packets::{
    ack_with, again, filter, puback, pubcomp, publish, pubrec, pubrel, subscribe,
};
use machine::store::{Kind, Store, recording, recording_with, write_ahead};
use machine::{Bed, End, Face, Told, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    without_it_there_are_no_records,
    a_publish_waits_for_its_record,
    pubrel_waits_for_its_record,
    pubrec_waits_for_its_record,
    pubcomp_waits_for_its_record,
    nothing_else_waits,
    tokens_are_cumulative,
    an_older_token_takes_nothing_back,
    packets_leave_in_the_order_of_their_records,
    a_refusal_does_not_overtake,
    a_repeated_pubrec_is_answered_once,
    a_repeated_publish_is_answered_once,
    a_repeated_pubrel_is_answered_once,
    what_the_server_cannot_know_is_not_acknowledged,
    receive_maximum_holds,
    maximum_pending_holds,
    withdrawn_before_its_record_was_given_out,
    withdrawn_after_its_record_was_given_out,
    a_message_expires_while_it_waits,
    publishes_are_refused_while_the_store_is_behind,
    neither_starves_the_other,
);

/// Everything that the machine gives to write, none of it durable.
fn given<F: Face>(bed: &mut Bed<F>, store: &mut Store) -> Vec<Kind> {
    assert_eq!(bed.events(), []);
    store.write(bed)
}

fn completed(op: Op) -> [Told; 1] {
    [Told::Completed(op, End::delivered())]
}

/// A QoS 2 message of the server was received under this identifier and acknowledged.
fn received<F: Face>(bed: &mut Bed<F>, id: u16) {
    let token = bed.token(&publish(ExactlyOnce, id, "in"));
    bed.ack(token);
}

fn without_it_there_are_no_records<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    received(&mut bed, 7);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a"), pubrec(7)]);
    bed.feed(&pubrel(7));
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[pubcomp(7), pubrel(1)]);
    assert_eq!(bed.tell(&pubcomp(1)), completed(op));
    assert!(bed.client.poll_persist().is_none());
    bed.lose();
    assert!(bed.client.poll_persist().is_none());
}

fn a_publish_waits_for_its_record<F: Face>() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let (mut bed, mut store) = recording::<F>();
        let op = bed.publish(qos, "a").unwrap();
        assert_eq!(bed.events(), []);
        bed.expect_sent(&[]);
        assert!(bed.client.is_pending(op));
        assert_eq!((bed.client.pending(), bed.client.in_flight()), (1, 0));
        assert_eq!(store.write(&mut bed), [Kind::Publish(op, 1)]);
        assert_eq!(store.write(&mut bed), []);
        assert_eq!(bed.events(), []);
        bed.expect_sent(&[]);
        assert_eq!(store.sync(&mut bed), []);
        bed.expect_sent(&[publish(qos, 1, "a")]);
        assert!(!bed.client.is_pending(op));
        assert_eq!((bed.client.pending(), bed.client.in_flight()), (0, 1));
    }
}

fn pubrel_waits_for_its_record<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[]);
    assert_eq!(store.write(&mut bed), [Kind::Released(op, 1)]);
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[]);
    assert_eq!(store.sync(&mut bed), []);
    bed.expect_sent(&[pubrel(1)]);
    assert_eq!(bed.tell(&pubcomp(1)), completed(op));
    assert_eq!(store.write(&mut bed), [Kind::Ended(op, 1)]);
    store.sync(&mut bed);
    bed.expect_empty();
}

fn pubrec_waits_for_its_record<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let token = bed.token(&publish(ExactlyOnce, 7, "in"));
    assert_eq!(store.write(&mut bed), []);
    bed.ack(token);
    assert_eq!(given(&mut bed, &mut store), [Kind::Received(7)]);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubrec(7)]);
}

/// The record is before PUBCOMP: a message that comes after it under the same identifier is a new one.
fn pubcomp_waits_for_its_record<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    received(&mut bed, 7);
    store.save(&mut bed);
    bed.expect_sent(&[pubrec(7)]);
    assert_eq!(bed.tell(&pubrel(7)), []);
    assert_eq!(store.write(&mut bed), [Kind::Finished(7)]);
    bed.expect_sent(&[]);
    assert_eq!(bed.client.held(), 1);
    store.sync(&mut bed);
    bed.expect_sent(&[pubcomp(7)]);
    assert_eq!(bed.client.held(), 0);
    bed.message(&publish(ExactlyOnce, 7, "next"));
}

/// QoS 0, requests, PINGREQ, PUBACK and refusals overtake what waits.
fn nothing_else_waits<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(AtLeastOnce, "waits").unwrap();
    assert_eq!(store.write(&mut bed).len(), 1);
    bed.publish(AtMostOnce, "overtakes").unwrap();
    bed.subscribe(&["f"]).unwrap();
    let token = bed.token(&publish(AtLeastOnce, 7, "in"));
    bed.ack(token);
    let refused = bed.token(&publish(ExactlyOnce, 8, "in"));
    let reason = RejectReason::QuotaExceeded;
    bed.client.reject(bed.now, refused, reason);
    bed.expect_sent(&[
        publish(AtMostOnce, 1, "overtakes"),
        subscribe(2, &[filter("f")]),
        puback(7),
        ack_with(PacketType::Pubrec, 8, 0x97, Properties::EMPTY),
    ]);
    assert_eq!(store.write(&mut bed), []);
}

fn tokens_are_cumulative<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    for text in ["a", "b", "c"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    store.write(&mut bed);
    let (first, second) = (store.log[2].0, store.log[3].0);
    let through = |bed: &mut Bed<F>, token| {
        bed.client
            .handle_persisted(bed.now, Persisted::Through(token));
        assert_eq!(bed.events(), []);
    };
    through(&mut bed, second);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "a"), publish(AtLeastOnce, 2, "b")]);
    // An older one says nothing new.
    through(&mut bed, first);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 3, "c")]);
}

fn an_older_token_takes_nothing_back<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    for text in ["a", "b"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    store.write(&mut bed);
    for (token, _) in store.log[2..].iter().rev() {
        let persisted = Persisted::Through(*token);
        bed.client.handle_persisted(bed.now, persisted);
    }
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "a"), publish(AtLeastOnce, 2, "b")]);
}

fn packets_leave_in_the_order_of_their_records<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    for text in ["a", "b"] {
        bed.publish(ExactlyOnce, text).unwrap();
    }
    store.save(&mut bed);
    received(&mut bed, 8);
    store.save(&mut bed);
    bed.sent_bytes();

    bed.tell(&pubrec(2));
    received(&mut bed, 7);
    bed.tell(&pubrel(8));
    bed.tell(&pubrec(1));
    received(&mut bed, 9);
    assert_eq!(given(&mut bed, &mut store).len(), 5);
    bed.expect_sent(&[]);
    for packet in [pubrel(2), pubrec(7), pubcomp(8), pubrel(1), pubrec(9)] {
        assert_eq!(store.sync_one(&mut bed), []);
        bed.expect_sent(&[packet]);
    }
}

/// Acknowledgements of QoS 2 leave in the order of the messages [MQTT-4.6.0-3].
fn a_refusal_does_not_overtake<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let [first, refused, last] = [7, 8, 9].map(|id| bed.token(&publish(ExactlyOnce, id, "in")));
    bed.ack(first);
    let reason = RejectReason::NotAuthorized;
    bed.client.reject(bed.now, refused, reason);
    bed.ack(last);
    assert_eq!(given(&mut bed, &mut store), [Kind::Received(7)]);
    bed.expect_sent(&[]);
    // Both leave in the one turn: nothing else will wake the driver.
    assert_eq!(store.sync(&mut bed), []);
    let refusal = ack_with(PacketType::Pubrec, 8, 0x87, Properties::EMPTY);
    bed.expect_sent(&[pubrec(7), refusal]);
    assert_eq!(store.write(&mut bed), [Kind::Received(9)]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubrec(9)]);
}

fn a_repeated_pubrec_is_answered_once<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    for _ in 0..3 {
        assert_eq!(bed.tell(&pubrec(1)), []);
    }
    assert_eq!(store.write(&mut bed), [Kind::Released(op, 1)]);
    assert_eq!(bed.tell(&pubrec(1)), []);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubrel(1)]);
    bed.tell(&pubrec(1));
    bed.expect_sent(&[pubrel(1)]);
    assert_eq!(store.write(&mut bed), []);
}

fn a_repeated_publish_is_answered_once<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    received(&mut bed, 7);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "in")), []);
    assert_eq!(store.write(&mut bed), [Kind::Received(7)]);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "in")), []);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubrec(7)]);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "in")), []);
    bed.expect_sent(&[pubrec(7)]);
    assert_eq!(store.write(&mut bed), []);
}

fn a_repeated_pubrel_is_answered_once<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    received(&mut bed, 7);
    store.save(&mut bed);
    bed.sent_bytes();
    for _ in 0..3 {
        assert_eq!(bed.tell(&pubrel(7)), []);
    }
    assert_eq!(store.write(&mut bed), [Kind::Finished(7)]);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubcomp(7)]);
    bed.tell(&pubrel(7));
    let unknown = ack_with(PacketType::Pubcomp, 7, 0x92, Properties::EMPTY);
    bed.expect_sent(&[unknown]);
    assert_eq!(store.write(&mut bed), []);
}

/// What waits has a Packet Identifier, but to the server that belongs to nothing.
fn what_the_server_cannot_know_is_not_acknowledged<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(ExactlyOnce, "b").unwrap();
    store.write(&mut bed);
    assert_eq!(bed.tell(&puback(1)), []);
    assert_eq!(bed.tell(&pubrec(2)), []);
    assert_eq!(bed.client.statistics().acknowledgements_ignored, 1);
    let unknown = ack_with(PacketType::Pubrel, 2, 0x92, Properties::EMPTY);
    bed.expect_sent(&[unknown]);
    assert_eq!(store.write(&mut bed), []);
    store.sync(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "a"), publish(ExactlyOnce, 2, "b")]);
}

fn receive_maximum_holds<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    bed.resume(true, &[Property::ReceiveMaximum(2)]);
    for text in ["a", "b", "c", "d"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    store.save(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "a"), publish(AtLeastOnce, 2, "b")]);
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (2, 2));
    bed.tell(&puback(2));
    bed.expect_sent(&[publish(AtLeastOnce, 3, "c")]);
}

fn maximum_pending_holds<F: Face>() {
    let mut config = write_ahead();
    config.maximum_pending = 2;
    let (mut bed, mut store) = recording_with::<F>(config);
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    assert_eq!(bed.publish(AtLeastOnce, "c"), Err(Refused::Full));
    store.save(&mut bed);
    assert_eq!(bed.client.pending(), 0);
    bed.publish(AtLeastOnce, "c").unwrap();
}

fn withdrawn_before_its_record_was_given_out<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    let next = bed.publish(AtLeastOnce, "b").unwrap();
    assert!(bed.client.withdraw(op));
    assert!(!bed.client.withdraw(op));
    assert_eq!(store.write(&mut bed), [Kind::Publish(next, 2)]);
    store.sync(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "b")]);
    assert!(!bed.client.withdraw(next));
}

fn withdrawn_after_its_record_was_given_out<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    assert_eq!(store.write(&mut bed), [Kind::Publish(op, 1)]);
    assert!(bed.client.withdraw(op));
    assert_eq!(store.write(&mut bed), [Kind::Ended(op, 1)]);
    assert_eq!(store.sync(&mut bed), []);
    bed.expect_sent(&[]);
    bed.expect_empty();
}

fn expiring<F: Face>(bed: &mut Bed<F>, seconds: u32, payload: &str) -> Op {
    let list = [Property::MessageExpiryInterval(seconds)];
    let properties = Properties::new(&list).unwrap();
    let topic = TopicName::new("t").unwrap();
    let message = Outbound {
        properties,
        ..Outbound::new(topic, AtLeastOnce, payload.as_bytes())
    };
    bed.client.publish(bed.now, &message).unwrap()
}

/// D39: what was sent late carries what is left.
fn a_message_expires_while_it_waits<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let late = expiring(&mut bed, 5, "late");
    expiring(&mut bed, 10, "in time");
    store.write(&mut bed);
    bed.elapse(secs(6));
    let expired = Told::Completed(late, End::Expired);
    assert_eq!(bed.events(), [expired]);
    assert_eq!(store.sync(&mut bed), []);
    let left = [Property::MessageExpiryInterval(4)];
    let mut packet = publish(AtLeastOnce, 2, "in time");
    if let mqtt5_proto::Packet::Publish(publish) = &mut packet {
        publish.properties = Properties::new(&left).unwrap();
    }
    bed.expect_sent(&[packet]);
    assert_eq!(store.write(&mut bed), [Kind::Ended(late, 1)]);
}

/// The fixed machine has room for so many records; a growable one is not behind for long enough.
fn publishes_are_refused_while_the_store_is_behind<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let mut refused = false;
    for _ in 0..40 {
        match bed.publish(AtLeastOnce, "a") {
            Ok(op) => {
                store.write(&mut bed);
                assert!(bed.client.withdraw(op));
            }
            Err(reason) => {
                assert_eq!(reason, Refused::Full);
                refused = true;
            }
        }
    }
    assert_eq!(refused, F::FIXED);
    store.write(&mut bed);
    assert_eq!(store.sync(&mut bed), []);
    bed.publish(AtLeastOnce, "b").unwrap();
    store.save(&mut bed);
    let sent = bed.sent_bytes();
    assert!(sent.ends_with(b"b"));
}

/// Both wait for room in the transmit buffer: they leave in the order of acceptance, whoever goes on publishing.
fn neither_starves_the_other<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let large = "x".repeat(400);
    let mut accepted = 0;
    while bed.client.pending() == 0 {
        bed.publish(AtMostOnce, &large).unwrap();
        accepted += 1;
        assert!(accepted < 1_000, "no bound of what is unsent");
    }
    let first = bed.publish(AtLeastOnce, "first").unwrap();
    let second = bed.publish(AtMostOnce, "second").unwrap();
    let third = bed.publish(AtLeastOnce, "third").unwrap();
    assert_eq!(store.save(&mut bed), []);
    for op in [first, second, third] {
        assert!(bed.client.is_pending(op));
    }
    let mut sent = bed.sent_bytes();
    bed.events();
    sent.extend(bed.sent_bytes());
    let place = |text: &str| {
        let mut windows = sent.windows(text.len());
        windows.position(|window| window == text.as_bytes())
    };
    let places = ["first", "second", "third"].map(|text| place(text).unwrap());
    assert!(places.is_sorted(), "{places:?}");
}
