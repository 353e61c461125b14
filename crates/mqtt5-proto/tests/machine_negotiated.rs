//! The limits of CONNACK, their defaults, and that they live and die with a connection (3.2.2.3, T7).

mod machine;

use mqtt5_proto::{Negotiated, Property, QoS, State};

use machine::{Bed, Face, LIMITS, every_storage};

every_storage!(
    defaults_of_the_specification,
    every_value_of_connack_is_kept,
    our_own_values_hold_where_the_server_is_silent,
    the_next_connection_starts_from_the_defaults,
);

const SERVER: [Property<'static>; 10] = [
    Property::SessionExpiryInterval(7),
    Property::ReceiveMaximum(3),
    Property::MaximumQoS(1),
    Property::RetainAvailable(false),
    Property::MaximumPacketSize(1_000),
    Property::TopicAliasMaximum(5),
    Property::WildcardSubscriptionAvailable(false),
    Property::SubscriptionIdentifierAvailable(false),
    Property::SharedSubscriptionAvailable(false),
    Property::ServerKeepAlive(9),
];

fn check_defaults(negotiated: &Negotiated) {
    assert!(!negotiated.session_present);
    assert_eq!(negotiated.session_expiry_interval, 0);
    assert_eq!(negotiated.keep_alive, 60);
    assert_eq!(negotiated.receive_maximum, 65_535);
    assert_eq!(negotiated.maximum_qos, QoS::ExactlyOnce);
    assert!(negotiated.retain_available);
    assert!(negotiated.maximum_packet_size >= 268_435_460);
    assert_eq!(negotiated.topic_alias_maximum, 0);
    assert!(negotiated.wildcard_subscription_available);
    assert!(negotiated.subscription_identifier_available);
    assert!(negotiated.shared_subscription_available);
}

fn check_server(negotiated: &Negotiated) {
    assert_eq!(negotiated.session_expiry_interval, 7);
    assert_eq!(negotiated.receive_maximum, 3);
    assert_eq!(negotiated.maximum_qos, QoS::AtLeastOnce);
    assert!(!negotiated.retain_available);
    assert_eq!(negotiated.maximum_packet_size, 1_000);
    assert_eq!(negotiated.topic_alias_maximum, 5);
    assert!(!negotiated.wildcard_subscription_available);
    assert!(!negotiated.subscription_identifier_available);
    assert!(!negotiated.shared_subscription_available);
    assert_eq!(negotiated.keep_alive, 9);
}

/// What we announce of ourselves says nothing about the server. T128.
fn defaults_of_the_specification<F: Face>() {
    let mut bed = Bed::<F>::new();
    let list = [LIMITS[0], LIMITS[1], Property::TopicAliasMaximum(8)];
    bed.open_with(&list, 60);
    bed.accept(&[]);
    check_defaults(&bed.client.negotiated().unwrap());
}

/// T128: whatever it says.
fn every_value_of_connack_is_kept<F: Face>() {
    let bed = Bed::<F>::accepted(&SERVER);
    check_server(&bed.client.negotiated().unwrap());
}

/// E16: a Session Expiry in CONNACK replaces ours; without one ours holds, as does our Keep Alive.
fn our_own_values_hold_where_the_server_is_silent<F: Face>() {
    let list = [LIMITS[0], LIMITS[1], Property::SessionExpiryInterval(300)];
    let mut bed = Bed::<F>::new();
    bed.open_with(&list, 33);
    bed.accept(&[]);
    let negotiated = bed.client.negotiated().unwrap();
    assert_eq!(negotiated.session_expiry_interval, 300);
    assert_eq!(negotiated.keep_alive, 33);
}

/// Nothing of an earlier CONNACK is left, and nothing is negotiated between two connections.
fn the_next_connection_starts_from_the_defaults<F: Face>() {
    let mut bed = Bed::<F>::accepted(&SERVER);
    bed.close();
    bed.open();
    assert_eq!(bed.client.state(), State::Connecting);
    assert!(bed.client.negotiated().is_none());
    bed.accept(&[]);
    check_defaults(&bed.client.negotiated().unwrap());
    bed.close();
    bed.open();
    bed.accept(&SERVER);
    check_server(&bed.client.negotiated().unwrap());
}
