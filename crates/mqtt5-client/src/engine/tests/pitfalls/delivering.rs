//! What a publish tells about its end, and when.

use super::super::consumers::{answers, subscribed as hearing};
use super::super::executor::{Task, now};
use super::super::session_loss::published;
use super::super::{Link, Peer, options, reconnecting, scripted};
use super::{identifiers, refusal, start, success, use_all_identifiers};
use crate::{
    Client, DisconnectErrorKind, Progress, PublishErrorKind as Kind, QoS, ReasonCode, State,
};
use core::task::Poll;
use core::time::Duration;
use mqtt5_proto::packet::{Acknowledgement, Connack};
use mqtt5_proto::{Packet, Properties};
use proptest::prelude::*;

/// Each publish has its own end, whoever else publishes the same; a QoS 2 publish ends at PUBCOMP, and how far it is can be seen. T137, S60.
#[test]
fn pitfall_15_each_publish_hears_of_its_own_end() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let other = client.clone();
    let mut accepted = Task::new(start(&client, "same", QoS::AtLeastOnce));
    let mut refused = Task::new(start(&other, "same", QoS::AtLeastOnce));
    let mut unheard = Task::new(start(&client, "same", QoS::AtLeastOnce));
    let ids = identifiers(&mut link);
    link.send(Packet::Puback(refusal(ids[1])));
    assert!(accepted.is_pending() && unheard.is_pending());
    let error = refused.done().expect_err("refused");
    assert_eq!(
        (error.kind(), error.reason_code()),
        (Kind::Rejected, Some(ReasonCode::QUOTA_EXCEEDED))
    );
    let nobody = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    link.send(Packet::Puback(Acknowledgement::new(
        super::super::id(ids[2]),
        nobody,
    )));
    assert!(accepted.is_pending());
    assert_eq!(
        unheard.done().map(|delivered| delivered.reason()),
        Ok(nobody)
    );
    link.send(Packet::Puback(success(ids[0])));
    assert_eq!(
        accepted.done().map(|delivered| delivered.reason()),
        Ok(ReasonCode::SUCCESS)
    );

    let mut delivery = start(&client, "twice", QoS::ExactlyOnce);
    let id = published(&mut link).0;
    link.send(Packet::Pubrec(success(id)));
    assert_eq!(link.sent_types(), ["PUBREL"]);
    assert_eq!(delivery.progress(), Progress::Received);
    assert!(delivery.try_outcome().is_none(), "PUBREC is not the end");
    link.send(Packet::Pubcomp(success(id)));
    assert_eq!(delivery.progress(), Progress::Complete);
    assert!(
        delivery
            .try_outcome()
            .is_some_and(|outcome| outcome.is_ok())
    );
}

/// A step in the life of a client and its publishes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(u8),
    Expiring(u8),
    Withdraw(usize),
    /// The server answers the oldest packet that waits for it, or refuses it.
    Answer(bool),
    Pass(u64),
    Resume(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_u8).prop_map(Step::Publish),
        1 => (0..3_u8).prop_map(Step::Expiring),
        1 => (0..8_usize).prop_map(Step::Withdraw),
        4 => any::<bool>().prop_map(Step::Answer),
        1 => (1..4_u64).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Resume),
    ];
    proptest::collection::vec(step, 0..40)
}

/// What the server has received and not answered.
fn answer(link: &mut Link, refuse: bool) {
    link.run();
    if !matches!(&link.peer, Peer::Script(bytes) if !bytes.is_empty()) {
        return;
    }
    let of = |id: u16| if refuse { refusal(id) } else { success(id) };
    let answer = link.sent(|packet| match packet {
        Packet::Publish(publish) => {
            let id = publish.delivery.packet_id()?.value();
            Some(match publish.delivery.qos() {
                QoS::ExactlyOnce => Packet::Pubrec(of(id)),
                _ => Packet::Puback(of(id)),
            })
        }
        Packet::Pubrel(ack) => Some(Packet::Pubcomp(success(ack.packet_id.value()))),
        _ => None,
    });
    answer.into_iter().for_each(|answer| link.send(answer));
}

