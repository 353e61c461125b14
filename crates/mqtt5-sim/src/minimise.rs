//! Making a failing run smaller: what can be left out is.

use core::time::Duration;

use crate::plan::Plan;
use crate::transcript::Invariant;
use crate::world;

/// The smallest plan that was found to break `invariant` still, by leaving out ever smaller groups of steps.
pub(crate) fn minimise(plan: Plan, invariant: Invariant) -> Plan {
    let mut best = plan;
    let mut runs = 0;
    let mut fails = |plan: &Plan| {
        runs += 1;
        runs < MOST_RUNS
            && world::run(plan, false)
                .violation
                .is_some_and(|violation| violation.invariant == invariant)
    };
    let mut group = best.steps.len().div_ceil(2).max(1);
    loop {
        let before = best.steps.len();
        let mut at = 0;
        while at < best.steps.len() {
            let mut smaller = best.clone();
            let end = (at + group).min(smaller.steps.len());
            smaller.steps.drain(at..end);
            if fails(&smaller) {
                best = smaller;
            } else {
                at += group;
            }
        }
        if group == 1 && best.steps.len() == before {
            break;
        }
        group = group.div_ceil(2).max(1);
    }
    while best.options.clients.len() > 1 {
        let mut smaller = best.clone();
        let last = smaller.options.clients.len() - 1;
        smaller.options.clients.truncate(last);
        smaller.steps.retain(|step| step.client < last);
        if !fails(&smaller) {
            break;
        }
        best = smaller;
    }
    let mut sooner = best.clone();
    let last = sooner.steps.last().map_or(Duration::ZERO, |step| step.at);
    sooner.options.chaos = last + Duration::from_secs(1);
    if fails(&sooner) { sooner } else { best }
}

/// So that it ends.
const MOST_RUNS: usize = 2_000;
