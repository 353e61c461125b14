//! What is as before on the next connection, and what is not.

use super::executor::{Task, now};
use super::session_loss::published;
use super::subscribe::{suback, subscribe, topics};
use super::{Link, Peer, accepted, acknowledgement, connack, disconnect, reconnecting, scripted};
use crate::{
    Async, Backoff, ConnectionErrorKind, Event, Events, Filter, KeepAlive, QoS, ReasonCode,
    Reconnect, Redirects, RetainHandling, Retry, State,
};
use core::time::Duration;
use mqtt5_broker::{Broker, Config};
use mqtt5_proto::packet::Disconnect;
use mqtt5_proto::{Packet, Properties, Property};

const SECOND: Duration = Duration::from_secs(1);

/// A client that tries again after so many seconds.
fn after(seconds: u64) -> Reconnect {
    Reconnect::default()
        .backoff(Backoff::constant(Duration::from_secs(seconds)))
        .retry_first(true)
}

fn told<T>(events: &mut Events, look: impl FnMut(Event) -> Option<T>) -> Vec<T> {
    core::iter::from_fn(|| events.try_recv())
        .filter_map(look)
        .collect()
}

/// T85: each attempt that fails is told with its reason, and so is the one that succeeds.
#[test]
fn each_failure_is_told() {
    let (client, mut link) =
        Link::new::<Async>(reconnecting().reconnect(after(1)), Peer::Unreachable);
    let mut events = client.events();
    link.pass(Duration::from_millis(10_500));
    link.peer = Peer::Refusing;
    link.pass(SECOND);
    link.peer = Peer::Script(Vec::new());
    link.reconnect();
    link.send(accepted(false));
    assert!(client.is_connected());
    let kinds = told(&mut events, |event| match event {
        Event::ConnectFailed(error) => Some(Some(error.kind())),
        Event::Connected(_) => Some(None),
        _ => None,
    });
    let dial = ConnectionErrorKind::Dial;
    assert_eq!(kinds[0], Some(ConnectionErrorKind::TimedOut));
    assert!(kinds.len() >= 3 && kinds[1] == Some(dial), "{kinds:?}");
    assert!(kinds[..kinds.len() - 1].iter().all(Option::is_some));
    assert_eq!(kinds[kinds.len() - 1], None);
}

/// T86, T89: what has stopped, by itself or on request, is over; a client that is made after it finds the session that was left.
#[test]
fn another_client_goes_on_where_one_has_stopped() {
    let peer = Peer::Broker(Box::new(Broker::new(Config::default())));
    let (first, mut link) = Link::new::<Async>(reconnecting(), peer);
    link.run();
    subscribe(&mut link, first.subscribe("kept")).detach();
    let mut bye = Task::new(first.disconnect().session_expiry_interval(60));
    assert!(bye.is_pending());
    link.run();
    assert!(bye.woken().is_ok() && link.finished);
    link.pass(30 * SECOND);
    assert_eq!(first.state(), State::Stopped);

    let broker = core::mem::replace(&mut link.peer, Peer::Unreachable);
    let options = reconnecting().resume(crate::Resume::AssumeSession);
    let options = options.declare("kept");
    let (second, mut next) = Link::new::<Async>(options, broker);
    next.clock = link.clock.clone();
    next.run();
    assert!(second.connection().expect("connected").session_present());
    let mut kept = second.declared("kept").expect("declared");
    now(second.publish("kept", "x")).expect("accepted");
    next.run();
    assert_eq!(topics(&mut kept), ["kept"]);
    assert!(now(first.publish("kept", "x")).is_err(), "it is over");
}

