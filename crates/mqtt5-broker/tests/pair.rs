//! The client machine opposite the broker machine in virtual time, on growable storage and on storage of fixed capacity:
//! a scripted exchange at each QoS, with the link cut into chunks of every size.

#[path = "pair/face.rs"]
mod face;
#[path = "pair/link.rs"]
mod link;

use face::{Embedded, Fixed, Told};
use link::Pair;
use mqtt5_broker::Config;
use mqtt5_proto::{QoS, ReasonCode};

const EACH: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Publishes to itself at `qos` over links of different granularity; the same things must happen.
fn round_trip<C: Embedded>(qos: QoS) {
    let mut transcripts = Vec::new();
    for chunk in [1, 2, 3, 7, 64, usize::MAX] {
        let mut pair = Pair::<C>::new(Config::default(), chunk);
        pair.connect();
        pair.drive();
        let subscribe = pair.subscribe("sensors/+", QoS::ExactlyOnce);
        pair.drive();
        assert_eq!(
            pair.take_told(),
            [Told::Connected, Told::Answered(subscribe, vec![2])]
        );

        let publish = pair.publish("sensors/a", qos, b"22.5");
        pair.drive();
        let mut told = pair.take_told();
        let message = Told::Message("sensors/a".into(), b"22.5".to_vec(), qos, None);
        assert_eq!(
            told.iter().filter(|t| **t == message).count(),
            1,
            "{told:?}"
        );
        if qos != QoS::AtMostOnce {
            let delivered = Told::Delivered(publish, ReasonCode::SUCCESS);
            assert_eq!(
                told.iter().filter(|t| **t == delivered).count(),
                1,
                "{told:?}"
            );
        }
        told.sort_by_key(|told| format!("{told:?}"));
        transcripts.push(told);

        pair.assert_idle();
        pair.disconnect();
        pair.drive();
        assert_eq!(
            pair.take_told(),
            [Told::Disconnected("ended by the client".into())]
        );
        pair.assert_nothing_left();
    }
    transcripts.dedup();
    assert_eq!(
        transcripts.len(),
        1,
        "chunking changed what happened: {transcripts:?}"
    );
}

#[test]
fn a_message_at_each_qos_on_growable_storage() {
    for qos in EACH {
        round_trip::<mqtt5_proto::Client>(qos);
    }
}

#[test]
fn a_message_at_each_qos_on_fixed_storage() {
    for qos in EACH {
        round_trip::<Fixed>(qos);
    }
}

/// More messages than either Receive Maximum, both ways at once: all arrive, in order, and nothing is left.
fn many<C: Embedded>() {
    let mut config = Config::default();
    config.receive_maximum = 2;
    for qos in EACH {
        let mut pair = Pair::<C>::new(config_like(&config), 5);
        pair.connect();
        pair.drive();
        pair.subscribe("n", QoS::ExactlyOnce);
        pair.drive();
        pair.take_told();
        let mut received = Vec::new();
        for number in 0..50_u8 {
            pair.publish("n", qos, &[number]);
            if number % 4 == 3 {
                pair.drive();
            }
            assert!(pair.client.in_flight() <= 2, "Receive Maximum exceeded");
        }
        pair.drive();
        for told in pair.take_told() {
            if let Told::Message(_, payload, ..) = told {
                received.push(payload[0]);
            }
        }
        assert_eq!(received, (0..50).collect::<Vec<_>>(), "{qos:?}");
        pair.assert_idle();
    }
}

fn config_like(config: &Config) -> Config {
    let mut copy = Config::default();
    copy.receive_maximum = config.receive_maximum;
    copy
}

#[test]
fn flow_control_on_growable_storage() {
    many::<mqtt5_proto::Client>();
}

#[test]
fn flow_control_on_fixed_storage() {
    many::<Fixed>();
}

/// A year without a message costs PINGREQs, and no more than the Keep Alive demands.
fn a_quiet_day<C: Embedded>() {
    let mut pair = Pair::<C>::new(Config::default(), usize::MAX);
    pair.connect();
    pair.drive();
    pair.pass(core::time::Duration::from_secs(24 * 60 * 60));
    assert_eq!(pair.take_told(), [Told::Connected]);
    let sent = pair.client.packets_sent();
    // Every 55 seconds, give or take: Keep Alive is 60.
    assert!((1_440..=1_600).contains(&sent), "{sent} packets in a day");
}

#[test]
fn keep_alive_in_virtual_time() {
    a_quiet_day::<mqtt5_proto::Client>();
    a_quiet_day::<Fixed>();
}

/// Operations that are open when the link is cut end exactly once: publishes of which nothing was sent go out with the
/// next connection, as new ones.
fn cut<C: Embedded>() {
    let mut pair = Pair::<C>::new(Config::default(), usize::MAX);
    pair.connect();
    pair.drive();
    pair.take_told();
    let subscribe = pair.subscribe("n", QoS::AtMostOnce);
    let first = pair.publish("n", QoS::AtLeastOnce, b"1");
    let second = pair.publish("n", QoS::ExactlyOnce, b"2");
    pair.cut();
    pair.drive();
    let disconnected = Told::Disconnected("the transport closed".into());
    assert_eq!(pair.take_told(), [disconnected, Told::Lost(subscribe)]);
    pair.connect();
    pair.drive();
    let unmatched = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    assert_eq!(
        pair.take_told(),
        [
            Told::Connected,
            Told::Delivered(first, unmatched),
            Told::Delivered(second, unmatched),
        ]
    );
    pair.assert_idle();
}

#[test]
fn a_cut_link_ends_every_operation_once() {
    cut::<mqtt5_proto::Client>();
    cut::<Fixed>();
}
