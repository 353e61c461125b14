//! The client machine opposite a broker in which one thing goes wrong: every fault at every packet. Then the client
//! connects again, and what QoS 1 and 2 promise must hold.

#[path = "pair/face.rs"]
mod face;
#[path = "pair/link.rs"]
mod link;

use std::time::Duration;

use face::{Embedded, Fixed, Told};
use link::Pair;
use mqtt5_broker::{Config, Fault, Mishap, On};
use mqtt5_proto::{Op, PacketType, QoS, ReasonCode};

const COUNT: u8 = 4;
const SECOND: Duration = Duration::from_secs(1);

/// All packets that a broker sends to such a client, and those that it receives.
const PLACES: [On; 14] = [
    On::Sent(PacketType::Connack),
    On::Sent(PacketType::Publish),
    On::Sent(PacketType::Puback),
    On::Sent(PacketType::Pubrec),
    On::Sent(PacketType::Pubrel),
    On::Sent(PacketType::Pubcomp),
    On::Sent(PacketType::Pingresp),
    On::Received(PacketType::Connect),
    On::Received(PacketType::Publish),
    On::Received(PacketType::Puback),
    On::Received(PacketType::Pubrec),
    On::Received(PacketType::Pubrel),
    On::Received(PacketType::Pubcomp),
    On::Received(PacketType::Pingreq),
];

fn mishaps() -> [Mishap; 8] {
    [
        Mishap::Drop,
        Mishap::Delay(SECOND),
        Mishap::Delay(100 * SECOND),
        Mishap::Repeat(Duration::ZERO),
        Mishap::Cut,
        Mishap::CutAfter,
        Mishap::Refuse(ReasonCode::SERVER_BUSY.into()),
        Mishap::LoseSession,
    ]
}

/// What became of the messages of one run.
#[derive(Default)]
struct Account {
    received: Vec<u8>,
    ended: Vec<Op>,
    delivered: Vec<Op>,
}

impl Account {
    fn add(&mut self, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Message(_, payload, ..) => self.received.extend(payload),
                Told::Delivered(op, _) => {
                    self.ended.push(op);
                    self.delivered.push(op);
                }
                Told::Lost(op) | Told::Expired(op) => self.ended.push(op),
                _ => {}
            }
        }
    }
}

/// Publishes to itself while one thing goes wrong; gives how often it did.
fn run<C: Embedded>(qos: QoS, fault: &Fault, keeps_session: bool) -> u64 {
    let mut pair = Pair::<C>::new(Config::default(), usize::MAX);
    let mut account = Account::default();
    pair.resume();
    pair.drive();
    pair.subscribe("t", qos);
    pair.drive();
    pair.take_told();
    pair.broker.inject(fault.clone());
    let ops: Vec<Op> = (0..COUNT)
        .map(|payload| pair.publish("t", qos, &[payload]))
        .collect();
    // With the fault, with what is left of it, and without it.
    for _ in 0..3 {
        pair.drive();
        pair.pass(90 * SECOND);
        pair.cut();
        pair.drive();
        pair.resume();
    }
    pair.broker.clear_faults();
    pair.cut();
    pair.drive();
    pair.resume();
    pair.drive();
    account.add(pair.take_told());
    pair.assert_idle();

    account.ended.sort_unstable();
    assert_eq!(account.ended, ops, "each ends once");
    let mut received = account.received;
    received.sort_unstable();
    if keeps_session {
        assert_eq!(account.delivered.len(), ops.len());
        if qos == QoS::AtLeastOnce {
            received.dedup();
        }
        assert_eq!(received, (0..COUNT).collect::<Vec<_>>());
    }
    pair.broker.statistics().faults
}

fn everything<C: Embedded>() {
    let (mut runs, mut faults) = (0, 0);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for on in PLACES {
            for mishap in mishaps() {
                for skip in 0..3 {
                    let keeps_session = mishap != Mishap::LoseSession;
                    let fault = Fault::new(on, mishap.clone()).skip(skip);
                    println!("{qos:?} {fault:?}");
                    faults += run::<C>(qos, &fault, keeps_session);
                    runs += 1;
                }
            }
        }
    }
    println!("{faults} faults in {runs} runs");
    assert!(faults > 300, "{faults} faults in {runs} runs");
}

#[test]
fn everything_goes_wrong_once_on_growable_storage() {
    everything::<mqtt5_proto::Client>();
}

#[test]
fn everything_goes_wrong_once_on_fixed_storage() {
    everything::<Fixed>();
}
