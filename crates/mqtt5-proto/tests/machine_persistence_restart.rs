//! A new process goes on where the last one was, from its records (S108, S114, S115, D3, D28, E13, E14, E16).

mod machine;

use mqtt5_proto::{
    Config, DisconnectCause, Instant, Op, Outbound, Packet, PacketType, Properties, Property, QoS,
    Refused, SessionLoss, TopicAliases, TopicName, Violation,
};

use machine::packets::{ack_with, again, puback, pubcomp, publish, pubrec, pubrel};
use machine::store::{Kind, Store, busy, kinds, recording, recording_with, restarted, write_ahead};
use machine::{Bed, End, Face, Told, bytes, every_storage, parse, secs};

use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    nothing_to_begin_with,
    a_publish_goes_out_again,
    after_pubrec_only_pubrel_goes_out,
    after_its_end_nothing_goes_out,
    a_received_message_is_not_handed_over_again,
    after_pubrel_the_identifier_is_free,
    publishes_keep_their_order_and_pubrels_theirs,
    operations_go_on,
    an_operation_of_which_only_the_end_was_stored,
    every_prefix_of_a_lost_session,
    a_withdrawn_publish_stays_withdrawn,
    a_session_without_expiry_is_over,
    a_session_that_was_lost_is_not_resumed,
    a_message_expires_in_the_next_process,
    a_message_has_its_topic_alias_in_the_next_process,
    records_written_twice_do_no_harm,
    all_records_at_any_time_say_what_was_written,
    the_expiry_is_kept_before_the_next_connection,
    restore_only_where_nothing_is,
    what_was_before_is_not_taken_for_what_was_restored,
);

const REPUBLISH_ALL: SessionLoss = SessionLoss {
    republish_qos1: true,
    republish_qos2: true,
};

/// The machine is gone, and another begins with what was durable.
fn restart<F: Face>(store: &Store) -> (Bed<F>, Store) {
    let mut bed = restarted::<F>(write_ahead(), &store.durable());
    assert_eq!(bed.events(), []);
    (bed, Store::default())
}

/// Connects to the session that is kept; all that the machine wants to write is durable.
fn resumed<F: Face>(bed: &mut Bed<F>, store: &mut Store) {
    assert!(bed.client.has_session());
    assert_eq!(bed.resume(true, &[]), []);
    store.save(bed);
}

fn completed(op: Op) -> [Told; 1] {
    [Told::Completed(op, End::delivered())]
}

fn nothing_to_begin_with<F: Face>() {
    let mut bed = restarted::<F>(write_ahead(), &[]);
    assert!(!bed.client.has_session());
    assert_eq!(bed.events(), []);
    bed.expect_empty();
    assert!(bed.client.poll_persist().is_none());
    bed.resume(false, &[]);
}

/// T142: with DUP 1, although this process has not sent it.
fn a_publish_goes_out_again<F: Face>() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        for sent in [false, true] {
            let (mut bed, mut store) = recording::<F>();
            bed.publish(qos, "a").unwrap();
            store.save(&mut bed);
            if sent {
                bed.sent_bytes();
            }
            // It is not known whether it left.
            let (mut bed, mut store) = restart::<F>(&store);
            assert_eq!((bed.client.pending(), bed.client.in_flight()), (0, 1));
            resumed(&mut bed, &mut store);
            bed.expect_sent(&[again(qos, 1, "a")]);
        }
        let (mut bed, mut store) = recording::<F>();
        bed.publish(qos, "never durable").unwrap();
        store.write(&mut bed);
        let (mut bed, mut store) = restart::<F>(&store);
        resumed(&mut bed, &mut store);
        bed.expect_sent(&[]);
    }
}

