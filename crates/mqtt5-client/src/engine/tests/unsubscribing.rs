//! The end of a subscription without a connection.

use super::consumers::subscribed;
use super::executor::Task;
use super::reconnecting;
use super::subscribe::suback;
use crate::{Offline, ReasonCode, UnsubscribeErrorKind};
use core::time::Duration;
use mqtt5_proto::Packet;

/// D23: it does not wait for a connection if the options say so, and is not lost: the session is told.
#[test]
fn a_subscription_ends_without_a_connection() {
    for session_present in [false, true] {
        let options = reconnecting().offline_subscribe(Offline::Fail);
        let (client, one, mut link) = subscribed(options);
        let mut same = Task::new(client.subscribe("#"));
        assert!(same.is_pending());
        suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_2]);
        let same = same.woken().expect("granted");
        link.cut();
        let mut done = Task::new(one.unsubscribe());
        assert!(done.done().is_ok(), "another one wants it");
        let mut done = Task::new(same.unsubscribe());
        let error = done.done().expect_err("the server was not told");
        assert_eq!(error.kind(), UnsubscribeErrorKind::NotConnected);
        assert_eq!(client.statistics().filters, 0);
        link.resume(session_present);
        let owed: &[_] = if session_present {
            &["UNSUBSCRIBE"]
        } else {
            &[]
        };
        assert_eq!(link.sent_types(), owed);
    }
}

#[test]
fn the_wait_for_the_end_of_a_subscription_can_be_bounded() {
    let (_client, subscription, mut link) = subscribed(reconnecting());
    link.cut();
    let mut task = Task::new(subscription.unsubscribe_timeout(Duration::from_millis(10)));
    assert!(task.is_pending());
    link.pass(Duration::from_millis(9));
    assert!(task.is_pending());
    link.pass(Duration::from_millis(1));
    let error = task.woken().expect_err("nobody has answered");
    assert_eq!(error.kind(), UnsubscribeErrorKind::TimedOut);
    link.resume(true);
    assert_eq!(link.sent_types(), ["UNSUBSCRIBE"]);
}

/// What was given up before it could be asked for was not granted.
#[test]
fn what_is_unsubscribed_before_it_is_sent_was_not_granted() {
    let (client, _, mut link) = subscribed(reconnecting());
    link.cut();
    let mut both = Task::new(client.subscribe("a").and("b"));
    let mut one = Task::new(client.subscribe("a"));
    let mut unsubscribe = Task::new(client.unsubscribe("a"));
    assert!(both.is_pending() && one.is_pending() && unsubscribe.is_pending());
    link.resume(true);
    let mut asked = || {
        link.sent(|packet| match packet {
            Packet::Subscribe(subscribe) => Some(subscribe.packet_id.value()),
            Packet::Unsubscribe(_) => None,
            packet => panic!("{packet:?}"),
        })
    };
    let first = [asked(), asked(), asked()];
    let [None, Some(packet_id), None] = first else {
        panic!("{first:?}: not what was dropped, `b`, and `a`");
    };
    assert!(link.sent_types().is_empty());
    let (none, granted) = (
        ReasonCode::NO_SUBSCRIPTION_EXISTED,
        ReasonCode::GRANTED_QOS_1,
    );
    let mut one = one.woken().expect("not refused");
    assert_eq!(one.granted().collect::<Vec<_>>(), [("a", none)]);
    assert!(one.try_recv().is_err());
    suback(&mut link, packet_id, &[granted]);
    let mut both = both.woken().expect("granted");
    let results: Vec<_> = both.granted().collect();
    assert_eq!(results, [("a", none), ("b", granted)]);
    assert!(matches!(both.try_recv(), Ok(None)));
}
