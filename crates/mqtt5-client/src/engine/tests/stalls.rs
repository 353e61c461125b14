//! Reading that stood still for too long, and what becomes of what nobody has taken.

use super::consumers::take;
use super::executor::Task;
use super::session_loss::{published, subscribed};
use super::subscribe::suback;
use super::{Link, accepted, acknowledgement, publish, reconnecting};
use crate::{AckMode, ConnectionErrorKind, Event, QoS, ReasonCode, Subscription};
use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;
use mqtt5_proto::Packet;

/// The connection stalls, and the next one finds its session, or not.
pub(super) fn stall(link: &mut Link, session_present: bool) {
    link.pass(Duration::from_secs(4));
    link.reconnect();
    assert!(link.sent_types().ends_with(&["DISCONNECT", "CONNECT"]));
    link.send(accepted(session_present));
}

/// E1, T113: beyond the bound a stall ends the connection, and the rest is handed over by the redelivery, once.
#[test]
fn after_a_stall_the_redelivery_hands_over_what_was_not_taken() {
    let options = reconnecting()
        .inbound_bytes(100)
        .receive_maximum(NonZeroU16::new(10).expect("not zero"))
        .stall_timeout(Duration::from_secs(3));
    let (client, mut subscription, mut link) = subscribed(options);
    for id in 1..=4 {
        link.send(publish("a", QoS::AtLeastOnce, id, &[b'x'; 60]));
    }
    let mut events = client.events();
    let _taken = take(&mut subscription);
    stall(&mut link, true);
    assert!(core::iter::from_fn(|| events.try_recv()).any(|event| {
        matches!(event, Event::Disconnected(error) if error.kind() == ConnectionErrorKind::ConsumerStalled)
    }));
    assert!(
        matches!(subscription.try_recv(), Ok(None)),
        "they come again"
    );
    for id in 2..=4 {
        link.send(publish("a", QoS::AtLeastOnce, id, &[b'x'; 60]));
        assert_eq!(take(&mut subscription).payload().len(), 60);
        assert_eq!(link.sent_types(), ["PUBACK"]);
    }
    assert!(client.is_connected());
}

/// Until it is known that it comes again it is there: for whoever takes it meanwhile, and when the session is gone, or may be.
#[test]
fn after_a_stall_nothing_is_lost_with_the_session() {
    for (session_present, in_doubt) in [(false, false), (true, true), (true, false)] {
        let options = reconnecting()
            .inbound_bytes(100)
            .stall_timeout(Duration::from_secs(3));
        let (client, mut subscription, mut link) = subscribed(options);
        let message = |id| publish("a", QoS::ExactlyOnce, id, &[b'x'; 60]);
        for id in 1..=2 {
            link.send(message(id));
        }
        link.pass(Duration::from_secs(4));
        drop(take(&mut subscription));
        if in_doubt {
            link.reconnect();
            link.cut();
        }
        link.reconnect();
        link.sent_types();
        link.send(accepted(session_present));
        assert!(client.is_connected() && link.reading);
        let comes_again = session_present && !in_doubt;
        assert_eq!(client.statistics().held_messages, usize::from(!comes_again));
        if !comes_again {
            drop(take(&mut subscription));
        }
        link.sent_types();
        if session_present {
            link.send(message(1));
            assert_eq!(link.sent_types(), ["PUBREC"]);
            link.send(message(2));
        }
        if comes_again {
            drop(take(&mut subscription));
        }
        let answers: &[&str] = if session_present { &["PUBREC"] } else { &[] };
        assert_eq!(link.sent_types(), answers);
        assert!(matches!(subscription.try_recv(), Ok(None)), "once");
    }
}

/// A client that holds more than it may, of a session that is lost.
fn full_of_a_lost_session() -> (crate::Client, Subscription, Link) {
    let options = reconnecting()
        .inbound_bytes(120)
        .maximum_packet_size(NonZeroU32::new(100).expect("not zero"))
        .stall_timeout(Duration::from_secs(3));
    let (client, subscription, mut link) = subscribed(options);
    for id in 1..=2 {
        link.send(publish("a", QoS::AtLeastOnce, id, &[b'x'; 60]));
    }
    link.resume(false);
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_2]);
    assert!(!link.reading);
    (client, subscription, link)
}

/// Nor is anything discarded where the next CONNECT ends the session.
#[test]
fn a_stall_discards_nothing_that_a_clean_start_gives_up() {
    let options = reconnecting()
        .clean_start(true)
        .inbound_bytes(100)
        .stall_timeout(Duration::from_secs(3));
    let (_client, mut subscription, mut link) = subscribed(options);
    for id in 1..=2 {
        link.send(publish("a", QoS::AtLeastOnce, id, &[b'0' + id as u8; 60]));
    }
    stall(&mut link, false);
    for payload in [b'1', b'2'] {
        assert_eq!(take(&mut subscription).payload(), [payload; 60]);
    }
}

