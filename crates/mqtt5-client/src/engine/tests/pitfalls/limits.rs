//! Limits of the server and of our own, and what each connection begins with.

use super::super::consumers::take;
use super::super::executor::{Task, now};
use super::super::session_loss::subscribed;
use super::super::subscribe::subscribe;
use super::super::{
    Link, Peer, accepted, connack, id, online, options, publish, reconnecting, scripted,
};
use super::{identifiers, puback_all, start};
use crate::{Async, Bound, ConnectionErrorKind, PublishErrorKind as Kind, QoS, State};
use core::num::NonZeroU16;
use core::time::Duration;
use mqtt5_proto::packet::{Delivery, Publish};
use mqtt5_proto::{Packet, Properties, Property, ReasonCode, TopicName};

/// However much waits to be sent, CONNECT leaves first and whole on the next connection, then what was subscribed, then the rest. T61.
#[test]
fn pitfall_11_a_full_client_can_still_connect() {
    let room = Bound {
        messages: 200,
        bytes: 64 << 20,
    };
    let options = reconnecting().offline_queue(room);
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut subscription = Task::new(client.subscribe("a/#").qos(QoS::ExactlyOnce));
    assert!(subscription.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    super::super::subscribe::suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_2]);
    let _subscription = subscription.woken().expect("granted");
    // Nothing is written from here on, and everything is filled up.
    let payload = "x".repeat(300);
    let mut kept = Vec::new();
    while let Ok(delivery) = client.publish("a", &payload).try_publish() {
        kept.push(delivery);
    }
    while let Ok(delivery) = client
        .publish("a", &payload)
        .qos(QoS::AtLeastOnce)
        .try_publish()
    {
        kept.push(delivery);
    }
    assert!(kept.len() > 1_000, "{}", kept.len());
    link.cut();
    while let Ok(delivery) = client
        .publish("a", &payload)
        .qos(QoS::ExactlyOnce)
        .try_publish()
    {
        kept.push(delivery);
    }
    let mut request = Task::new(client.subscribe("b"));
    assert!(request.is_pending());
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(accepted(false));
    let types = link.sent_types();
    assert_eq!(types[..2], ["SUBSCRIBE"; 2]);
    assert!(types.len() > 1_000 && types[2..].iter().all(|name| *name == "PUBLISH"));
}

/// A message that is larger than we accept stays with the server, which was told the limit; whatever is larger than usual and within it
/// arrives, and a retained one does not come back to end each connection. T133, E5.
#[test]
fn pitfall_26_a_large_message_ends_no_connection() {
    let (client, mut link) = online(reconnecting());
    let large = vec![b'x'; 2 << 20];
    let mut retained = Task::new(
        client
            .publish("a/large", &large)
            .retain(true)
            .qos(QoS::AtLeastOnce),
    );
    assert!(retained.is_pending());
    link.run();
    assert!(retained.woken().is_ok());
    let mut subscription = subscribe(&mut link, client.subscribe("a/#").qos(QoS::AtLeastOnce));
    for kilobytes in [1, 11, 100, 1_000] {
        let payload = &large[..kilobytes * 1_024];
        let mut publish = Task::new(client.publish("a/b", payload).qos(QoS::AtLeastOnce));
        let _ = publish.poll();
        link.run();
        assert!(publish.done().is_ok());
        assert_eq!(take(&mut subscription).payload().len(), payload.len());
    }
    assert!(matches!(subscription.try_recv(), Ok(None)));
    assert!(client.is_connected() && client.statistics().disconnects == 0);
}

/// A server that sends it all the same, again and again, is told 0x95 and met after the backoff. D14.
#[test]
fn pitfall_26_and_no_storm_begins() {
    let small = core::num::NonZeroU32::new(1_000).expect("not zero");
    let options = reconnecting().maximum_packet_size(small);
    let (client, mut link) = scripted(options, Properties::EMPTY);
    link.dialed.clear();
    let began = link.now();
    for _ in 0..20 {
        link.send(publish("a", QoS::AtLeastOnce, 1, &[0; 1_000]));
        let reason = link.sent(|packet| match packet {
            Packet::Disconnect(packet) => packet.reason,
            packet => panic!("{packet:?}"),
        });
        assert_eq!(reason, ReasonCode::PACKET_TOO_LARGE);
        link.pass(Duration::from_secs(3));
        if link.attempt.is_none() {
            assert_eq!(client.state(), State::Waiting);
            link.reconnect();
        }
        link.sent_types();
        link.send(accepted(true));
    }
    let lasted = link.now().saturating_duration_since(began);
    assert!(lasted > Duration::from_secs(120), "{lasted:?}");
}

/// What the server would not take is refused here, before anything of the connection was used up. [MQTT-3.2.2-15].
#[test]
fn pitfall_27_a_publish_that_is_too_large_fails_alone() {
    let limits = [Property::MaximumPacketSize(100)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let error = now(client.publish("a", vec![0; 100]).qos(qos)).expect_err("too large");
        assert_eq!(error.kind(), Kind::TooLarge, "{qos:?}");
    }
    assert!(link.sent_types().is_empty());
    let mut fits = Task::new(start(&client, "fits", QoS::AtLeastOnce));
    let ids = identifiers(&mut link);
    assert_eq!(ids, [1], "no identifier was used");
    puback_all(&mut link, &ids);
    assert!(fits.done().is_ok() && client.is_connected());
    assert_eq!(client.statistics().unacknowledged_publishes, 0);
}