fn begin(client: &Client, qos: u8, expires: bool) -> Option<crate::Delivery> {
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)];
    let publish = client.publish("a", "x").qos(qos);
    let publish = match expires {
        true => publish.message_expiry(Duration::from_secs(2)),
        false => publish,
    };
    publish.try_publish().ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens, each publish that was accepted ends once, and those that wait for it are woken. T115, T132.
    #[test]
    fn pitfall_16_each_accepted_publish_ends_once(
        steps in steps(),
        window in 1..4_u16,
        patience in any::<bool>(),
    ) {
        let limits = [mqtt5_proto::Property::ReceiveMaximum(window)];
        let (client, mut link) = scripted(reconnecting(), Properties::new(&limits).expect("valid"));
        let mut open: Vec<Task<crate::Delivery>> = Vec::new();
        let mut withdrawn = 0;
        for step in steps {
            match step {
                Step::Publish(qos) => open.extend(begin(&client, qos, false).map(Task::new)),
                Step::Expiring(qos) => open.extend(begin(&client, qos, true).map(Task::new)),
                Step::Withdraw(at) if at < open.len() => {
                    let delivery = open.remove(at).into_inner();
                    match delivery.withdraw() {
                        Ok(()) => withdrawn += 1,
                        Err(delivery) => open.push(Task::new(delivery)),
                    }
                }
                Step::Withdraw(_) => {}
                Step::Answer(refuse) => answer(&mut link, refuse),
                Step::Pass(seconds) => link.pass(Duration::from_secs(seconds)),
                Step::Resume(kept) => link.resume(kept),
            }
            for delivery in &mut open {
                // A look leaves a waker behind; whoever has ended by now says so at once and for all.
                let _ = delivery.poll();
            }
        }
        let mut disconnect = Task::new(client.disconnect());
        let _ = disconnect.poll();
        if patience {
            for _ in 0..200 {
                answer(&mut link, false);
            }
        }
        link.pass(Duration::from_secs(10));
        prop_assert_eq!(client.state(), State::Stopped);
        let mut ends = 0;
        for delivery in &mut open {
            let Poll::Ready(outcome) = delivery.poll() else {
                return Err(TestCaseError::fail("it never ends"));
            };
            prop_assert!(!patience || !matches!(outcome, Err(error) if error.kind() == Kind::NotSent));
            ends += 1;
        }
        prop_assert_eq!(ends, open.len());
        drop(open);
        let statistics = client.statistics();
        prop_assert_eq!(statistics.unacknowledged_publishes, 0);
        prop_assert_eq!(statistics.waiting_publishes, 0);
        prop_assert!(withdrawn <= 40);
    }
}

/// DISCONNECT leaves behind the last packet of what was accepted, or when its time is over. T147.
#[test]
fn pitfall_17_disconnect_does_not_overtake_an_exchange() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut delivery = Task::new(start(&client, "only", QoS::ExactlyOnce));
    let mut disconnect = Task::new(client.disconnect());
    assert!(disconnect.is_pending());
    let id = published(&mut link).0;
    link.send(Packet::Pubrec(success(id)));
    assert_eq!(link.sent_types(), ["PUBREL"]);
    link.pass(Duration::from_secs(4));
    assert!(link.sent_types().is_empty() && disconnect.is_pending());
    link.send(Packet::Pubcomp(success(id)));
    assert_eq!(link.sent_types(), ["DISCONNECT"]);
    assert!(delivery.done().is_ok() && disconnect.woken().is_ok());

    // Every kind of work is waited for, and none of it for longer than was said.
    let (client, _subscription, mut link) = hearing(reconnecting());
    let mut subscribe = Task::new(client.subscribe("b"));
    let mut delivery = Task::new(start(&client, "x", QoS::AtLeastOnce));
    let mut disconnect = Task::new(client.disconnect().drain(Duration::from_secs(1)));
    assert!(subscribe.is_pending() && delivery.is_pending() && disconnect.is_pending());
    link.pass(Duration::from_secs(1));
    assert_eq!(link.sent_types(), ["PUBLISH", "SUBSCRIBE", "DISCONNECT"]);
    let cut_short = disconnect.woken().expect_err("not all was done");
    assert_eq!(cut_short.kind(), DisconnectErrorKind::NotDrained);
    assert!(subscribe.done().is_err() && delivery.done().is_err());
    assert_eq!(client.state(), State::Stopped);
}

