//! Random publishes, acknowledgements, losses and resumptions against a server that keeps sessions: every operation ends
//! once, every connection carries what it must in the original order and within Receive Maximum.

mod machine;

use mqtt5_proto::QoS;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runner, RngSeed};

use machine::Small;
use machine::sessions::{Model, Step};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let qos = prop_oneof![
        1 => Just(QoS::AtMostOnce),
        3 => Just(QoS::AtLeastOnce),
        4 => Just(QoS::ExactlyOnce)
    ];
    let step = prop_oneof![
        10 => qos.prop_map(Step::Publish),
        8 => (0..60_usize).prop_map(Step::Write),
        4 => Just(Step::Write(usize::MAX)),
        14 => (0..10_usize, prop::bool::weighted(0.1), prop::bool::weighted(0.15))
            .prop_map(|(n, refuse, lost)| Step::Answer(n, refuse, lost)),
        3 => Just(Step::Lose),
        8 => (prop::bool::weighted(0.8), 1..10_u16).prop_map(|(sp, rm)| Step::Resume(sp, rm)),
        1 => Just(Step::Fail),
        1 => (0..10_usize).prop_map(Step::Withdraw),
    ];
    prop::collection::vec(step, 0..150)
}

proptest! {
    #![proptest_config(Runner {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5345_5353),
        ..Runner::default()
    })]

    /// T44: what is sent.
    #[test]
    fn sessions_agree_with_the_model(steps in steps(), qos1: bool, qos2: bool) {
        #[cfg(feature = "alloc")]
        {
            Model::<machine::Borrowing>::new(qos1, qos2).run(&steps);
            Model::<machine::Lending>::new(qos1, qos2).run(&steps);
        }
        Model::<Small>::new(qos1, qos2).run(&steps);
    }
}
