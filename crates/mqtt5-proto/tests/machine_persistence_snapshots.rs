//! All of a session as a snapshot, and the machine that goes on with it (S114, S115, E13, E14, E16).

mod machine;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{
    Config, Outbound, Packet, PacketType, Properties, Property, QoS, ReasonCode, TopicAliases,
    TopicName,
};

use machine::packets::{ack_with, again, puback, pubcomp, publish, pubrec, pubrel};
use machine::store::{Kind, Store, kinds, recording, restarted, write_ahead};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    a_snapshot_without_records,
    a_snapshot_keeps_the_reason_of_pubrec,
    a_snapshot_keeps_expiry_and_alias_of_what_waits,
    a_snapshot_of_a_session_that_is_over,
    a_snapshot_without_a_session,
    a_snapshot_before_the_ends_are_told,
    a_snapshot_of_a_session_that_is_over_keeps_its_order,
    a_snapshot_becomes_records,
    a_snapshot_keeps_a_pubrec_behind_what_waits,
    what_was_loaded_counts_against_receive_maximum,
);

/// Connects to the session that is kept; all that the machine wants to write is durable.
fn resumed<F: Face>(bed: &mut Bed<F>, store: &mut Store) {
    assert!(bed.client.has_session());
    assert_eq!(bed.resume(true, &[]), []);
    store.save(bed);
}

/// A machine that writes nothing down while it runs gives all of its session at the end, what waits included.
fn a_snapshot_without_records<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(true, &[Property::ReceiveMaximum(2)]);
    for (qos, text) in [
        (AtLeastOnce, "a"),
        (ExactlyOnce, "b"),
        (AtLeastOnce, "c"),
        (ExactlyOnce, "d"),
    ] {
        bed.publish(qos, text).unwrap();
    }
    bed.publish(AtMostOnce, "not kept").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(2));
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (3, 2));
    let records = bed.client.records();
    let mut bed = restarted::<F>(Config::default(), &records);
    assert_eq!(bed.events(), []);
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (2, 2));
    assert_eq!(bed.client.records(), records);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[
        pubrel(2),
        again(AtLeastOnce, 1, "a"),
        publish(AtLeastOnce, 3, "c"),
        publish(ExactlyOnce, 4, "d"),
    ]);
}

fn a_snapshot_keeps_the_reason_of_pubrec<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    bed.tell(&ack_with(PacketType::Pubrec, 1, 0x10, Properties::EMPTY));
    let mut bed = restarted::<F>(Config::default(), &bed.client.records());
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[pubrel(1)]);
    let (nobody, success) = (ReasonCode::NO_MATCHING_SUBSCRIBERS, ReasonCode::SUCCESS);
    let end = End::Delivered(nobody, success, "[]".into());
    assert_eq!(bed.tell(&pubcomp(1)), [Told::Completed(op, end)]);
}

fn a_snapshot_keeps_expiry_and_alias_of_what_waits<F: Face>() {
    let mut config = Config::default();
    config.topic_aliases = TopicAliases::OnRequest(8);
    let mut bed = Bed::<F>::keeping_with(config);
    bed.lose();
    bed.resume(true, &[Property::ReceiveMaximum(1)]);
    bed.publish(AtLeastOnce, "full").unwrap();
    let list = [Property::MessageExpiryInterval(10)];
    let topic = TopicName::new("t").unwrap();
    let message = Outbound {
        properties: Properties::new(&list).unwrap(),
        alias: true,
        ..Outbound::new(topic, AtLeastOnce, b"a".as_slice())
    };
    let op = bed.client.publish(bed.now, &message).unwrap();
    bed.sent_bytes();
    let snapshot = bed.client.records();

    let mut bed = restarted::<F>(config, &snapshot);
    bed.wait(secs(10));
    bed.client.handle_timeout(bed.now);
    assert_eq!(bed.events(), [Told::Completed(op, End::Expired)]);

    let mut bed = restarted::<F>(config, &snapshot);
    bed.resume(true, &[Property::TopicAliasMaximum(8)]);
    let list = [Property::MessageExpiryInterval(10), Property::TopicAlias(1)];
    let mut packet = publish(AtLeastOnce, 2, "a");
    if let Packet::Publish(publish) = &mut packet {
        publish.properties = Properties::new(&list).unwrap();
    }
    bed.expect_sent(&[again(AtLeastOnce, 1, "full"), packet]);
}

