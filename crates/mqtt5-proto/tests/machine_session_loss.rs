//! The end of a session: what becomes of what was in flight, and which sessions are taken for ours (D4 to D6, D28, D29,
//! E13, E14, E16).

mod machine;

use mqtt5_proto::{
    Config, DisconnectCause, DisconnectReason, Properties, Property, QoS, Refused, SessionLoss,
    State, Violation,
};

use machine::packets::{again, connack, disconnect, puback, pubcomp, publish, pubrec, pubrel};
use machine::{Bed, End, Face, Told, every_storage};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    hb_25_at_least_once_is_published_again_in_order,
    at_least_once_is_unknown_by_policy,
    hb_25_exactly_once_is_unknown,
    exactly_once_is_published_again_by_policy,
    hb_25_after_pubrec_it_is_always_unknown,
    what_is_published_again_stands_before_what_waits,
    what_was_not_handed_over_is_published_whatever_the_policy,
    session_present_without_a_session_closes,
    an_assumed_session_is_taken_over,
    hb_24_clean_start_with_session_present_closes,
    clean_start_contradicts_an_assumed_session,
    a_closed_door_keeps_the_session,
    disconnect_before_connack_settles_nothing,
    no_expiry_settles_at_the_end_of_the_connection,
    expiry_0_of_the_server_settles_too,
    expiry_0_in_disconnect_settles_too,
    expiry_of_the_server_keeps_the_session,
    expiry_in_disconnect_keeps_the_session,
    a_refusal_keeps_everything,
    clean_start_without_an_answer_puts_the_session_in_doubt,
    at_most_once_that_waits_is_not_sent,
    withdrawn_without_a_connection,
    what_is_published_again_may_have_been_delivered,
    abandon_ends_everything_once,
    abandon_ends_nothing_that_comes_later,
    abandon_only_without_a_connection,
    connect_waits_for_the_ends,
    a_loss_before_the_ends_are_told,
);

fn with_loss<F: Face>(republish_qos1: bool, republish_qos2: bool) -> Bed<F> {
    let mut config = Config::default();
    config.session_loss = SessionLoss {
        republish_qos1,
        republish_qos2,
    };
    Bed::keeping_with(config)
}

fn maximum(value: u16) -> [Property<'static>; 1] {
    [Property::ReceiveMaximum(value)]
}

const NO_EXPIRY: [Property<'static>; 1] = [Property::SessionExpiryInterval(0)];

/// D4: DUP 0 and fresh identifiers. T22.
fn hb_25_at_least_once_is_published_again_in_order<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    for text in ["a", "b", "c"] {
        bed.publish(AtLeastOnce, text).unwrap();
    }
    bed.sent_bytes();
    bed.tell(&puback(2));
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(false, &[]), []);
    bed.expect_sent(&[publish(AtLeastOnce, 4, "a"), publish(AtLeastOnce, 5, "c")]);
    // They have new identifiers: the old ones belong to nothing.
    assert_eq!(bed.tell(&puback(1)), []);
    assert_eq!(bed.tell(&puback(4)).len(), 1);
    assert_eq!(bed.tell(&puback(5)).len(), 1);
    bed.expect_empty();
}

fn at_least_once_is_unknown_by_policy<F: Face>() {
    let mut bed = with_loss::<F>(false, false);
    let ops = ["a", "b"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    bed.sent_bytes();
    bed.lose();
    let ends = ops.map(|op| Told::Completed(op, End::Unknown));
    assert_eq!(bed.resume(false, &[]), ends);
    bed.expect_sent(&[]);
    bed.expect_empty();
}

/// E13: publishing it again may deliver it twice.
fn hb_25_exactly_once_is_unknown<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    bed.sent_bytes();
    bed.lose();
    assert_eq!(bed.resume(false, &[]), [Told::Completed(op, End::Unknown)]);
    bed.expect_sent(&[publish(AtLeastOnce, 3, "b")]);
}

fn exactly_once_is_published_again_by_policy<F: Face>() {
    let mut bed = with_loss::<F>(false, true);
    bed.publish(ExactlyOnce, "a").unwrap();
    let op = bed.publish(AtLeastOnce, "b").unwrap();
    bed.sent_bytes();
    bed.lose();
    assert_eq!(bed.resume(false, &[]), [Told::Completed(op, End::Unknown)]);
    bed.expect_sent(&[publish(ExactlyOnce, 3, "a")]);
}

