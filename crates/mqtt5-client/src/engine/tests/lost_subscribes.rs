//! SUBSCRIBEs that are lost with their connection, on a session that is kept: what they changed at the server is not known.

use super::executor::Task;
use super::subscribe::{suback, topics};
use super::{Link, publish, reconnecting, scripted};
use crate::{Client, QoS, ReasonCode, RetainHandling, Subscribe, Subscription};
use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{Packet, Properties, Property, TopicName};

/// The next SUBSCRIBE: packet identifier, Subscription Identifier, and the QoS of its only filter.
fn asked(link: &mut Link) -> (u16, u32, QoS) {
    link.sent(|packet| match packet {
        Packet::Subscribe(packet) => {
            let filter = packet.filters.iter().next().expect("a filter");
            let identifier = packet.properties.subscription_identifier();
            (
                packet.packet_id.value(),
                identifier.expect("the server knows them"),
                filter.qos,
            )
        }
        packet => panic!("{packet:?}"),
    })
}

fn quiet<'a>(client: &'a Client, filter: &str, qos: QoS) -> Subscribe<'a> {
    let handling = RetainHandling::DoNotSend;
    client.subscribe(filter).qos(qos).retain_handling(handling)
}

fn granted(link: &mut Link, subscribe: Subscribe<'_>) -> (Subscription, u32) {
    let mut task = Task::new(subscribe);
    assert!(task.is_pending());
    let (packet_id, identifier, _) = asked(link);
    suback(link, packet_id, &[ReasonCode::GRANTED_QOS_0]);
    (task.woken().expect("granted"), identifier)
}

/// A stronger Quality of Service is asked for again when it was not answered: the server may have the weaker one.
#[test]
fn a_stronger_qos_is_asked_for_again() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let (_weak, _) = granted(&mut link, quiet(&client, "a", QoS::AtMostOnce));
    let mut strong = Task::new(quiet(&client, "a", QoS::AtLeastOnce));
    assert!(strong.is_pending());
    let first = asked(&mut link);
    link.resume(true);
    let again = asked(&mut link);
    assert_eq!((again.1, again.2), (first.1, QoS::AtLeastOnce));
    suback(&mut link, again.0, &[ReasonCode::GRANTED_QOS_1]);
    let strong = strong.woken().expect("granted");
    let reasons: Vec<_> = strong.granted().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, [ReasonCode::GRANTED_QOS_1]);
}

/// Also when it was refused: the server has the weaker one, and what it was asked for says nothing, whatever the order of the answers.
#[test]
fn what_was_refused_is_asked_for_again() {
    let weak = [ReasonCode::GRANTED_QOS_0];
    let refused = [ReasonCode::NOT_AUTHORIZED];
    for others in [0, 1, 2] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let (_weak, _) = granted(&mut link, quiet(&client, "a", QoS::AtMostOnce));
        let mut strong = Task::new(quiet(&client, "a", QoS::AtLeastOnce));
        assert!(strong.is_pending());
        let (strong_id, _, qos) = asked(&mut link);
        assert_eq!(qos, QoS::AtLeastOnce);
        let mut other = Task::new(quiet(&client, "a", QoS::ExactlyOnce));
        let mut other_id = None;
        if others > 0 {
            assert!(other.is_pending());
            other_id = Some(asked(&mut link).0);
        }
        // The other one is granted less than it asked for.
        if let Some(id) = other_id.filter(|_| others == 1) {
            suback(&mut link, id, &weak);
        }
        suback(&mut link, strong_id, &refused);
        assert!(strong.woken().is_err());
        if let Some(id) = other_id.filter(|_| others == 2) {
            suback(&mut link, id, &weak);
        }
        let mut again = Task::new(quiet(&client, "a", QoS::AtLeastOnce));
        assert!(again.is_pending(), "{others}");
        let (id, _, qos) = asked(&mut link);
        assert!(qos >= QoS::AtLeastOnce);
        suback(&mut link, id, &[ReasonCode::GRANTED_QOS_1]);
        let again = again.woken().expect("granted");
        let reasons: Vec<_> = again.granted().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, [ReasonCode::GRANTED_QOS_1]);
    }
}

/// What was granted is known, although something else was refused: it is not asked for again.
#[test]
fn what_was_granted_meanwhile_is_not_asked_for_again() {
    for granted_first in [false, true] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let mut refused = Task::new(quiet(&client, "a", QoS::ExactlyOnce));
        let mut strong = Task::new(quiet(&client, "a", QoS::AtLeastOnce));
        assert!(refused.is_pending() && strong.is_pending());
        let (refused_id, strong_id) = (asked(&mut link).0, asked(&mut link).0);
        if granted_first {
            suback(&mut link, strong_id, &[ReasonCode::GRANTED_QOS_1]);
        }
        suback(&mut link, refused_id, &[ReasonCode::NOT_AUTHORIZED]);
        if !granted_first {
            suback(&mut link, strong_id, &[ReasonCode::GRANTED_QOS_1]);
        }
        assert!(refused.woken().is_err());
        let _strong = strong.woken().expect("granted");
        let again = super::executor::now(quiet(&client, "a", QoS::AtLeastOnce));
        assert!(again.is_ok() && link.sent_types().is_empty());
    }
}

/// The server goes on with the Subscription Identifier that it has, whatever was lost on its way, and its messages find their subscription.
#[test]
fn the_identifier_that_the_server_has_is_known() {
    for is_refused in [false, true] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let (first, known) = granted(&mut link, client.subscribe("w/+"));
        let (mut other, named) = granted(&mut link, client.subscribe("w/1"));
        let mut second = super::executor::now(quiet(&client, "w/+", QoS::AtMostOnce));
        let second = second.as_mut().expect("granted already");
        drop(first);
        for _ in 0..3 {
            let mut lost = Task::new(client.subscribe("w/+"));
            assert!(lost.is_pending());
            let (packet_id, identifier, _) = asked(&mut link);
            assert!(identifier != known);
            if is_refused {
                suback(&mut link, packet_id, &[ReasonCode::NOT_AUTHORIZED]);
                assert!(lost.woken().is_err());
            } else {
                drop(lost);
                link.resume(true);
            }
            link.sent_types();
            let identifiers = [known, named].map(Property::SubscriptionIdentifier);
            link.send(Packet::Publish(Publish {
                delivery: Delivery::AtMostOnce,
                retain: false,
                topic: Some(TopicName::new("w/1").expect("valid")),
                properties: Properties::new(&identifiers).expect("valid"),
                payload: b"x",
            }));
            assert_eq!(topics(second), ["w/1"]);
            assert_eq!(topics(&mut other), ["w/1"]);
        }
        link.send(publish("w/2", QoS::AtMostOnce, 0, b"x"));
        assert_eq!(topics(second), ["w/2"]);
    }
}
