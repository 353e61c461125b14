//! The simulation: many clients and a broker in one thread and in virtual time, with every fault that a network has.
//!
//! A run is a function of its seed. The seed gives a `plan`, an explicit list of what happens and when. During its first part, while
//! links break, stall and lie, only safety is checked, at every step. Then the faults end, and everything that was accepted must end,
//! every queue run dry and every subscription deliver.
//!
//! What runs is what an application gets: the driver and the handles of `mqtt5-client`, and the machine of `mqtt5-broker`. Between them
//! are a `link` and a `referee` that decodes every packet at both ends. The `ledger` knows who published what and who received it;
//! `watch` knows which will is due, whom a client may ask, and which answer belongs to which request.
//! Nothing is polled unless it was woken, or its deadline has come: what is forgotten hangs, and a hang is found.
//!
//! When a promise is broken the plan is made smaller for as long as the same promise stays broken, and told with a transcript.

#![forbid(unsafe_code)]

mod adapter;
mod application;
mod asking;
mod broker_side;
mod executor;
mod hub;
mod intercepting;
mod ledger;
mod link;
mod minimise;
mod options;
mod outside;
mod pacing;
mod plan;
mod planting;
mod process;
mod random;
mod reasons;
mod referee;
mod scenes;
mod transcript;
mod watch;
mod workload;
mod world;

use core::fmt;

pub use transcript::{Invariant, Violation};

use plan::Plan;

/// Runs one seed; the first broken promise, if there is one.
#[must_use]
pub fn run(seed: u64) -> Option<Violation> {
    world::run(&Plan::of(seed), false).violation
}

/// The names of the deliberate faults that can be planted.
#[cfg(mqtt5_planted)]
#[must_use]
pub fn faults() -> Vec<&'static str> {
    planting::all().collect()
}

/// Runs seeds from 0 on with this fault planted, until one finds it or `limit` have not.
#[cfg(mqtt5_planted)]
#[must_use]
pub fn find(fault: &str, limit: u64) -> Option<(u64, Violation)> {
    planting::plant(fault);
    let found = (0..limit).find_map(|seed| Some((seed, run(seed)?)));
    planting::plant("");
    found
}

/// Everything that happens in the run of a seed, line by line.
#[must_use]
pub fn transcript(seed: u64) -> Vec<String> {
    world::run(&Plan::of(seed), true).transcript
}

/// The smallest run that was found to break the same promise as the seed does.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is broken.
    pub violation: Violation,
    /// The settings and the steps that are left.
    pub plan: String,
    /// What happens.
    pub transcript: Vec<String>,
}

/// Makes the run of a seed as small as it gets while it breaks the same promise; `None` when it breaks none.
#[must_use]
pub fn minimise(seed: u64) -> Option<Failure> {
    let plan = Plan::of(seed);
    let invariant = world::run(&plan, false).violation?.invariant;
    let plan = minimise::minimise(plan, invariant);
    let outcome = world::run(&plan, true);
    Some(Failure {
        violation: outcome.violation?,
        plan: plan.to_string(),
        transcript: outcome.transcript,
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n{}", self.violation, self.plan)?;
        self.transcript
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}