/// D5.
fn hb_25_after_pubrec_it_is_always_unknown<F: Face>() {
    let mut bed = with_loss::<F>(true, true);
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(ExactlyOnce, "b").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    bed.sent_bytes();
    bed.lose();
    assert_eq!(bed.resume(false, &[]), [Told::Completed(op, End::Unknown)]);
    bed.expect_sent(&[publish(ExactlyOnce, 3, "b")]);
}

fn what_is_published_again_stands_before_what_waits<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(true, &maximum(3));
    bed.publish(AtLeastOnce, "handed 1").unwrap();
    bed.publish(AtLeastOnce, "handed 2").unwrap();
    bed.sent_bytes();
    bed.publish(AtLeastOnce, "encoded").unwrap();
    bed.publish(AtLeastOnce, "waits").unwrap();
    bed.lose();
    bed.resume(false, &[]);
    bed.expect_sent(&[
        publish(AtLeastOnce, 4, "handed 1"),
        publish(AtLeastOnce, 5, "handed 2"),
        publish(AtLeastOnce, 6, "encoded"),
        publish(AtLeastOnce, 7, "waits"),
    ]);
}

/// E14: what waits is no session state.
fn what_was_not_handed_over_is_published_whatever_the_policy<F: Face>() {
    let mut bed = with_loss::<F>(false, false);
    bed.publish(ExactlyOnce, "a").unwrap();
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(false, &[]), []);
    bed.expect_sent(&[publish(ExactlyOnce, 2, "a")]);
}

#[track_caller]
fn expect_unexpected_session<F: Face>(bed: &mut Bed<F>) {
    assert_eq!(bed.events(), []);
    assert_eq!(bed.client.state(), State::Closing);
    bed.expect_sent(&[disconnect(0x82)]);
    bed.client.handle_closed(bed.now);
    let cause = DisconnectCause::Violation(Violation::UnexpectedSessionPresent);
    assert_eq!(bed.events()[0], Told::Disconnected(cause, "[]".into()));
}

/// D28, [MQTT-3.2.2-4].
fn session_present_without_a_session_closes<F: Face>() {
    let mut bed = Bed::<F>::with(Config::default());
    bed.reopen_with(false, 100);
    bed.connack(true, &[]);
    expect_unexpected_session(&mut bed);
}

/// D28: by the user's explicit choice.
fn an_assumed_session_is_taken_over<F: Face>() {
    let mut config = Config::default();
    config.assume_session = true;
    let mut bed = Bed::<F>::with(config);
    bed.reopen_with(false, 100);
    bed.connack(true, &[]);
    assert_eq!(bed.events().len(), 1);
    assert_eq!(bed.client.state(), State::Connected);
    // What the earlier process began.
    assert_eq!(bed.tell(&pubcomp(9)), []);
    bed.token(&again(ExactlyOnce, 5, "x"));
}

/// HB-24: also when there is one.
fn hb_24_clean_start_with_session_present_closes<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    assert!(bed.client.has_session());
    bed.lose();
    bed.reopen_with(true, 100);
    bed.connack(true, &[]);
    expect_unexpected_session(&mut bed);
}

fn clean_start_contradicts_an_assumed_session<F: Face>() {
    let mut config = Config::default();
    config.assume_session = true;
    let mut bed = Bed::<F>::with(config);
    bed.reopen_with(true, 100);
    bed.connack(true, &[]);
    expect_unexpected_session(&mut bed);
}

/// The next CONNACK decides.
fn disconnect_before_connack_settles_nothing<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.reopen_with(false, 100);
    let properties = Properties::new(&NO_EXPIRY).unwrap();
    let normal = DisconnectReason::Normal;
    bed.client.disconnect(bed.now, normal, properties).unwrap();
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.client.in_flight(), 1);
    assert!(bed.client.has_session());
}

/// The transport fails before CONNECT has left.
fn a_closed_door_keeps_the_session<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.reopen_with(false, 100);
    bed.lose();
    assert!(bed.client.has_session());
    bed.resume(true, &[]);
    bed.expect_sent(&[again(AtLeastOnce, 1, "a")]);
}

