//! Messages, from one client to another.

use std::time::Duration;

use mqtt5_client::{
    Async, Client, DisconnectReason, Event, Overflow, Property, QoS, Subscription, Will,
};

use super::{QOS, SOON, Setting, eventually, join, receive, receive_until, watched};

/// Each QoS, published and received.
pub async fn every_qos_arrives(setting: Setting) {
    let (publisher, subscriber) = (setting.connect().await, setting.connect().await);
    for granted in QOS {
        let topic = format!("qos/{}", granted as u8);
        let mut inbox = subscriber
            .subscribe(topic.as_str())
            .qos(granted)
            .await
            .unwrap();
        let (filter, reason) = inbox.granted().next().unwrap();
        assert_eq!((filter, reason.value()), (topic.as_str(), granted as u8));
        for qos in QOS {
            let payload = format!("at {}", qos as u8);
            let publish = publisher.publish(topic.as_str(), &payload).qos(qos);
            let delivered = publish.await.unwrap();
            assert_eq!(delivered.is_acknowledged(), qos > QoS::AtMostOnce);
            assert!(!delivered.reason().is_error());

            let message = receive(&mut inbox).await;
            assert_eq!(message.topic(), topic);
            assert_eq!(message.payload(), payload.as_bytes());
            assert_eq!(message.qos(), qos.min(granted));
            assert!(!message.retain() && !message.delivery().dup());
        }
    }
}

/// All properties that an application may set, byte for byte, and user properties in their order.
pub async fn every_property_arrives(setting: Setting) {
    let client = setting.connect().await;
    let mut inbox = client.subscribe("p").qos(QoS::ExactlyOnce).await.unwrap();
    for qos in QOS {
        let publish = client.publish("p", "grüße").qos(qos);
        let publish = publish
            .payload_is_text(true)
            .message_expiry(Duration::from_secs(3600));
        let publish = publish
            .response_topic("answer/to")
            .correlation_data(b"\0\xff\x80id");
        let publish = publish
            .user_property("b", "1")
            .user_property("a", "")
            .user_property("b", "ü");
        publish
            .content_type("text/plain; charset=utf-8")
            .await
            .unwrap();

        let message = receive(&mut inbox).await;
        let properties = message.properties();
        assert_eq!(properties.payload_format_indicator(), Some(1));
        // A broker takes off what the message waited.
        let expiry = properties.message_expiry_interval();
        assert!(
            expiry.is_some_and(|seconds| (3590..=3600).contains(&seconds)),
            "{expiry:?}"
        );
        assert_eq!(properties.response_topic(), Some("answer/to"));
        assert_eq!(properties.correlation_data(), Some(&b"\0\xff\x80id"[..]));
        assert_eq!(properties.content_type(), Some("text/plain; charset=utf-8"));
        let users: Vec<_> = properties.user_properties().collect();
        assert_eq!(users, [("b", "1"), ("a", ""), ("b", "ü")]);
        let others = properties.iter().filter(|property| {
            !matches!(
                property,
                Property::UserProperty(..) | Property::SubscriptionIdentifier(_)
            )
        });
        assert_eq!(others.count(), 5, "{properties:?}");
        assert_eq!(message.payload_str(), Some("grüße"));
    }
}

/// Kept for those who come later, until an empty one takes its place.
pub async fn retained_messages(setting: Setting) {
    let client = setting.connect().await;
    for (topic, payload) in [("r/1", "one"), ("r/2", "two")] {
        let publish = client.publish(topic, payload).qos(QoS::AtLeastOnce);
        publish.retain(true).await.unwrap();
    }
    let mut inbox = client.subscribe("r/+").qos(QoS::AtLeastOnce).await.unwrap();
    let mut kept = Vec::new();
    for _ in 0..2 {
        let message = receive(&mut inbox).await;
        assert!(message.retain());
        kept.push(String::from_utf8(message.payload().to_vec()).unwrap());
    }
    kept.sort();
    assert_eq!(kept, ["one", "two"]);
    inbox.unsubscribe().await.unwrap();

    let publish = client.publish("r/1", "").qos(QoS::AtLeastOnce);
    publish.retain(true).await.unwrap();
    let mut inbox = client.subscribe("r/+").qos(QoS::AtLeastOnce).await.unwrap();
    client
        .publish("r/end", "end")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    assert_eq!(receive_until(&mut inbox, "end").await, ["two"]);
}

fn will() -> Will {
    let will = Will::new("will", "gone").qos(QoS::AtLeastOnce);
    will.content_type("text/plain").user_property("k", "v")
}

async fn listen_for_will(setting: &Setting) -> (Client, Subscription<Async>) {
    let listener = setting.connect().await;
    let inbox = listener.subscribe("will").qos(QoS::AtLeastOnce).await;
    (listener, inbox.unwrap())
}

/// T41: the connection breaks, and the server speaks for the client.
pub async fn a_will_is_published_when_the_client_is_lost(setting: Setting) {
    let (_listener, mut inbox) = listen_for_will(&setting).await;
    let proxy = setting.server.proxy();
    let options = mqtt5_client::Options::new(proxy.url()).will(will());
    let client = setting.connect_with(options).await;
    proxy.cut();
    let message = receive(&mut inbox).await;
    assert_eq!(message.payload(), b"gone");
    assert_eq!(message.qos(), QoS::AtLeastOnce);
    assert_eq!(message.properties().content_type(), Some("text/plain"));
    assert_eq!(
        message.properties().user_properties().collect::<Vec<_>>(),
        [("k", "v")]
    );
    client.disconnect().await.unwrap();
}

