//! Any order of messages and acknowledgements: the inbound Receive Maximum is kept by both sides, or the connection ends.

mod machine;

use proptest::prelude::*;
use proptest::test_runner::{Config as Runner, RngSeed};

use machine::Small;
use machine::window::{Move, Window};

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        8 => any::<bool>().prop_map(Move::Send),
        6 => (0..8_usize, prop::bool::weighted(0.8)).prop_map(|(n, accept)| Move::Answer(n, accept)),
        3 => (0..8_usize).prop_map(Move::Release),
        6 => (0..20_usize).prop_map(Move::Write),
    ];
    prop::collection::vec(one, 0..200)
}

proptest! {
    #![proptest_config(Runner {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x4D51_5454),
        ..Runner::default()
    })]

    /// T44, T130: what is received, with either side at fault.
    #[test]
    fn one_too_many_ends_the_connection(moves in moves()) {
        #[cfg(feature = "alloc")]
        {
            Window::<machine::Borrowing>::new().run(&moves);
            Window::<machine::Lending>::new().run(&moves);
        }
        Window::<Small>::new().run(&moves);
    }
}
