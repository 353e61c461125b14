//! From a lost connection to the next one.

use super::executor::{Task, now};
use super::{Link, Peer, accepted, disconnect, options, reconnecting, scripted};
use crate::{
    Async, Backoff, ConnectionErrorKind, Options, PublishErrorKind, QoS, ReasonCode, Reconnect,
    Resume, Retry, State,
};
use core::time::Duration;
use mqtt5_proto::packet::Connack;
use mqtt5_proto::{DisconnectReason, Packet, Properties, Property};

const SECOND: Duration = Duration::from_secs(1);

/// Without jitter: one second first, then two, four and so on.
pub(super) fn doubling() -> Reconnect {
    let backoff = Backoff::exponential(SECOND, 60 * SECOND).jitter(false);
    Reconnect::default().backoff(backoff)
}

pub(super) fn refusal(reason: ReasonCode) -> Packet<'static> {
    Packet::Connack(Connack {
        session_present: false,
        reason,
        properties: Properties::EMPTY,
    })
}

/// The names of the events since the last look.
fn names(events: &mut crate::Events) -> Vec<String> {
    core::iter::from_fn(|| events.try_recv())
        .map(|event| {
            let text = format!("{event:?}");
            let end = text.find([' ', '(', '{']).unwrap_or(text.len());
            text[..end].to_owned()
        })
        .collect()
}

/// Attempts of a client whose server accepts and then does this, as the seconds between them.
fn waits(options: Options, attempts: usize, mut end: impl FnMut(&mut Link)) -> Vec<u64> {
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut waits = Vec::new();
    for _ in 0..attempts {
        end(&mut link);
        let lost = link.now();
        while link.attempt.is_none() && client.state() != State::Stopped {
            link.pass(Duration::from_millis(50));
        }
        if client.state() == State::Stopped {
            break;
        }
        waits.push(link.now().saturating_duration_since(lost).as_secs());
        link.sent_types();
        link.send(accepted(true));
        assert!(client.is_connected());
    }
    waits
}

/// T84, T155, S95, S99 to S103: a loss is told, and so is each step to the next connection.
#[test]
fn a_lost_connection_is_made_again_and_each_step_is_told() {
    let (client, mut link) = scripted(reconnecting().reconnect(doubling()), Properties::EMPTY);
    let mut events = client.events();
    let mut closed = Task::new(client.closed());
    assert!(closed.is_pending());
    link.cut();
    assert_eq!(client.state(), State::Waiting);
    assert!(!client.is_connected() && client.connection().is_none());
    assert_eq!(names(&mut events), ["Disconnected", "Waiting"]);
    let mut connected = Task::new(client.connected());
    assert!(connected.is_pending());
    link.pass(Duration::from_millis(1100));
    assert_eq!(client.state(), State::Handshaking);
    link.send(accepted(true));
    let info = connected.woken().expect("connected");
    assert!(info.session_present() && client.is_connected());
    assert_eq!(names(&mut events), ["Dialing", "Connected"]);
    assert!(closed.is_pending());
    assert_eq!(client.statistics().connects, 2);
}

/// S5, S101, T85: the first failure is final, unless it is to be tried again.
#[test]
fn the_first_connection_is_tried_again_only_on_request() {
    let (client, mut link) = Link::new::<Async>(reconnecting(), Peer::Refusing);
    link.run();
    assert_eq!(client.state(), State::Stopped);
    assert!(link.finished);

    let options = reconnecting().reconnect(doubling().retry_first(true));
    let (client, mut link) = Link::new::<Async>(options, Peer::Refusing);
    let mut connected = Task::new(client.connected());
    assert!(connected.is_pending());
    link.pass(8 * SECOND);
    assert_eq!(client.statistics().connect_failures, 4);
    link.peer = Peer::Script(Vec::new());
    link.pass(8 * SECOND);
    link.send(accepted(false));
    connected.woken().expect("connected");
}

/// HB-30, S97, E6: a server that accepts and hangs up does not begin the backoff anew; a stable connection does.
#[test]
fn hb_30_only_a_stable_connection_begins_the_backoff_anew() {
    let options = || reconnecting().reconnect(doubling());
    assert_eq!(waits(options(), 7, Link::cut), [1, 2, 4, 8, 16, 32, 60]);
    let mut count = 0;
    let stable_third = waits(options(), 5, |link| {
        count += 1;
        link.pass(if count == 3 { 31 } else { 3 } * SECOND);
        link.cut();
    });
    assert_eq!(stable_third, [1, 2, 1, 2, 4]);
}

