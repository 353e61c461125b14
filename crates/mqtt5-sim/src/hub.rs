//! What every part of a world shares.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use crate::executor::{Alarm, Clock, Ready, Timers};
use crate::ledger::Ledger;
use crate::transcript::Transcript;
use crate::watch::Watch;

/// Time, wake-ups, and who knows what happened.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) clock: Clock,
    pub(crate) timers: Timers,
    pub(crate) ready: Arc<Ready>,
    pub(crate) transcript: Rc<Transcript>,
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) watch: Watch,
    /// The faults are over: consumers hurry, and everything is acknowledged.
    pub(crate) healing: Cell<bool>,
    sleepers: Cell<usize>,
    /// What wakes each of those that can be woken, and of which process it is.
    alarms: RefCell<BTreeMap<usize, (ProcessId, Weak<Alarm>)>>,
}

impl Hub {
    pub(crate) fn new(wanted: bool) -> Rc<Self> {
        let clock = Clock::default();
        let transcript = Rc::new(Transcript::new(clock.clone(), wanted));
        Rc::new(Self {
            clock,
            timers: Timers::default(),
            ready: Arc::default(),
            ledger: RefCell::new(Ledger::new(transcript.clone())),
            watch: Watch::new(&transcript),
            transcript,
            healing: Cell::new(false),
            sleepers: Cell::new(0),
            alarms: RefCell::default(),
        })
    }

    /// A number for something that can be woken.
    pub(crate) fn new_sleeper(&self) -> usize {
        self.sleepers.set(self.sleepers.get() + 1);
        self.sleepers.get()
    }

    pub(crate) fn note_alarm(&self, sleeper: usize, process: ProcessId, alarm: Weak<Alarm>) {
        self.alarms.borrow_mut().insert(sleeper, (process, alarm));
    }

    /// A process of which somebody keeps a waker though the sleeper is gone.
    pub(crate) fn keeps_waker(&self, lives: impl Fn(usize) -> bool) -> Option<ProcessId> {
        let mut alarms = self.alarms.borrow_mut();
        alarms.retain(|_, (_, alarm)| alarm.strong_count() > 0);
        let kept = alarms.iter().find(|(sleeper, _)| !lives(**sleeper));
        kept.map(|(_, (process, _))| *process)
    }
}

/// One life of a client: what a crash ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId {
    pub(crate) client: usize,
    pub(crate) life: usize,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("c{}.{}", self.client, self.life);
        f.pad(&text)
    }
}
