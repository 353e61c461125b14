//! Operations before there is a connection.

use super::executor::{Task, now};
use super::{Link, Peer, accepted, connack, dial_error, options, room_for};
use crate::driver::Attempt;
use crate::{
    Async, Bound, Client, Offline, Options, Progress, PublishErrorKind as Kind, QoS,
    SubscribeErrorKind, UnsubscribeErrorKind,
};
use core::time::Duration;
use mqtt5_proto::packet::{Acknowledgement, Connack};
use mqtt5_proto::{Packet, Properties, Property, ReasonCode};

fn dialing(options: Options) -> (Client, Link) {
    let (client, mut link) = Link::new::<Async>(options, Peer::Unreachable);
    link.run();
    (client, link)
}

fn reach(link: &mut Link) {
    link.peer = Peer::Script(Vec::new());
    assert!(link.driver.handle_dialed(Attempt::NONE.next()));
    link.attempt = Some(Attempt::NONE.next());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(connack(Properties::EMPTY));
}

#[test]
fn qos_0_fails_and_the_others_wait_in_order() {
    let (client, mut link) = dialing(options());
    assert_eq!(
        now(client.publish("t", "0")).map_err(|error| error.kind()),
        Err(Kind::NotConnected)
    );
    let mut waiting: Vec<_> = (0..3)
        .map(|i| Task::new(client.publish("t", i.to_string()).qos(QoS::AtLeastOnce)))
        .collect();
    assert!(waiting.iter_mut().all(Task::is_pending));
    let mut subscribe = Task::new(client.subscribe("a/#"));
    assert!(subscribe.is_pending());
    assert_eq!(client.statistics().waiting_publishes, 3);
    reach(&mut link);
    assert_eq!(link.sent(|packet| packet.packet_type().name()), "SUBSCRIBE");
    for expected in [b"0", b"1", b"2"] {
        link.sent(|packet| {
            assert!(matches!(packet, Packet::Publish(publish) if publish.payload == expected));
        });
    }
    assert_eq!(client.statistics().waiting_publishes, 0);
}

