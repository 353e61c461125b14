//! Shared Subscriptions, seen through a real broker (4.8.2).

mod interop;

use std::net::SocketAddr;

use interop::{EVERY_QOS, Peer, Received, filter, lasting, properties, texts};
use mqtt5_proto::packet::Connect;
use mqtt5_proto::{DisconnectReason, Property, QoS, RejectReason};
use mqtt5_testkit::Mosquitto;

const SHARED: &str = "$share/group/t";

/// One message on its way to one of two members of a group, neither of which acknowledges by itself.
struct Exchange {
    address: SocketAddr,
    message: Received,
    chosen: Peer,
    /// The Client Identifier of the chosen one.
    client_id: &'static str,
    other: Peer,
}

impl Exchange {
    #[track_caller]
    fn begin(address: SocketAddr, qos: QoS) -> Self {
        let [mut first, mut second] = ["first", "second"].map(|client_id| {
            let mut member = Peer::new(address);
            member.connect(&Connect {
                clean_start: true,
                ..lasting(client_id)
            });
            member.subscribe(&[filter(SHARED, QoS::ExactlyOnce)]);
            member.hold(true);
            member
        });
        say(address, qos, "for one of you");
        let arrived = [first.settled(), second.settled()];
        let (chosen, client_id, other) = if arrived[0].is_empty() {
            (second, "second", first)
        } else {
            (first, "first", second)
        };
        let arrived = arrived.concat();
        assert_eq!(texts(&arrived), ["for one of you"]);
        assert_eq!(arrived[0].qos(), qos);
        Self {
            address,
            message: arrived[0].clone(),
            chosen,
            client_id,
            other,
        }
    }

    /// Takes the session up again, and acknowledges from now on.
    #[track_caller]
    fn reconnect(&mut self) {
        self.chosen.hold(false);
        let accepted = self.chosen.connect(&lasting(self.client_id));
        assert!(accepted.session_present);
    }

    /// Nobody gets the message any more, and the group gets the next one.
    #[track_caller]
    fn assert_over(mut self) {
        self.chosen.assert_nothing();
        self.other.assert_nothing();
        say(self.address, QoS::AtMostOnce, "the next");
        let next = [self.chosen.settled(), self.other.settled()].concat();
        assert_eq!(texts(&next), ["the next"]);
    }
}

#[track_caller]
fn say(address: SocketAddr, qos: QoS, payload: &str) {
    let mut publisher = Peer::connected(address, "publisher");
    publisher.say("t", qos, payload);
    publisher.cut();
}

#[test]
fn granted_qos_is_respected() {
    const MESSAGES: usize = 6;
    let broker = Mosquitto::start();
    let mut members = EVERY_QOS.map(|granted| {
        let mut member = Peer::new(broker.addr());
        member.connect(&Connect::new(["zero", "one", "two"][granted as usize]));
        let alone = format!("$share/group-{}/t", granted as u8);
        member.subscribe(&[filter(SHARED, granted), filter(&alone, granted)]);
        (granted, member)
    });
    for published in EVERY_QOS {
        for _ in 0..MESSAGES {
            say(broker.addr(), published, "x");
        }
        let mut of_the_group = 0;
        for (granted, member) in &mut members {
            let received = member.settled();
            let expected = published.min(*granted);
            assert!(received.iter().all(|message| message.qos() == expected));
            // Everything comes to the group of which it is the only member, and its part of the other one.
            of_the_group += received.len() - MESSAGES;
        }
        assert_eq!(of_the_group, MESSAGES);
    }
}

#[test]
fn delivery_is_completed_after_reconnecting() {
    let broker = Mosquitto::start();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut exchange = Exchange::begin(broker.addr(), qos);
        exchange.chosen.cut();
        exchange.other.assert_nothing();
        exchange.chosen.forget(&exchange.message);
        exchange.reconnect();
        let again = exchange.chosen.receive();
        assert_eq!(again.text(), "for one of you");
        assert_eq!((again.qos(), again.delivery().dup()), (qos, true));
        assert_eq!(again.packet_id(), exchange.message.packet_id());
        exchange.chosen.wait_until_finished();
        exchange.assert_over();
    }
}

#[test]
fn delivery_is_completed_after_reconnecting_from_pubrec_on() {
    let broker = Mosquitto::start();
    let mut exchange = Exchange::begin(broker.addr(), QoS::ExactlyOnce);
    exchange.chosen.ack(&exchange.message);
    exchange.chosen.cut();
    exchange.other.assert_nothing();
    exchange.reconnect();
    // Ends with the PUBREL of the broker, without the message.
    exchange.chosen.wait_until_finished();
    exchange.assert_over();
}

#[test]
fn terminated_session_sends_its_qos_2_to_nobody_else() {
    let broker = Mosquitto::start();

    let mut exchange = Exchange::begin(broker.addr(), QoS::ExactlyOnce);
    exchange.chosen.cut();
    let accepted = exchange.chosen.connect(&Connect::new(exchange.client_id));
    assert!(!accepted.session_present);
    exchange.assert_over();

    let mut exchange = Exchange::begin(broker.addr(), QoS::ExactlyOnce);
    let at_once = [Property::SessionExpiryInterval(0)];
    let normal = DisconnectReason::Normal;
    exchange.chosen.disconnect(normal, properties(&at_once));
    exchange.other.assert_nothing();
    let accepted = exchange.chosen.connect(&lasting(exchange.client_id));
    assert!(!accepted.session_present);
    exchange.assert_over();
}

#[test]
fn rejected_message_goes_to_nobody_else() {
    let broker = Mosquitto::start();
    for (qos, reason) in [
        (QoS::AtLeastOnce, RejectReason::UnspecifiedError),
        (QoS::AtLeastOnce, RejectReason::NotAuthorized),
        (QoS::ExactlyOnce, RejectReason::UnspecifiedError),
        (QoS::ExactlyOnce, RejectReason::QuotaExceeded),
    ] {
        let mut exchange = Exchange::begin(broker.addr(), qos);
        exchange.chosen.reject(&exchange.message, reason);
        exchange.chosen.assert_nothing();
        exchange.other.assert_nothing();
        exchange.chosen.cut();
        exchange.reconnect();
        exchange.assert_over();
    }
}
