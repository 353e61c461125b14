//! Which server an attempt goes to.

use super::reconnect::{doubling, refusal};
use super::{Link, Peer, disconnect, reconnecting, scripted};
use crate::{Async, Options, ReasonCode, Reconnect, State};
use core::time::Duration;
use mqtt5_proto::Properties;

const SECOND: Duration = Duration::from_secs(1);

/// S129, E6, T80: servers rotate, and only when every one of them says stop the client does.
#[test]
fn servers_rotate_and_stop_means_all_of_them() {
    let options = Options::new("mqtt://a")
        .server("mqtt://b")
        .reconnect(doubling().retry_first(true));
    let (client, mut link) = Link::new::<Async>(options, Peer::Refusing);
    link.pass(Duration::from_millis(1500));
    let dialed = core::mem::take(&mut link.dialed);
    assert_eq!(
        dialed,
        [
            "mqtt://a:1883",
            "mqtt://b:1883",
            "mqtt://a:1883",
            "mqtt://b:1883"
        ],
        "at once to the next, then the backoff"
    );
    link.peer = Peer::Script(Vec::new());
    for _ in 0..2 {
        link.reconnect();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(refusal(ReasonCode::NOT_AUTHORIZED));
    }
    assert_eq!(client.state(), State::Stopped);
    assert_eq!(link.dialed, ["mqtt://a:1883", "mqtt://b:1883"]);
}

/// T80: the first connection may be to any of them, even for a client that has only one.
#[test]
fn every_server_is_asked_for_the_first_connection() {
    for policy in [Reconnect::default(), Reconnect::never()] {
        let options = Options::new("mqtt://a").server("mqtt://b");
        let (client, mut link) = Link::new::<Async>(options.reconnect(policy), Peer::Refusing);
        link.pass(SECOND);
        assert_eq!(client.state(), State::Stopped);
        assert_eq!(link.dialed, ["mqtt://a:1883", "mqtt://b:1883"]);
    }
}

/// S130, T91: other servers can be named while the client runs.
#[test]
fn servers_are_replaced_at_the_next_attempt() {
    let (client, mut link) = scripted(reconnecting().reconnect(doubling()), Properties::EMPTY);
    link.dialed.clear();
    assert!(client.set_servers(["nonsense"]).is_err());
    assert!(client.set_servers::<&str>([]).is_err());
    client.set_servers(["mqtt://other:9"]).expect("valid");
    assert!(client.is_connected());
    link.cut();
    link.reconnect();
    assert_eq!(link.dialed, ["mqtt://other:9"]);
}

/// HB-31, E10: the session is taken over, not the server: there is no use in asking another one.
#[test]
fn a_taken_over_session_is_not_taken_back_elsewhere() {
    let options = reconnecting().server("mqtt://other").reconnect(doubling());
    let (client, mut link) = scripted(options, Properties::EMPTY);
    link.send(disconnect(ReasonCode::SESSION_TAKEN_OVER));
    assert_eq!(client.state(), State::Stopped);
}