/// Whatever still comes of an earlier attempt is not about the present one: neither its end nor its bytes.
#[test]
fn pitfall_9_an_earlier_connection_does_not_touch_the_next() {
    let (client, mut link) = scripted(reconnecting().reconnect(after(1)), Properties::EMPTY);
    let earlier = link.attempt.expect("an attempt");
    let mut publish = Task::new(client.publish("a", "x").qos(QoS::AtLeastOnce));
    assert!(publish.is_pending());
    let (id, _, _) = published(&mut link);
    // The reader has half of a PUBACK in its buffer, and the writer has not written what is in its own.
    let mut incoming = core::mem::take(&mut link.incoming);
    link.driver.turn_read(&mut incoming, &link.waker);
    incoming.space()[..3].copy_from_slice(&[0x40, 2, 0]);
    incoming.filled(3);
    drop(client.publish("a", "never").try_publish().expect("room"));
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    assert!(turn.action.is_none() && !link.outgoing.is_empty());
    let outgoing = core::mem::replace(&mut link.outgoing, mqtt5_proto::Outgoing::new());

    link.cut();
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    assert!(link.driver.turn_read(&mut incoming, &link.waker));
    (link.incoming, link.outgoing) = (incoming, outgoing);
    link.send(accepted(true));
    assert!(client.is_connected());
    assert_eq!(published(&mut link), (id, true, "x".into()));
    let mut events = client.events();
    let present = link.attempt.expect("an attempt");
    assert_ne!(present, earlier);
    assert!(!link.driver.handle_dialed(earlier));
    link.driver.handle_dial_failed(earlier, super::dial_error());
    link.driver.handle_closed(earlier);
    link.run();
    assert!(client.is_connected() && link.attempt == Some(present));
    assert_eq!(events.try_recv(), None);
    let success = acknowledgement(id, ReasonCode::SUCCESS);
    link.send(Packet::Puback(success));
    assert!(publish.woken().is_ok());
    assert_eq!(client.statistics().protocol_errors, 0);
}

/// T91: who is told that the server has moved may name another one, in time for the next attempt.
#[test]
fn servers_are_named_when_the_server_has_moved() {
    let policy = after(1).on_reason(ReasonCode::SERVER_MOVED, Retry::Backoff);
    let (client, mut link) = scripted(reconnecting().reconnect(policy), Properties::EMPTY);
    let mut events = client.events();
    link.dialed.clear();
    link.send(disconnect(ReasonCode::SERVER_MOVED));
    let reasons = told(&mut events, |event| match event {
        Event::Disconnected(error) => error.reason_code(),
        _ => None,
    });
    assert_eq!(reasons, [ReasonCode::SERVER_MOVED]);
    client.set_servers(["mqtt://new:7"]).expect("valid");
    for _ in 0..2 {
        link.reconnect();
        link.sent_types();
        link.send(accepted(true));
        link.cut();
    }
    assert_eq!(link.dialed, ["mqtt://new:7"; 2], "for good");
}

/// T126: everything that was asked for with a filter is asked for again, under an identifier that nothing else has.
#[test]
fn a_resubscription_keeps_every_option() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let strict = Filter::new("strict")
        .qos(QoS::ExactlyOnce)
        .no_local(true)
        .retain_as_published(true)
        .retain_handling(RetainHandling::DoNotSend);
    let plain = Filter::new("plain").retain_handling(RetainHandling::SendAtSubscribeIfNew);
    let asked = |link: &mut Link| {
        link.sent(|packet| match packet {
            Packet::Subscribe(packet) => {
                let filters: Vec<_> = packet
                    .filters
                    .iter()
                    .map(|f| {
                        let handling = f.retain_handling;
                        let name = f.filter.as_str().to_owned();
                        (name, f.qos, f.no_local, f.retain_as_published, handling)
                    })
                    .collect();
                let (k, v) = packet.properties.user_properties().next().expect("one");
                (
                    packet.packet_id.value(),
                    (k.to_owned(), v.to_owned(), filters),
                )
            }
            packet => panic!("{packet:?}"),
        })
    };
    let mut task = Task::new(client.subscribe(strict).and(plain).user_property("k", "v"));
    assert!(task.is_pending());
    let (id, before) = asked(&mut link);
    let granted = [ReasonCode::GRANTED_QOS_2, ReasonCode::GRANTED_QOS_0];
    suback(&mut link, id, &granted);
    let _subscription = task.woken().expect("granted");
    assert_eq!(
        before.2,
        [
            (
                "strict".to_owned(),
                QoS::ExactlyOnce,
                true,
                true,
                RetainHandling::DoNotSend
            ),
            (
                "plain".to_owned(),
                QoS::AtMostOnce,
                false,
                false,
                RetainHandling::SendAtSubscribeIfNew
            ),
        ]
    );
    let mut open = Task::new(client.publish("a", "x").qos(QoS::AtLeastOnce));
    assert!(open.is_pending());
    published(&mut link);
    for _ in 0..2 {
        link.resume(false);
        let (id, again) = asked(&mut link);
        assert_eq!(again, before);
        let (other, _, _) = published(&mut link);
        assert_ne!(id, other);
        suback(&mut link, id, &granted);
        assert!(link.sent_types().is_empty());
    }
}