fn after_pubrec_only_pubrel_goes_out<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.feed(&ack_with(PacketType::Pubrec, 1, 0x10, Properties::EMPTY));
    store.save(&mut bed);
    let (mut bed, mut store) = restart::<F>(&store);
    resumed(&mut bed, &mut store);
    bed.expect_sent(&[pubrel(1)]);
    // A repeated PUBREC is answered at once: its record is durable.
    bed.tell(&pubrec(1));
    bed.expect_sent(&[pubrel(1)]);
    let told = bed.tell(&pubcomp(1));
    let [Told::Completed(ended, End::Delivered(reason, _, _))] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((*ended, reason.value()), (op, 0x10));
    assert_eq!(store.write(&mut bed), [Kind::Ended(op, 1)]);
    bed.expect_empty();
}

fn after_its_end_nothing_goes_out<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(ExactlyOnce, "b").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&puback(1));
    let refused = ack_with(PacketType::Pubrec, 2, 0x87, Properties::EMPTY);
    assert_eq!(bed.tell(&refused).len(), 1);
    store.save(&mut bed);
    let (mut bed, mut store) = restart::<F>(&store);
    bed.expect_empty();
    resumed(&mut bed, &mut store);
    bed.expect_sent(&[]);
}

fn a_received_message_is_not_handed_over_again<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let token = bed.token(&publish(ExactlyOnce, 7, "in"));
    let before = restart::<F>(&store).0;
    bed.ack(token);
    store.save(&mut bed);

    // Without the record it is: nobody knows that it was handed over.
    let mut bed = before;
    resumed(&mut bed, &mut Store::default());
    bed.message(&again(ExactlyOnce, 7, "in"));

    let (mut bed, mut store) = restart::<F>(&store);
    resumed(&mut bed, &mut store);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "in")), []);
    bed.expect_sent(&[pubrec(7)]);
    bed.tell(&pubrel(7));
    assert_eq!(store.write(&mut bed), [Kind::Finished(7)]);
    bed.expect_sent(&[]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubcomp(7)]);
}

fn after_pubrel_the_identifier_is_free<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let token = bed.token(&publish(ExactlyOnce, 7, "in"));
    bed.ack(token);
    store.save(&mut bed);
    bed.tell(&pubrel(7));
    store.save(&mut bed);
    let (mut bed, mut store) = restart::<F>(&store);
    resumed(&mut bed, &mut store);
    bed.message(&publish(ExactlyOnce, 7, "next"));
}

/// [MQTT-4.6.0-1], [MQTT-4.6.0-4]. T142, T152.
fn publishes_keep_their_order_and_pubrels_theirs<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    for text in ["a", "b", "c", "d", "e"] {
        bed.publish(ExactlyOnce, text).unwrap();
    }
    store.save(&mut bed);
    bed.sent_bytes();
    for id in [4, 2] {
        bed.tell(&pubrec(id));
    }
    store.save(&mut bed);
    bed.publish(AtLeastOnce, "f").unwrap();
    store.save(&mut bed);
    let records = bed.client.records();
    for bytes in [store.durable(), records] {
        let mut bed = restarted::<F>(write_ahead(), &bytes);
        resumed(&mut bed, &mut Store::default());
        bed.expect_sent(&[
            pubrel(4),
            pubrel(2),
            again(ExactlyOnce, 1, "a"),
            again(ExactlyOnce, 3, "c"),
            again(ExactlyOnce, 5, "e"),
            again(AtLeastOnce, 6, "f"),
        ]);
    }
}

/// Neither an operation nor an identifier is used twice, and every end is told under its operation.
fn operations_go_on<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let [a, b] = ["a", "b"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&puback(2));
    store.save(&mut bed);
    let (mut bed, mut store) = restart::<F>(&store);
    resumed(&mut bed, &mut store);
    let c = bed.publish(AtLeastOnce, "c").unwrap();
    assert!(c > b);
    assert_eq!(store.write(&mut bed), [Kind::Publish(c, 3)]);
    store.sync(&mut bed);
    bed.sent_bytes();
    assert_eq!(bed.tell(&puback(1)), completed(a));
    assert_eq!(bed.tell(&puback(3)), completed(c));
}

