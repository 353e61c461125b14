//! Records ahead of packets where connections end and sessions are lost: tokens go on, and the next session begins in the
//! records before anything of it leaves (S109, D3, D4, E13, E16).

mod machine;

use mqtt5_proto::{
    DisconnectCause, DisconnectReason, PacketType, Properties, Property, QoS, Refused, SessionLoss,
    Violation,
};

use machine::packets::{ack_with, again, disconnect, puback, pubcomp, publish, pubrec, pubrel};
use machine::store::{Kind, Store, kinds, recording, recording_with, restarted, write_ahead};
use machine::{Bed, End, Face, Told, WINDOW, every_storage};

use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    a_publish_waits_for_the_record_of_its_session,
    what_waits_for_pubcomp_takes_no_room_from_new_messages,
    limits_of_the_server_end_what_waits,
    a_publish_waits_across_connections,
    what_was_handed_over_goes_out_again_with_dup,
    pubrel_waits_across_connections,
    pubrels_keep_their_order_across_connections,
    pubrec_waits_across_connections,
    pubcomp_waits_across_connections,
    what_is_not_asked_for_again_is_not_answered,
    all_records_are_without_what_is_lost,
    what_became_durable_without_a_connection_does_not_wait,
    a_lost_session_is_recorded_before_the_next,
    what_was_not_published_again_ends_in_the_records,
    no_expiry_is_a_loss_at_the_end_of_the_connection,
    a_new_expiry_is_recorded,
    what_the_server_has_given_up_gives_way_once_it_is_recorded,
    no_puback_before_the_record_of_what_gave_way,
);

/// Everything that the machine gives to write, none of it durable.
fn given<F: Face>(bed: &mut Bed<F>, store: &mut Store) -> Vec<Kind> {
    assert_eq!(bed.events(), []);
    store.write(bed)
}

/// A QoS 2 message of the server was received under this identifier and acknowledged.
fn received<F: Face>(bed: &mut Bed<F>, id: u16) {
    let token = bed.token(&publish(ExactlyOnce, id, "in"));
    bed.ack(token);
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

fn limits_of_the_server_end_what_waits<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    store.write(&mut bed);
    bed.lose();
    let limit = End::LimitExceeded(Refused::QoSNotSupported(AtLeastOnce));
    let told = bed.resume(true, &[Property::MaximumQoS(1)]);
    assert_eq!(told, [Told::Completed(op, limit)]);
    let ended = [Kind::Session(3_600), Kind::Ended(op, 1)];
    assert_eq!(store.write(&mut bed), ended);
    store.sync(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "b")]);
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

/// An acknowledgement belongs to the connection on which its packet arrived; on the next one that comes again.
fn what_is_not_asked_for_again_is_not_answered<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    received(&mut bed, 7);
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrel(7));
    received(&mut bed, 8);
    assert_eq!(given(&mut bed, &mut store).len(), 2);
    bed.lose();
    bed.resume(true, &[]);
    store.save(&mut bed);
    bed.expect_sent(&[]);
    assert_eq!(bed.tell(&again(ExactlyOnce, 8, "in")), []);
    bed.expect_sent(&[pubrec(8)]);
}

/// Also before its end was told.
fn all_records_are_without_what_is_lost<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    let b = bed.publish(ExactlyOnce, "b").unwrap();
    bed.lose();
    bed.reopen();
    bed.connack(false, &[]);
    let connected = bed.client.poll_event(bed.now);
    assert!(matches!(connected, Some(Told::Connected { .. })));
    let expected = [Kind::Session(3_600), Kind::Publish(b, 2)];
    assert_eq!(kinds(&bed.client.records()), expected);
    assert_eq!(bed.events(), [Told::Completed(op, End::Unknown)]);
    assert_eq!(kinds(&bed.client.records()), expected);
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
    kinds(&store.prefix(store.log.len()))
}

fn a_new_expiry_is_recorded<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let list = [Property::SessionExpiryInterval(60)];
    let properties = Properties::new(&list).unwrap();
    let reason = DisconnectReason::Normal;
    bed.client.disconnect(bed.now, reason, properties).unwrap();
    assert_eq!(store.write(&mut bed), [Kind::Session(60)]);
}

/// As long as its record may be found later, a message is not given up: the server has never seen its PUBREC, and sends it
/// again.
fn what_the_server_has_given_up_gives_way_once_it_is_recorded<F: Face>() {
    for durable in [true, false] {
        let (mut bed, mut store) = recording::<F>();
        received(&mut bed, 7);
        assert_eq!(given(&mut bed, &mut store), [Kind::Received(7)]);
        assert_eq!(bed.lose(), []);
        assert_eq!(bed.resume(true, &[]), []);
        if durable {
            store.save(&mut bed);
            bed.sent_bytes();
            let token = bed.token(&publish(AtLeastOnce, 7, "new"));
            bed.ack(token);
            assert_eq!(store.write(&mut bed), [Kind::Finished(7)]);
            bed.expect_sent(&[]);
            assert_eq!(store.sync(&mut bed), []);
            bed.expect_sent(&[puback(7)]);
            // A restart does not take another message for the one that is given up.
            let mut bed = restarted::<F>(write_ahead(), &store.durable());
            bed.resume(true, &[]);
            bed.message(&publish(ExactlyOnce, 7, "another"));
        } else {
            bed.feed(&publish(AtLeastOnce, 7, "wrong"));
            assert_eq!(bed.events(), []);
            bed.expect_sent(&[disconnect(0x82)]);
            let cause = DisconnectCause::Violation(Violation::PacketIdInUse);
            bed.client.handle_closed(bed.now);
            let told = bed.events();
            assert_eq!(told, [Told::Disconnected(cause, "[]".into())]);
        }
    }
}

/// PUBACK frees the identifier for QoS 2, and a restart without that record would take its message for the old one: also
/// when another message has it since, on another connection.
fn no_puback_before_the_record_of_what_gave_way<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    received(&mut bed, 7);
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &[]);
    store.save(&mut bed);
    let token = bed.token(&publish(AtLeastOnce, 7, "new"));
    bed.ack(token);
    let token = bed.token(&publish(AtLeastOnce, 8, "behind it"));
    bed.ack(token);
    bed.expect_sent(&[]);

    // Without that record the server has no answer, and the message is handed over again.
    let mut crashed = restarted::<F>(write_ahead(), &store.durable());
    crashed.resume(true, &[]);
    crashed.message(&again(AtLeastOnce, 7, "new"));

    bed.lose();
    bed.resume(true, &[]);
    let token = bed.token(&publish(AtLeastOnce, 7, "newer"));
    bed.ack(token);
    assert_eq!(bed.tell(&again(AtLeastOnce, 8, "behind it")), []);
    let expected = [Kind::Finished(7), Kind::Session(3_600)];
    assert_eq!(store.write(&mut bed), expected);
    bed.expect_sent(&[]);
    assert_eq!(store.sync_one(&mut bed), []);
    bed.expect_sent(&[puback(7), puback(8)]);
}
