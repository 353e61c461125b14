//! Where a server sends the client, and what becomes of that when the other server fails.

use super::{Link, Peer, accepted, reconnecting, scripted};
use crate::{Async, Backoff, Event, Reconnect, Redirects, State};
use core::time::Duration;
use mqtt5_proto::packet::{Connack, Disconnect};
use mqtt5_proto::{Packet, Properties, Property, ReasonCode};

const SECOND: Duration = Duration::from_secs(1);

fn following() -> Reconnect {
    Reconnect::default()
        .backoff(Backoff::constant(SECOND))
        .retry_first(true)
        .redirects(Redirects::follow())
}

/// Whether redirects were followed, since the last look.
fn told(events: &mut crate::Events) -> Vec<bool> {
    core::iter::from_fn(|| events.try_recv())
        .filter_map(|event| match event {
            Event::Redirected { followed, .. } => Some(followed),
            _ => None,
        })
        .collect()
}

/// E9, S34: the bound of hops is for redirects in a row. A balancer that names a node which is down for a while is asked again, and the
/// node is tried each time.
#[test]
fn a_redirect_to_a_server_that_fails_does_not_count_for_ever() {
    let node = [Property::ServerReference("node")];
    let redirect = || {
        Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::USE_ANOTHER_SERVER,
            properties: Properties::new(&node).expect("valid"),
        })
    };
    let options = reconnecting().reconnect(following());
    let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
    let mut events = client.events();
    for round in 0..6 {
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.dialed.clear();
        link.send(redirect());
        assert_eq!(told(&mut events), [true], "round {round}");
        link.peer = Peer::Refusing;
        while link.dialed.is_empty() {
            link.pass(SECOND / 4);
        }
        assert_eq!(link.dialed, ["mqtt://node:1883"]);
        assert!(!link.is_trusted, "the transport keeps our secrets, too");
        link.peer = Peer::Script(Vec::new());
        link.dialed.clear();
        link.reconnect();
        assert_eq!(link.dialed, ["mqtt://server:1883"]);
        assert!(link.is_trusted);
    }
    // The node is back.
    link.sent_types();
    link.send(redirect());
    link.dialed.clear();
    link.reconnect();
    assert_eq!(link.dialed, ["mqtt://node:1883"]);
    link.sent_types();
    link.send(accepted(false));
    assert!(client.is_connected());
}

/// S130: who names other servers means them, whatever the one before says when it goes.
#[test]
fn new_servers_are_not_overruled_by_a_redirect_of_the_old_one() {
    let elsewhere = [Property::ServerReference("elsewhere")];
    for reason in [ReasonCode::USE_ANOTHER_SERVER, ReasonCode::SERVER_MOVED] {
        let options = reconnecting().reconnect(following());
        let (client, mut link) = scripted(options, Properties::EMPTY);
        let mut events = client.events();
        client.set_servers(["mqtt://new"]).expect("valid");
        link.dialed.clear();
        link.send(Packet::Disconnect(Disconnect {
            reason,
            properties: Properties::new(&elsewhere).expect("valid"),
        }));
        assert_eq!(told(&mut events), [false], "told, but not followed");
        assert_ne!(client.state(), State::Stopped);
        link.reconnect();
        assert_eq!(link.dialed, ["mqtt://new:1883"]);
    }
}
