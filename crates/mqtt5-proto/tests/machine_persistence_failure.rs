//! Records that cannot be written: one of a new publish costs that publish, any other one the machine (S109, S110, D37).

mod machine;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{
    DisconnectCause, DisconnectReason, Persisted, Properties, Property, QoS, Refused, State,
};

use machine::packets::{ack, again, disconnect, publish, pubrec, pubrel};
use machine::store::{Kind, Store, recording};
use machine::{Bed, End, Face, Told, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    a_publish_that_is_not_stored_ends_alone,
    several_that_are_not_stored,
    not_stored_without_a_connection,
    not_stored_after_it_was_withdrawn,
    not_stored_after_the_session_was_lost,
    not_stored_when_the_session_is_lost,
    a_session_that_is_lost_twice,
    not_stored_and_abandoned,
    any_other_failure_stops_the_machine,
    a_failure_without_a_connection_stops_the_machine,
    a_failure_before_connack_stops_the_machine,
    a_stopped_machine_refuses,
    a_stopped_machine_writes_nothing_more,
    every_operation_ends_once,
    a_stopped_machine_goes_on_from_its_records,
    news_of_the_past_say_nothing_of_the_present,
    a_failure_of_what_was_never_given_out_is_ignored,
);

fn not_stored(op: mqtt5_proto::Op) -> Told {
    Told::Completed(op, End::NotStored)
}

fn a_publish_that_is_not_stored_ends_alone<F: Face>() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let (mut bed, mut store) = recording::<F>();
        let [first, failed, last] = ["a", "b", "c"].map(|text| bed.publish(qos, text).unwrap());
        store.write(&mut bed);
        assert_eq!(store.sync_one(&mut bed), []);
        store.fail(&mut bed);
        assert_eq!(bed.events(), [not_stored(failed)]);
        assert_eq!(store.sync(&mut bed), []);
        bed.expect_sent(&[publish(qos, 1, "a"), publish(qos, 3, "c")]);
        assert_eq!(store.write(&mut bed), []);
        assert_eq!(bed.client.state(), State::Connected);
        let kinds = machine::store::kinds(&store.durable());
        let expected = [Kind::Publish(first, 1), Kind::Publish(last, 3)];
        assert_eq!(kinds[2..], expected);
        // Its identifier is free again, its operation is not.
        let next = bed.publish(qos, "d").unwrap();
        assert!(next > last);
    }
}

fn several_that_are_not_stored<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let [a, b, c] = ["a", "b", "c"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    store.write(&mut bed);
    store.fail(&mut bed);
    store.fail(&mut bed);
    assert_eq!(bed.client.pending(), 3);
    let mut told = bed.events();
    told.sort_by_key(Told::op);
    assert_eq!(told, [not_stored(a), not_stored(b)]);
    store.sync(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 3, "c")]);
    assert!(!bed.client.withdraw(c));
    assert_eq!((bed.client.pending(), bed.client.in_flight()), (0, 1));
}

fn not_stored_without_a_connection<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    store.write(&mut bed);
    bed.lose();
    store.fail(&mut bed);
    let connect = Connect::new("me");
    assert_eq!(
        bed.client.connect(bed.now, &connect),
        Err(Refused::EventsPending)
    );
    assert_eq!(bed.events(), [not_stored(op)]);
    bed.resume(true, &[]);
    store.save(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "b")]);
}

fn not_stored_after_it_was_withdrawn<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    store.write(&mut bed);
    assert!(bed.client.withdraw(op));
    store.fail(&mut bed);
    assert_eq!(bed.events(), []);
    assert_eq!(bed.client.state(), State::Connected);

    let op = bed.publish(AtLeastOnce, "b").unwrap();
    store.save(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "b")]);
    assert!(!bed.client.withdraw(op));
}

