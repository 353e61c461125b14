//! Messages that are dropped unanswered and stay so (`OnDrop::Hold`), and who else has them.

use super::consumers::take;
use super::executor::Task;
use super::session_loss::subscribed;
use super::subscribe::suback;
use super::{Link, publish, reconnecting};
use crate::{AckMode, Client, OnDrop, Options, QoS, ReasonCode, Subscription};

/// The server sends a message again that it sent on an earlier connection.
fn send_again(link: &mut Link, qos: QoS, packet_id: u16, payload: &[u8]) {
    let mut again = Vec::new();
    publish("a", qos, packet_id, payload)
        .encode_to_vec(mqtt5_proto::ProtocolVersion::V5, &mut again)
        .expect("valid");
    again[0] |= 0x08;
    link.inbound.extend(again);
    link.run();
}

/// A subscription whose messages are held when they are dropped, and one that gets all of them as well and answers when it takes them.
fn sharing(options: Options) -> (Client, [Subscription; 2], Link) {
    let (client, holding, mut link) = subscribed(options.ack_mode(AckMode::Manual {
        on_drop: OnDrop::Hold,
    }));
    let other = client.subscribe("a").ack_mode(AckMode::OnTake);
    let mut task = Task::new(other.qos(QoS::ExactlyOnce));
    assert!(task.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
    suback(&mut link, 2, &[ReasonCode::GRANTED_QOS_2]);
    let other = task.woken().expect("granted");
    drop(task);
    (client, [holding, other], link)
}

/// E2: what was dropped unanswered and stays so comes again after the next resume; after a lost session nothing is left of it.
#[test]
fn a_message_that_is_held_when_dropped_comes_again() {
    let options = || {
        reconnecting().ack_mode(AckMode::Manual {
            on_drop: OnDrop::Hold,
        })
    };
    for (session_present, connected) in [(true, true), (true, false), (false, true)] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (client, mut subscription, mut link) = subscribed(options());
            link.send(publish("a", qos, 5, b"m"));
            if !connected {
                link.cut();
            }
            drop(take(&mut subscription));
            link.resume(session_present);
            link.sent_types();
            assert_eq!(client.statistics().held_messages, 0);
            assert_eq!(client.statistics().held_bytes, 0);
            if session_present {
                send_again(&mut link, qos, 5, b"m");
                take(&mut subscription).ack();
                assert_eq!(link.sent_types().len(), 1);
            }
        }
    }
}

/// What one subscription has dropped is not taken from another when it will not come again, whenever and however the session is lost.
#[test]
fn who_has_not_taken_it_keeps_it_when_the_session_is_lost() {
    let ways: [fn(Options) -> Options; 3] = [
        |options| options,
        |options| options.clean_start(true),
        |options| options.session_expiry_interval(0),
    ];
    for way in ways {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for connections_before in 0..=2 {
                let (client, [mut holding, mut other], mut link) = sharing(way(reconnecting()));
                link.send(publish("a", qos, 5, b"1"));
                link.send(publish("a", qos, 6, b"2"));
                let mut held = Some(take(&mut holding));
                for connection in 0..=2 {
                    if connection == connections_before {
                        held = None;
                    }
                    link.resume(false);
                }
                drop(held);
                assert_eq!(take(&mut other).payload(), b"1", "{connections_before}");
                assert_eq!(take(&mut other).payload(), b"2");
                take(&mut holding).ack();
                for subscription in [&mut holding, &mut other] {
                    assert!(matches!(subscription.try_recv(), Ok(None)));
                }
                assert_eq!(client.statistics().held_messages, 0);
            }
        }
    }
}

/// Where the session lives it comes again, to whoever has it; an acknowledgement waits for both.
#[test]
fn who_else_has_it_gets_it_again_from_a_session_that_lives() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for is_taken in [false, true] {
            let (client, mut subscriptions, mut link) = sharing(reconnecting());
            link.send(publish("a", qos, 5, b"m"));
            let [holding, other] = &mut subscriptions;
            drop(take(holding));
            link.cut();
            if is_taken {
                drop(take(other));
            }
            link.resume(true);
            assert_eq!(client.statistics().held_messages, 0);
            for subscription in &mut subscriptions {
                assert!(matches!(subscription.try_recv(), Ok(None)));
            }
            send_again(&mut link, qos, 5, b"m");
            let [holding, other] = &mut subscriptions;
            take(holding).ack();
            assert!(link.sent_types().is_empty());
            drop(take(other));
            assert_eq!(link.sent_types().len(), 1);
        }
    }
}

/// What came after it and nobody has taken comes again behind it, so that nobody gets it in another order.
#[test]
fn what_comes_again_is_not_behind_what_came_after_it() {
    let (client, mut subscriptions, mut link) = sharing(reconnecting());
    for id in 5..=7 {
        link.send(publish("a", QoS::AtLeastOnce, id, &[b'0' + id as u8]));
    }
    drop(take(&mut subscriptions[0]));
    link.resume(true);
    for id in 5..=7 {
        send_again(&mut link, QoS::AtLeastOnce, id, &[b'0' + id as u8]);
    }
    for subscription in &mut subscriptions {
        for id in 5..=7 {
            let message = take(subscription);
            assert_eq!(message.payload(), [b'0' + id]);
            message.ack();
        }
        assert!(matches!(subscription.try_recv(), Ok(None)));
    }
    assert_eq!(link.sent_types(), ["PUBACK"; 3]);
    assert_eq!(client.statistics().held_messages, 0);
}

/// Where nobody knows whether the session is that one, it comes again if it does, and stays for the others: a duplicate is better than a loss.
#[test]
fn in_a_session_in_doubt_it_stays_for_the_others() {
    for comes_again in [false, true] {
        let (client, [mut holding, mut other], mut link) = sharing(reconnecting());
        link.send(publish("a", QoS::AtLeastOnce, 5, b"m"));
        drop(take(&mut holding));
        link.cut();
        link.reconnect();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.resume(true);
        drop(take(&mut other));
        if comes_again {
            link.sent_types();
            send_again(&mut link, QoS::AtLeastOnce, 5, b"m");
            take(&mut holding).ack();
            drop(take(&mut other));
            assert_eq!(link.sent_types(), ["PUBACK"]);
        }
        for subscription in [&mut holding, &mut other] {
            assert!(matches!(subscription.try_recv(), Ok(None)));
        }
        assert_eq!(client.statistics().held_messages, 0);
    }
}
