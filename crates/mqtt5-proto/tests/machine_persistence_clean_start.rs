//! Clean Start ends a session without our knowing when, so it is recorded before CONNECT leaves [MQTT-3.1.2-4].

mod machine;

use mqtt5_proto::packet::Connect;
use mqtt5_proto::{DisconnectCause, Properties, Property, QoS, ReasonCode, State};

use machine::assumed::{self, answer, expect_pubrels, take_over};
use machine::packets::{connack, publish};
use machine::store::{Kind, Store, recording, recording_with, restarted, write_ahead};
use machine::{Bed, End, Face, LIMITS, Told, every_storage};

use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    connect_waits_for_its_record,
    what_crashed_before_connack_has_no_session,
    what_was_given_up_before_a_crash,
    a_refusal_gives_the_session_back,
    what_never_left_gives_the_session_back,
    a_failure_closes_without_a_word,
    a_failure_after_an_early_connack_closes_without_a_word,
    nothing_waits_without_a_session,
    nothing_is_said_in_a_new_session_before_its_record,
);

/// Begins a connection with Clean Start and a session that outlives it; gives CONNECT.
fn clean_start<F: Face>(bed: &mut Bed<F>) -> Vec<u8> {
    let list = [Property::SessionExpiryInterval(3_600), LIMITS[0], LIMITS[1]];
    let connect = Connect {
        clean_start: true,
        properties: Properties::new(&list).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    machine::packets::encode(&mqtt5_proto::Packet::Connect(connect))
}

/// Nothing can be written yet, however it is asked for.
#[track_caller]
fn expect_waiting<F: Face>(bed: &mut Bed<F>) {
    assert_eq!(bed.client.transmit(bed.now, usize::MAX), []);
    assert!(bed.client.unsent() > 0);
}

fn connect_waits_for_its_record<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    let connect = clean_start(&mut bed);
    expect_waiting(&mut bed);
    assert_eq!(store.write(&mut bed), [Kind::Session(0)]);
    expect_waiting(&mut bed);
    store.sync(&mut bed);
    assert_eq!(bed.sent_bytes(), connect);
    bed.feed(&connack(0, Properties::EMPTY));
    store.save(&mut bed);
    assert!(bed.client.has_session());
    let records = machine::store::kinds(&store.durable());
    assert_eq!(
        records[3..],
        [Kind::SessionLost, Kind::Session(3_600)],
        "{records:?}"
    );
}

/// The server may have ended the session, and begun another with identifiers of its own.
fn what_crashed_before_connack_has_no_session<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let first = bed.publish(AtLeastOnce, "a").unwrap();
    let second = bed.publish(ExactlyOnce, "b").unwrap();
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    clean_start(&mut bed);
    store.save(&mut bed);
    bed.sent_bytes();

    let mut bed = restarted::<F>(write_ahead(), &store.durable());
    assert!(!bed.client.has_session());
    assert_eq!(bed.events(), [Told::Completed(second, End::Unknown)]);
    assert!(bed.client.is_pending(first));
}

/// A server that still has the session may hold it. Where nothing else was open all is known, and it is not cleared: PUBREL
/// would deliver it. Otherwise what was open is lost, and the server's session assumed: nothing new is swallowed, and whoever
/// was told `LimitExceeded` knows that the message may be delivered.
fn what_was_given_up_before_a_crash<F: Face>() {
    for more in [false, true] {
        let (mut bed, mut store) = recording_with::<F>(assumed::recording());
        bed.publish(ExactlyOnce, "given up").unwrap();
        if more {
            bed.publish(AtLeastOnce, "open").unwrap();
        }
        store.save(&mut bed);
        bed.sent_bytes();
        bed.lose();
        let told = bed.resume(true, &[Property::MaximumQoS(1)]);
        assert!(matches!(
            told[..],
            [Told::Completed(_, End::LimitExceeded(_))]
        ));
        bed.lose();
        clean_start(&mut bed);
        store.save(&mut bed);
        bed.sent_bytes();

        let mut bed = restarted::<F>(assumed::recording(), &store.durable());
        take_over(&mut bed, &[]);
        bed.publish(ExactlyOnce, "new").unwrap();
        Store::default().save(&mut bed);
        if more {
            let ids = 1..=2 + assumed::SPARE;
            expect_pubrels(&mut bed, ids.clone());
            answer(&mut bed, ids);
            Store::default().save(&mut bed);
            bed.expect_sent(&[
                publish(AtLeastOnce, 3, "open"),
                publish(ExactlyOnce, 1, "new"),
            ]);
        } else {
            bed.expect_sent(&[publish(ExactlyOnce, 2, "new")]);
        }
    }
}

