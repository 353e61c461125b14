//! Publishes and received messages over lost connections.

use super::consumers::take;
use super::executor::Task;
use super::subscribe::suback;
use super::{Link, accepted, acknowledgement, connack, publish, reconnecting, scripted};
use crate::{
    AckMode, OnDrop, OnSessionLost, Options, PublishErrorKind, QoS, ReasonCode, RejectReason,
    Subscription,
};
use core::time::Duration;
use mqtt5_proto::packet::Delivery;
use mqtt5_proto::{Packet, Properties, Property};

pub(super) fn subscribed(options: Options) -> (crate::Client, Subscription, Link) {
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut task = Task::new(client.subscribe("#").qos(QoS::ExactlyOnce));
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_2]);
    let subscription = task.woken().expect("granted");
    drop(task);
    (client, subscription, link)
}

/// The next PUBLISH: identifier, DUP and payload.
pub(super) fn published(link: &mut Link) -> (u16, bool, String) {
    link.sent(|packet| match packet {
        Packet::Publish(publish) => match publish.delivery {
            Delivery::AtLeastOnce { id, dup } | Delivery::ExactlyOnce { id, dup } => {
                let payload = String::from_utf8_lossy(publish.payload).into_owned();
                (id.value(), dup, payload)
            }
            Delivery::AtMostOnce => panic!("QoS 0"),
        },
        packet => panic!("{packet:?}"),
    })
}

/// T82, T83, T141, T32: what the server has not acknowledged is sent again with DUP and its identifier, and the publish completes.
#[test]
fn an_unacknowledged_publish_is_sent_again_and_completes() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut first = Task::new(client.publish("a", "1").qos(QoS::AtLeastOnce));
    let mut second = Task::new(client.publish("a", "2").qos(QoS::ExactlyOnce));
    assert!(first.is_pending() && second.is_pending());
    let (id1, _, _) = published(&mut link);
    let (id2, dup, _) = published(&mut link);
    assert!(!dup);
    link.cut();
    let mut offline = Task::new(client.publish("a", "3").qos(QoS::AtLeastOnce));
    assert!(offline.is_pending());
    link.resume(true);
    assert_eq!(published(&mut link), (id1, true, "1".into()));
    assert_eq!(published(&mut link), (id2, true, "2".into()));
    let (id3, dup, payload) = published(&mut link);
    assert_eq!((dup, payload.as_str()), (false, "3"), "it never left");
    link.send(Packet::Puback(acknowledgement(id1, ReasonCode::SUCCESS)));
    link.send(Packet::Pubrec(acknowledgement(id2, ReasonCode::SUCCESS)));
    link.send(Packet::Pubcomp(acknowledgement(id2, ReasonCode::SUCCESS)));
    link.send(Packet::Puback(acknowledgement(id3, ReasonCode::SUCCESS)));
    assert!(first.woken().is_ok() && second.woken().is_ok() && offline.woken().is_ok());
}

/// T22, T157, E13, D4, pitfall 2: a lost session settles each publish as its policy says, and the outcome is told.
#[test]
fn pitfall_2_a_lost_session_settles_publishes_by_policy() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut first = Task::new(client.publish("a", "1").qos(QoS::AtLeastOnce));
    let mut second = Task::new(client.publish("a", "2").qos(QoS::ExactlyOnce));
    assert!(first.is_pending() && second.is_pending());
    assert_eq!(link.sent_types(), ["PUBLISH", "PUBLISH"]);
    link.resume(false);
    let (id, dup, payload) = published(&mut link);
    assert_eq!((dup, payload.as_str()), (false, "1"), "a new message");
    assert_eq!(link.sent_types(), [""; 0]);
    let error = second.woken().expect_err("it may have been delivered");
    assert_eq!(error.kind(), PublishErrorKind::Unknown);
    link.send(Packet::Puback(acknowledgement(id, ReasonCode::SUCCESS)));
    assert!(first.woken().is_ok());

    let options = reconnecting().on_session_lost(OnSessionLost::FAIL);
    let (client, mut link) = scripted(options, Properties::EMPTY);
    let mut failed = Task::new(client.publish("a", "1").qos(QoS::AtLeastOnce));
    assert!(failed.is_pending());
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    link.resume(false);
    assert_eq!(
        failed.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::SessionLost)
    );
    assert!(link.sent_types().is_empty() && client.is_connected());
}

/// T23: past PUBREC only PUBREL goes out.
#[test]
fn an_exchange_past_pubrec_goes_on_with_pubrel() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut publishing = Task::new(client.publish("a", "1").qos(QoS::ExactlyOnce));
    assert!(publishing.is_pending());
    let (id, _, _) = published(&mut link);
    link.send(Packet::Pubrec(acknowledgement(id, ReasonCode::SUCCESS)));
    assert_eq!(link.sent_types(), ["PUBREL"]);
    link.resume(true);
    assert_eq!(link.sent_types(), ["PUBREL"]);
    let unknown = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
    link.send(Packet::Pubcomp(acknowledgement(id, unknown)));
    assert!(publishing.woken().is_ok(), "the server had completed it");
}

