//! Developer commands: `cargo xtask`.

#![forbid(unsafe_code)]

mod cargo;
mod conformance;
mod dependencies;
mod environment;
mod fuzz;
mod layering;
mod lines;
mod mosquitto;
mod portability;
mod simulation;
mod source;
mod steps;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Developer commands of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks everything: installs what the tests need, then runs every test of the workspace.
    Test {
        /// Only these steps, by name.
        steps: Vec<String>,
        /// Names the steps and runs none.
        #[arg(long)]
        list: bool,
    },
    /// Runs the tests that show what the specification asks of a client, and writes `docs/CONFORMANCE.md`.
    Conformance,
    /// Fuzzes every target for a while, or those that are named.
    Fuzz {
        /// How long each target runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Writes the seeds that the golden vectors give, and runs nothing.
        #[arg(long)]
        seed_corpus: bool,
        /// The targets.
        targets: Vec<String>,
    },
    /// Runs the simulation, and shows the smallest run that fails when one does.
    Sim {
        /// How many seeds.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first of them.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Runs Mosquitto in the foreground, as the tests configure it.
    Mosquitto {
        /// The port on the loopback interface.
        #[arg(default_value_t = 1883)]
        port: u16,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Test { list: true, .. } => {
            steps::list();
            Ok(())
        }
        Command::Test { steps, .. } => steps::run(&steps),
        Command::Conformance => {
            tools::ensure()?;
            conformance::write()
        }
        Command::Fuzz {
            seed_corpus: true, ..
        } => fuzz::seed_corpus(),
        Command::Fuzz {
            seconds, targets, ..
        } => fuzz::fuzz(seconds, &targets),
        Command::Sim { seeds, seed } => simulation::run_seeds(seeds, seed),
        Command::Mosquitto { port } => mosquitto::run_in_foreground(port),
    }
}