/// [MQTT-3.1.4-6], [MQTT-3.2.2-7]: what waits for a connection that is refused never leaves.
#[test]
fn a_refusal_ends_what_waits_unsent() {
    let (client, mut link) = Link::new::<Async>(options(), Peer::Script(Vec::new()));
    let publish = |qos| Task::new(client.publish("t", "x").qos(qos));
    let mut waiting = [QoS::AtLeastOnce, QoS::ExactlyOnce].map(publish);
    assert!(waiting.iter_mut().all(Task::is_pending));
    let mut subscribe = Task::new(client.subscribe("a"));
    assert!(subscribe.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(Packet::Connack(Connack {
        session_present: false,
        reason: ReasonCode::NOT_AUTHORIZED,
        properties: Properties::EMPTY,
    }));
    for publish in &mut waiting {
        let result = publish.woken().map_err(|error| error.kind());
        assert_eq!(result, Err(Kind::NotSent));
    }
    assert!(subscribe.woken().is_err());
    assert!(link.finished && link.sent_types().is_empty());
}

/// The first connection is asked of every server, by a client that has only one connection too: what one of them refuses is not the end.
#[test]
fn what_waits_for_the_first_connection_waits_for_every_server() {
    let options = options().server("mqtt://other");
    let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
    let mut publish = Task::new(client.publish("t", "x").qos(QoS::AtLeastOnce));
    let mut subscribe = Task::new(client.subscribe("a"));
    assert!(publish.is_pending() && subscribe.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(Packet::Connack(Connack {
        session_present: false,
        reason: ReasonCode::NOT_AUTHORIZED,
        properties: Properties::EMPTY,
    }));
    link.reconnect();
    assert_eq!(link.dialed, ["mqtt://server:1883", "mqtt://other:1883"]);
    assert!(publish.is_pending() && subscribe.is_pending());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(accepted(false));
    assert_eq!(link.sent_types(), ["SUBSCRIBE", "PUBLISH"]);
}

#[test]
fn nobody_overtakes_those_that_still_wait() {
    let (client, mut link) = dialing(options());
    let publish = |number: u32| {
        now(client
            .publish("t", number.to_string())
            .qos(QoS::AtLeastOnce)
            .start())
    };
    let kept: Vec<_> = (0..1_100)
        .map(|number| publish(number).expect("kept"))
        .collect();
    link.peer = Peer::Script(Vec::new());
    assert!(link.driver.handle_dialed(Attempt::NONE.next()));
    link.attempt = Some(Attempt::NONE.next());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    let limits = [Property::ReceiveMaximum(1)];
    link.send(connack(Properties::new(&limits).expect("valid")));
    let late = publish(1_100).expect("accepted");
    assert_eq!(late.progress(), Progress::Waiting);
    for number in 0..=1_100_u32 {
        let expected = number.to_string();
        let id = link.sent(|packet| match packet {
            Packet::Publish(publish) if publish.payload == expected.as_bytes() => {
                publish.delivery.packet_id()
            }
            packet => panic!("{packet:?} instead of {expected}"),
        });
        link.send(Packet::Puback(Acknowledgement::new(
            id.expect("QoS 1"),
            ReasonCode::SUCCESS,
        )));
    }
    assert!(
        kept.into_iter()
            .chain([late])
            .all(|delivery| now(delivery).is_ok())
    );
}

#[test]
fn both_policies_can_be_asked_for() {
    let (client, mut link) = dialing(
        options()
            .offline_qos0(Offline::Wait)
            .offline_qos12(Offline::Fail)
            .offline_subscribe(Offline::Fail),
    );
    let mut zero = Task::new(client.publish("t", "0"));
    assert!(zero.is_pending());
    assert_eq!(
        now(client.publish("t", "1").qos(QoS::AtLeastOnce)).map_err(|error| error.kind()),
        Err(Kind::NotConnected)
    );
    assert_eq!(
        now(client.subscribe("t"))
            .map(drop)
            .map_err(|error| error.kind()),
        Err(SubscribeErrorKind::NotConnected)
    );
    assert_eq!(
        now(client.unsubscribe("t")).map_err(|error| error.kind()),
        Err(UnsubscribeErrorKind::NotConnected)
    );
    reach(&mut link);
    assert!(zero.woken().is_ok());
}

/// T132: bounds of any size.
#[test]
fn the_queue_is_bounded_in_messages_and_in_bytes() {
    for (bound, payload, fits) in [
        (room_for(3), 10, 3),
        (
            Bound {
                messages: 100,
                bytes: 4_000,
            },
            900,
            4,
        ),
    ] {
        let (client, mut link) = dialing(options().offline_queue(bound));
        let publish = || client.publish("t", vec![0; payload]).qos(QoS::AtLeastOnce);
        let kept: Vec<_> = (0..fits)
            .map(|_| publish().try_publish().expect("room"))
            .collect();
        assert_eq!(
            publish()
                .try_publish()
                .map(drop)
                .map_err(|error| error.kind()),
            Err(Kind::WouldBlock)
        );
        let mut waits: Vec<_> = (0..2).map(|_| Task::new(publish().start())).collect();
        assert!(waits.iter_mut().all(Task::is_pending));
        assert!(kept.into_iter().next().expect("one").withdraw().is_ok());
        assert!(
            waits.iter().all(|task| task.flag.take() == 1),
            "all that wait for room are woken"
        );
        assert!(waits[0].poll().is_ready() && waits[1].is_pending());
        let too_large = client
            .publish("t", vec![0; bound.bytes])
            .qos(QoS::AtLeastOnce);
        assert_eq!(
            now(too_large).map_err(|error| error.kind()),
            Err(Kind::TooLarge)
        );
        reach(&mut link);
        assert!(waits[1].woken().is_ok());
    }
}

#[test]
fn a_cancelled_waiter_swallows_no_wake_up() {
    let (client, _link) = dialing(options().offline_queue(room_for(1)));
    let publish = || client.publish("t", "x").qos(QoS::AtLeastOnce);
    let kept = publish().try_publish().expect("room");
    let (mut first, mut second) = (Task::new(publish().start()), Task::new(publish().start()));
    assert!(first.is_pending() && second.is_pending());
    assert!(kept.withdraw().is_ok());
    drop(first);
    assert!(second.woken().is_ok());
}

#[test]
fn waiting_ends_with_the_timeout_with_expiry_and_with_the_client() {
    let (client, mut link) = dialing(options().connect_timeout(Duration::from_secs(60)));
    let publish = || client.publish("t", "x").qos(QoS::AtLeastOnce);
    let mut timed = Task::new(publish().timeout(Duration::from_secs(2)));
    let mut expiring = Task::new(publish().message_expiry(Duration::from_secs(5)));
    let mut fresh = Task::new(publish().message_expiry(Duration::from_secs(50)));
    assert!(timed.is_pending() && expiring.is_pending() && fresh.is_pending());
    link.pass(Duration::from_secs(2));
    assert_eq!(
        timed.woken().map_err(|error| error.kind()),
        Err(Kind::TimedOut)
    );
    assert_eq!(client.statistics().waiting_publishes, 2);
    link.pass(Duration::from_millis(3_500));
    reach(&mut link);
    assert_eq!(
        expiring.woken().map_err(|error| error.kind()),
        Err(Kind::Expired)
    );
    link.sent(|packet| assert!(matches!(packet, Packet::Publish(publish) if publish.properties.message_expiry_interval() == Some(45))));

    let (client, link) = dialing(options());
    let mut publish = Task::new(client.publish("t", "x").qos(QoS::AtLeastOnce));
    let mut subscribe = Task::new(client.subscribe("t"));
    let delivery = now(client.publish("t", "y").qos(QoS::ExactlyOnce).start()).expect("kept");
    assert_eq!(delivery.progress(), Progress::Waiting);
    assert!(publish.is_pending() && subscribe.is_pending());
    link.driver
        .handle_dial_failed(Attempt::NONE.next(), dial_error());
    assert_eq!(
        publish.woken().map_err(|error| error.kind()),
        Err(Kind::NotSent)
    );
    assert_eq!(
        subscribe.woken().map(drop).map_err(|error| error.kind()),
        Err(SubscribeErrorKind::Closed)
    );
    assert_eq!(
        now(delivery).map_err(|error| error.kind()),
        Err(Kind::NotSent)
    );
}

#[test]
fn properties_count_for_the_bound_of_the_queue() {
    let bound = Bound {
        messages: 100,
        bytes: 1_000,
    };
    let (client, _link) = dialing(options().offline_queue(bound));
    let publish = |length| {
        let value = "x".repeat(length);
        let publish = client.publish("t", "").user_property("k", &value);
        publish
            .qos(QoS::AtLeastOnce)
            .try_publish()
            .map_err(|error| error.kind())
    };
    assert_eq!(publish(1_000).map(drop), Err(Kind::TooLarge));
    let kept = publish(500).expect("room");
    assert_eq!(publish(500).map(drop), Err(Kind::WouldBlock));
    assert!(kept.withdraw().is_ok() && publish(500).is_ok());
}
