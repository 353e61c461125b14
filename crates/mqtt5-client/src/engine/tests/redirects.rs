//! Where a server sends the client, and what becomes of that when the other server fails.

use super::reconnect::doubling;
use super::{Link, Peer, accepted, reconnecting, scripted};
use crate::{Async, Backoff, Event, Options, Reconnect, Redirects, State};
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

/// HB-29, S34, E9, D15: redirects are told always, followed on request, and bounded. T128.
#[test]
fn hb_29_redirects_are_followed_only_on_request() {
    let reference = [Property::ServerReference("127.0.0.1")];
    let redirect = |link: &mut Link, reason| {
        link.send(Packet::Disconnect(Disconnect {
            reason,
            properties: Properties::new(&reference).expect("valid"),
        }));
    };
    let told = |client: &mut crate::Events| {
        core::iter::from_fn(|| client.try_recv()).find_map(|event| match event {
            Event::Redirected { followed, .. } => Some(followed),
            _ => None,
        })
    };
    let (client, mut link) = scripted(reconnecting().reconnect(doubling()), Properties::EMPTY);
    let mut events = client.events();
    link.dialed.clear();
    redirect(&mut link, ReasonCode::USE_ANOTHER_SERVER);
    assert_eq!(told(&mut events), Some(false));
    link.reconnect();
    assert_eq!(link.dialed, ["mqtt://server:1883"]);

    let options = Options::new("mqtt://me:secret@server").client_id("me");
    let options = options.reconnect(doubling().redirects(Redirects::follow()));
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut events = client.events();
    link.dialed.clear();
    redirect(&mut link, ReasonCode::USE_ANOTHER_SERVER);
    assert_eq!(told(&mut events), Some(true));
    link.reconnect();
    let has_credentials = link.sent(|packet| match packet {
        Packet::Connect(connect) => connect.username.is_some() || connect.password.is_some(),
        packet => panic!("{packet:?}"),
    });
    assert!(!has_credentials, "another host is not told who we are");
    for _ in 0..2 {
        link.send(accepted(false));
        redirect(&mut link, ReasonCode::SERVER_MOVED);
        assert_eq!(told(&mut events), Some(true));
        link.reconnect();
        link.sent_types();
    }
    link.send(accepted(false));
    redirect(&mut link, ReasonCode::SERVER_MOVED);
    assert_eq!(
        told(&mut events),
        Some(false),
        "no more than three in a row"
    );
    assert_eq!(client.state(), State::Stopped);
}

/// S34: the very first answer may be a redirect, as that of a load balancer.
#[test]
fn a_redirect_of_the_first_attempt_is_followed() {
    let reference = [Property::ServerReference("other:7")];
    let redirect = || {
        Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::USE_ANOTHER_SERVER,
            properties: Properties::new(&reference).expect("valid"),
        })
    };
    let policy = doubling().redirects(Redirects::follow().hops(1));
    for limited in [false, true] {
        let policy = match limited {
            false => policy.clone(),
            true => policy.clone().maximum_attempts(1),
        };
        let options = reconnecting()
            .reconnect(policy)
            .user_property("token", "secret");
        let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
        let mut events = client.events();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.dialed.clear();
        link.send(redirect());
        let told = core::iter::from_fn(|| events.try_recv()).find_map(|event| match event {
            Event::Redirected { followed, .. } => Some(followed),
            _ => None,
        });
        assert_eq!(told, Some(!limited), "there is no other attempt");
        if limited {
            assert_eq!(client.state(), State::Stopped);
            continue;
        }
        link.reconnect();
        assert_eq!(link.dialed, ["mqtt://other:7"]);
        link.sent(|packet| match packet {
            Packet::Connect(connect) => {
                assert_eq!(connect.properties.user_properties().count(), 0);
            }
            packet => panic!("{packet:?}"),
        });
        link.send(redirect());
        assert_eq!(client.state(), State::Stopped, "one hop was allowed");
    }
}
