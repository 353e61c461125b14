//! Deliberate faults, each of which a few seeds find. Only with `--cfg mqtt5_planted`: `cargo xtask test planted`.

#![cfg(mqtt5_planted)]

/// How many seeds a fault may go unnoticed.
const SEEDS: u64 = 200;

#[test]
fn every_planted_fault_is_found() {
    let mut missed = Vec::new();
    let mut found = 0;
    for fault in mqtt5_sim::faults() {
        match mqtt5_sim::find(fault, SEEDS) {
            Some((seed, violation)) => {
                found += 1;
                println!(
                    "{fault:<24} after {:>3} seeds: {:?}",
                    seed + 1,
                    violation.invariant
                );
            }
            None => missed.push(fault),
        }
    }
    assert!(
        missed.is_empty(),
        "{missed:?} are not found by {SEEDS} seeds"
    );
    assert!(found >= 15);
}