/// HB-31, HB-32, E10: what the reason codes of DISCONNECT lead to.
#[test]
fn hb_31_a_session_that_was_taken_over_is_not_taken_back() {
    for (reason, after_stable, expected) in [
        (ReasonCode::SESSION_TAKEN_OVER, true, vec![]),
        (ReasonCode::SERVER_MOVED, true, vec![]),
        (ReasonCode::BANNED, false, vec![]),
        (ReasonCode::SERVER_SHUTTING_DOWN, false, vec![1, 2, 4]),
        (ReasonCode::SUCCESS, false, vec![1, 2, 4]),
        (ReasonCode::from(0xEE), false, vec![1, 2, 4]),
        (ReasonCode::KEEP_ALIVE_TIMEOUT, false, vec![1, 2, 4]),
        (ReasonCode::KEEP_ALIVE_TIMEOUT, true, vec![0, 0, 0]),
        (ReasonCode::MAXIMUM_CONNECT_TIME, true, vec![0, 0, 0]),
        (ReasonCode::USE_ANOTHER_SERVER, true, vec![1, 1, 1]),
    ] {
        let seen = waits(reconnecting().reconnect(doubling()), 3, |link| {
            if after_stable {
                link.pass(31 * SECOND);
            }
            // As bytes: not every code may be sent.
            link.inbound.extend([0xE0, 1, reason.value()]);
            link.run();
        });
        assert_eq!(seen, expected, "{reason}");
    }
    let overridden = doubling().on_reason(ReasonCode::SESSION_TAKEN_OVER, Retry::Backoff);
    let seen = waits(reconnecting().reconnect(overridden), 2, |link| {
        link.send(disconnect(ReasonCode::SESSION_TAKEN_OVER));
    });
    assert_eq!(seen, [1, 2]);
}

/// HB-32: the server flips between refusals that pass and one that does not.
#[test]
fn hb_32_a_refusal_that_does_not_pass_stops_the_client() {
    let (client, mut link) = scripted(reconnecting().reconnect(doubling()), Properties::EMPTY);
    link.cut();
    for reason in [ReasonCode::SERVER_BUSY, ReasonCode::SERVER_UNAVAILABLE] {
        link.reconnect();
        link.sent_types();
        link.send(refusal(reason));
        assert_eq!(client.state(), State::Waiting, "{reason}");
    }
    link.reconnect();
    link.sent_types();
    link.send(refusal(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(client.state(), State::Stopped);
    let end = now(client.closed()).expect_err("it stopped by itself");
    assert_eq!(
        (end.kind(), end.reason_code()),
        (
            ConnectionErrorKind::Refused,
            Some(ReasonCode::NOT_AUTHORIZED)
        )
    );
}

/// T89, S98, pitfall 9: disconnect ends every wait at once, and nothing comes after it. T155.
#[test]
fn pitfall_9_disconnect_wins_while_waiting() {
    let (client, mut link) = scripted(reconnecting().reconnect(doubling()), Properties::EMPTY);
    link.cut();
    let mut publish = Task::new(client.publish("a", "x").qos(QoS::AtLeastOnce));
    let mut subscribe = Task::new(client.subscribe("a"));
    assert!(publish.is_pending() && subscribe.is_pending());
    let mut done = Task::new(client.disconnect());
    assert!(done.poll().is_ready(), "there is nothing to wait for");
    link.run();
    assert!(link.finished);
    assert_eq!(
        publish.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::NotSent)
    );
    assert!(subscribe.woken().is_err());
    assert!(now(client.closed()).is_ok(), "it was asked for");
    link.dialed.clear();
    link.pass(300 * SECOND);
    assert!(link.dialed.is_empty());
}

/// A connection that ends while the client says goodbye is not made again.
#[test]
fn a_loss_during_disconnect_is_the_end() {
    let (client, mut link) = scripted(reconnecting().reconnect(doubling()), Properties::EMPTY);
    let mut publish = Task::new(client.publish("a", "x").qos(QoS::AtLeastOnce));
    assert!(publish.is_pending());
    let mut done = Task::new(client.disconnect());
    assert!(done.is_pending(), "the publish has time to complete");
    link.cut();
    assert!(done.poll().is_ready());
    assert_eq!(client.state(), State::Stopped);
    assert!(publish.woken().is_err());
}

/// D6, S10, S11, T87, pitfall 12: clean until the first success of a session that outlives its connection, never again after that.
#[test]
fn pitfall_12_clean_start_is_first_only() {
    let clean = |link: &mut Link| {
        link.sent(|packet| match packet {
            Packet::Connect(connect) => connect.clean_start,
            packet => panic!("{packet:?}"),
        })
    };
    for (options, expected) in [
        (reconnecting(), [true, false]),
        (reconnecting().session_expiry_interval(0), [true, true]),
        (reconnecting().resume(Resume::Never), [true, true]),
        (reconnecting().resume(Resume::AssumeSession), [false, false]),
    ] {
        let (_client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
        let first = clean(&mut link);
        link.send(accepted(false));
        link.cut();
        link.reconnect();
        assert_eq!([first, clean(&mut link)], expected);
    }
}

/// S8, T127: the server's name for us is ours from then on.
#[test]
fn an_assigned_client_identifier_is_kept() {
    let assigned = [Property::AssignedClientIdentifier("auto-7")];
    let options = Options::new("mqtt://server");
    let (client, mut link) = scripted(options, Properties::new(&assigned).expect("valid"));
    link.cut();
    link.reconnect();
    link.sent(|packet| match packet {
        Packet::Connect(connect) => {
            assert_eq!((connect.client_id, connect.clean_start), ("auto-7", false));
        }
        packet => panic!("{packet:?}"),
    });
    link.send(accepted(true));
    let info = client.connection().expect("connected");
    assert_eq!(info.client_id(), "auto-7");
}

/// D23: a publisher that waits for room learns at once that the connection is gone, also when it ends without a word.
#[test]
fn who_waits_for_room_hears_of_the_loss() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let large = vec![0; 70_000];
    now(client.publish("t", large)).expect("accepted");
    let mut waits = Task::new(client.publish("t", "x"));
    let mut flush = Task::new(client.flush());
    assert!(waits.is_pending() && flush.is_pending());
    link.cut();
    assert_eq!(
        waits.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::NotConnected)
    );
}

