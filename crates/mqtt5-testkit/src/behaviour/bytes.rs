//! What is on the wire, byte for byte, through sockets.

use std::time::Duration;

use mqtt5_client::{ConnectionErrorKind as Kind, Options, Property, QoS, ReasonCode, Reconnect};

use super::{Setting, off_thread, receive};
use crate::{Script, ScriptedPeer};

/// Each property of PUBLISH in the order of the calls, and what PUBACK says.
pub async fn a_publish_with_every_property_out(setting: Setting) {
    let script = Script::new()
        .skip_packet()
        .send(CONNACK)
        .expect(
            *b"\x32\x34\0\x03a/b\0\x01\x2a\
            \x01\x01\
            \x02\0\0\x0e\x10\
            \x08\0\x06answer\
            \x09\0\x03\0\xff\x80\
            \x26\0\x01k\0\x01v\
            \x26\0\x01k\0\0\
            \x03\0\x04text\
            hi",
        )
        .send(*b"\x40\x10\0\x01\x10\x0c\x1f\0\x02ok\x26\0\x01k\0\x01v")
        .expect(DISCONNECT)
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let client = setting
        .connect_with(Options::new(peer.url()).client_id("c"))
        .await;

    let publish = client
        .publish("a/b", "hi")
        .qos(QoS::AtLeastOnce)
        .payload_is_text(true);
    let publish = publish
        .message_expiry(Duration::from_secs(3600))
        .response_topic("answer");
    let publish = publish.correlation_data(b"\0\xff\x80");
    let publish = publish.user_property("k", "v").user_property("k", "");
    let delivered = publish.content_type("text").await.unwrap();
    assert_eq!(delivered.reason(), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    assert_eq!(delivered.reason_string(), Some("ok"));
    assert_eq!(
        delivered.user_properties().collect::<Vec<_>>(),
        [("k", "v")]
    );

    client.disconnect().await.unwrap();
    off_thread(|| peer.join()).await.unwrap();
}

/// Each property of PUBLISH in the order of the bytes, and the PUBACK that answers it.
pub async fn a_publish_with_every_property_in(setting: Setting) {
    let script = Script::new()
        .skip_packet()
        .send(CONNACK)
        .skip_packet()
        .send(*b"\x90\x04\0\x01\0\x01")
        .send(
            *b"\x33\x39\0\x03a/b\x12\x34\x2f\
            \x26\0\x01k\0\x01v\
            \x0b\x01\
            \x03\0\x04text\
            \x02\0\0\x0e\x10\
            \x0b\xff\x7f\
            \x09\0\x03\0\xff\x80\
            \x08\0\x06answer\
            \x01\x01\
            \x26\0\x01k\0\0\
            hi",
        )
        .expect(*b"\x40\x02\x12\x34")
        .expect(DISCONNECT)
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let client = setting
        .connect_with(Options::new(peer.url()).client_id("c"))
        .await;

    let mut inbox = client.subscribe("a/#").qos(QoS::AtLeastOnce).await.unwrap();
    let message = receive(&mut inbox).await;
    assert_eq!(message.topic(), "a/b");
    assert_eq!(message.qos(), QoS::AtLeastOnce);
    assert!(message.retain() && !message.delivery().dup());
    assert_eq!(message.payload(), b"hi");
    let expected = [
        Property::UserProperty("k", "v"),
        Property::SubscriptionIdentifier(1),
        Property::ContentType("text"),
        Property::MessageExpiryInterval(3600),
        Property::SubscriptionIdentifier(16_383),
        Property::CorrelationData(b"\0\xff\x80"),
        Property::ResponseTopic("answer"),
        Property::PayloadFormatIndicator(1),
        Property::UserProperty("k", ""),
    ];
    assert_eq!(message.properties().iter().collect::<Vec<_>>(), expected);

    client.disconnect().await.unwrap();
    off_thread(|| peer.join()).await.unwrap();
}

/// [MQTT-3.14.4-2], [MQTT-4.13.1-1], [MQTT-3.2.2-7]: whoever ends it and why, the other side reads what the client still has to
/// say, and then the end of the stream.
pub async fn every_end_closes_the_socket(setting: Setting) {
    // What arrives after CONNECT, the last packet of the client, and how that is called.
    let ends: [(&[u8], &[u8], _); 6] = [
        (&CONNACK, &DISCONNECT, None),
        (&TWO_CONNACKS, b"\xe0\x01\x82", Some(Kind::Protocol)),
        (b"\x20\x03\x02\0\0", b"\xe0\x01\x81", Some(Kind::Protocol)),
        (b"\x20\x03\0\x87\0", b"", Some(Kind::Refused)),
        (b"\xe0\x01\x8b", b"", Some(Kind::Protocol)),
        (b"\x20\x03\0\0\0\xe0\x01\x8b", b"", Some(Kind::ByServer)),
    ];
    for (answer, last, kind) in ends {
        let script = Script::new().skip_packet().send(answer).until_closed();
        let peer = ScriptedPeer::start(script);
        let options = Options::new(peer.url()).client_id("c");
        let client = setting.start(options.reconnect(Reconnect::never()));
        if kind.is_none() {
            client.connected().await.unwrap();
            client.disconnect().await.unwrap();
        }
        let ended = client.closed().await.map_err(|error| error.kind());
        assert_eq!(ended.err(), kind);
        let received = off_thread(|| peer.join()).await.unwrap();
        let connect = 2 + usize::from(received[1]);
        assert_eq!(&received[connect..], last, "{kind:?}");
    }
}

const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];
const TWO_CONNACKS: [u8; 10] = *b"\x20\x03\0\0\0\x20\x03\0\0\0";
const DISCONNECT: [u8; 2] = [0xe0, 0];
