//! The application's hand in each attempt.

use super::executor::Task;
use super::waking::without_deadlock;
use super::{Link, Peer, accepted, reconnecting};
use crate::{
    Async, Client, ConnectionErrorKind, Endpoint, Options, Preparation, Reconnect, State, Will,
};
use bytes::Bytes;
use core::time::Duration;
use mqtt5_proto::Packet;

fn prepared(options: Options) -> (Client, Link) {
    let options = options
        .prepare_attempts(true)
        .reconnect(Reconnect::default().retry_first(true));
    let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
    link.run();
    assert_eq!(client.state(), State::Preparing);
    (client, link)
}

fn next(client: &Client) -> Preparation {
    Task::new(client.attempts().recv())
        .done()
        .expect("an attempt")
}

/// S19, N20, S140: each attempt has credentials of its own, and the engine goes on while they are fetched.
#[test]
fn credentials_are_fetched_for_each_attempt() {
    let (client, mut link) = prepared(Options::new("mqtt://me:old@server").client_id("me"));
    let mut attempts = client.attempts();
    for (number, token) in [(1, "first"), (2, "second")] {
        let mut task = Task::new(attempts.recv());
        let mut attempt = match task.poll() {
            core::task::Poll::Ready(attempt) => attempt.expect("an attempt"),
            core::task::Poll::Pending => {
                link.cut();
                link.pass(Duration::from_secs(1));
                task.woken().expect("an attempt")
            }
        };
        link.pass(Duration::from_secs(5));
        assert_eq!(client.state(), State::Preparing);
        assert_eq!(attempt.attempt().number(), number);
        attempt.set_password(token);
        attempt.set_will(Some(Will::new("gone", "x")));
        attempt.user_properties().push(("try".into(), token.into()));
        let debug = format!("{attempt:?}");
        assert!(!debug.contains("old") && !debug.contains(token), "{debug}");
        attempt.accept().expect("valid");
        link.sent(|packet| match packet {
            Packet::Connect(connect) => {
                assert_eq!(connect.username, Some("me"));
                assert_eq!(connect.password, Some(token.as_bytes()));
                assert_eq!(connect.will.map(|will| will.topic.as_str()), Some("gone"));
                let properties: Vec<_> = connect.properties.user_properties().collect();
                assert_eq!(properties, [("try", token)]);
            }
            packet => panic!("{packet:?}"),
        });
        link.send(accepted(number > 1));
        assert!(client.is_connected());
    }
}

/// S100, T86: an attempt can be declined, or the client stopped.
#[test]
fn an_attempt_can_be_declined_and_the_client_stopped() {
    let (client, mut link) = prepared(reconnecting());
    next(&client).decline();
    assert_eq!(client.state(), State::Waiting);
    link.pass(Duration::from_secs(1));
    drop(next(&client));
    assert_eq!(client.state(), State::Waiting, "dropped is declined");
    link.pass(Duration::from_secs(2));
    let mut closed = Task::new(client.closed());
    assert!(closed.is_pending());
    next(&client).stop();
    let end = closed.woken().expect_err("by the application");
    assert_eq!(end.kind(), ConnectionErrorKind::Declined);
    link.run();
    assert!(link.finished && link.dialed.is_empty());
    assert!(Task::new(client.attempts().recv()).done().is_none());
}

/// The time of the application is part of the attempt's.
#[test]
fn an_application_that_does_not_answer_costs_the_attempt() {
    let (client, mut link) = prepared(reconnecting());
    let late = next(&client);
    link.pass(Duration::from_secs(11));
    assert_eq!(client.statistics().connect_failures, 1);
    let present = next(&client);
    late.accept().expect("ignored");
    assert_eq!(client.state(), State::Preparing, "it was another attempt");
    let mut present = present;
    present.set_endpoint("mqtt://signed:99".parse::<Endpoint>().expect("valid"));
    present.accept().expect("valid");
    link.run();
    assert_eq!(link.dialed, ["mqtt://signed:99"]);
}

/// What CONNECT cannot carry is told, and costs the attempt only.
#[test]
fn what_cannot_be_sent_is_told() {
    let (client, _link) = prepared(reconnecting());
    let mut attempt = next(&client);
    attempt.set_username(Some("a\0b".into()));
    assert!(attempt.accept().is_err());
    assert_eq!(client.state(), State::Waiting);
}

/// Disconnect ends an attempt that waits for the application.
#[test]
fn disconnect_does_not_wait_for_the_application() {
    let (client, mut link) = prepared(reconnecting());
    let attempt = next(&client);
    assert!(Task::new(client.disconnect()).poll().is_ready());
    attempt.accept().expect("ignored");
    link.run();
    assert!(link.finished && link.dialed.is_empty());
}

/// Whose bytes a password was made of: they lock the client when they go away.
struct Owned(Client);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        b"secret"
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.is_connected();
    }
}

/// No code of the user's runs under the lock, whatever a password was made of.
#[test]
fn a_password_of_shared_bytes_may_lock_the_client_when_it_is_dropped() {
    without_deadlock(|| {
        let (client, mut link) = prepared(reconnecting());
        for _ in 0..2 {
            let mut attempt = next(&client);
            attempt.set_password(Bytes::from_owner(Owned(client.clone())));
            attempt.accept().expect("valid");
            assert_eq!(link.sent_types(), ["CONNECT"]);
            link.cut();
            link.pass(Duration::from_secs(1));
        }
    });
}
