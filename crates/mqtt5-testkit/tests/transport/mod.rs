//! What every transport must carry: many small messages, a large one to the server, and one back that is not small.

use std::time::Duration;

use mqtt5_blocking::{QoS, Setup, connect};
use mqtt5_testkit::Mosquitto;

/// To the broker: more than a frame of ours and a buffer of a socket hold.
pub(crate) const LARGE: usize = 900_000;
/// From the broker, which sends it over WebSocket in frames of 4 KiB, about ten in a second.
pub(crate) const MEDIUM: usize = 20_000;
pub(crate) const SMALL: u32 = 50;

/// The same for every adapter whose operations are futures.
macro_rules! exchange {
    ($adapter:ident, $setup:expr) => {{
        use $adapter::{QoS, connect};
        use $crate::transport::{LARGE, MEDIUM, SMALL};
        let client = connect($setup).await.unwrap();
        let mut messages = client.subscribe("a/#").qos(QoS::ExactlyOnce).await.unwrap();
        for number in 0..SMALL {
            let publish = client.publish("a/small", number.to_string());
            drop(publish.qos(QoS::AtLeastOnce).start().await.unwrap());
        }
        for (topic, length) in [("b/large", LARGE), ("a/medium", MEDIUM)] {
            let publish = client.publish(topic, vec![b'x'; length]);
            publish.qos(QoS::ExactlyOnce).await.unwrap();
        }
        for number in 0..SMALL {
            let message = messages.recv().await.unwrap();
            assert_eq!(message.payload(), number.to_string().as_bytes());
        }
        assert!(messages.recv().await.unwrap().payload() == vec![b'x'; MEDIUM]);
        client.disconnect().await.unwrap();
    }};
}

/// The same for threads.
pub(crate) fn exchange_blocking(setup: impl Into<Setup>) {
    let client = connect(setup).unwrap();
    let subscribe = client.subscribe("a/#").qos(QoS::ExactlyOnce);
    let mut messages = subscribe.wait().unwrap();
    for number in 0..SMALL {
        let publish = client.publish("a/small", number.to_string());
        drop(publish.qos(QoS::AtLeastOnce).start().unwrap());
    }
    for (topic, length) in [("b/large", LARGE), ("a/medium", MEDIUM)] {
        let publish = client.publish(topic, vec![b'x'; length]);
        publish.qos(QoS::ExactlyOnce).wait().unwrap();
    }
    for number in 0..SMALL {
        let message = messages.next().unwrap();
        assert_eq!(message.payload(), number.to_string().as_bytes());
    }
    assert!(messages.next().unwrap().payload() == vec![b'x'; MEDIUM]);
    client.disconnect().wait().unwrap();
}

pub(crate) fn assert_left_politely(broker: &Mosquitto) {
    let left = broker.wait_for_log(Duration::from_secs(10), "Received DISCONNECT");
    assert!(left.is_some(), "{}", broker.log());
}