/// T42: a client that says goodbye needs nobody to speak for it.
pub async fn a_will_is_not_published_after_a_disconnect(setting: Setting) {
    let (listener, mut inbox) = listen_for_will(&setting).await;
    let client = setting.connect_with(setting.options().will(will())).await;
    client.disconnect().await.unwrap();
    // The server has closed after DISCONNECT, so a will would be before this.
    listener
        .publish("will", "end")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    assert!(receive_until(&mut inbox, "end").await.is_empty());
}

/// Unless it asks for it.
pub async fn a_will_on_request(setting: Setting) {
    let (_listener, mut inbox) = listen_for_will(&setting).await;
    let client = setting.connect_with(setting.options().will(will())).await;
    client
        .disconnect()
        .reason(DisconnectReason::WithWill)
        .await
        .unwrap();
    assert_eq!(receive(&mut inbox).await.payload(), b"gone");
}

/// From nothing to a mebibyte, borrowed and shared.
pub async fn payloads_of_every_size(setting: Setting) {
    let options = setting
        .options()
        .maximum_packet_size(LARGE.try_into().unwrap());
    let client = setting.connect_with(options).await;
    let mut inbox = client
        .subscribe("size")
        .qos(QoS::ExactlyOnce)
        .await
        .unwrap();
    for size in [0, 1, 127, 128, 1_024, 4_095, 4_096, 16_384, 65_536, 1 << 20] {
        let payload: Vec<u8> = (0..size)
            .map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        for qos in QOS {
            let publish = client.publish("size", &payload).qos(qos);
            let (published, message) = join(async { publish.await }, receive(&mut inbox)).await;
            published.unwrap();
            assert!(message.payload() == payload, "{size} bytes at {qos:?}");

            let publish = client.publish("size", payload.clone()).qos(qos);
            let (published, message) = join(async { publish.await }, receive(&mut inbox)).await;
            published.unwrap();
            assert!(message.payload() == payload, "{size} bytes at {qos:?}");
        }
    }
}

/// Many messages, as fast as they go.
pub async fn ten_thousand_at_most_once(setting: Setting) {
    many(setting, QoS::AtMostOnce).await;
}

/// Many messages, as fast as they go.
pub async fn ten_thousand_at_least_once(setting: Setting) {
    many(setting, QoS::AtLeastOnce).await;
}

/// Many messages, as fast as they go.
pub async fn ten_thousand_exactly_once(setting: Setting) {
    many(setting, QoS::ExactlyOnce).await;
}

async fn many(setting: Setting, qos: QoS) {
    let (publisher, subscriber) = (setting.connect().await, setting.connect().await);
    let subscribe = subscriber
        .subscribe("many")
        .qos(qos)
        .overflow(Overflow::Pause);
    let mut inbox = subscribe.await.unwrap();
    let publishing = async {
        let mut deliveries = Vec::new();
        for number in 0..MANY {
            let publish = publisher
                .publish("many", number.to_be_bytes().to_vec())
                .qos(qos);
            deliveries.push(publish.start().await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    };
    let receiving = async {
        for number in 0..MANY {
            let Ok(Some(message)) = inbox.recv_timeout(SOON).await else {
                panic!("no message {number}: {:?}", subscriber.statistics());
            };
            assert_eq!(message.payload(), number.to_be_bytes());
        }
    };
    let closed = async {
        if let Err(error) = subscriber.closed().await {
            panic!("{error:?}");
        }
    };
    watched(async { join(publishing, receiving).await }, closed).await;
    assert_eq!(subscriber.statistics().messages_received, u64::from(MANY));
    // The last acknowledgement was seen by the publisher's machine, which tells its owner before it forgets.
    eventually("nothing is left", move || {
        publisher.statistics().unacknowledged_publishes == 0
    })
    .await;
}

/// More is there at once than one poll of a driver may handle: it comes back for the rest by itself.
pub async fn a_flood_is_read_to_its_end(setting: Setting) {
    let (publisher, subscriber) = (setting.connect().await, setting.connect().await);
    let subscribe = subscriber.subscribe("flood").overflow(Overflow::Pause);
    let mut inbox = subscribe.await.unwrap();
    let payload = vec![0; 500_000];
    for round in 0..3 {
        for _ in 0..20 {
            publisher.publish("flood", &payload).await.unwrap();
        }
        publisher.flush().await.unwrap();
        // The thread is busy elsewhere, and the system's buffers fill.
        crate::clock::pause(Duration::from_millis(100));
        for number in 0..20 {
            let Ok(Some(message)) = inbox.recv_timeout(SOON).await else {
                panic!("{:?}", subscriber.statistics());
            };
            assert_eq!(message.payload().len(), 500_000, "{number} in {round}");
        }
    }
}

/// Events are heard by everybody who listens, in order.
pub async fn events_tell_what_happens(setting: Setting) {
    let client = setting.start(setting.options());
    let mut events = client.events();
    let connection = client.connected().await.unwrap();
    client.disconnect().await.unwrap();
    let mut heard = Vec::new();
    while let Some(event) = events.recv().await {
        heard.push(event);
    }
    // The driver may have begun before anybody listened.
    assert!(
        matches!(&heard[..], [.., Event::Connected(told), Event::Stopped] if *told == connection),
        "{heard:?}"
    );
}

const MANY: u32 = 10_000;
/// Above the largest message here.
const LARGE: u32 = 2 << 20;
