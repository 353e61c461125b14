//! Subscriptions that the options declare, and what they say of themselves.

use super::consumers::take;
use super::subscribe::suback;
use super::{publish, reconnecting, room_for, scripted};
use crate::{AckMode, Declared, Filter, OnDrop, OptionsError, QoS, ReasonCode, RejectReason};
use mqtt5_proto::{Packet, Properties};

/// S75: a declared subscription behaves as it says, has as many filters as it says, and is found by each of them.
#[test]
fn declared_subscriptions_have_a_behaviour_of_their_own() {
    let on_drop = OnDrop::Reject(RejectReason::NotAuthorized);
    let jobs = Declared::new(Filter::new("jobs/+").qos(QoS::AtLeastOnce))
        .and("news")
        .user_property("who", "me")
        .ack_mode(AckMode::Manual { on_drop })
        .bound(room_for(2))
        .observe_drops(1);
    let options = reconnecting().declare(jobs).declare("other");
    assert!(options.validate().is_ok());
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut subscription = client.declared("news").expect("declared");
    assert!(client.declared("jobs/+").is_none(), "handed out already");
    let (id, properties) = link.sent(|packet| match packet {
        Packet::Subscribe(packet) => {
            assert_eq!(packet.filters.iter().count(), 2);
            (
                packet.packet_id.value(),
                packet.properties.user_properties().count(),
            )
        }
        packet => panic!("{packet:?}"),
    });
    assert_eq!((id, properties), (1, 1));
    suback(
        &mut link,
        1,
        &[ReasonCode::GRANTED_QOS_1, ReasonCode::GRANTED_QOS_0],
    );
    link.sent_types();
    link.send(publish("jobs/1", QoS::AtLeastOnce, 1, b"1"));
    let job = take(&mut subscription);
    assert!(link.sent_types().is_empty(), "acknowledged by hand");
    job.ack();
    assert_eq!(link.sent_types(), ["PUBACK"]);
    for payload in [b"1", b"2", b"3"] {
        link.send(publish("news", QoS::AtMostOnce, 0, payload));
    }
    assert_eq!(subscription.dropped(), 1);
    assert_eq!(subscription.take_dropped().len(), 1);
    let mut other = client.declared("other").expect("declared");
    assert!(matches!(other.try_recv(), Ok(None)));
    let long = reconnecting().maximum_topic_length(4).declare("12345");
    assert!(matches!(long.validate(), Err(OptionsError::Declared(_))));
    let conflict = Declared::new("a").and(Filter::new("a").no_local(true));
    assert!(reconnecting().declare(conflict).validate().is_err());
}
