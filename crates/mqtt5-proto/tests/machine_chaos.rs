//! Random bytes, commands, times and ends of connections, in any order: nothing panics, nothing grows without bound,
//! every operation ends once.

mod golden;
mod machine;

use mqtt5_proto::{Config, QoS};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runner, RngSeed};

use machine::Small;
use machine::chaos::{Chaos, Storm};

fn chaos() -> impl Strategy<Value = Vec<Chaos>> {
    let qos = prop_oneof![
        Just(QoS::AtMostOnce),
        Just(QoS::AtLeastOnce),
        Just(QoS::ExactlyOnce)
    ];
    let far = prop_oneof![
        5 => 0..20_000_u64,
        3 => 0..200_000_u64,
        1 => Just(0),
        1 => prop_oneof![Just(u64::MAX / 1_000), Just(1_000_000_000)],
    ];
    let step = prop_oneof![
        6 => any::<u8>().prop_map(Chaos::Connect),
        8 => any::<(bool, u8)>().prop_map(|(present, maximum)| Chaos::Accept(present, maximum)),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Chaos::Bytes),
        6 => any::<u16>().prop_map(Chaos::Golden),
        1 => any::<(u16, u16, u8)>().prop_map(|(a, b, c)| Chaos::Damaged(a, b, c)),
        10 => (4..12_u8, 1..12_u16, prop_oneof![4 => Just(0), 1 => any::<u8>()])
            .prop_map(|(kind, id, reason)| Chaos::Acknowledge(kind, id, reason)),
        20 => (qos, 0..3_000_usize).prop_map(|(qos, length)| Chaos::Publish(qos, length)),
        6 => (any::<bool>(), 1..400_usize).prop_map(|(s, length)| Chaos::Subscribe(s, length)),
        10 => any::<(u16, bool)>().prop_map(|(n, accept)| Chaos::Ack(n, accept)),
        3 => any::<u16>().prop_map(Chaos::Withdraw),
        1 => Just(Chaos::Disconnect),
        1 => Just(Chaos::Abandon),
        2 => any::<u16>().prop_map(Chaos::Forget),
        2 => any::<u8>().prop_map(Chaos::Authenticate),
        1 => Just(Chaos::Reauthenticate),
        3 => any::<bool>().prop_map(Chaos::Reading),
        5 => far.prop_map(Chaos::Time),
        10 => (0..3_000_usize).prop_map(Chaos::Write),
        1 => prop_oneof![0..50_usize, Just(usize::MAX)].prop_map(Chaos::Sent),
        1 => prop_oneof![0..50_usize, Just(usize::MAX)].prop_map(Chaos::Received),
        20 => (0..20_usize).prop_map(Chaos::Poll),
        2 => Just(Chaos::Close),
        10 => (0..20_usize).prop_map(Chaos::Record),
        8 => (0..10_u8).prop_map(Chaos::Durable),
        1 => any::<u8>().prop_map(Chaos::Failed),
        1 => any::<(u8, bool)>().prop_map(|(n, failed)| Chaos::Stale(n, failed)),
        1 => any::<u8>().prop_map(Chaos::Restart),
        1 => any::<(u8, u8)>().prop_map(|(first, second)| Chaos::Shuffled(first, second)),
        1 => Just(Chaos::Snapshot),
        1 => Just(Chaos::Restore),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(Runner {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x4D51_5454),
        ..Runner::default()
    })]

    #[test]
    fn nothing_breaks_the_machine(
        steps in chaos(), sessions: bool, write_ahead: bool, early: bool,
    ) {
        let vectors: Vec<_> = golden::vectors().iter().map(|v| &v.bytes[..]).collect();
        let mut config = Config::default();
        config.write_ahead = write_ahead;
        config.publish_before_connack = early;
        #[cfg(feature = "alloc")]
        {
            Storm::<machine::Borrowing>::new(config, sessions, &vectors).run(&steps);
            Storm::<machine::Lending>::new(config, sessions, &vectors).run(&steps);
        }
        Storm::<Small>::new(config, sessions, &vectors).run(&steps);
    }
}