fn an_operation_of_which_only_the_end_was_stored<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    store.write(&mut bed);
    assert!(bed.client.withdraw(op));
    store.write(&mut bed);
    store.fail(&mut bed);
    store.sync(&mut bed);
    assert_eq!(kinds(&store.durable())[2..], [Kind::Ended(op, 1)]);
    let (mut bed, mut store) = restart::<F>(&store);
    resumed(&mut bed, &mut store);
    assert!(bed.publish(AtLeastOnce, "b").unwrap() > op);
}

/// E13: wherever the process ends, what was handed over in the old session goes into the new one as new, once and in
/// order; after PUBREC never. T131.
fn every_prefix_of_a_lost_session<F: Face>() {
    let mut config = write_ahead();
    config.session_loss = REPUBLISH_ALL;
    let (mut bed, mut store) = recording_with::<F>(config);
    let released = bed.publish(ExactlyOnce, "released").unwrap();
    for (qos, text) in [(AtLeastOnce, "a"), (ExactlyOnce, "b"), (AtLeastOnce, "c")] {
        bed.publish(qos, text).unwrap();
    }
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    let token = bed.token(&publish(ExactlyOnce, 7, "in"));
    bed.ack(token);
    store.save(&mut bed);
    let before = store.log.len();
    bed.lose();
    bed.resume(false, &[]);
    let lost = store.write(&mut bed);
    assert_eq!(lost.len(), 6, "{lost:?}");
    for count in before + 1..=store.log.len() {
        let mut bed = restarted::<F>(config, &store.prefix(count));
        let told = bed.events();
        let ended = count > before + 5;
        let expected = [Told::Completed(released, End::Unknown)];
        assert_eq!(told, if ended { &[][..] } else { &expected[..] });
        let begun = count > before + 4;
        assert_eq!(bed.client.has_session(), begun);
        assert_eq!(bed.resume(begun, &[]), []);
        Store::default().save(&mut bed);
        let sent = bed.sent_bytes();
        let payloads: Vec<_> = sent.iter().filter(|byte| b"abc".contains(byte)).collect();
        assert_eq!(payloads, [&b'a', &b'b', &b'c'], "{count} records");
        bed.message(&publish(ExactlyOnce, 7, "of the new session"));
    }
}

/// Its end is found whatever became of the record that published it again.
fn a_withdrawn_publish_stays_withdrawn<F: Face>() {
    for given in [false, true] {
        let (mut bed, mut store) = recording::<F>();
        let op = bed.publish(AtLeastOnce, "a").unwrap();
        store.save(&mut bed);
        bed.lose();
        bed.resume(false, &[]);
        if given {
            store.write(&mut bed);
        }
        assert!(bed.client.withdraw(op));
        store.save(&mut bed);
        bed.expect_sent(&[]);
        let (mut bed, mut store) = restart::<F>(&store);
        bed.expect_empty();
        resumed(&mut bed, &mut store);
        bed.expect_sent(&[]);
    }
}

/// E16: its operations are settled as at the end of a connection.
fn a_session_without_expiry_is_over<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    bed.resume(true, &[Property::SessionExpiryInterval(0)]);
    bed.publish(AtLeastOnce, "a").unwrap();
    let unknown = bed.publish(ExactlyOnce, "b").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    let mut bed = restarted::<F>(write_ahead(), &store.durable());
    assert!(!bed.client.has_session());
    assert_eq!(bed.events(), [Told::Completed(unknown, End::Unknown)]);
    assert_eq!(bed.resume(false, &[]), []);
    let mut next = Store::default();
    next.save(&mut bed);
    let sent = bed.sent_bytes();
    assert!(sent.ends_with(b"a") && !sent.contains(&b'b'));
    // DUP 0: it belongs to a new session.
    assert_eq!(sent[0], 0x32);
}