/// E16: asked for.
fn no_expiry_settles_at_the_end_of_the_connection<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.reopen_with(true, 0);
    bed.connack(false, &[]);
    bed.events();
    assert!(!bed.client.has_session());
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.lose(), [Told::Completed(op, End::Unknown)]);
    assert_eq!((bed.client.in_flight(), bed.client.pending()), (0, 1));
    bed.resume(false, &[]);
    bed.expect_sent(&[publish(AtLeastOnce, 3, "b")]);
}

/// E16: granted.
fn expiry_0_of_the_server_settles_too<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(false, &NO_EXPIRY);
    assert!(!bed.client.has_session());
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.lose(), [Told::Completed(op, End::Unknown)]);
    bed.expect_empty();
    bed.reopen_with(false, 100);
    bed.connack(true, &[]);
    expect_unexpected_session(&mut bed);
}

fn expiry_0_in_disconnect_settles_too<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    let properties = Properties::new(&NO_EXPIRY).unwrap();
    let normal = DisconnectReason::Normal;
    bed.client.disconnect(bed.now, normal, properties).unwrap();
    bed.sent_bytes();
    assert_eq!(bed.lose(), [Told::Completed(op, End::Unknown)]);
    assert!(!bed.client.has_session());
    bed.expect_empty();
}

/// The server's value replaces ours, also upwards.
fn expiry_of_the_server_keeps_the_session<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.reopen_with(true, 0);
    bed.connack(false, &[Property::SessionExpiryInterval(10)]);
    bed.events();
    assert!(bed.client.has_session());
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.lose(), []);
    bed.resume(true, &[]);
    bed.expect_sent(&[again(ExactlyOnce, 1, "a")]);
}

/// 3.14.2.2.2: allowed, because CONNECT asked for more than 0.
fn expiry_in_disconnect_keeps_the_session<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(false, &NO_EXPIRY);
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    let expiry = [Property::SessionExpiryInterval(10)];
    let properties = Properties::new(&expiry).unwrap();
    let normal = DisconnectReason::Normal;
    bed.client.disconnect(bed.now, normal, properties).unwrap();
    bed.sent_bytes();
    assert_eq!(bed.lose(), []);
    assert!(bed.client.has_session());
    bed.resume(true, &[]);
    bed.expect_sent(&[again(ExactlyOnce, 1, "a")]);
}

/// E16.
fn a_refusal_keeps_everything<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    let token = bed.token(&publish(AtLeastOnce, 7, "in"));
    bed.lose();
    bed.reopen_with(false, 0);
    bed.tell(&connack(0x88, Properties::EMPTY));
    assert_eq!(bed.lose(), []);
    assert!(bed.client.has_session());
    bed.ack(token);
    bed.resume(true, &[]);
    bed.expect_sent(&[pubrel(1)]);
    assert_eq!(bed.tell(&again(AtLeastOnce, 7, "in")), []);
    bed.expect_sent(&[puback(7)]);
}

/// D6: the server may have begun a new session, which must not be taken for the old one.
fn clean_start_without_an_answer_puts_the_session_in_doubt<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "a").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.reopen_with(true, 100);
    assert_eq!(bed.lose(), []);
    assert!(!bed.client.has_session());
    assert_eq!(bed.client.in_flight(), 1);
    assert_eq!(bed.resume(false, &[]), [Told::Completed(op, End::Unknown)]);
}

fn at_most_once_that_waits_is_not_sent<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(true, &maximum(1));
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    let op = bed.publish(AtMostOnce, "c").unwrap();
    assert!(bed.client.is_pending(op));
    assert_eq!(bed.lose(), [Told::Completed(op, End::NotSent)]);
    assert_eq!(bed.client.pending(), 2);
}

fn withdrawn_without_a_connection<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let handed = bed.publish(AtLeastOnce, "handed").unwrap();
    bed.sent_bytes();
    let op = bed.publish(AtLeastOnce, "not").unwrap();
    assert!(!bed.client.withdraw(op));
    bed.lose();
    assert!(bed.client.withdraw(op));
    assert!(!bed.client.withdraw(op));
    assert!(!bed.client.withdraw(handed));
    bed.resume(true, &[]);
    bed.expect_sent(&[again(AtLeastOnce, 1, "handed")]);
    bed.tell(&puback(1));
    bed.expect_empty();
}

