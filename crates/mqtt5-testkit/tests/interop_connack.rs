//! CONNACK of a real broker (3.1.3.1, 3.1.4).

mod interop;

use interop::{Peer, lasting};
use mqtt5_proto::packet::Connect;
use mqtt5_proto::{QoS, ReasonCode};
use mqtt5_testkit::Mosquitto;

#[test]
fn empty_client_identifier_is_accepted() {
    let broker = Mosquitto::start();
    let mut peers = [Peer::new(broker.addr()), Peer::new(broker.addr())];
    let assigned = peers.each_mut().map(|peer| {
        let accepted = peer.connect(&lasting(""));
        assert_eq!(accepted.reason, ReasonCode::SUCCESS);
        assert!(!accepted.session_present);
        let assigned = accepted.properties.as_properties();
        let assigned = assigned.assigned_client_identifier();
        assigned.expect("an Assigned Client Identifier").to_owned()
    });
    assert!(!assigned[0].is_empty());
    assert_ne!(assigned[0], assigned[1]);

    // It is the name of the session, also to a client that brings it along.
    let [first, second] = &mut peers;
    first.subscribe(&[interop::filter("t", QoS::AtLeastOnce)]);
    first.cut();
    second.say("t", QoS::AtLeastOnce, "for the first");
    let accepted = first.connect(&lasting(&assigned[0]));
    assert!(accepted.session_present);
    let properties = accepted.properties.as_properties();
    assert_eq!(properties.assigned_client_identifier(), None);
    assert_eq!(first.receive().text(), "for the first");
}

#[test]
fn success_arrives() {
    let broker = Mosquitto::start();
    for connect in [
        Connect::new("plain"),
        lasting("lasting"),
        Connect {
            will: Some(interop::will("will/x", "x")),
            username: Some("anybody"),
            password: Some(b"anything"),
            ..Connect::new("full")
        },
    ] {
        let mut peer = Peer::new(broker.addr());
        let accepted = peer.connect(&connect);
        assert_eq!(accepted.reason, ReasonCode::SUCCESS);
        peer.say("t", QoS::AtLeastOnce, "served");
    }
}