fn not_stored_after_the_session_was_lost<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    store.write(&mut bed);
    bed.lose();
    bed.resume(false, &[]);
    store.write(&mut bed);
    store.fail(&mut bed);
    assert_eq!(bed.events(), [not_stored(op)]);
    assert_eq!(store.sync(&mut bed), []);
    bed.expect_sent(&[]);
    bed.expect_empty();
    // What is in the records of it says nothing to a new process.
    let restarted: Bed<F> =
        machine::store::restarted(machine::store::write_ahead(), &store.durable());
    assert_eq!(
        (restarted.client.pending(), restarted.client.in_flight()),
        (0, 0)
    );
}

/// Nobody has asked for events in between.
fn not_stored_when_the_session_is_lost<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    bed.resume(true, &[Property::SessionExpiryInterval(0)]);
    store.save(&mut bed);
    let op = bed.publish(AtLeastOnce, "a").unwrap();
    store.write(&mut bed);
    store.fail(&mut bed);
    assert_eq!(bed.lose(), [not_stored(op)]);
    bed.expect_empty();
}

/// What is lost already is not counted again: what is published again waits.
fn a_session_that_is_lost_twice<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let lost = bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    bed.connack(false, &[Property::SessionExpiryInterval(0)]);
    let connected = bed.client.poll_event(bed.now);
    assert!(matches!(connected, Some(Told::Connected { .. })));
    assert_eq!(bed.lose(), [Told::Completed(lost, End::Unknown)]);
    assert_eq!(bed.client.pending(), 1);
}

fn not_stored_and_abandoned<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let [a, b, c] = ["a", "b", "c"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    store.write(&mut bed);
    bed.lose();
    store.fail(&mut bed);
    bed.client.abandon().unwrap();
    let not_sent = |op| Told::Completed(op, End::NotSent);
    assert_eq!(bed.events(), [not_stored(a), not_sent(b), not_sent(c)]);
    bed.expect_empty();
    bed.reopen();
}

/// A state in which a record that is no publish was given out and is not durable.
fn before_failure<F: Face>(which: Kind) -> (Bed<F>, Store) {
    let (mut bed, mut store) = recording::<F>();
    let sent = matches!(which, Kind::Released(..) | Kind::Ended(..));
    if sent {
        bed.publish(ExactlyOnce, "a").unwrap();
        store.save(&mut bed);
        bed.sent_bytes();
        bed.tell(&pubrec(1));
    }
    if matches!(which, Kind::Ended(..)) {
        store.save(&mut bed);
        bed.sent_bytes();
        bed.tell(&ack(mqtt5_proto::PacketType::Pubcomp, 1));
    }
    if matches!(which, Kind::Received(_) | Kind::Finished(_)) {
        let token = bed.token(&publish(ExactlyOnce, 7, "in"));
        bed.ack(token);
    }
    if matches!(which, Kind::Finished(_)) {
        store.save(&mut bed);
        bed.sent_bytes();
        bed.tell(&pubrel(7));
    }
    if matches!(which, Kind::Session(_) | Kind::SessionLost) {
        bed.lose();
        bed.resume(matches!(which, Kind::Session(_)), &[]);
    }
    if matches!(which, Kind::Republished(..)) {
        bed.publish(AtLeastOnce, "a").unwrap();
        store.save(&mut bed);
        bed.sent_bytes();
        bed.lose();
        bed.resume(false, &[]);
    }
    let mut written = store.write(&mut bed);
    if matches!(which, Kind::Republished(..)) {
        assert_eq!(written.remove(0), Kind::SessionLost);
        store.sync_one(&mut bed);
    }
    let same = |kind: &Kind| core::mem::discriminant(kind) == core::mem::discriminant(&which);
    assert!(same(&written[0]), "{written:?} instead of {which:?}");
    (bed, store)
}

fn every_other_kind<F: Face>() -> [Kind; 7] {
    let op = Bed::<F>::connected().publish(AtMostOnce, "").unwrap();
    [
        Kind::Session(0),
        Kind::SessionLost,
        Kind::Republished(op, 1),
        Kind::Released(op, 1),
        Kind::Ended(op, 1),
        Kind::Received(7),
        Kind::Finished(7),
    ]
}

