//! The contract of the machine (design, section 3) on random conversations between it and a model of a server.

mod machine;

use mqtt5_proto::QoS;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runner, RngSeed};

use machine::Small;
use machine::contract::{chunked, ends_once, same_everywhere};
use machine::transcript::Act;

fn runner(cases: u32) -> Runner {
    Runner {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x4D51_5454),
        ..Runner::default()
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let qos = || {
        prop_oneof![
            Just(QoS::AtMostOnce),
            Just(QoS::AtLeastOnce),
            Just(QoS::ExactlyOnce)
        ]
    };
    let act = prop_oneof![
        12 => (qos(), 0..400_usize).prop_map(|(qos, length)| Act::Publish(qos, length)),
        3 => (1..4_usize).prop_map(Act::Subscribe),
        2 => (1..3_usize).prop_map(Act::Unsubscribe),
        14 => (0..20_usize).prop_map(Act::Ack),
        3 => (0..20_usize).prop_map(Act::Reject),
        3 => (0..50_usize).prop_map(Act::Withdraw),
        1 => Just(Act::Disconnect),
        2 => any::<bool>().prop_map(Act::Reading),
        6 => (0..70_000_u32).prop_map(Act::Wait),
        25 => (0..20_usize, prop::bool::weighted(0.15)).prop_map(|(n, r)| Act::Answer(n, r)),
        15 => (qos(), 0..400_usize).prop_map(|(qos, length)| Act::Message(qos, length)),
        4 => (0..20_usize).prop_map(Act::Repeat),
        8 => (0..20_usize).prop_map(Act::Release),
        8 => Just(Act::Pong),
        1 => any::<u8>().prop_map(Act::ServerDisconnect),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Act::Garbage),
        2 => Just(Act::Close),
    ];
    prop::collection::vec(act, 1..120)
}

/// How bytes are cut, over and over again.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let cut = prop_oneof![3 => 1..4_usize, 2 => 1..50_usize, 1 => 100..5_000_usize];
    prop::collection::vec(cut, 1..20)
}

proptest! {
    #![proptest_config(runner(150))]

    /// Any chunking of what is received, and of what is written, gives the same events and the same bytes.
    #[test]
    fn hb_06_chunking_changes_nothing(acts in acts(), cuts in cuts(), lazy in any::<bool>()) {
        #[cfg(feature = "alloc")]
        {
            chunked::<machine::Borrowing>(&acts, &cuts, lazy);
            chunked::<machine::Lending>(&acts, &cuts, lazy);
        }
        chunked::<Small>(&acts, &cuts, lazy);
    }

    /// The same transcript gives the same outputs on every storage; and once there is no event left, the order in
    /// which the other outputs are asked for changes nothing.
    #[test]
    fn transcripts_determine_outputs(acts in acts()) {
        same_everywhere(&acts);
    }

    /// T3: every accepted operation ends exactly once, unless it was withdrawn or is a QoS 0 publish that was encoded
    /// at once; nothing else ends.
    #[test]
    fn every_operation_ends_exactly_once(acts in acts()) {
        #[cfg(feature = "alloc")]
        ends_once::<machine::Borrowing>(&acts);
        ends_once::<Small>(&acts);
    }
}
