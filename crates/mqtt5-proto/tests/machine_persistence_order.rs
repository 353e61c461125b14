//! Records ahead of packets: what waits for which record, what does not, and in which order it leaves
//! (S109, D34, D37, E16).

mod machine;

use mqtt5_proto::{
    Op, PacketType, Persisted, Properties, Property, QoS, RejectReason, SessionLoss,
};

use machine::packets::{
    ack_with, again, filter, puback, pubcomp, publish, pubrec, pubrel, subscribe,
};
use machine::store::{Kind, Store, recording, recording_with, write_ahead};
use machine::{Bed, End, Face, Told, WINDOW, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    without_it_there_are_no_records,
    a_publish_waits_for_its_record,
    a_publish_waits_for_the_record_of_its_session,
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
    what_waits_for_pubcomp_takes_no_room_from_new_messages,
    what_the_server_cannot_know_is_not_acknowledged,
    withdrawn_before_its_record_was_given_out,
    withdrawn_after_its_record_was_given_out,
    a_publish_waits_across_connections,
    what_was_handed_over_goes_out_again_with_dup,
    pubrel_waits_across_connections,
    pubrels_keep_their_order_across_connections,
    pubrec_waits_across_connections,
    pubcomp_waits_across_connections,
    what_became_durable_without_a_connection_does_not_wait,
    a_lost_session_is_recorded_before_the_next,
    what_was_not_published_again_ends_in_the_records,
    no_expiry_is_a_loss_at_the_end_of_the_connection,
    a_new_expiry_is_recorded,
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

fn a_publish_waits_for_the_record_of_its_session<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(AtLeastOnce, "a").unwrap();
    assert_eq!(store.save(&mut bed), []);
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[]);
    assert_eq!(store.write(&mut bed), [Kind::Session(3_600)]);
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "a")]);
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

/// The server sends PUBRELs again, and then as much as our Receive Maximum on this connection allows.
fn what_waits_for_pubcomp_takes_no_room_from_new_messages<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let all = 1..=WINDOW;
    for id in all.clone() {
        received(&mut bed, id);
    }
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &[]);
    for id in all.clone() {
        assert_eq!(bed.tell(&pubrel(id)), []);
    }
    for id in all.clone() {
        received(&mut bed, WINDOW + id);
    }
    assert_eq!(store.write(&mut bed).len(), 1 + 2 * usize::from(WINDOW));
    assert_eq!(bed.client.held(), usize::from(WINDOW));
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    let pubcomps = all.clone().map(pubcomp);
    let pubrecs = all.map(|id| pubrec(WINDOW + id));
    bed.expect_sent(&pubcomps.chain(pubrecs).collect::<Vec<_>>());
    bed.tell(&pubrel(WINDOW + 1));
    assert_eq!(store.write(&mut bed).len(), 1);
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

/// Tokens belong to the session.
fn a_publish_waits_across_connections<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    store.write(&mut bed);
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(true, &[]), []);
    store.write(&mut bed);
    bed.expect_sent(&[]);
    // Its record is durable, that of the session is not.
    assert_eq!(store.sync_one(&mut bed), []);
    assert_eq!(store.sync_one(&mut bed), []);
    bed.expect_sent(&[]);
    assert_eq!(store.sync(&mut bed), []);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "a"), publish(AtLeastOnce, 2, "b")]);
}

/// D3: DUP 1 for what the transport was given, and only for that.
fn what_was_handed_over_goes_out_again_with_dup<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(AtLeastOnce, "handed").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.publish(AtLeastOnce, "encoded").unwrap();
    store.save(&mut bed);
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (0, 2));
    bed.publish(AtLeastOnce, "waits").unwrap();
    assert_eq!(bed.lose(), []);
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (2, 1));
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[again(AtLeastOnce, 1, "handed")]);
    store.save(&mut bed);
    bed.expect_sent(&[
        publish(AtLeastOnce, 2, "encoded"),
        publish(AtLeastOnce, 3, "waits"),
    ]);
}

fn pubrel_waits_across_connections<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    assert_eq!(store.write(&mut bed).len(), 1);
    bed.lose();
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubrel(1)]);
}

/// [MQTT-4.6.0-4]: one whose record becomes durable just now does not overtake those that are to be sent again.
fn pubrels_keep_their_order_across_connections<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    for text in ["a", "b"] {
        bed.publish(ExactlyOnce, text).unwrap();
    }
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrec(2));
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    assert_eq!(store.write(&mut bed).len(), 1);
    bed.lose();
    bed.reopen();
    bed.connack(true, &[]);
    let connected = bed.client.poll_event(bed.now);
    assert!(matches!(connected, Some(Told::Connected { .. })));
    assert_eq!(store.sync(&mut bed), []);
    bed.expect_sent(&[pubrel(2), pubrel(1)]);
}

