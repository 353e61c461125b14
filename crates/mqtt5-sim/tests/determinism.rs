//! A run is a function of its seed.

#[test]
fn a_seed_gives_the_same_run_twice() {
    for seed in 0..20 {
        let (first, second) = (mqtt5_sim::transcript(seed), mqtt5_sim::transcript(seed));
        let differ = first.iter().zip(&second).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
        assert!(first.len() > 20, "seed {seed} does nothing");
    }
}

#[test]
fn some_seeds_keep_every_promise() {
    for seed in 0..30 {
        assert_eq!(mqtt5_sim::run(seed), None, "cargo xtask sim --seed {seed}");
    }
}
