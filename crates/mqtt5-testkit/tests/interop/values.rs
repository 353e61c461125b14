//! What the tests send, in few words.

use mqtt5_proto::packet::{Connect, SubscribeFilter, Will};
use mqtt5_proto::{Outbound, Properties, Property, QoS, TopicFilter, TopicName};

/// Session Expiry Interval of sessions that outlive every test.
const LASTING: &[Property<'static>] = &[Property::SessionExpiryInterval(3600)];

/// A CONNECT that takes an existing session up, and asks for one that outlives the connection.
pub(crate) fn lasting(client_id: &str) -> Connect<'_> {
    Connect {
        clean_start: false,
        properties: properties(LASTING),
        ..Connect::new(client_id)
    }
}

pub(crate) fn properties<'a>(list: &'a [Property<'a>]) -> Properties<'a> {
    Properties::new(list).expect("properties that may be sent")
}

pub(crate) fn topic(text: &str) -> TopicName<'_> {
    TopicName::new(text).expect("a Topic Name")
}

pub(crate) fn topic_filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::new(text).expect("a Topic Filter")
}

/// A subscription with everything but its QoS at the default.
pub(crate) fn filter(text: &str, qos: QoS) -> SubscribeFilter<'_> {
    SubscribeFilter::new(topic_filter(text), qos)
}

/// A message that is not retained and has no properties.
pub(crate) fn outbound<'a>(text: &'a str, qos: QoS, payload: &'a str) -> Outbound<'a> {
    Outbound::new(topic(text), qos, payload)
}

/// A will at QoS 1 that is not retained and has no properties.
pub(crate) fn will<'a>(text: &'a str, payload: &'a str) -> Will<'a> {
    Will {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: topic(text),
        payload: payload.as_bytes(),
        properties: Properties::EMPTY,
    }
}

pub(crate) const EVERY_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