fn pubrec_waits_across_connections<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    received(&mut bed, 7);
    assert_eq!(store.write(&mut bed), [Kind::Received(7)]);
    bed.lose();
    bed.resume(true, &[]);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "in")), []);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubrec(7)]);
}

fn pubcomp_waits_across_connections<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    received(&mut bed, 7);
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrel(7));
    assert_eq!(store.write(&mut bed), [Kind::Finished(7)]);
    bed.lose();
    bed.resume(true, &[]);
    bed.tell(&pubrel(7));
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubcomp(7)]);
}

fn what_became_durable_without_a_connection_does_not_wait<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    received(&mut bed, 7);
    received(&mut bed, 8);
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    bed.tell(&pubrel(7));
    received(&mut bed, 9);
    assert_eq!(given(&mut bed, &mut store).len(), 3);
    bed.lose();
    assert_eq!(store.sync(&mut bed), []);
    bed.resume(true, &[]);
    bed.expect_sent(&[pubrel(1)]);
    // It is over for us, and PUBCOMP says so.
    bed.tell(&pubrel(7));
    assert_eq!(bed.tell(&again(ExactlyOnce, 9, "in")), []);
    let unknown = ack_with(PacketType::Pubcomp, 7, 0x92, Properties::EMPTY);
    bed.expect_sent(&[unknown, pubrec(9)]);
    assert_eq!(store.write(&mut bed), [Kind::Session(3_600)]);
}

const REPUBLISH_ALL: SessionLoss = SessionLoss {
    republish_qos1: true,
    republish_qos2: true,
};

/// D4, E13: nothing of the next session leaves before the end of the last and the beginning of the next are durable.
fn a_lost_session_is_recorded_before_the_next<F: Face>() {
    let mut config = write_ahead();
    config.session_loss = REPUBLISH_ALL;
    let (mut bed, mut store) = recording_with::<F>(config);
    let [a, b] = [(AtLeastOnce, "a"), (ExactlyOnce, "b")].map(|(qos, text)| {
        let op = bed.publish(qos, text).unwrap();
        store.save(&mut bed);
        op
    });
    bed.sent_bytes();
    received(&mut bed, 7);
    store.save(&mut bed);
    bed.sent_bytes();
    let c = bed.publish(AtLeastOnce, "c").unwrap();
    assert_eq!(store.write(&mut bed), [Kind::Publish(c, 3)]);
    bed.lose();
    assert_eq!(bed.resume(false, &[]), []);
    let d = bed.publish(AtLeastOnce, "d").unwrap();
    let expected = [
        Kind::SessionLost,
        Kind::Republished(a, 4),
        Kind::Republished(b, 5),
        Kind::Republished(c, 3),
        Kind::Session(3_600),
        Kind::Publish(d, 6),
    ];
    assert_eq!(store.write(&mut bed), expected);
    // That of "c", then all until the session.
    for _ in 0..5 {
        assert_eq!(store.sync_one(&mut bed), []);
        bed.expect_sent(&[]);
    }
    store.sync_one(&mut bed);
    bed.expect_sent(&[
        publish(AtLeastOnce, 4, "a"),
        publish(ExactlyOnce, 5, "b"),
        publish(AtLeastOnce, 3, "c"),
    ]);
    store.sync_one(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 6, "d")]);
    // What was received under this identifier belonged to the other session.
    bed.message(&publish(ExactlyOnce, 7, "new"));
}

fn what_was_not_published_again_ends_in_the_records<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    let told = bed.resume(false, &[]);
    assert_eq!(told, [Told::Completed(op, End::Unknown)]);
    let expected = [Kind::SessionLost, Kind::Session(3_600), Kind::Ended(op, 1)];
    assert_eq!(store.write(&mut bed), expected);
}

/// E16.
fn no_expiry_is_a_loss_at_the_end_of_the_connection<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    bed.resume(true, &[Property::SessionExpiryInterval(0)]);
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    assert_eq!(store.save(&mut bed), []);
    assert!(kinds_of(&store).ends_with(&[Kind::Session(0), Kind::Publish(op, 1)]));
    bed.sent_bytes();
    assert_eq!(bed.lose(), []);
    let expected = [Kind::SessionLost, Kind::Republished(op, 2)];
    assert_eq!(store.write(&mut bed), expected);
}

fn kinds_of(store: &Store) -> Vec<Kind> {
    machine::store::kinds(&store.prefix(store.log.len()))
}

fn a_new_expiry_is_recorded<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let list = [Property::SessionExpiryInterval(60)];
    let properties = Properties::new(&list).unwrap();
    let reason = mqtt5_proto::DisconnectReason::Normal;
    bed.client.disconnect(bed.now, reason, properties).unwrap();
    assert_eq!(store.write(&mut bed), [Kind::Session(60)]);
}