/// What the server had once is not said to be unsent, however it ends.
fn what_is_published_again_may_have_been_delivered<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let sent = bed.publish(AtLeastOnce, "sent").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.resume(false, &maximum(1));
    let new = bed.publish(AtLeastOnce, "new").unwrap();
    assert_eq!(bed.lose(), []);
    assert!(!bed.client.withdraw(sent), "it left once");
    bed.client.abandon().unwrap();
    assert_eq!(
        bed.events(),
        [
            Told::Completed(sent, End::Unknown),
            Told::Completed(new, End::NotSent),
        ]
    );
}

fn abandon_ends_everything_once<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.resume(true, &maximum(3));
    let handed = bed.publish(AtLeastOnce, "a").unwrap();
    let released = bed.publish(ExactlyOnce, "b").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(2));
    bed.sent_bytes();
    let encoded = bed.publish(ExactlyOnce, "c").unwrap();
    let waits = bed.publish(AtLeastOnce, "d").unwrap();
    let token = bed.token(&publish(ExactlyOnce, 4, "in"));
    assert_eq!(bed.lose(), []);
    bed.client.abandon().unwrap();
    assert_eq!(
        bed.events(),
        [
            Told::Completed(handed, End::Unknown),
            Told::Completed(released, End::Unknown),
            Told::Completed(encoded, End::NotSent),
            Told::Completed(waits, End::NotSent),
        ]
    );
    bed.client.abandon().unwrap();
    assert_eq!(bed.events(), []);
    assert!(!bed.client.has_session());
    assert!(!bed.client.forget(token));
    bed.expect_empty();
    bed.resume(false, &[]);
    bed.expect_sent(&[]);
}

fn abandon_ends_nothing_that_comes_later<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.lose();
    bed.client.abandon().unwrap();
    assert_eq!(bed.events(), []);
    bed.resume(false, &maximum(1));
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.publish(AtLeastOnce, "b").unwrap();
    bed.sent_bytes();
    assert_eq!(bed.lose(), []);
    bed.resume(true, &[]);
    bed.expect_sent(&[again(AtLeastOnce, 1, "a"), publish(AtLeastOnce, 2, "b")]);
}

fn abandon_only_without_a_connection<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    assert_eq!(bed.client.abandon(), Err(Refused::AlreadyConnected));
    assert!(bed.client.has_session());
}

fn connect_waits_for_the_ends<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(AtLeastOnce, "a").unwrap();
    bed.sent_bytes();
    bed.lose();
    bed.client.abandon().unwrap();
    let connect = mqtt5_proto::packet::Connect {
        properties: Properties::new(&machine::LIMITS).unwrap(),
        ..mqtt5_proto::packet::Connect::new("me")
    };
    assert_eq!(
        bed.client.connect(bed.now, &connect),
        Err(Refused::EventsPending)
    );
    assert_eq!(bed.events().len(), 1);
    bed.client.connect(bed.now, &connect).unwrap();
}

/// The session was lost with the last CONNACK, and nobody has asked yet.
fn a_loss_before_the_ends_are_told<F: Face>() {
    let mut bed = with_loss::<F>(false, false);
    let ops = ["a", "b"].map(|text| bed.publish(AtLeastOnce, text).unwrap());
    bed.sent_bytes();
    bed.lose();
    bed.reopen();
    bed.connack(false, &[]);
    assert!(matches!(
        bed.client.poll_event(bed.now),
        Some(Told::Connected { .. })
    ));
    let new = bed.publish(AtLeastOnce, "new").unwrap();
    bed.sent_bytes();
    let ends = ops.map(|op| Told::Completed(op, End::Unknown));
    assert_eq!(bed.lose(), ends);
    bed.resume(true, &[]);
    bed.expect_sent(&[again(AtLeastOnce, 3, "new")]);
    assert_eq!(
        bed.tell(&puback(3)),
        [Told::Completed(new, End::delivered())]
    );
    bed.expect_empty();
}