fn a_refusal_gives_the_session_back<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    clean_start(&mut bed);
    store.save(&mut bed);
    bed.sent_bytes();
    bed.feed(&connack(0x88, Properties::EMPTY));
    store.save(&mut bed);
    assert!(bed.client.has_session());
    let bed = restarted::<F>(write_ahead(), &store.durable());
    assert!(bed.client.has_session());
}

fn what_never_left_gives_the_session_back<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    clean_start(&mut bed);
    store.write(&mut bed);
    bed.client.handle_closed(bed.now);
    bed.events();
    assert!(bed.client.has_session());
    store.save(&mut bed);
    let bed = restarted::<F>(write_ahead(), &store.durable());
    assert!(bed.client.has_session());
}

fn a_failure_closes_without_a_word<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    clean_start(&mut bed);
    store.write(&mut bed);
    store.fail(&mut bed);
    assert_eq!(bed.events(), []);
    assert_eq!(bed.client.state(), State::Closing);
    bed.expect_sent(&[]);
    assert!(bed.client.wants_close());
    bed.client.handle_closed(bed.now);
    let told = bed.events();
    let cause = DisconnectCause::Store;
    assert_eq!(told, [Told::Disconnected(cause, "[]".into())]);
}

/// A server that accepts before CONNECT has left breaks the protocol; it is told nothing all the same.
fn a_failure_after_an_early_connack_closes_without_a_word<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    bed.lose();
    clean_start(&mut bed);
    store.write(&mut bed);
    bed.feed(&connack(0, Properties::EMPTY));
    bed.events();
    store.fail(&mut bed);
    bed.events();
    assert_eq!(bed.client.state(), State::Closing);
    bed.expect_sent(&[]);
    assert!(bed.client.wants_close());
}

/// Where there is no session there is nothing to record, and CONNECT leaves at once.
fn nothing_waits_without_a_session<F: Face>() {
    let mut bed = Bed {
        client: F::keeping(write_ahead()),
        now: mqtt5_proto::Instant::ZERO,
    };
    let connect = clean_start(&mut bed);
    assert_eq!(bed.sent_bytes(), connect);
    assert_eq!(bed.client.poll_persist(), None);
    bed.feed(&connack(
        ReasonCode::NOT_AUTHORIZED.value(),
        Properties::EMPTY,
    ));
    assert_eq!(bed.events(), []);
    assert_eq!(bed.client.poll_persist(), None);
}

/// Messages of the new session come only after a SUBSCRIBE.
fn nothing_is_said_in_a_new_session_before_its_record<F: Face>() {
    let (mut bed, mut store) = recording::<F>();
    let token = bed.token(&publish(ExactlyOnce, 7, "old"));
    bed.ack(token);
    store.save(&mut bed);
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    bed.connack(false, &[]);
    bed.events();
    bed.subscribe(&["t"]).unwrap();
    expect_waiting(&mut bed);
    let records = store.write(&mut bed);
    assert_eq!(records, [Kind::SessionLost, Kind::Session(3_600)]);
    expect_waiting(&mut bed);
    store.sync_one(&mut bed);
    expect_waiting(&mut bed);
    store.sync(&mut bed);
    assert!(!bed.sent_bytes().is_empty());
}