/// N5: a disconnect whose operations did not complete says so, whyever they did not.
#[test]
fn a_loss_during_disconnect_is_told() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut publish = Task::new(client.publish("a", "x").qos(QoS::AtLeastOnce));
    assert!(publish.is_pending());
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    let mut done = Task::new(client.disconnect());
    assert!(done.is_pending());
    link.cut();
    assert!(done.woken().is_err(), "not drained");
    assert!(
        now(client.closed()).is_ok(),
        "it was asked for all the same"
    );
    assert!(publish.woken().is_err());
}

/// N21: what is going to be sent again is not flushed.
#[test]
fn flush_waits_for_what_is_sent_again() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut publish = Task::new(client.publish("a", "x").qos(QoS::AtLeastOnce));
    assert!(publish.is_pending());
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    link.cut();
    let mut flush = Task::new(client.flush());
    assert!(flush.is_pending());
    link.reconnect();
    link.sent_types();
    link.send(accepted(true));
    link.run();
    assert!(flush.woken().is_ok());
}

/// The last resort of an application: an attempt limit.
#[test]
fn attempts_can_be_limited() {
    let policy = doubling().retry_first(true).maximum_attempts(3);
    let (client, mut link) = Link::new::<Async>(reconnecting().reconnect(policy), Peer::Refusing);
    link.pass(100 * SECOND);
    assert_eq!(client.state(), State::Stopped);
    assert_eq!(link.dialed.len(), 3);
}

/// A client that must not reconnect ends with its first connection, as before its will is asked.
#[test]
fn never_means_never() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    link.cut();
    assert_eq!(client.state(), State::Stopped);
}

/// Pitfall 10: a transport that is lost at any moment of an attempt leads to the next attempt.
#[test]
fn pitfall_10_no_loss_leaves_the_client_stuck() {
    let policy = || doubling().retry_first(true);
    // Between the open transport and CONNECT, while CONNECT leaves, and before CONNACK.
    for written in 0..3 {
        let (client, mut link) =
            Link::new::<Async>(reconnecting().reconnect(policy()), Peer::Unreachable);
        link.run();
        let attempt = crate::driver::Attempt::NONE.next();
        assert!(link.driver.handle_dialed(attempt));
        for count in 0..written {
            let turn = link
                .driver
                .turn_write(&mut link.outgoing, count, &link.waker);
            assert!(turn.action.is_none());
        }
        link.driver.handle_closed(attempt);
        link.outgoing = mqtt5_proto::Outgoing::new();
        assert_eq!(client.state(), State::Waiting);
        link.peer = Peer::Script(Vec::new());
        link.reconnect();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(accepted(false));
        assert!(client.is_connected());
    }
    // The dial is not answered.
    let (client, mut link) =
        Link::new::<Async>(reconnecting().reconnect(policy()), Peer::Unreachable);
    link.pass(12 * SECOND);
    assert!(link.cancelled && client.statistics().connect_failures == 1);
    link.peer = Peer::Script(Vec::new());
    link.pass(12 * SECOND);
    link.send(accepted(false));
    assert!(client.is_connected());
}

/// The goodbye of the server does not keep the client from coming back with what it has.
#[test]
fn the_session_expiry_of_a_goodbye_is_that_of_the_application() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut done = Task::new(
        client
            .disconnect()
            .reason(DisconnectReason::WithWill)
            .session_expiry_interval(7),
    );
    assert!(done.is_pending());
    link.sent(|packet| match packet {
        Packet::Disconnect(disconnect) => {
            assert_eq!(disconnect.properties.session_expiry_interval(), Some(7));
        }
        packet => panic!("{packet:?}"),
    });
}

/// N21: a watcher sees where the client is, also when it was slow.
#[test]
fn the_state_can_be_watched() {
    let (client, mut link) = scripted(reconnecting().reconnect(doubling()), Properties::EMPTY);
    let mut states = client.states();
    assert_eq!(now(states.recv()), Some(State::Online));
    let mut next = Task::new(states.recv());
    assert!(next.is_pending());
    link.cut();
    assert_eq!(next.woken(), Some(State::Waiting));
    drop(next);
    link.reconnect();
    link.send(accepted(true));
    assert_eq!(
        now(states.recv()),
        Some(State::Online),
        "what was between is over"
    );
    let mut done = Task::new(client.disconnect());
    assert!(done.is_pending());
    link.run();
    assert!(done.woken().is_ok());
    assert_eq!(now(states.recv()), Some(State::Stopped));
    assert_eq!(now(states.recv()), None);
}
