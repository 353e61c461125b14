//! Between the failure of a connection and the end of its transport.

use super::executor::{Task, now};
use super::{Link, Peer, options, scripted};
use crate::driver::Action;
use crate::{
    Async, ConnectionErrorKind, PublishErrorKind, QoS, ReasonCode, State, SubscribeErrorKind,
};
use mqtt5_proto::packet::{Connack, Disconnect};
use mqtt5_proto::{Packet, Properties, ProtocolVersion};

/// Lets the client read a packet, and nothing else.
fn receive(link: &mut Link, packet: Packet<'_>) {
    let mut bytes = Vec::new();
    packet
        .encode_to_vec(ProtocolVersion::V5, &mut bytes)
        .expect("valid");
    link.incoming.space()[..bytes.len()].copy_from_slice(&bytes);
    link.incoming.filled(bytes.len());
    link.reading = link.driver.turn_read(&mut link.incoming, &link.waker);
}

#[test]
fn the_client_is_closed_at_once_and_nothing_new_hangs() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let payload = vec![0; 70_000];
    now(client.publish("t", payload)).expect("accepted");
    let mut no_room = Task::new(client.publish("t", "x"));
    let mut flush = Task::new(client.flush());
    let mut closed = Task::new(client.closed());
    assert!(no_room.is_pending() && flush.is_pending() && closed.is_pending());
    receive(
        &mut link,
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::SERVER_SHUTTING_DOWN,
            properties: Properties::EMPTY,
        }),
    );
    assert_eq!(
        (client.state(), client.is_connected()),
        (State::Closing, false)
    );
    let closed_kind = Err(PublishErrorKind::Closed);
    assert_eq!(
        no_room.woken().map_err(|error| error.kind()),
        closed_kind.clone()
    );
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let refused = now(client.publish("t", "x").qos(qos));
        assert_eq!(refused.map_err(|error| error.kind()), closed_kind);
    }
    assert_eq!(
        now(client.subscribe("t"))
            .map(drop)
            .map_err(|error| error.kind()),
        Err(SubscribeErrorKind::Closed)
    );
    assert!(flush.is_pending() && closed.is_pending());
    let mut connected = Task::new(client.connected());
    assert!(connected.is_pending(), "the reason is told at the end");
    link.run();
    let by_server = Err(ConnectionErrorKind::ByServer);
    assert_eq!(
        closed.woken().map_err(|error| error.kind()),
        by_server.clone()
    );
    assert_eq!(
        flush.woken().map_err(|error| error.kind()),
        by_server.clone()
    );
    assert_eq!(
        connected.woken().map(drop).map_err(|error| error.kind()),
        by_server
    );
}

#[test]
fn a_refused_connection_still_tells_the_reason() {
    let (client, mut link) = Link::new::<Async>(options(), Peer::Script(Vec::new()));
    let mut connected = Task::new(client.connected());
    assert!(connected.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    receive(
        &mut link,
        Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::NOT_AUTHORIZED,
            properties: Properties::EMPTY,
        }),
    );
    assert_eq!(client.state(), State::Closing);
    assert!(connected.is_pending());
    link.run();
    assert_eq!(
        connected.woken().map(drop).map_err(|error| error.kind()),
        Err(ConnectionErrorKind::Refused)
    );
}

#[test]
fn a_transport_that_takes_nothing_more_is_closed_all_the_same() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    now(client.publish("t", "x")).expect("accepted");
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    assert!(turn.action.is_none() && !link.outgoing.is_empty());
    receive(&mut link, Packet::Pingreq);
    let mut deadline = link.now();
    let action = core::iter::from_fn(|| {
        link.clock
            .0
            .store(deadline.as_micros(), core::sync::atomic::Ordering::Relaxed);
        let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
        deadline = turn.deadline?;
        Some(turn.action)
    })
    .flatten()
    .next();
    assert!(matches!(action, Some(Action::Hangup(_))), "{action:?}");
    assert!(link.now().as_micros() <= 2_000_000);
}