/// After a lost session, too: what it has lost will not come again, so it is not discarded by a stall on the next one.
#[test]
fn a_stall_discards_nothing_of_a_session_that_was_lost_before() {
    let (client, mut subscription, mut link) = full_of_a_lost_session();
    stall(&mut link, true);
    for _ in 1..=2 {
        assert_eq!(take(&mut subscription).payload().len(), 60);
    }
    assert!(client.is_connected());
}

/// What stays after a stall does not keep an answer from being read that the application waits for before it takes that.
#[test]
fn what_stays_after_a_stall_lets_answers_through() {
    let (client, mut subscription, mut link) = full_of_a_lost_session();
    let mut publishing = Task::new(client.publish("b", "x").qos(QoS::AtLeastOnce));
    assert!(publishing.is_pending());
    stall(&mut link, true);
    let (id, dup, _) = published(&mut link);
    assert!(dup && link.reading);
    // One message may be before it, no more: that is what the client has asked for.
    link.send(publish("a", QoS::AtLeastOnce, 1, &[b'x'; 60]));
    link.send(Packet::Puback(acknowledgement(id, ReasonCode::SUCCESS)));
    assert!(publishing.woken().is_ok());
    link.send(publish("a", QoS::AtLeastOnce, 2, &[b'x'; 60]));
    assert!(!link.reading);
    for _ in 1..=4 {
        drop(take(&mut subscription));
    }
    link.run();
    assert!(link.reading);
}

/// What came before a message that one subscription has taken and another has not: the redelivery would bring it to the other one after that.
#[test]
fn a_stall_does_not_change_the_order_of_a_subscription() {
    let options = reconnecting()
        .inbound_bytes(190)
        .stall_timeout(Duration::from_secs(3));
    let (client, mut slow, mut link) = subscribed(options);
    link.send(publish("a", QoS::ExactlyOnce, 1, &[b'1'; 60]));
    let mut task = Task::new(client.subscribe("#").qos(QoS::ExactlyOnce));
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_2]);
    let mut quick = task.woken().expect("granted");
    for id in [2, 3] {
        link.send(publish("a", QoS::ExactlyOnce, id, &[b'0' + id as u8; 60]));
    }
    assert_eq!(take(&mut quick).payload(), [b'2'; 60]);
    stall(&mut link, true);
    assert_eq!(take(&mut slow).payload(), [b'1'; 60]);
    assert_eq!(take(&mut slow).payload(), [b'2'; 60]);
    assert!(
        matches!(slow.try_recv(), Ok(None)),
        "what nobody has taken since comes again"
    );
    for id in 1..=3 {
        link.send(publish("a", QoS::ExactlyOnce, id, &[b'0' + id as u8; 60]));
    }
    assert_eq!(link.sent_types(), ["PUBREC", "PUBREC"]);
    for subscription in [&mut slow, &mut quick] {
        assert_eq!(take(subscription).payload(), [b'3'; 60]);
        assert!(matches!(subscription.try_recv(), Ok(None)));
    }
    assert_eq!(link.sent_types(), ["PUBREC"]);
}

/// A subscription that acknowledges on arrival has the message: its redelivery is not handed over again, though another subscription has
/// not taken it when the connection stalls.
#[test]
fn after_a_stall_nobody_gets_a_message_twice() {
    let options = reconnecting()
        .inbound_bytes(100)
        .stall_timeout(Duration::from_secs(3));
    let (client, mut slow, mut link) = subscribed(options);
    let eager = client
        .subscribe("a")
        .qos(QoS::ExactlyOnce)
        .ack_mode(AckMode::OnArrival);
    let mut task = Task::new(eager);
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_2]);
    let mut eager = task.woken().expect("granted");
    let message = |id| publish("a", QoS::ExactlyOnce, id, &[b'x'; 60]);
    for id in 1..=2 {
        link.send(message(id));
        drop(take(&mut eager));
    }
    stall(&mut link, true);
    drop(take(&mut slow));
    for id in 1..=2 {
        link.send(message(id));
    }
    assert!(matches!(eager.try_recv(), Ok(None)), "it had them");
    assert_eq!(link.sent_types(), ["PUBREC"]);
    drop(take(&mut slow));
    assert_eq!(link.sent_types(), ["PUBREC"]);
    assert!(matches!(slow.try_recv(), Ok(None)));
}

/// A pause holds over a lost connection: the next one is not read until the consumer has taken something.
#[test]
fn a_pause_holds_over_a_lost_connection() {
    let options = reconnecting().inbound_bytes(100);
    let (client, mut subscription, mut link) = subscribed(options);
    for id in 1..=2 {
        link.send(publish("a", QoS::AtLeastOnce, id, &[b'x'; 60]));
    }
    assert!(!link.reading);
    link.cut();
    link.reconnect();
    link.sent_types();
    link.send(accepted(true));
    assert!(client.is_connected(), "CONNACK is read all the same");
    assert!(!link.reading);
    let _ = take(&mut subscription);
    link.run();
    assert!(link.reading);
}
