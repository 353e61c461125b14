//! The end of a subscription without a connection.

use super::consumers::subscribed;
use super::executor::Task;
use super::reconnecting;
use super::subscribe::suback;
use crate::{Offline, ReasonCode, UnsubscribeErrorKind};
use core::time::Duration;

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
