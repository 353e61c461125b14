//! The receiving half of a run: checks messages, and decides how long silence may last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use mqtt5_client::QoS;

use super::checker::{Checker, Plan};
use super::gate::Gate;
use crate::clock::Stopwatch;

/// What the publishing and the receiving half of a run share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    /// Messages on their way at QoS 1 and 2.
    pub(crate) window: usize,
    /// How long to wait for a message that does not come.
    pub(crate) idle_timeout: Duration,
    pub(crate) bar: ProgressBar,
    gate: Gate,
    stopwatch: Stopwatch,
    is_published: AtomicBool,
}

impl Run {
    pub(crate) fn new(plan: Plan, window: usize, idle_timeout: Duration, bar: ProgressBar) -> Self {
        let fitting = OUTSTANDING_BYTES / plan.size.max(1) as u64;
        Self {
            gate: Gate::new(fitting.clamp(1, OUTSTANDING), idle_timeout / 4),
            plan,
            window,
            idle_timeout,
            bar,
            stopwatch: Stopwatch::start(),
            is_published: AtomicBool::new(false),
        }
    }

    /// What holds the publisher back while the receiver is behind: at QoS 0 nothing else does, and at QoS 1 and 2 a broker
    /// may drop what it would have to queue beyond its limit, which for Mosquitto is 1,000 messages.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Nanoseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        self.stopwatch.nanoseconds()
    }

    /// The publisher has ended: everything that is to come is on its way.
    pub(crate) fn published(&self) {
        self.is_published.store(true, Ordering::Release);
    }

    fn is_published(&self) -> bool {
        self.is_published.load(Ordering::Acquire)
    }
}

/// The messages of a run as they arrive, and the silence between them.
#[derive(Debug)]
pub(crate) struct Inspection<'a> {
    run: &'a Run,
    checker: Checker,
    waiting_for: Duration,
    silent_for: Duration,
    was_published: bool,
}

/// What to do when no message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Wait on.
    Wait,
    /// Stop the publisher: nothing moves any more.
    GiveUp,
    /// All that will come has come.
    End,
}

impl<'a> Inspection<'a> {
    pub(crate) fn new(run: &'a Run) -> Self {
        Self {
            run,
            checker: Checker::new(run.plan.clone()),
            waiting_for: Duration::ZERO,
            silent_for: Duration::ZERO,
            was_published: false,
        }
    }

    /// Begins to wait for a message, for as long as this says.
    pub(crate) fn patience(&mut self) -> Duration {
        self.was_published = self.run.is_published();
        self.waiting_for = match self.checker.is_complete() {
            // A duplicate may follow.
            true => LINGER,
            false => self.run.idle_timeout,
        };
        self.waiting_for
    }

    /// A message has come.
    pub(crate) fn handle_message(&mut self, message: &mqtt5_client::Message) {
        self.handle_content(message.topic(), message.qos(), message.payload());
    }

    fn handle_content(&mut self, topic: &str, qos: QoS, payload: &[u8]) {
        self.checker
            .handle_message(topic, qos, payload, self.run.now());
        self.silent_for = Duration::ZERO;
        self.run.gate().leave();
        let delivered = self.checker.delivered();
        if delivered.is_multiple_of(BAR_STEP) || self.checker.is_complete() {
            self.run.bar.set_position(delivered);
        }
    }

    /// None has come.
    pub(crate) fn handle_silence(&mut self) -> Silence {
        if self.was_published {
            return Silence::End;
        }
        self.silent_for += self.waiting_for;
        // The gate takes care that a publisher of QoS 0 comes to an end.
        let is_paced = self.run.plan.qos == QoS::AtMostOnce;
        if self.silent_for < self.run.idle_timeout || is_paced {
            return Silence::Wait;
        }
        self.silent_for = Duration::ZERO;
        Silence::GiveUp
    }

    pub(crate) fn into_checker(self) -> Checker {
        self.checker
    }
}

/// How many QoS 0 messages may be outstanding.
const OUTSTANDING: u64 = 1_000;
/// How many bytes they may have, so that no queue on their way is too small.
const OUTSTANDING_BYTES: u64 = 8 << 20;
const LINGER: Duration = Duration::from_millis(100);
const BAR_STEP: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_millis(250);

    fn run() -> Run {
        let plan = Plan {
            run: 1,
            topic: "t".into(),
            qos: QoS::AtLeastOnce,
            messages: 1,
            size: 32,
        };
        Run::new(plan, 1, IDLE, ProgressBar::hidden())
    }

    #[test]
    fn silence_after_the_last_publish_is_the_end() {
        let run = run();
        let mut inspection = Inspection::new(&run);
        assert_eq!(inspection.patience(), IDLE);
        // Published during the wait: the message may still be on its way.
        run.published();
        assert_eq!(inspection.handle_silence(), Silence::GiveUp);
        inspection.patience();
        assert_eq!(inspection.handle_silence(), Silence::End);
    }

    #[test]
    fn a_publisher_that_waits_for_ever_is_given_up() {
        let run = run();
        let mut inspection = Inspection::new(&run);
        let mut payload = [0; 32];
        let stamp = super::super::stamp::Stamp {
            run: 1,
            sequence: 0,
            sent_at: 0,
        };
        stamp.write(&mut payload);
        inspection
            .checker
            .handle_message("t", QoS::AtLeastOnce, &payload, 1);
        assert_eq!(inspection.patience(), LINGER);
        assert_eq!(inspection.handle_silence(), Silence::Wait);
        inspection.patience();
        assert_eq!(inspection.handle_silence(), Silence::Wait);
        inspection.patience();
        assert_eq!(inspection.handle_silence(), Silence::GiveUp);
    }

    #[test]
    fn an_arrival_makes_room_for_the_publisher() {
        let plan = Plan {
            qos: QoS::AtMostOnce,
            size: OUTSTANDING_BYTES as usize,
            ..run().plan
        };
        let slow = Run::new(plan, 1, IDLE, ProgressBar::hidden());
        let gate = slow.gate();
        gate.enter_blocking();
        assert!(!gate.is_open());
        Inspection::new(&slow).handle_content("t", QoS::AtMostOnce, b"anything");
        assert!(gate.is_open());
    }
}