/// T131: a session is there for its time, and not longer; what was subscribed in it goes on in both cases.
#[test]
fn a_session_lives_as_long_as_was_said() {
    for (away, is_there) in [(5, true), (20, false)] {
        let options = reconnecting()
            .session_expiry_interval(10)
            .reconnect(after(away));
        let peer = Peer::Broker(Box::new(Broker::new(Config::default())));
        let (client, mut link) = Link::new::<Async>(options, peer);
        link.run();
        let mut subscription = subscribe(&mut link, client.subscribe("a").qos(QoS::AtLeastOnce));
        link.cut();
        link.reconnect();
        link.run();
        let info = client.connection().expect("connected");
        assert_eq!(info.session_present(), is_there, "{away} s");
        assert_eq!(client.statistics().sessions_lost, u64::from(!is_there));
        let mut publish = Task::new(client.publish("a", "x").qos(QoS::AtLeastOnce));
        assert!(publish.is_pending());
        link.run();
        assert!(publish.woken().is_ok());
        assert_eq!(topics(&mut subscription), ["a"]);
    }
}

/// T149: keep alive begins anew with each connection, and asks nothing in between.
#[test]
fn keep_alive_begins_anew_with_each_connection() {
    let keep_alive = KeepAlive::seconds(10).expect("not zero");
    let options = reconnecting().keep_alive(keep_alive).reconnect(after(4));
    let (client, mut link) = scripted(options, Properties::EMPTY);
    for _ in 0..3 {
        link.pass(Duration::from_millis(7_499));
        assert!(link.sent_types().is_empty());
        link.pass(Duration::from_millis(1));
        assert_eq!(link.sent_types(), ["PINGREQ"]);
        // It is not answered: what it was waiting for ends with the connection.
        link.pass(SECOND);
        link.resume(true);
        assert!(client.is_connected());
    }
    link.pass(Duration::from_millis(7_500));
    assert_eq!(link.sent_types(), ["PINGREQ"]);
    link.send(Packet::Pingresp);
    link.pass(5 * SECOND);
    assert!(client.is_connected());
}

/// HB-29, E9: two servers that send the client to each other a hundred times do not keep it busy: after three it is back at the server
/// that it knows, and each costs the backoff.
#[test]
fn hb_29_a_circle_of_redirects_ends() {
    let policy = after(10).redirects(Redirects::follow());
    let (client, mut link) = scripted(reconnecting().reconnect(policy), Properties::EMPTY);
    let mut events = client.events();
    link.dialed.clear();
    let (began, mut followed) = (link.now(), Vec::new());
    for hop in 0..100 {
        let reference = ["169.254.169.254", "127.0.0.1"][hop % 2];
        let properties = [Property::ServerReference(reference)];
        link.send(Packet::Disconnect(Disconnect {
            reason: ReasonCode::USE_ANOTHER_SERVER,
            properties: Properties::new(&properties).expect("valid"),
        }));
        followed.extend(told(&mut events, |event| match event {
            Event::Redirected { followed, .. } => Some(followed),
            _ => None,
        }));
        link.reconnect();
        link.sent_types();
        link.send(accepted(true));
    }
    assert_eq!(followed.len(), 100, "each is told");
    for (row, dialed) in followed.chunks(4).zip(link.dialed.chunks(4)) {
        assert_eq!(row, [true, true, true, false]);
        assert_eq!(dialed[3], "mqtt://server:1883");
    }
    let lasted = link.now().saturating_duration_since(began);
    assert!(lasted >= 100 * 10 * SECOND, "{lasted:?}");
}

