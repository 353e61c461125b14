//! `cargo xtask sim`: the simulation, and the proof that it sees.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cargo::{cargo, run};
use crate::environment::target_dir;

/// Runs so many seeds from this one on; the first that fails is told with the smallest run that fails in the same way.
pub(crate) fn run_seeds(seeds: u64, first: u64) -> Result<()> {
    run(cargo().args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "mqtt5-sim",
        "--",
        "--seeds",
        &seeds.to_string(),
        "--seed",
        &first.to_string(),
    ]))
}

/// The seeds that every check of the workspace runs.
pub(crate) fn check() -> Result<()> {
    run(cargo().args(["build", "--release", "--package", "mqtt5-sim"]))?;
    timed("seeds", || run_seeds(SEEDS, 0))
}

/// Plants every deliberate fault, one after the other: each must be found. It is a build of its own, in a folder of its own.
pub(crate) fn check_planted() -> Result<()> {
    let planted = |arguments: &[&str]| {
        let mut command = cargo();
        command.env("RUSTFLAGS", "--cfg mqtt5_planted");
        command.env("CARGO_TARGET_DIR", target_dir().join("planted"));
        let test = [
            "test",
            "--release",
            "--package",
            "mqtt5-sim",
            "--test",
            "planted",
        ];
        run(command.args(test).args(arguments))
    };
    planted(&["--no-run"])?;
    timed("planted faults", || planted(&["--", "--nocapture"]))
}

/// Tells how long something took; only far too long is a failure, since machines differ.
fn timed(what: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = now();
    action()?;
    let took = start.elapsed();
    println!(
        "{what}: {:.1} s, {} s are meant",
        took.as_secs_f64(),
        MEANT.as_secs()
    );
    ensure!(
        took <= MEANT * 3,
        "{what} took more than three times the time that is meant"
    );
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long the seeds took on this machine"
)]
fn now() -> Instant {
    Instant::now()
}

const SEEDS: u64 = 2_000;
const MEANT: Duration = Duration::from_secs(60);
