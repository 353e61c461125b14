//! Subscribes and unsubscribes that were started: who asks need not wait for the answer (S36).

use super::executor::{Task, now};
use super::subscribe::suback;
use super::{Link, Peer, options, scripted};
use crate::{Async, Offline, QoS, ReasonCode, SubscribeErrorKind, UnsubscribeErrorKind};
use core::time::Duration;
use mqtt5_proto::packet::{List, SubscribeAcknowledgement};
use mqtt5_proto::{Packet, Properties};

#[test]
fn what_was_started_is_on_its_way_before_anybody_waits() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let first = now(client.subscribe("a").start()).expect("accepted");
    let second = now(client.subscribe("b").qos(QoS::AtLeastOnce).start()).expect("accepted");
    let third = now(client.unsubscribe("c").start()).expect("accepted");
    assert_eq!(link.sent_types(), ["SUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE"]);
    let (mut first, mut third) = (Task::new(first), Task::new(third));
    assert!(first.is_pending() && third.is_pending());
    suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_1]);
    suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_0]);
    link.send(Packet::Unsuback(SubscribeAcknowledgement {
        packet_id: super::id(3),
        properties: Properties::EMPTY,
        reasons: List::from(&[ReasonCode::SUCCESS][..]),
    }));
    let granted = now(second).expect("granted");
    assert_eq!(
        granted.granted().collect::<Vec<_>>(),
        [("b", ReasonCode::GRANTED_QOS_1)]
    );
    assert!(first.woken().is_ok() && third.woken().is_ok());
}

/// A started subscribe that nobody waits for is given up, a started unsubscribe is not.
#[test]
fn what_was_started_can_be_dropped() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    drop(now(client.subscribe("a").start()).expect("accepted"));
    drop(now(client.unsubscribe("b").start()).expect("accepted"));
    assert!(client.statistics().subscriptions == 0);
    assert_eq!(link.sent_types().last(), Some(&"UNSUBSCRIBE"));
    drop(client.subscribe("c").start());
    assert!(link.sent_types().is_empty(), "never polled");
}

#[test]
fn what_cannot_begin_is_told_by_start() {
    let (client, _link) = scripted(options(), Properties::EMPTY);
    let wrong = now(client.subscribe("a/#/b").start()).expect_err("no filter");
    assert_eq!(wrong.kind(), SubscribeErrorKind::InvalidFilter);
    let wrong = now(client.unsubscribe("").start()).expect_err("no filter");
    assert_eq!(wrong.kind(), UnsubscribeErrorKind::InvalidFilter);
    let failing = options().offline_subscribe(Offline::Fail);
    let (client, mut link) = Link::new::<Async>(failing, Peer::Unreachable);
    link.run();
    let offline = now(client.subscribe("a").start()).expect_err("no connection");
    assert_eq!(offline.kind(), SubscribeErrorKind::NotConnected);
}

/// The bound on the time holds for the answer, too.
#[test]
fn what_was_started_ends_in_time() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let second = Duration::from_secs(1);
    let started = now(client.subscribe("a").timeout(second).start()).expect("accepted");
    let mut task = Task::new(started);
    assert!(task.is_pending());
    link.pass(second);
    let error = task.woken().expect_err("no answer");
    assert_eq!(error.kind(), SubscribeErrorKind::TimedOut);
}