/// What was never sent is no session state: it survives the end of the session, whatever its QoS (E14).
fn a_snapshot_of_a_session_that_is_over<F: Face>() {
    for config in [Config::default(), write_ahead()] {
        let mut bed = Bed::<F>::keeping_with(config);
        let mut store = Store::default();
        store.save(&mut bed);
        bed.lose();
        bed.resume(true, &[Property::SessionExpiryInterval(0)]);
        store.save(&mut bed);
        bed.publish(ExactlyOnce, "a").unwrap();
        bed.publish(AtLeastOnce, "b").unwrap();
        store.write(&mut bed);
        assert_eq!(bed.lose(), []);
        assert_eq!(bed.client.pending(), 2);
        let mut bed = restarted::<F>(config, &bed.client.records());
        assert_eq!(bed.events(), []);
        assert_eq!(bed.client.pending(), 2);
        assert!(!bed.client.has_session());
        assert_eq!(bed.resume(false, &[]), []);
        Store::default().save(&mut bed);
        let sent = bed.sent_bytes();
        assert_eq!(sent[0], 0x34, "DUP 0");
        assert!(sent.contains(&b'a') && sent.ends_with(b"b"));
    }
}

fn a_snapshot_without_a_session<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.client.abandon().unwrap();
    assert_eq!(bed.events(), []);
    let nothing = [Kind::Session(0), Kind::SessionLost];
    assert_eq!(kinds(&bed.client.records()), nothing);
}

/// What ended with a session is not in the next one.
fn a_snapshot_before_the_ends_are_told<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    bed.connack(false, &[]);
    let connected = bed.client.poll_event(bed.now);
    assert!(matches!(connected, Some(Told::Connected { .. })));
    assert_eq!(kinds(&bed.client.records()), [Kind::Session(3_600)]);
    assert_eq!(bed.events().len(), 1);
}

/// What was never sent does not overtake what is published again.
fn a_snapshot_of_a_session_that_is_over_keeps_its_order<F: Face>() {
    for config in [Config::default(), write_ahead()] {
        let (mut bed, mut store) = recording::<F>();
        bed.publish(AtLeastOnce, "sent").unwrap();
        store.save(&mut bed);
        bed.sent_bytes();
        bed.publish(AtLeastOnce, "waits").unwrap();
        bed.lose();
        let properties = [Property::SessionExpiryInterval(3_600), LIMITS[0], LIMITS[1]];
        let connect = Connect {
            properties: Properties::new(&properties).unwrap(),
            ..Connect::new("me")
        };
        bed.client.connect(bed.now, &connect).unwrap();
        store.save(&mut bed);
        bed.sent_bytes();
        bed.lose();
        let mut bed = restarted::<F>(config, &bed.client.records());
        bed.resume(false, &[]);
        Store::default().save(&mut bed);
        let sent = bed.sent_bytes();
        let place = |text: &[u8]| sent.windows(text.len()).position(|part| part == text);
        let [first, second] = [place(b"sent"), place(b"waits")].map(Option::unwrap);
        assert!(first < second);
    }
}

/// What waits without an identifier gets one, and a record.
fn a_snapshot_becomes_records<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(true, &[Property::ReceiveMaximum(1)]);
    let [a, b] = ["a", "b"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    bed.sent_bytes();
    let snapshot = bed.client.records();
    let waiting = [Kind::Session(3_600), Kind::Publish(a, 1), Kind::Waiting(b)];
    assert_eq!(kinds(&snapshot), waiting);

    let mut bed = restarted::<F>(write_ahead(), &snapshot);
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (1, 1));
    let mut store = Store::default();
    assert_eq!(store.write(&mut bed), [Kind::Publish(b, 2)]);
    // With its record it is not there twice.
    let both = [snapshot, store.prefix(1)].concat();
    let mut next = restarted::<F>(write_ahead(), &both);
    assert_eq!((next.client.pending(), next.client.in_flight()), (0, 2));
    assert!(next.client.poll_persist().is_none());
    resumed(&mut next, &mut Store::default());
    next.expect_sent(&[again(AtLeastOnce, 1, "a"), again(AtLeastOnce, 2, "b")]);

    resumed(&mut bed, &mut store);
    bed.expect_sent(&[again(AtLeastOnce, 1, "a"), publish(AtLeastOnce, 2, "b")]);
}