/// E15, pitfall 18: what waited offline is checked against the limits of the server that it meets, and fails alone.
#[test]
fn pitfall_18_what_waits_is_checked_when_the_connection_comes() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    link.cut();
    let publish = |payload| client.publish("a", payload).qos(QoS::AtLeastOnce);
    let mut large = Task::new(publish(vec![b'x'; 500]));
    let mut retained = Task::new(publish(b"r".to_vec()).retain(true));
    let mut fits = Task::new(publish(b"fits".to_vec()));
    assert!(large.is_pending() && retained.is_pending() && fits.is_pending());
    link.reconnect();
    link.sent_types();
    let limits = [
        Property::MaximumPacketSize(100),
        Property::RetainAvailable(false),
    ];
    link.send(connack(Properties::new(&limits).expect("valid")));
    assert_eq!(
        large.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::TooLarge)
    );
    assert_eq!(
        retained.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::RetainNotSupported)
    );
    let (id, _, payload) = published(&mut link);
    assert_eq!(payload, "fits");
    link.send(Packet::Puback(acknowledgement(id, ReasonCode::SUCCESS)));
    assert!(fits.woken().is_ok() && client.is_connected());
}

/// S53, D39, T68: the expiry of a message counts down while it waits for a connection, and it may end there.
#[test]
fn a_message_expires_while_it_waits_for_a_connection() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    link.cut();
    let expiring = |seconds| {
        client
            .publish("a", "x")
            .qos(QoS::AtLeastOnce)
            .message_expiry(Duration::from_secs(seconds))
    };
    let mut short = Task::new(expiring(1));
    let mut long = Task::new(expiring(100));
    assert!(short.is_pending() && long.is_pending());
    link.peer = super::Peer::Unreachable;
    link.pass(Duration::from_secs(5));
    assert_eq!(
        short.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::Expired),
        "told when it happens"
    );
    link.peer = super::Peer::Script(Vec::new());
    link.reconnect();
    link.sent_types();
    link.send(accepted(true));
    let left = link.sent(|packet| match packet {
        Packet::Publish(publish) => publish.properties.message_expiry_interval(),
        packet => panic!("{packet:?}"),
    });
    assert!(
        left.is_some_and(|left| (50..=96).contains(&left)),
        "{left:?}"
    );
    assert!(long.is_pending());
}

/// S90, E7, pitfall 3: an acknowledgement given without a connection waits for its redelivery; after a lost session it is void.
#[test]
fn pitfall_3_an_acknowledgement_waits_for_the_redelivery() {
    let on_drop = OnDrop::Hold;
    let options = || reconnecting().ack_mode(AckMode::Manual { on_drop });
    let redelivery = |link: &mut Link| {
        let topic = mqtt5_proto::TopicName::new("a").expect("valid");
        link.send(Packet::Publish(mqtt5_proto::packet::Publish {
            delivery: Delivery::AtLeastOnce {
                id: super::id(5),
                dup: true,
            },
            retain: false,
            topic: Some(topic),
            properties: Properties::EMPTY,
            payload: b"m",
        }));
    };
    let (_client, mut subscription, mut link) = subscribed(options());
    link.send(publish("a", QoS::AtLeastOnce, 5, b"m"));
    let message = take(&mut subscription);
    link.cut();
    message.ack();
    link.resume(true);
    assert!(link.sent_types().is_empty(), "not before its redelivery");
    redelivery(&mut link);
    assert_eq!(link.sent_types(), ["PUBACK"]);
    assert!(matches!(subscription.try_recv(), Ok(None)), "it was taken");

    let (_client, mut subscription, mut link) = subscribed(options());
    link.send(publish("a", QoS::AtLeastOnce, 5, b"old"));
    let old = take(&mut subscription);
    link.resume(false);
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    link.send(publish("a", QoS::AtLeastOnce, 5, b"new"));
    old.reject(RejectReason::NotAuthorized);
    assert!(link.sent_types().is_empty(), "it is of another session");
    let new = take(&mut subscription);
    assert_eq!(new.payload(), b"new");
    new.ack();
    assert_eq!(link.sent_types(), ["PUBACK"]);
}

/// The CONNACK that tells of a new session is lost with its connection; the next one tells that there is a session, and it is that one.
#[test]
fn a_session_that_may_have_begun_unseen_is_subscribed_again() {
    let (_client, _subscription, mut link) = subscribed(reconnecting());
    link.resume(true);
    assert!(link.sent_types().is_empty());
    link.cut();
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.resume(true);
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    link.resume(true);
    assert_eq!(
        link.sent_types(),
        ["SUBSCRIBE"],
        "it was not answered; the doubt is over"
    );
}

/// Messages that were queued and not taken when the session was lost are not lost with it: nobody will send them again.
#[test]
fn queued_messages_outlive_a_lost_session() {
    let (_client, mut subscription, mut link) = subscribed(reconnecting());
    link.send(publish("a", QoS::AtLeastOnce, 1, b"1"));
    link.send(publish("a", QoS::ExactlyOnce, 2, b"2"));
    link.resume(false);
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    assert_eq!(take(&mut subscription).payload(), b"1");
    assert_eq!(take(&mut subscription).payload(), b"2");
    assert!(
        link.sent_types().is_empty(),
        "nothing to acknowledge any more"
    );
}