/// Both windows are kept, ours and the server's, and limits hold for the connection whose CONNACK named them only. T25, T36, T37, T128, T130.
#[test]
fn pitfall_28_windows_are_kept_and_limits_end_with_their_connection() {
    let limits = [
        Property::ReceiveMaximum(2),
        Property::MaximumQoS(1),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(100),
        Property::ServerKeepAlive(7),
        Property::TopicAliasMaximum(3),
        Property::WildcardSubscriptionAvailable(false),
        Property::SharedSubscriptionAvailable(false),
    ];
    let limited = Properties::new(&limits).expect("valid");
    let (client, mut link) = scripted(reconnecting(), limited);
    let _publishes: Vec<_> = (0..5)
        .map(|_| start(&client, "x", QoS::AtLeastOnce))
        .collect();
    assert_eq!(identifiers(&mut link).len(), 2);
    let large = || client.publish("a", vec![0; 100]);
    assert!(now(large()).is_err());
    assert!(now(client.publish("a", "x").retain(true)).is_err());
    assert!(now(client.publish("a", "x").qos(QoS::ExactlyOnce).start()).is_err());
    assert!(now(client.subscribe("a/#")).is_err());
    assert!(now(client.subscribe("$share/g/a")).is_err());
    let info = client.connection().expect("connected");
    assert_eq!((info.topic_alias_maximum(), info.receive_maximum()), (3, 2));
    link.resume(true);
    assert_eq!(identifiers(&mut link).len(), 5, "no window was named");
    assert!(now(large()).is_ok());
    assert!(now(client.publish("a", "x").retain(true)).is_ok());
    assert!(now(client.publish("a", "x").qos(QoS::ExactlyOnce).start()).is_ok());
    assert_eq!(link.sent_types(), ["PUBLISH"; 3]);
    let mut wide = Task::new(client.subscribe("a/#"));
    assert!(wide.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    link.pass(Duration::from_secs(50));
    assert!(link.sent_types().is_empty(), "60 s, not 7");
    let info = client.connection().expect("connected");
    assert_eq!(
        (info.topic_alias_maximum(), info.receive_maximum()),
        (0, 65_535)
    );
}

/// A full window that is delivered again after a resume is no excess; one more message is. D13, HB-42.
#[test]
fn pitfall_28_a_full_window_may_be_delivered_again() {
    let options = reconnecting()
        .receive_maximum(NonZeroU16::new(2).expect("not zero"))
        .inbound_margin(0);
    let (client, mut subscription, mut link) = subscribed(options);
    let again = |link: &mut Link, packet_id, dup| {
        link.send(Packet::Publish(Publish {
            delivery: Delivery::AtLeastOnce {
                id: id(packet_id),
                dup,
            },
            retain: false,
            topic: Some(TopicName::new("a").expect("valid")),
            properties: Properties::EMPTY,
            payload: &[0],
        }));
    };
    again(&mut link, 1, false);
    again(&mut link, 2, false);
    for _ in 0..3 {
        link.resume(true);
        again(&mut link, 1, true);
        again(&mut link, 2, true);
        assert!(client.is_connected());
    }
    for _ in 0..2 {
        drop(take(&mut subscription));
    }
    assert!(matches!(subscription.try_recv(), Ok(None)));
    assert_eq!(link.sent_types(), ["PUBACK"; 2]);
    for packet_id in 1..=3 {
        again(&mut link, packet_id, false);
    }
    assert_eq!(link.sent_types(), ["DISCONNECT"]);
    assert_eq!(client.state(), State::Waiting);
}

/// An alias of the server ends with its connection, and what we send names its topic on every connection. T135, HB-46.
#[test]
fn pitfall_29_aliases_end_with_their_connection() {
    let limits = [Property::TopicAliasMaximum(10)];
    let limited = Properties::new(&limits).expect("valid");
    let (client, mut link) = scripted(reconnecting(), limited);
    let _first = start(&client, "1", QoS::AtLeastOnce);
    let _second = start(&client, "2", QoS::AtLeastOnce);
    let topics = |link: &mut Link| {
        (0..2)
            .map(|_| {
                link.sent(|packet| match packet {
                    Packet::Publish(publish) => {
                        publish.topic.map(|topic| topic.as_str().to_owned())
                    }
                    packet => panic!("{packet:?}"),
                })
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(topics(&mut link), [Some("a".into()), Some("a".into())]);
    link.resume(true);
    assert_eq!(topics(&mut link), [Some("a".into()), Some("a".into())]);

    // Without a topic there must be an alias that this connection knows.
    let (client, mut link) = Link::new::<Async>(options(), Peer::Script(Vec::new()));
    let maximum = link.sent(|packet| match packet {
        Packet::Connect(connect) => connect.properties.topic_alias_maximum().unwrap_or(0),
        packet => panic!("{packet:?}"),
    });
    link.send(connack(Properties::EMPTY));
    let alias = [Property::TopicAlias(maximum.max(1))];
    link.send(Packet::Publish(Publish {
        delivery: Delivery::AtMostOnce,
        retain: false,
        topic: None,
        properties: Properties::new(&alias).expect("valid"),
        payload: b"whose?",
    }));
    assert_eq!(
        now(client.closed()).map_err(|error| error.kind()),
        Err(ConnectionErrorKind::Protocol)
    );
    assert_eq!(client.statistics().messages_received, 0);
}
