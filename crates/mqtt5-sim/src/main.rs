//! `mqtt5-sim`: runs seeds until one breaks a promise, and tells how.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

/// Runs the simulation.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Goes on after a seed that fails, and tells only which promise each breaks.
    #[arg(long)]
    all: bool,
    /// Prints everything that happens in the first seed.
    #[arg(long)]
    transcript: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (begin, begun) = channel();
    thread::spawn(move || watch(&begun));
    if arguments.transcript {
        let _ = begin.send(Some(arguments.seed));
        for line in mqtt5_sim::transcript(arguments.seed) {
            println!("{line}");
        }
    }
    let start = now();
    let mut failed = 0;
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        let _ = begin.send(Some(seed));
        let Some(violation) = mqtt5_sim::run(seed) else {
            continue;
        };
        failed += 1;
        println!("seed {seed} fails: {violation}");
        if !arguments.all {
            let _ = begin.send(None);
            if let Some(failure) = mqtt5_sim::minimise(seed) {
                println!("\nthe smallest run that was found to fail in the same way:\n{failure}");
            }
            break;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let each = seconds * 1e3 / arguments.seeds as f64;
    println!(
        "{} seeds in {seconds:.1} s, {each:.2} ms each; {failed} failed",
        arguments.seeds
    );
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Ends the process when one seed takes far too long: a call that never returns tells nothing itself.
fn watch(begun: &Receiver<Option<u64>>) {
    let mut running = None;
    loop {
        match begun.recv_timeout(LONG) {
            Ok(seed) => running = seed,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(seed) = running {
                    println!("seed {seed} hangs: it has run for {LONG:?} and not ended");
                    std::process::exit(1);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Longer than any seed takes.
const LONG: Duration = Duration::from_secs(60);

#[expect(
    clippy::disallowed_methods,
    reason = "how long the seeds took on this machine"
)]
fn now() -> Instant {
    Instant::now()
}