/// PUBREC moves its exchange behind those that were not sent yet; so do the records, and so does the snapshot.
fn a_snapshot_keeps_a_pubrec_behind_what_waits<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    bed.resume(true, &[Property::ReceiveMaximum(1)]);
    store.save(&mut bed);
    let sent = bed.publish(ExactlyOnce, "sent").unwrap();
    let waits = bed.publish(AtLeastOnce, "waits").unwrap();
    store.save(&mut bed);
    bed.expect_sent(&[publish(ExactlyOnce, 1, "sent")]);
    bed.tell(&pubrec(1));
    store.save(&mut bed);
    let snapshot = bed.client.records();
    let expected = [
        Kind::Session(3_600),
        Kind::Publish(waits, 2),
        Kind::Publish(sent, 1),
        Kind::Released(sent, 1),
    ];
    assert_eq!(kinds(&snapshot), expected);
    let bed = restarted::<F>(write_ahead(), &store.durable());
    assert_eq!(bed.client.records(), snapshot);
}

/// T130, D34: what another process sent takes the places of the window until it is finished, and goes before what is new.
fn what_was_loaded_counts_against_receive_maximum<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for (qos, text) in [(AtLeastOnce, "a"), (ExactlyOnce, "b"), (AtLeastOnce, "c")] {
        bed.publish(qos, text).unwrap();
    }
    bed.sent_bytes();
    let mut bed = restarted::<F>(Config::default(), &bed.client.records());
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (3, 0));
    assert_eq!(bed.resume(true, &[Property::ReceiveMaximum(2)]), []);
    bed.expect_sent(&[again(AtLeastOnce, 1, "a"), again(ExactlyOnce, 2, "b")]);
    bed.publish(AtLeastOnce, "d").unwrap();
    bed.expect_sent(&[]);
    bed.tell(&puback(1));
    bed.expect_sent(&[again(AtLeastOnce, 3, "c")]);
    bed.tell(&pubrec(2));
    bed.expect_sent(&[pubrel(2)]);
    bed.tell(&puback(3));
    bed.expect_sent(&[publish(AtLeastOnce, 4, "d")]);
    bed.tell(&pubcomp(2));
    bed.tell(&puback(4));
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (0, 0));
}

#[cfg(feature = "alloc")]
mod growable {
    use super::*;
    use machine::Lending;
    use mqtt5_proto::Refused;

    /// T152: a session with every identifier in use is loaded whole, sent again whole, and ends whole.
    #[test]
    fn every_identifier_outlives_the_process() {
        let mut bed = Bed::<Lending>::keeping();
        for n in 1..=u16::MAX {
            bed.publish(AtLeastOnce, "").unwrap();
            if n % 4_096 == 0 {
                bed.sent_bytes();
            }
        }
        bed.sent_bytes();
        let mut bed = restarted::<Lending>(Config::default(), &bed.client.records());
        assert_eq!((bed.client.in_flight(), bed.client.pending()), (65_535, 0));
        assert_eq!(bed.resume(true, &[]), []);
        let mut again_sent = Vec::new();
        loop {
            match bed.sent_bytes() {
                bytes if bytes.is_empty() => break,
                bytes => again_sent.extend(bytes),
            }
            assert_eq!(bed.events(), []);
        }
        let length = machine::packets::encode(&again(AtLeastOnce, 1, "")).len();
        let expected = |n| machine::packets::encode(&again(AtLeastOnce, n, ""));
        assert_eq!(again_sent.len(), 65_535 * length);
        for (packet, n) in again_sent.chunks(length).zip(1..=u16::MAX) {
            assert_eq!(packet, expected(n));
        }
        assert_eq!(bed.subscribe(&["a"]), Err(Refused::PacketIdsExhausted));
        let mut ends = 0;
        for n in 1..=u16::MAX {
            ends += bed.tell(&puback(n)).len();
        }
        assert_eq!((ends, bed.client.in_flight()), (65_535, 0));
        bed.subscribe(&["a"]).unwrap();
    }
}
