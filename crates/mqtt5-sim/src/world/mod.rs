//! One run: the plan is carried out, then everything heals, then everything must come to its end.

mod healing;
mod steps;

use core::time::Duration;
use std::rc::Rc;

use mqtt5_client::Instant;

use crate::hub::{Hub, ProcessId};
use crate::options::ClientOptions;
use crate::outside::Outside;
use crate::plan::Plan;
use crate::process::Process;
use crate::random::Random;
use crate::transcript::{Invariant, Violation};

/// Everything there is.
pub(crate) struct World<'a> {
    plan: &'a Plan,
    hub: Rc<Hub>,
    outside: Outside,
    /// One for each client of the plan, and one for the client that tests the others in the end.
    slots: Vec<Slot>,
    next_step: usize,
    schedule: Random,
}

/// The processes of one client, one after the other.
struct Slot {
    process: Option<Process>,
    life: usize,
    /// When the next process begins.
    starts_at: Instant,
}

/// What a run led to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<Violation>,
    pub(crate) transcript: Vec<String>,
}

/// Carries out a plan.
pub(crate) fn run(plan: &Plan, wanted: bool) -> Outcome {
    let mut world = World::new(plan, wanted);
    let hub = world.hub.clone();
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    if let Err(panic) = ran {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message");
        hub.transcript.fail(Invariant::Panic, text);
        // What panicked may be in no state to be dropped.
        core::mem::forget(world);
    }
    let (violation, transcript) = hub.transcript.take();
    Outcome {
        violation,
        transcript,
    }
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, wanted: bool) -> Self {
        let hub = Hub::new(wanted);
        let clients = plan.options.clients.iter();
        let starts = clients
            .map(|client| Instant::ZERO + client.starts_at)
            .chain([Instant::MAX]);
        Self {
            plan,
            outside: Outside::new(&hub, &plan.options),
            slots: starts
                .map(|starts_at| Slot {
                    process: None,
                    life: 0,
                    starts_at,
                })
                .collect(),
            next_step: 0,
            schedule: Random::fork(plan.seed, 3),
            hub,
        }
    }

    fn run(&mut self) {
        let chaos = Instant::ZERO + self.plan.options.chaos;
        self.pass_until(chaos, |_| false);
        if !self.hub.transcript.is_broken() {
            self.heal();
        }
    }

    fn now(&self) -> Instant {
        self.hub.clock.now()
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.slots.iter().filter_map(|slot| slot.process.as_ref())
    }

    /// Lets time pass; `true` when `done` was before the end.
    fn pass_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) -> bool {
        loop {
            self.rest();
            self.check();
            if self.hub.transcript.is_broken() {
                return false;
            }
            if done(self) {
                return true;
            }
            let next = self.next().filter(|next| *next <= end);
            let Some(next) = next else {
                self.hub.clock.set(end);
                return false;
            };
            self.hub.clock.set(next.max(self.now()));
            self.begin_instant();
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let step = self
            .plan
            .steps
            .get(self.next_step)
            .map(|step| Instant::ZERO + step.at);
        let starts = self
            .slots
            .iter()
            .filter(|slot| slot.process.is_none())
            .map(|slot| slot.starts_at);
        let ends = self.processes().filter_map(|process| process.ending);
        let adapters = self
            .processes()
            .filter_map(|process| process.adapter.next());
        let rest = [step, self.hub.timers.next(), self.outside.next()]
            .into_iter()
            .flatten();
        starts
            .chain(ends)
            .chain(adapters)
            .chain(rest)
            .filter(|at| *at < Instant::MAX)
            .min()
    }

    /// Everything whose time has come is woken or done.
    fn begin_instant(&mut self) {
        let now = self.now();
        self.hub.timers.fire(now);
        self.processes()
            .for_each(|process| process.adapter.ring_if_due(now));
        for client in 0..self.slots.len() {
            self.replace(client);
        }
        while self
            .plan
            .steps
            .get(self.next_step)
            .is_some_and(|step| Instant::ZERO + step.at <= now)
        {
            self.next_step += 1;
            self.step(&self.plan.steps[self.next_step - 1]);
        }
    }

    /// Ends a process that has had its time, and starts one whose time has come.
    fn replace(&mut self, client: usize) {
        let now = self.now();
        let slot = &mut self.slots[client];
        if let Some(process) = slot
            .process
            .take_if(|process| process.ending.is_some_and(|at| at <= now))
        {
            check_ended(&self.hub, &process);
            process.crash(&mut self.outside);
            slot.starts_at = slot.starts_at.max(now);
        }
        if slot.process.is_none() && slot.starts_at <= now {
            let options = self
                .plan
                .options
                .clients
                .get(client)
                .cloned()
                .unwrap_or_else(ClientOptions::prober);
            let id = ProcessId {
                client,
                life: slot.life,
            };
            slot.life += 1;
            let seed = self.plan.seed ^ ((client as u64) << 32) ^ id.life as u64;
            slot.process = Some(Process::start(&self.hub, id, &options, seed));
        }
    }

    /// Lets everything happen that needs no time.
    fn rest(&mut self) {
        for _ in 0..MOST_POLLS {
            let schedule = &mut self.schedule;
            if let Some(sleeper) = self.hub.ready.pop(|count| schedule.below(count)) {
                self.poll(sleeper);
            } else if !self.outside.run() && self.hub.ready.is_empty() {
                return;
            }
            if self.hub.transcript.is_broken() {
                return;
            }
        }
        self.hub
            .transcript
            .fail(Invariant::Rest, "the world never comes to rest");
    }

    fn poll(&mut self, sleeper: usize) {
        let (slots, outside) = (&mut self.slots, &mut self.outside);
        let mut processes = slots.iter_mut().filter_map(|slot| slot.process.as_mut());
        let found = processes.find(|process| process.is_of(sleeper));
        if let Some(process) = found {
            process.poll(outside, sleeper);
        }
    }

    /// What must hold whenever nothing moves.
    fn check(&mut self) {
        let now = self.now();
        let transcript = self.hub.transcript.clone();
        self.hub.watch.wills.borrow_mut().check(now);
        for slot in &mut self.slots {
            let Some(process) = &mut slot.process else {
                continue;
            };
            if process.adapter.finished && process.ending.is_none() {
                process.ending = Some(now + TIME_TO_END);
                slot.starts_at = slot.starts_at.max(now + TIME_TO_END);
            }
            let is_asking = process
                .adapter
                .connection()
                .is_none_or(|number| self.outside.referees.is_asking(number));
            let is_asking = is_asking || self.hub.ledger.borrow().is_subscribing(process.id);
            let (sessions, has_stalled) = self.outside.referees.sessions(process.id);
            let repeats = self.outside.referees.repeats.get(&process.id.client);
            let repeats = repeats.copied().unwrap_or(0);
            if let Some(text) = process.oversize(is_asking || has_stalled, sessions, repeats) {
                transcript.fail(Invariant::Memory, text);
            }
            let connection = process
                .adapter
                .connection()
                .filter(|_| process.adapter.reading);
            let keep_alive = connection.and_then(|number| self.outside.referees.keep_alive(number));
            let silence = now.saturating_duration_since(process.adapter.heard);
            let patience = match process.adapter.is_writing() {
                true => WRITE_PATIENCE,
                false => Duration::ZERO,
            };
            // A PINGREQ that was in the way of other bytes has had less time to be answered.
            let waited = now.saturating_duration_since(process.adapter.blocked);
            let overlooked = keep_alive.is_some_and(|time| {
                silence > time + time / 2 + patience && waited > time / 2 + patience
            });
            transcript.check(Invariant::KeepAlive, !overlooked, || {
                format!(
                    "{} hears nothing for {silence:?} and does nothing",
                    process.id
                )
            });
        }
    }
}

/// A client that has stopped lets nobody wait.
fn check_ended(hub: &Hub, process: &Process) {
    let id = process.id.to_string();
    let open = hub
        .ledger
        .borrow()
        .open_operations()
        .find(|what| what.starts_with(&id));
    if let Some(what) = open {
        hub.transcript.fail(
            Invariant::End,
            format!("{what} has not ended, but the client has"),
        );
    }
    hub.transcript
        .check(Invariant::End, process.adapter.finished, || {
            format!("{id} was to end and has not")
        });
}

/// More than any run needs in one instant.
const MOST_POLLS: usize = 500_000;
/// How long the tasks of a process may go on once its client has stopped.
const TIME_TO_END: Duration = Duration::from_secs(10);
/// How long nothing may be written before a connection is given up, and a little.
const WRITE_PATIENCE: Duration = Duration::from_secs(31);