fn a_session_that_was_lost_is_not_resumed<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    store.save(&mut bed);
    bed.lose();
    bed.client.abandon().unwrap();
    store.save(&mut bed);
    let (mut bed, _) = restart::<F>(&store);
    assert!(!bed.client.has_session());
    bed.reopen_with(false, 3_600);
    bed.connack(true, &[]);
    let cause = DisconnectCause::Violation(Violation::UnexpectedSessionPresent);
    bed.expect_end(Some(0x82), cause);
}

fn expiring<F: Face>(bed: &mut Bed<F>, seconds: u32) -> Op {
    let list = [Property::MessageExpiryInterval(seconds)];
    let properties = Properties::new(&list).unwrap();
    let topic = TopicName::new("t").unwrap();
    let message = Outbound {
        properties,
        ..Outbound::new(topic, AtLeastOnce, b"a".as_slice())
    };
    bed.client.publish(bed.now, &message).unwrap()
}

/// D39: what may have been sent never expires, but carries what is left.
fn a_message_expires_in_the_next_process<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.wait(secs(100));
    expiring(&mut bed, 10);
    store.save(&mut bed);
    // The clock of the next process begins at 0 again, four seconds later.
    let from = bed.now + secs(4);
    for (later, left) in [(0, 6), (3, 3), (1_000, 1)] {
        let durable = store.durable();
        let rebased: Vec<u8> = parse(&durable)
            .into_iter()
            .flat_map(|record| bytes(&record.rebased(from, Instant::ZERO)))
            .collect();
        let mut bed = restarted::<F>(write_ahead(), &rebased);
        bed.wait(secs(later));
        resumed(&mut bed, &mut Store::default());
        let list = [Property::MessageExpiryInterval(left)];
        let mut packet = again(AtLeastOnce, 1, "a");
        if let Packet::Publish(publish) = &mut packet {
            publish.properties = Properties::new(&list).unwrap();
        }
        bed.expect_sent(&[packet]);
    }
}

fn a_message_has_its_topic_alias_in_the_next_process<F: Face>() {
    let mut config = write_ahead();
    config.topic_aliases = TopicAliases::OnRequest(8);
    let (mut bed, mut store) = recording_with::<F>(config);
    let topic = TopicName::new("t").unwrap();
    let message = Outbound {
        alias: true,
        ..Outbound::new(topic, AtLeastOnce, b"a".as_slice())
    };
    bed.client.publish(bed.now, &message).unwrap();
    store.save(&mut bed);
    let mut bed = restarted::<F>(config, &store.durable());
    assert_eq!(bed.resume(true, &[Property::TopicAliasMaximum(8)]), []);
    let list = [Property::TopicAlias(1)];
    let mut packet = again(AtLeastOnce, 1, "a");
    if let Packet::Publish(publish) = &mut packet {
        publish.properties = Properties::new(&list).unwrap();
    }
    bed.expect_sent(&[packet]);
}

/// What a machine with these records sends when its session is resumed, and what is in them.
fn outcome<F: Face>(config: Config, records: &[u8]) -> (Vec<u8>, Vec<Kind>) {
    let mut bed = restarted::<F>(config, records);
    assert_eq!(bed.events(), []);
    let all = kinds(&bed.client.records());
    resumed(&mut bed, &mut Store::default());
    bed.tell(&again(ExactlyOnce, 8, "in"));
    bed.tell(&publish(ExactlyOnce, 7, "new"));
    (bed.sent_bytes(), all)
}

fn records_written_twice_do_no_harm<F: Face>() {
    let (_, store) = busy::<F>();
    let expected = outcome::<F>(write_ahead(), &store.durable());
    for (_, record) in &store.log {
        assert!(store.durable().windows(record.len()).any(|w| w == record));
    }
    for twice in 0..store.log.len() {
        let mut bytes = store.prefix(twice);
        bytes.extend(&store.log[twice].1);
        bytes.extend(&store.durable()[store.prefix(twice).len()..]);
        assert_eq!(outcome::<F>(write_ahead(), &bytes), expected);
    }
    let all = [store.durable(), store.durable()].concat();
    assert_eq!(outcome::<F>(write_ahead(), &all), expected);
}