/// HB-29: nothing weaker, unknown or nonsensical is dialed for a redirect, and the client goes on with the server that it has.
#[test]
fn hb_29_references_that_lead_nowhere_are_not_followed() {
    for reference in ["mqtt://b", "ws://127.0.0.1:1", "file:///etc", "x://b", ""] {
        let options = crate::Options::new("mqtts://server").client_id("me");
        let policy = after(1).redirects(Redirects::follow());
        let (client, mut link) = scripted(options.reconnect(policy), Properties::EMPTY);
        let mut events = client.events();
        link.dialed.clear();
        let properties = [Property::ServerReference(reference)];
        link.send(Packet::Disconnect(Disconnect {
            reason: ReasonCode::USE_ANOTHER_SERVER,
            properties: Properties::new(&properties).expect("valid"),
        }));
        let followed = told(&mut events, |event| match event {
            Event::Redirected { followed, .. } => Some(followed),
            _ => None,
        });
        assert_eq!(followed, [false], "{reference}");
        link.reconnect();
        assert_eq!(link.dialed, ["mqtts://server:8883"], "{reference}");
    }
}

/// T141: however often the connection breaks, what was not acknowledged is sent once on each, and not after it was.
#[test]
fn what_was_cut_off_is_sent_once_on_each_connection() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let mut publish = Task::new(client.publish("a", "x").qos(qos));
        assert!(publish.is_pending());
        let (id, dup, _) = published(&mut link);
        assert!(!dup);
        for _ in 0..3 {
            link.resume(true);
            assert_eq!(published(&mut link), (id, true, "x".into()));
            link.pass(20 * SECOND);
            assert!(link.sent_types().is_empty(), "[MQTT-4.4.0-1]");
        }
        let success = acknowledgement(id, ReasonCode::SUCCESS);
        link.send(match qos {
            QoS::ExactlyOnce => Packet::Pubrec(success),
            _ => Packet::Puback(success),
        });
        link.sent_types();
        link.resume(true);
        if qos == QoS::ExactlyOnce {
            assert_eq!(link.sent_types(), ["PUBREL"]);
            let success = acknowledgement(id, ReasonCode::SUCCESS);
            link.send(Packet::Pubcomp(success));
        }
        assert!(publish.woken().is_ok());
        link.resume(true);
        assert!(link.sent_types().is_empty(), "it is over");
    }
}

/// T128: a server that says nothing about itself supports everything, and nothing is known without a connection.
#[test]
fn what_a_server_can_is_known_while_it_is_there() {
    let (client, mut link) = Link::new::<Async>(reconnecting(), Peer::Script(Vec::new()));
    assert!(client.connection().is_none());
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(accepted(false));
    let info = client.connection().expect("connected");
    assert_eq!(info.maximum_qos(), QoS::ExactlyOnce);
    assert_eq!(info.maximum_packet_size(), None);
    assert_eq!(
        (info.receive_maximum(), info.topic_alias_maximum()),
        (65_535, 0)
    );
    assert!(info.retain_available() && info.wildcard_subscription_available());
    assert!(info.subscription_identifier_available() && info.shared_subscription_available());
    assert_eq!(info.response_information(), None);
    assert_eq!(
        (info.server_reference(), info.assigned_client_id()),
        (None, None)
    );
    assert_eq!(
        (info.keep_alive(), info.session_expiry_interval()),
        (60, 300)
    );
    link.cut();
    assert!(client.connection().is_none());
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    let said = [
        Property::MaximumQoS(0),
        Property::ResponseInformation("r/"),
        Property::ServerReference("elsewhere"),
        Property::SubscriptionIdentifierAvailable(false),
        Property::SessionExpiryInterval(9),
    ];
    link.dialed.clear();
    link.send(connack(Properties::new(&said).expect("valid")));
    let info = client.connection().expect("connected");
    assert_eq!(info.maximum_qos(), QoS::AtMostOnce);
    assert_eq!(info.response_information(), Some("r/"));
    assert_eq!(info.server_reference(), Some("elsewhere"));
    assert!(!info.subscription_identifier_available());
    assert_eq!(info.session_expiry_interval(), 9);
    link.pass(20 * SECOND);
    assert!(
        client.is_connected() && link.dialed.is_empty(),
        "a reference in a CONNACK that accepts is not followed"
    );
}
