//! A client process with records ahead of its packets, killed at every step of every script, with every part of what
//! its store had not made durable: the next process goes on, and what was promised must hold. And a store that fails.

#[path = "crash/check.rs"]
mod check;
#[path = "crash/earlier.rs"]
mod earlier;
#[path = "crash/links.rs"]
mod links;
#[path = "crash/process.rs"]
mod process;
#[path = "crash/store.rs"]
mod store;
#[path = "crash/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mqtt5_proto::{Client, QoS};

use process::{Fixed, Process};
use store::{Fault, Sync};
use world::{Plan, Step, World};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

fn scripts() -> Vec<Vec<Step>> {
    let mixed = vec![
        ExactlyOnce,
        AtLeastOnce,
        AtMostOnce,
        ExactlyOnce,
        AtLeastOnce,
    ];
    vec![
        vec![
            Step::Publish(vec![AtMostOnce]),
            Step::Receive(vec![AtMostOnce]),
        ],
        // Three may be in flight.
        vec![Step::Publish(vec![AtLeastOnce; 4])],
        vec![Step::Publish(vec![ExactlyOnce; 4])],
        vec![Step::Receive(vec![AtLeastOnce; 3])],
        vec![
            Step::Receive(vec![ExactlyOnce; 3]),
            Step::Receive(vec![ExactlyOnce]),
        ],
        vec![Step::Both(mixed)],
        vec![
            Step::Withdraw(vec![ExactlyOnce, AtLeastOnce]),
            Step::Publish(vec![AtLeastOnce, ExactlyOnce]),
        ],
    ]
}

const SYNCS: [Sync; 3] = [Sync::Each, Sync::Rest, Sync::RestOne];

fn plan(steps: &[Step], sync: Sync, late: bool) -> Plan {
    Plan {
        steps: steps.to_vec(),
        sync,
        late,
        lost: false,
        assumed: false,
        fault: Fault::None,
        cut: None,
        crashes: Vec::new(),
    }
}

/// Plays a plan to its end; says which one it was when a promise is broken.
fn run<C: Process>(plan: &Plan) -> World<C> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::<C>::new(plan);
        world.play();
        world.check();
        world
    }));
    played.unwrap_or_else(|broken| {
        eprintln!("in {plan:?}");
        resume_unwind(broken)
    })
}

/// Every plan of the scripts that nothing happens to.
fn plans(lost: bool, assumed: bool) -> Vec<Plan> {
    let mut plans = Vec::new();
    for steps in scripts() {
        for (sync, late) in [
            (Sync::Each, true),
            (Sync::Rest, false),
            (Sync::RestOne, true),
        ] {
            plans.push(Plan {
                lost,
                assumed,
                ..plan(&steps, sync, late)
            });
        }
    }
    plans
}

/// Kills the process after every step, with every part of what was not durable; gives how many times.
fn crash_everywhere<C: Process>(plan: &Plan, from: &[(usize, usize)], stride: usize) -> usize {
    let mut runs = 0;
    for at in (0..).step_by(stride) {
        let mut surviving = 0;
        loop {
            let mut plan = plan.clone();
            plan.crashes.extend(from);
            plan.crashes.push((at, surviving));
            let world = run::<C>(&plan);
            runs += 1;
            if world.life() < plan.crashes.len() {
                return runs;
            }
            surviving += 1;
            if surviving > world.unsynced().unwrap_or(0) {
                break;
            }
        }
    }
    runs
}

fn crash<C: Process>(lost: bool, assumed: bool) {
    let plans = plans(lost, assumed);
    let runs: usize = plans
        .iter()
        .map(|plan| crash_everywhere::<C>(plan, &[], 1))
        .sum();
    println!("{runs} crashes and what may survive them");
    assert!(runs > 1_000, "{runs} runs");
}

/// Fails every write, once or from then on; gives how many.
fn fail<C: Process>() {
    let mut runs = 0;
    for plan in plans(false, false) {
        let writes = run::<C>(&plan).writes();
        for n in 0..writes {
            for fault in [Fault::Once(n), Fault::From(n)] {
                let plan = Plan {
                    fault,
                    ..plan.clone()
                };
                run::<C>(&plan);
                runs += 1;
            }
        }
    }
    println!("{runs} failed writes");
    assert!(runs > 500, "{runs} runs");
}

/// The connection is cut before the process is killed on the next one.
fn cut_and_crash<C: Process>() {
    let mixed = vec![ExactlyOnce, AtLeastOnce, ExactlyOnce];
    let mut runs = 0;
    for sync in SYNCS {
        let plan = plan(&[Step::Both(mixed.clone())], sync, true);
        for cut in (0..100).step_by(7) {
            let plan = Plan {
                cut: Some(cut),
                ..plan.clone()
            };
            runs += crash_everywhere::<C>(&plan, &[], 7);
        }
    }
    println!("{runs} crashes after a cut");
    assert!(runs > 500, "{runs} runs");
}

/// The second process is killed, too, while it goes on with what the first one left.
fn crash_twice<C: Process>() {
    let mixed = vec![ExactlyOnce, AtLeastOnce, ExactlyOnce];
    let mut runs = 0;
    for sync in SYNCS {
        let plan = plan(&[Step::Both(mixed.clone())], sync, true);
        for at in (0..120).step_by(9) {
            for surviving in [0, 2] {
                runs += crash_everywhere::<C>(&plan, &[(at, surviving)], 7);
            }
        }
    }
    println!("{runs} times two crashes");
    assert!(runs > 500, "{runs} runs");
}

macro_rules! on_both_storages {
    ($($name:ident: $what:expr, $same:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn growable() {
                $what;
            }

            #[test]
            fn fixed() {
                $same;
            }
        })*
    };
}

on_both_storages! {
    the_session_is_kept: crash::<Client>(false, false), crash::<Fixed>(false, false);
    the_broker_forgets_it: crash::<Client>(true, false), crash::<Fixed>(true, false);
    the_session_is_assumed: crash::<Client>(false, true), crash::<Fixed>(false, true);
    an_assumed_session_is_forgotten: crash::<Client>(true, true), crash::<Fixed>(true, true);
    a_write_fails: fail::<Client>(), fail::<Fixed>();
    the_connection_is_cut_before: cut_and_crash::<Client>(), cut_and_crash::<Fixed>();
    twice: crash_twice::<Client>(), crash_twice::<Fixed>();
}
