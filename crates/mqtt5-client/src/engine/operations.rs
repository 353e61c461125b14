//! What callers wait for: a slot with a state, a waker and perhaps a deadline for each.

use crate::delivered::Delivered;
use crate::error::{PublishError, SubscribeError, UnsubscribeError};
use crate::planted::planted;
use crate::slab::{Key, Slab};
use core::task::Waker;
use mqtt5_proto::{Instant, Op, ReasonCode};
use std::collections::BTreeSet;

/// How an operation ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Published(Result<Delivered, PublishError>),
    Subscribed(Result<Vec<(String, ReasonCode)>, SubscribeError>),
    Unsubscribed(Result<Vec<(String, ReasonCode)>, UnsubscribeError>),
    /// A [`Watch`] saw what it waits for, or a timer expired.
    Woken,
}

/// What those wait for who wait for a condition and not for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Room for a message: all are woken, and each looks again, so that a cancelled one swallows no wake-up.
    Room,
    /// The state of the client changes.
    State,
    /// Everything accepted was written.
    Flushed,
    /// Every accepted operation ended.
    Drained,
}

/// What a slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A publish in the offline queue, under this number.
    Waiting(u64),
    /// A publish in the machine.
    InMachine(Op),
    /// A QoS 0 publish that is encoded and complete when it is written.
    Writing,
    /// A subscribe, sent or not.
    Subscribe,
    /// An unsubscribe, sent or not.
    Unsubscribe,
    Watch(Watch),
    /// Only a deadline.
    Timer,
}

#[derive(Debug)]
struct Slot {
    stage: Stage,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    deadline: Option<Instant>,
}

/// All slots. Wakers leave it only by `wakes`, or towards the caller.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    slots: Slab<Slot>,
    deadlines: BTreeSet<(Instant, Key)>,
    watching: Vec<(Watch, Key)>,
}

impl Operations {
    /// Opens a slot.
    pub(crate) fn open(
        &mut self,
        stage: Stage,
        deadline: Option<Instant>,
        waker: Option<Waker>,
    ) -> Key {
        let key = self.slots.insert(Slot {
            stage,
            outcome: None,
            waker,
            deadline,
        });
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key));
        }
        if let Stage::Watch(watch) = stage {
            self.watch(watch, key);
        }
        key
    }

    /// Closes a slot that nobody waits for any more. The waker is the caller's to drop, after unlocking.
    pub(crate) fn close(&mut self, key: Key) -> Option<Waker> {
        if planted!(KeepSlot) {
            return None;
        }
        let slot = self.slots.remove(key)?;
        if let Some(deadline) = slot.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        slot.waker
    }

    pub(crate) fn stage(&self, key: Key) -> Option<Stage> {
        self.slots
            .get(key)
            .filter(|slot| slot.outcome.is_none())
            .map(|slot| slot.stage)
    }

    pub(crate) fn set_stage(&mut self, key: Key, stage: Stage) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.stage = stage;
        }
    }

    /// The outcome of an operation that has ended; its slot is closed with that.
    pub(crate) fn take_outcome(&mut self, key: Key) -> Option<Outcome> {
        self.slots.get(key)?.outcome.as_ref()?;
        self.slots.remove(key)?.outcome
    }

    /// Whether this very waker is already in the slot.
    pub(crate) fn is_watched_by(&self, key: Key, waker: &Waker) -> bool {
        self.slots.get(key).is_some_and(|slot| {
            slot.waker
                .as_ref()
                .is_some_and(|known| known.will_wake(waker))
        })
    }

    /// Puts a waker into the slot; the one it replaces is the caller's to drop, after unlocking.
    pub(crate) fn set_waker(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        match self.slots.get_mut(key) {
            Some(slot) => slot.waker.replace(waker),
            None => Some(waker),
        }
    }

    /// Ends an operation and wakes who waits for it. A second end changes nothing.
    pub(crate) fn finish(&mut self, key: Key, outcome: Outcome, wakes: &mut Vec<Waker>) {
        let Some(slot) = self
            .slots
            .get_mut(key)
            .filter(|slot| slot.outcome.is_none())
        else {
            return;
        };
        slot.outcome = Some(outcome);
        if let Some(deadline) = slot.deadline.take() {
            self.deadlines.remove(&(deadline, key));
        }
        if !planted!(ForgetOperationWaker) {
            wakes.extend(slot.waker.take());
        }
    }

    /// Wakes all that watch for `watch`.
    pub(crate) fn wake(&mut self, watch: Watch, wakes: &mut Vec<Waker>) {
        let mut watching = core::mem::take(&mut self.watching);
        watching.retain(|&(kind, key)| {
            if kind == watch {
                self.finish(key, Outcome::Woken, wakes);
            }
            kind != watch
        });
        self.watching = watching;
    }

    pub(crate) fn is_anyone_watching(&self, watch: Watch) -> bool {
        self.watching.iter().any(|(kind, _)| *kind == watch)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The next slot whose deadline has come; it has none afterwards.
    pub(crate) fn poll_expired(&mut self, now: Instant) -> Option<Key> {
        let (deadline, key) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.pop_first();
        if let Some(slot) = self.slots.get_mut(key) {
            slot.deadline = None;
        }
        Some(key)
    }

    /// Those that were dropped since leave stale keys behind; they are cleared out when there are many.
    fn watch(&mut self, watch: Watch, key: Key) {
        if self.watching.len() > 2 * self.slots.len() + 16 {
            self.watching
                .retain(|(_, key)| self.slots.get(*key).is_some());
        }
        self.watching.push((watch, key));
    }
}