/// At every moment, all of the session and the records that follow are as good as the records from the beginning on.
fn all_records_at_any_time_say_what_was_written<F: Face>() {
    let (bed, store) = busy::<F>();
    let expected = outcome::<F>(write_ahead(), &store.durable());
    assert_eq!(outcome::<F>(write_ahead(), &bed.client.records()), expected);
    for count in 2..store.log.len() {
        let bed = restarted::<F>(write_ahead(), &store.prefix(count));
        let mut bytes = bed.client.records();
        bytes.extend(&store.durable()[store.prefix(count).len()..]);
        assert_eq!(outcome::<F>(write_ahead(), &bytes), expected, "{count}");
    }
}

/// The server will not say it again when the next process ends before it has connected.
fn the_expiry_is_kept_before_the_next_connection<F: Face>() {
    let (mut bed, _) = recording::<F>();
    let session = [Kind::Session(3_600)];
    assert_eq!(kinds(&bed.client.records()), session);
    bed.lose();
    assert_eq!(kinds(&bed.client.records()), session);
    bed.reopen();
    assert_eq!(kinds(&bed.client.records()), session);
    let mut bed = restarted::<F>(write_ahead(), &bed.client.records());
    assert_eq!(kinds(&bed.client.records()), session);
    bed.reopen();
    assert_eq!(kinds(&bed.client.records()), session);
}

fn restore_only_where_nothing_is<F: Face>() {
    let restore = |bed: &mut Bed<F>| bed.client.restore(bed.now, &[]);
    let (mut bed, _) = recording::<F>();
    assert_eq!(restore(&mut bed), Err(Refused::AlreadyConnected));
    bed.client.handle_closed(bed.now);
    assert_eq!(restore(&mut bed), Err(Refused::EventsPending));
    bed.events();
    assert_eq!(restore(&mut bed), Err(Refused::SessionInUse));
    bed.client.abandon().unwrap();
    assert_eq!(restore(&mut bed), Err(Refused::EventsPending));
    bed.events();
    assert_eq!(restore(&mut bed), Ok(()));
    bed.reopen();
    assert_eq!(restore(&mut bed), Err(Refused::AlreadyConnected));

    // Publishes that wait for the next session are something, too.
    let (mut bed, _) = recording::<F>();
    bed.lose();
    bed.resume(true, &[Property::SessionExpiryInterval(0)]);
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.lose();
    assert!(!bed.client.has_session());
    assert_eq!(restore(&mut bed), Err(Refused::SessionInUse));
}

/// Operations and messages of the same process, before it was given another session.
fn what_was_before_is_not_taken_for_what_was_restored<F: Face>() {
    let (mut other, mut store) = recording::<F>();
    let restored = other.publish(AtLeastOnce, "restored").unwrap();
    store.save(&mut other);

    let mut bed = Bed::<F>::keeping();
    let ops = ["a", "b", "c"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    let token = bed.token(&publish(AtLeastOnce, 7, "in"));
    bed.lose();
    bed.client.abandon().unwrap();
    assert_eq!(bed.events().len(), 3);
    bed.client.restore(bed.now, &store.durable()).unwrap();
    assert_eq!(bed.resume(true, &[]), []);
    bed.sent_bytes();
    assert_eq!(bed.tell(&puback(1)), completed(restored));
    let next = bed.publish(AtLeastOnce, "d").unwrap();
    assert!(ops.iter().all(|op| *op < next), "{next:?} after {ops:?}");
    bed.sent_bytes();
    let new = bed.token(&publish(AtLeastOnce, 7, "new"));
    bed.ack(token);
    bed.expect_sent(&[]);
    bed.ack(new);
    bed.expect_sent(&[puback(7)]);
}
