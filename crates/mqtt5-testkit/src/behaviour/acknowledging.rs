//! When received messages are acknowledged, as the server's window shows it.

use std::future::pending;
use std::num::NonZeroU16;
use std::pin::pin;
use std::sync::Mutex;

use mqtt5_client::{
    AckMode, Async, Client, Event, Message, OnDrop, QoS, RejectReason, Subscription,
};

use super::{Setting, receive};

/// A client that may have two messages unacknowledged, and a subscription of it.
async fn window_of_two(setting: &Setting, mode: AckMode) -> (Client, Subscription<Async>) {
    let options = setting
        .options()
        .receive_maximum(NonZeroU16::new(2).expect("not zero"));
    let client = setting.connect_with(options).await;
    let subscribe = client.subscribe("w/#").qos(QoS::ExactlyOnce).ack_mode(mode);
    let inbox = subscribe.await.unwrap();
    (client, inbox)
}

/// Publishes messages that must be acknowledged, and then one that need not be.
async fn publish_three_and_one(setting: &Setting, qos: QoS) -> Client {
    let publisher = setting.connect().await;
    for payload in ["1", "2", "3"] {
        publisher.publish("w/a", payload).qos(qos).await.unwrap();
    }
    publisher.publish("w/b", "marker").await.unwrap();
    publisher
}

fn text(message: &Message) -> &str {
    message.payload_str().unwrap()
}

/// The default: messages that wait in the subscription keep the window closed.
pub async fn taking_acknowledges(setting: Setting) {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (client, mut inbox) = window_of_two(&setting, AckMode::OnTake).await;
        let _publisher = publish_three_and_one(&setting, qos).await;
        let mut order = Vec::new();
        for _ in 0..4 {
            order.push(text(&receive(&mut inbox).await).to_owned());
        }
        let numbers: Vec<_> = order.iter().filter(|text| *text != "marker").collect();
        assert_eq!(numbers, ["1", "2", "3"], "{qos:?}");
        assert_eq!(client.statistics().held_messages, 0);
    }
}

/// Nobody takes any, and all arrive.
pub async fn arriving_acknowledges(setting: Setting) {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (client, inbox) = window_of_two(&setting, AckMode::OnArrival).await;
        let _publisher = publish_three_and_one(&setting, qos).await;
        super::eventually("all arrive", move || {
            client.statistics().messages_received == 4
        })
        .await;
        drop(inbox);
    }
}

/// Two wait for an answer, so the third does not come.
pub async fn by_hand(setting: Setting) {
    let mode = AckMode::Manual {
        on_drop: OnDrop::Hold,
    };
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (client, mut inbox) = window_of_two(&setting, mode).await;
        let _publisher = publish_three_and_one(&setting, qos).await;
        let (one, two) = (receive(&mut inbox).await, receive(&mut inbox).await);
        assert_eq!((text(&one), text(&two)), ("1", "2"));
        // The server sends what needs no place in the window past those that wait for one.
        assert_eq!(text(&receive(&mut inbox).await), "marker");
        assert!(one.needs_answer() && two.needs_answer());
        assert_eq!(client.statistics().held_messages, 2);

        // Acknowledgements keep the order of arrival, so that of the second waits for the first.
        two.ack();
        one.reject(RejectReason::ImplementationSpecificError);
        let three = receive(&mut inbox).await;
        assert_eq!(text(&three), "3");
        three.ack();
        assert_eq!(client.statistics().held_messages, 0);
    }
}

/// A message that was forgotten is refused as the user chose, and told of.
pub async fn dropping_unanswered_is_told(setting: Setting) {
    let on_drop = OnDrop::Reject(RejectReason::UnspecifiedError);
    let (client, mut inbox) = window_of_two(&setting, AckMode::Manual { on_drop }).await;
    let mut events = client.events();
    let _publisher = publish_three_and_one(&setting, QoS::AtLeastOnce).await;
    drop((receive(&mut inbox).await, receive(&mut inbox).await));
    let mut rest = [receive(&mut inbox).await, receive(&mut inbox).await].map(|message| {
        let text = text(&message).to_owned();
        message.ack();
        text
    });
    rest.sort();
    assert_eq!(rest, ["3", "marker"]);
    let subscription = inbox.id();
    // A window that is full may be told of as well.
    let told = std::iter::from_fn(|| events.try_recv());
    let told = told.filter(|event| *event == Event::Unanswered { subscription });
    assert_eq!(told.count(), 2);
}

/// A handler acknowledges when it is done, and one that is cancelled leaves its message with the subscription.
pub async fn handling_acknowledges(setting: Setting) {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (client, mut inbox) = window_of_two(&setting, AckMode::OnTake).await;
        let publisher = publish_three_and_one(&setting, qos).await;
        {
            let mut begun = 0;
            let mut stuck = pin!(inbox.handle_each(|_| {
                begun += 1;
                pending::<()>()
            }));
            let held = client.clone();
            let full = super::eventually("the window is full", move || {
                held.statistics().held_messages == 2
            });
            super::watched(full, stuck.as_mut()).await;
        }
        let seen = Mutex::new(Vec::new());
        let handler = async |message: Message| {
            seen.lock().unwrap().push(text(&message).to_owned());
            publisher.publish("seen", message.payload()).await.unwrap();
            match text(&message) {
                "2" => Err(RejectReason::ImplementationSpecificError),
                "end" => {
                    client.unsubscribe("w/#").await.unwrap();
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        publisher.publish("w/a", "end").qos(qos).await.unwrap();
        inbox.handle_each(handler).await;
        let seen = seen.into_inner().unwrap();
        let numbers: Vec<_> = seen.iter().filter(|text| text.len() < 4).collect();
        assert_eq!(numbers, ["1", "2", "3", "end"], "{qos:?}");
        assert_eq!(client.statistics().held_messages, 0);
    }
}
