//! Limits of the server and of our own, and what each connection begins with.

use super::super::consumers::take;
use super::super::executor::{Task, now};
use super::super::session_loss::subscribed;
use super::super::subscribe::subscribe;
use super::super::{Link, accepted, id, online, options, publish, reconnecting, scripted};
use super::{identifiers, puback_all, start};
use crate::{
    Bound, ConnectionErrorKind, Event, PublishErrorKind as Kind, QoS, State, TopicAliases,
};
use core::num::NonZeroU16;
use core::time::Duration;
use mqtt5_proto::packet::{Connack, Delivery, Publish};
use mqtt5_proto::{Packet, Properties, Property, ReasonCode, TopicName};

/// However much waits to be sent, CONNECT leaves first and whole on the next connection, then what was subscribed, then the rest.
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

/// A server that sends it all the same, again and again, is told 0x95 and met after the backoff. D14, T133.
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

/// What the next PUBLISH says about its topic: whether it names it, and its alias.
fn topic_and_alias(link: &mut Link) -> (bool, Option<u16>) {
    link.sent(|packet| match packet {
        Packet::Publish(publish) => (publish.topic.is_some(), publish.properties.topic_alias()),
        packet => panic!("{packet:?}"),
    })
}

/// What we send names its topic first on every connection, also what is sent again or waited, although the next server takes as many
/// aliases. T37, T135, D20.
#[test]
fn pitfall_29_our_aliases_end_with_their_connection() {
    let limits = [Property::TopicAliasMaximum(1)];
    let limited = Properties::new(&limits).expect("valid");
    let options = reconnecting().topic_aliases(TopicAliases::Auto(10));
    let (client, mut link) = scripted(options, limited);
    let begin = |topic: &str| {
        let publish = client.publish(topic, "x").qos(QoS::AtLeastOnce);
        now(publish.start()).expect("accepted")
    };
    let _sent = (begin("first/topic"), begin("first/topic"));
    assert_eq!(topic_and_alias(&mut link), (true, Some(1)));
    assert_eq!(topic_and_alias(&mut link), (false, Some(1)));
    link.cut();
    let _waiting = begin("first/topic");
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(Packet::Connack(Connack {
        session_present: true,
        reason: ReasonCode::SUCCESS,
        properties: limited,
    }));
    assert_eq!(topic_and_alias(&mut link), (true, Some(1)), "sent again");
    assert_eq!(topic_and_alias(&mut link), (false, Some(1)), "sent again");
    assert_eq!(topic_and_alias(&mut link), (false, Some(1)), "waited");
    let _other = begin("another/topic");
    assert_eq!(
        topic_and_alias(&mut link),
        (true, Some(1)),
        "never above the maximum"
    );
}

/// An alias of the server stands for its topic as long as the connection lives, and for nothing on the next. T135, HB-46.
#[test]
fn pitfall_29_aliases_of_the_server_end_with_their_connection() {
    let (client, mut subscription, mut link) = subscribed(reconnecting());
    let aliased = |link: &mut Link, topic: Option<&str>| {
        let alias = [Property::TopicAlias(1)];
        link.send(Packet::Publish(Publish {
            delivery: Delivery::AtMostOnce,
            retain: false,
            topic: topic.map(|topic| TopicName::new(topic).expect("valid")),
            properties: Properties::new(&alias).expect("valid"),
            payload: b"x",
        }));
    };
    aliased(&mut link, Some("a/long/topic"));
    aliased(&mut link, None);
    for _ in 0..2 {
        assert_eq!(take(&mut subscription).topic(), "a/long/topic");
    }
    link.resume(true);
    let mut events = client.events();
    aliased(&mut link, None);
    let told = core::iter::from_fn(|| events.try_recv()).find_map(|event| match event {
        Event::Disconnected(error) => Some(error.kind()),
        _ => None,
    });
    assert_eq!(told, Some(ConnectionErrorKind::Protocol));
    assert!(matches!(subscription.try_recv(), Ok(None)));
    assert_eq!(client.statistics().messages_received, 2);
}