fn any_other_failure_stops_the_machine<F: Face>() {
    for kind in every_other_kind::<F>() {
        let (mut bed, mut store) = before_failure::<F>(kind);
        bed.sent_bytes();
        store.fail(&mut bed);
        assert_eq!(bed.events(), []);
        assert_eq!(bed.client.state(), State::Closing);
        bed.expect_sent(&[disconnect(0x80)]);
        assert!(bed.client.wants_close());
        bed.expect_closed(DisconnectCause::Store);
        assert!(!bed.client.has_session());
    }
}

fn a_failure_without_a_connection_stops_the_machine<F: Face>() {
    for kind in every_other_kind::<F>() {
        let (mut bed, mut store) = before_failure::<F>(kind);
        bed.lose();
        store.fail(&mut bed);
        bed.events();
        bed.expect_idle();
        let connect = Connect::new("me");
        assert_eq!(bed.client.connect(bed.now, &connect), Err(Refused::Stopped));
    }
}

fn a_failure_before_connack_stops_the_machine<F: Face>() {
    let (mut bed, mut store) = before_failure::<F>(Kind::Received(7));
    bed.lose();
    bed.reopen();
    store.fail(&mut bed);

    assert_eq!(bed.events(), []);
    bed.expect_sent(&[disconnect(0x80)]);
    bed.expect_closed(DisconnectCause::Store);
}

fn stopped<F: Face>() -> Bed<F> {
    let (mut bed, mut store) = before_failure::<F>(Kind::Received(7));
    bed.sent_bytes();
    store.fail(&mut bed);
    bed
}

fn a_stopped_machine_refuses<F: Face>() {
    let mut bed = stopped::<F>();
    let refused = Err(Refused::NotConnected);
    assert_eq!(bed.publish(AtMostOnce, "a"), refused);
    assert_eq!(bed.publish(AtLeastOnce, "a"), refused);
    assert_eq!(bed.subscribe(&["f"]), refused);
    assert_eq!(bed.unsubscribe(&["f"]), refused);
    let normal = DisconnectReason::Normal;
    let properties = Properties::EMPTY;
    let disconnected = bed.client.disconnect(bed.now, normal, properties);
    assert_eq!(disconnected, Err(Refused::NotConnected));
    assert_eq!(
        bed.client.restore(bed.now, &[]),
        Err(Refused::AlreadyConnected)
    );
    bed.sent_bytes();
    bed.expect_closed(DisconnectCause::Store);
    assert_eq!(bed.publish(AtLeastOnce, "a"), refused);
    assert_eq!(bed.client.abandon(), Err(Refused::Stopped));
    let connect = Connect::new("me");
    let connected = bed.client.connect(bed.now, &connect);
    assert_eq!(connected, Err(Refused::Stopped));
}

/// What comes after a hole in the records would be taken for something else.
fn a_stopped_machine_writes_nothing_more<F: Face>() {
    let (mut bed, mut store) = before_failure::<F>(Kind::Received(7));
    bed.publish(AtLeastOnce, "a").unwrap();
    store.fail(&mut bed);
    assert_eq!(store.write(&mut bed), []);
    bed.sent_bytes();
    bed.close();
    assert_eq!(store.write(&mut bed), []);
}

