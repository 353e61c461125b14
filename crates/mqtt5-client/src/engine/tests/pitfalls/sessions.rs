//! Sessions over lost connections.

use super::super::consumers::{OK, answers, take};
use super::super::executor::{Task, now};
use super::super::session_loss::{published, subscribed};
use super::super::{Link, Peer, accepted, connack, id, publish, reconnecting, scripted};
use super::{identifiers, puback_all, start, success, use_all_identifiers};
use crate::{Async, ConnectionErrorKind, Options, QoS, ReasonCode, Resume, State};
use core::time::Duration;
use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{Packet, Properties, Property, TopicName};

/// An identifier that is in use when its turn comes again is passed over, and a lost session leaves nothing of it behind. T125, T150.
#[test]
fn pitfall_1_identifiers_never_collide() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut oldest = Task::new(start(&client, "oldest", QoS::AtLeastOnce));
    let kept = published(&mut link).0;
    use_all_identifiers(&client, &mut link);
    let mut later: Vec<_> = (0..3)
        .map(|_| Task::new(start(&client, "later", QoS::AtLeastOnce)))
        .collect();
    let ids = identifiers(&mut link);
    assert!(ids.len() == 3 && !ids.contains(&kept), "{kept}: {ids:?}");
    link.resume(false);
    let again = identifiers(&mut link);
    assert_eq!(again.len(), 4);
    puback_all(&mut link, &again);
    assert!(oldest.done().is_ok());
    assert!(later.iter_mut().all(|delivery| delivery.done().is_ok()));
    link.dialed.clear();
    link.pass(Duration::from_secs(40));
    assert!(link.dialed.is_empty(), "the connection lives");
    use_all_identifiers(&client, &mut link);
}

/// An unknown PUBREL or PUBREC is answered with 0x92, and the connection lives. D26, T50.
#[test]
fn pitfall_4_an_unknown_exchange_costs_no_connection() {
    let unknown = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    for id in [1, 77, 65_535] {
        link.send(Packet::Pubrel(success(id)));
        assert_eq!(answers(&mut link), [("PUBCOMP", id, unknown)]);
        link.send(Packet::Pubrec(success(id)));
        link.sent(|packet| match packet {
            Packet::Pubrel(ack) => {
                assert_eq!((ack.packet_id.value(), ack.reason), (id, unknown));
            }
            packet => panic!("{packet:?}"),
        });
        link.send(Packet::Pubcomp(success(id)));
        link.send(Packet::Puback(success(id)));
    }
    assert!(client.is_connected() && client.statistics().unacknowledged_publishes == 0);
    assert!(link.sent_types().is_empty());
}

/// What is sent again keeps the order of its publishes, also when the identifiers began anew in between, with DUP 1; what was received at
/// QoS 2 is known on the next connection. [MQTT-4.6.0-1], [MQTT-4.3.3-10].
#[test]
fn pitfall_5_the_order_outlives_the_connection() {
    let (client, mut subscription, mut link) = subscribed(reconnecting());
    let mut open = vec![start(&client, "first", QoS::AtLeastOnce)];
    published(&mut link);
    use_all_identifiers(&client, &mut link);
    let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce];
    let texts: Vec<_> = (0..6).map(|n| n.to_string()).collect();
    for (number, text) in texts.iter().enumerate() {
        open.push(start(&client, text, qos[number % 2]));
    }
    let ids = identifiers(&mut link);
    link.send(publish("a", QoS::ExactlyOnce, 9, b"once"));
    assert_eq!(take(&mut subscription).payload(), b"once");
    assert_eq!(answers(&mut link), [("PUBREC", 9, OK)]);
    // An acknowledgement in the middle does not disturb the order of the others.
    link.send(Packet::Puback(success(ids[2])));
    link.resume(true);
    let again: Vec<_> = (0..6).map(|_| published(&mut link)).collect();
    assert!(again.iter().all(|(_, dup, _)| *dup));
    let payloads: Vec<_> = again.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(payloads, ["first", "0", "1", "3", "4", "5"]);
    for dup in [true, false] {
        link.send(Packet::Publish(Publish {
            delivery: Delivery::ExactlyOnce { id: id(9), dup },
            retain: false,
            topic: Some(TopicName::new("a").expect("valid")),
            properties: Properties::EMPTY,
            payload: b"once",
        }));
        assert_eq!(answers(&mut link), [("PUBREC", 9, OK)]);
    }
    assert!(matches!(subscription.try_recv(), Ok(None)));
    link.send(Packet::Pubrel(success(9)));
    assert_eq!(answers(&mut link), [("PUBCOMP", 9, OK)]);
    link.send(publish("a", QoS::ExactlyOnce, 9, b"next"));
    assert_eq!(take(&mut subscription).payload(), b"next");
}

