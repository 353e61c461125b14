//! How far a publish is, and messages that are poison.

use super::executor::{Task, now};
use super::{Link, Peer, accepted, acknowledgement, options, reconnecting, scripted};
use crate::{Async, Event, Progress, PublishErrorKind, QoS, ReasonCode};
use mqtt5_proto::{Packet, Properties};

/// N5: accepted, written, PUBREC, complete.
#[test]
fn the_milestones_of_a_publish() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let mut delivery =
        now(client.publish("t", "x").qos(QoS::ExactlyOnce).start()).expect("accepted");
    assert_eq!(delivery.progress(), Progress::Encoded);
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    assert_eq!(delivery.progress(), Progress::Written);
    link.send(Packet::Pubrec(acknowledgement(1, ReasonCode::SUCCESS)));
    assert_eq!(delivery.progress(), Progress::Received);
    link.send(Packet::Pubcomp(acknowledgement(1, ReasonCode::SUCCESS)));
    assert_eq!(delivery.progress(), Progress::Complete);
    assert!(delivery.try_outcome().expect("complete").is_ok());
}

/// S37, D36: QoS 0 can be complete when it is written, also when it had to wait; a lost connection is told.
#[test]
fn qos_0_can_be_complete_when_it_is_written() {
    let (client, mut link) = Link::new::<Async>(
        reconnecting().offline_qos0(crate::Offline::Wait),
        Peer::Script(Vec::new()),
    );
    let mut early = Task::new(client.publish("t", "early").until_written());
    assert!(early.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(accepted(false));
    assert!(early.woken().is_ok());
    let mut direct = Task::new(client.publish("t", "direct").until_written());
    assert!(direct.is_pending(), "not written yet");
    link.run();
    assert!(direct.woken().is_ok());
    let large = vec![0; 70_000];
    let mut first = Task::new(client.publish("t", large).until_written());
    let mut second = Task::new(client.publish("t", "behind").qos(QoS::AtLeastOnce));
    let mut third = Task::new(client.publish("t", "pending").until_written());
    assert!(first.is_pending() && second.is_pending() && third.is_pending());
    link.cut();
    let lost = Err(PublishErrorKind::NotSent);
    assert_eq!(first.woken().map_err(|error| error.kind()), lost);
    assert_eq!(
        third.woken().map_err(|error| error.kind()),
        Err(PublishErrorKind::Dropped),
        "it was not even encoded"
    );
    assert!(second.is_pending(), "QoS 1 goes on");
}

/// N21: QoS 0 may leave behind CONNECT, in order and before its answer; QoS 1 must wait for it.
#[test]
fn qos_0_may_leave_before_connack() {
    let options = options().publish_early(true);
    let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
    link.run();
    now(client.publish("t", "x")).expect("accepted");
    let mut waits = Task::new(client.publish("t", "y").qos(QoS::AtLeastOnce));
    assert!(waits.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT", "PUBLISH"]);
    link.send(accepted(false));
    assert_eq!(link.sent_types(), ["PUBLISH"]);
}

/// E17: the same message ends three connections in a row: that is told, and the backoff goes on.
#[test]
fn a_poison_message_is_told_after_three_connections() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut events = client.events();
    // QoS 1, topic "p", identifier 7, and a property that PUBLISH must not have.
    let poison = [0x32, 8, 0, 1, b'p', 0, 7, 2, 0x21, 0];
    for count in 1..=4 {
        link.inbound.extend(poison);
        link.run();
        assert_eq!(client.statistics().protocol_errors, count);
        let told = core::iter::from_fn(|| events.try_recv()).any(|event| {
            matches!(event, Event::PoisonMessage { topic, packet_id } if *topic == *"p" && packet_id.value() == 7)
        });
        assert_eq!(told, count == 3, "{count}");
        link.reconnect();
        link.sent_types();
        link.send(accepted(true));
    }
}