fn every_operation_ends_once<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let sent = bed.publish(AtLeastOnce, "sent").unwrap();
    let released = bed.publish(ExactlyOnce, "released").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrec(2));
    store.write(&mut bed);
    let refused = bed.publish(AtLeastOnce, "refused").unwrap();
    let waiting = bed.publish(AtLeastOnce, "waiting").unwrap();
    store.write(&mut bed);
    let request = bed.subscribe(&["f"]).unwrap();
    bed.sent_bytes();
    // PUBREC first, then the one that would have failed alone.
    store.fail(&mut bed);
    store.fail(&mut bed);
    bed.sent_bytes();
    let told = bed.expect_closed(DisconnectCause::Store);
    let mut ends: Vec<_> = told
        .into_iter()
        .map(|told| match told {
            Told::Completed(op, end) => (op, end),
            other => panic!("{other:?}"),
        })
        .collect();
    ends.sort_by_key(|(op, _)| *op);
    let expected = [
        (sent, End::Unknown),
        (released, End::Unknown),
        // A restart may find their records, and send them.
        (refused, End::Unknown),
        (waiting, End::Unknown),
        (request, End::ConnectionLost),
    ];
    assert_eq!(ends, expected);
}

fn a_stopped_machine_goes_on_from_its_records<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    store.write(&mut bed);
    store.fail(&mut bed);
    bed.sent_bytes();
    bed.close();

    let durable = store.durable();
    bed.client.restore(bed.now, &durable).unwrap();
    assert!(bed.client.has_session());
    bed.resume(true, &[]);
    bed.expect_sent(&[again(ExactlyOnce, 1, "a")]);
    let mut store = Store::default();
    store.save(&mut bed);
    bed.tell(&pubrec(1));
    assert_eq!(store.write(&mut bed), [Kind::Released(op, 1)]);
    store.sync(&mut bed);
    bed.expect_sent(&[pubrel(1)]);
    let pubcomp = ack(mqtt5_proto::PacketType::Pubcomp, 1);
    let done = Told::Completed(op, End::delivered());
    assert_eq!(bed.tell(&pubcomp), [done]);
    // Operations are not used twice.
    assert!(bed.publish(AtLeastOnce, "b").unwrap() > op);
}

/// A store may still report what became of the records of a machine that has stopped.
fn news_of_the_past_say_nothing_of_the_present<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    for text in ["a", "b", "c"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    store.save(&mut bed);
    let (last, _) = *store.log.last().unwrap();
    let durable = store.durable();
    bed.sent_bytes();
    bed.lose();
    bed.resume(true, &[]);
    store.write(&mut bed);
    let (failed, _) = *store.log.last().unwrap();
    store.fail(&mut bed);
    bed.sent_bytes();
    bed.close();

    bed.client.restore(bed.now, &durable).unwrap();
    bed.resume(true, &[]);
    bed.sent_bytes();
    bed.publish(AtLeastOnce, "d").unwrap();
    let mut next = Store::default();
    assert_eq!(next.write(&mut bed).len(), 2);
    let now = bed.now;
    for token in [last, failed] {
        bed.client.handle_persisted(now, Persisted::Through(token));
        bed.client.handle_persisted(now, Persisted::Failed(token));
        assert_eq!(bed.events(), []);
        bed.expect_sent(&[]);
    }
    next.sync(&mut bed);
    bed.expect_sent(&[publish(AtLeastOnce, 4, "d")]);
}

fn a_failure_of_what_was_never_given_out_is_ignored<F: Face>() {
    let (mut other, mut store) = recording::<F>();
    for _ in 0..5 {
        other.publish(AtLeastOnce, "a").unwrap();
    }
    store.write(&mut other);
    let foreign: Vec<_> = store.log.iter().map(|(token, _)| *token).collect();

    let (mut bed, mut store) = recording::<F>();
    bed.publish(AtLeastOnce, "a").unwrap();
    store.write(&mut bed);
    bed.publish(AtLeastOnce, "b").unwrap();
    let now = bed.now;
    // Of the record that is to be given out next, and of those that do not exist.
    for token in &foreign[store.log.len()..] {
        bed.client.handle_persisted(now, Persisted::Failed(*token));
        assert_eq!(bed.events(), []);
    }
    let foreign = foreign[foreign.len() - 1];
    // As success it says that all is durable that was given out, and not more.
    bed.client
        .handle_persisted(now, Persisted::Through(foreign));
    assert_eq!(bed.events(), []);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "a")]);
}