/// Session Present must fit what was asked for and what is known: a new process takes a session over only when told to, and what the
/// server grants decides about the next connection. [MQTT-3.2.2-4], D28, E16, T152.
#[test]
fn pitfall_6_session_present_must_fit() {
    for (options, fits) in [
        (reconnecting(), false),
        (reconnecting().resume(Resume::Never), false),
        (reconnecting().resume(Resume::AssumeSession), true),
    ] {
        let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(accepted(true));
        if fits {
            assert!(client.is_connected());
        } else {
            let end = now(client.closed()).expect_err("the first attempt failed");
            assert_eq!(end.kind(), ConnectionErrorKind::Protocol);
        }
    }
    let clean_start = |link: &mut Link| {
        link.sent(|packet| match packet {
            Packet::Connect(connect) => connect.clean_start,
            packet => panic!("{packet:?}"),
        })
    };
    // Asked for, granted, and whether the next connection starts clean.
    for (asked, granted, clean) in [
        (300, None, false),
        (300, Some(0), true),
        (0, Some(60), false),
        (0, None, true),
    ] {
        let granted: Vec<_> = granted
            .map(Property::SessionExpiryInterval)
            .into_iter()
            .collect();
        let options = reconnecting().session_expiry_interval(asked);
        let properties = Properties::new(&granted).expect("valid");
        let (_client, mut link) = scripted(options, properties);
        link.cut();
        link.reconnect();
        assert_eq!(clean_start(&mut link), clean, "{asked} {granted:?}");
    }
    // Another identifier would be another session: what the server assigned is kept for all connections to come.
    let assigned = [Property::AssignedClientIdentifier("auto")];
    let options = Options::new("mqtt://server");
    let (client, mut link) = scripted(options, Properties::new(&assigned).expect("valid"));
    link.cut();
    link.reconnect();
    assert!(!clean_start(&mut link));
    link.send(connack(Properties::EMPTY));
    assert_eq!(client.state(), State::Online);
}

/// After a resume DUP 1 is the message that is still held under an identifier, and DUP 0 is a new one: the server was done with the old.
/// E7, T55.
#[test]
fn pitfall_3_an_identifier_that_is_used_again_is_a_new_message() {
    for dup in [true, false] {
        let (_client, mut subscription, mut link) = subscribed(reconnecting());
        link.send(publish("a", QoS::AtLeastOnce, 5, b"old"));
        link.resume(true);
        let payload: &[u8] = if dup { b"old" } else { b"new" };
        link.send(Packet::Publish(Publish {
            delivery: Delivery::AtLeastOnce { id: id(5), dup },
            retain: false,
            topic: Some(TopicName::new("a").expect("valid")),
            properties: Properties::EMPTY,
            payload,
        }));
        let mut taken = Vec::new();
        while let Ok(Some(message)) = subscription.try_recv() {
            taken.push(message.payload().to_vec());
        }
        assert_eq!(taken.last().map(Vec::as_slice), Some(payload), "{dup}");
        assert!(!dup || taken.len() == 1, "once");
        assert_eq!(answers(&mut link), [("PUBACK", 5, OK)]);
    }
}

/// PUBCOMP 0x92 after PUBREL was sent again is the success of an exchange that the server had completed. D26, T137.
#[test]
fn pitfall_7_an_exchange_that_the_server_has_completed_is_a_success() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut deliveries: Vec<_> = (0..3)
        .map(|_| Task::new(start(&client, "x", QoS::ExactlyOnce)))
        .collect();
    let ids = identifiers(&mut link);
    for id in ids.iter().rev() {
        link.send(Packet::Pubrec(success(*id)));
    }
    assert_eq!(link.sent_types(), ["PUBREL"; 3]);
    link.resume(true);
    for id in ids.iter().rev() {
        let released = link.sent(|packet| match packet {
            Packet::Pubrel(ack) => ack.packet_id.value(),
            packet => panic!("{packet:?}"),
        });
        assert_eq!(released, *id, "in the order of the PUBRECs [MQTT-4.6.0-4]");
    }
    for (id, delivery) in ids.iter().zip(&mut deliveries) {
        let unknown = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
        link.send(Packet::Pubcomp(super::super::acknowledgement(*id, unknown)));
        assert!(delivery.done().expect("delivered").is_acknowledged());
    }
    let statistics = client.statistics();
    assert_eq!(
        (
            statistics.publishes_delivered,
            statistics.publishes_rejected,
            statistics.unacknowledged_publishes
        ),
        (3, 0, 0)
    );
}

/// What we send and what we receive under one identifier are two exchanges, over a lost connection too.
#[test]
fn pitfall_8_one_identifier_in_both_directions() {
    for cut_before in 0..5 {
        let (client, mut subscription, mut link) = subscribed(reconnecting());
        let mut delivery = Task::new(start(&client, "out", QoS::ExactlyOnce));
        let id = published(&mut link).0;
        link.send(publish("a", QoS::ExactlyOnce, id, b"in"));
        for step in 0..4 {
            if step == cut_before {
                link.resume(true);
                link.sent_types();
            }
            match step {
                0 => {
                    if cut_before == 0 {
                        link.send(publish("a", QoS::ExactlyOnce, id, b"in"));
                    }
                    assert_eq!(take(&mut subscription).payload(), b"in");
                    assert_eq!(answers(&mut link), [("PUBREC", id, OK)]);
                }
                1 => {
                    link.send(Packet::Pubrec(success(id)));
                    assert_eq!(link.sent_types(), ["PUBREL"]);
                }
                2 => {
                    link.send(Packet::Pubrel(success(id)));
                    assert_eq!(answers(&mut link), [("PUBCOMP", id, OK)]);
                }
                _ => link.send(Packet::Pubcomp(success(id))),
            }
        }
        assert!(delivery.done().is_ok());
        assert!(matches!(subscription.try_recv(), Ok(None)));
        assert_eq!(client.statistics().unacknowledged_publishes, 0);
    }
}