/// A refusal of a QoS 2 publish gives its place in the window back: a thousand of them stop nothing. D25, T52, T151.
#[test]
fn pitfall_23_refusals_leak_nothing() {
    let limits = [mqtt5_proto::Property::ReceiveMaximum(2)];
    let (client, mut link) = scripted(reconnecting(), Properties::new(&limits).expect("valid"));
    let again = |link: &mut Link| {
        link.cut();
        link.reconnect();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(Packet::Connack(Connack {
            session_present: true,
            reason: ReasonCode::SUCCESS,
            properties: Properties::new(&limits).expect("valid"),
        }));
    };
    let mut refused = 0;
    for round in 0..1_000 {
        let qos = [QoS::ExactlyOnce, QoS::AtLeastOnce][round % 2];
        let mut delivery = Task::new(start(&client, "x", qos));
        let id = published(&mut link).0;
        link.send(match qos {
            QoS::ExactlyOnce => Packet::Pubrec(refusal(id)),
            _ => Packet::Puback(refusal(id)),
        });
        refused += u64::from(delivery.done().is_err());
        if round % 100 == 99 {
            again(&mut link);
        }
    }
    assert_eq!(link.sent_types(), [""; 0]);
    let statistics = client.statistics();
    assert_eq!((refused, statistics.publishes_rejected), (1_000, 1_000));
    assert_eq!(statistics.unacknowledged_publishes, 0);
    again(&mut link);
    let _three: Vec<_> = (0..3)
        .map(|_| start(&client, "x", QoS::ExactlyOnce))
        .collect();
    assert_eq!(identifiers(&mut link).len(), 2, "the window is whole");
}

/// One set of identifiers serves all packets of a client, and its size has nothing to do with the window. [MQTT-2.2.1-3].
#[test]
fn pitfall_24_requests_and_publishes_share_the_identifiers() {
    let limits = [mqtt5_proto::Property::ReceiveMaximum(1)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let publishing = start(&client, "x", QoS::ExactlyOnce);
    let mut ids = identifiers(&mut link);
    let mut requests: Vec<_> = (0..10)
        .map(|number| Task::new(client.subscribe(format!("s/{number}"))))
        .collect();
    let mut more: Vec<_> = (0..10)
        .map(|number| Task::new(client.unsubscribe(format!("u/{number}"))))
        .collect();
    assert!(requests.iter_mut().all(Task::is_pending));
    assert!(more.iter_mut().all(Task::is_pending));
    for _ in 0..20 {
        ids.push(link.sent(|packet| match packet {
            Packet::Subscribe(packet) => packet.packet_id.value(),
            Packet::Unsubscribe(packet) => packet.packet_id.value(),
            packet => panic!("{packet:?}"),
        }));
    }
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 21, "{ids:?}");
    assert!(answers(&mut link).is_empty());
    drop(publishing);
    assert!(now(client.publish("a", "QoS 0 needs neither")).is_ok());

    // What a request has is passed over when the identifiers begin anew.
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    let (mut subscribe, mut unsubscribe) = (
        Task::new(client.subscribe("s")),
        Task::new(client.unsubscribe("u")),
    );
    assert!(subscribe.is_pending() && unsubscribe.is_pending());
    assert_eq!(link.sent_types(), ["SUBSCRIBE", "UNSUBSCRIBE"]);
    let used = use_all_identifiers(&client, &mut link);
    assert!(!used.contains(&1) && !used.contains(&2) && used.contains(&65_535));
}
