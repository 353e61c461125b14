//! Waiting in a slot of the engine.

use crate::engine::{Engine, Outcome, Stage, Watch};
use crate::shared::Shared;
use crate::slab::Key;
use core::task::{Context, Poll, Waker};
use mqtt5_proto::Instant;

/// The outcome of an operation, or the caller's waker left in its slot. A slot that is no more gives `None`.
pub(super) fn poll_slot(
    shared: &Shared,
    key: Key,
    context: &Context<'_>,
    quiet: bool,
) -> Poll<Option<Outcome>> {
    let mut waker: Option<Waker> = None;
    loop {
        // Declared before the guard, so that it is dropped after unlocking.
        let replaced;
        let mut engine = shared.lock_for(quiet);
        let operations = engine.operations();
        if operations.stage(key).is_none() {
            return Poll::Ready(operations.take_outcome(key));
        }
        if operations.is_watched_by(key, context.waker()) {
            return Poll::Pending;
        }
        if let Some(waker) = waker.take() {
            replaced = operations.set_waker(key, waker);
            drop(engine);
            drop(replaced);
            return Poll::Pending;
        }
        drop(engine);
        waker = Some(context.waker().clone());
    }
}

/// Gives a slot back that nobody waits for any more.
pub(super) fn close_slot(shared: &Shared, key: Key) {
    let waker = shared.lock().operations().close(key);
    drop(waker);
}

/// What an attempt under the lock led to.
pub(super) enum Attempt<T> {
    Ready(T),
    NoRoom,
}

/// Who tries, and how.
pub(super) struct Caller<'a, 'c> {
    pub(super) shared: &'a Shared,
    pub(super) context: &'a Context<'c>,
    /// The driver need not be woken: the caller looks after that.
    pub(super) quiet: bool,
    pub(super) deadline: Option<Instant>,
    /// For what the attempt opens, if it opens something that will be waited for.
    pub(super) waker: Option<Waker>,
}

/// A place among those that wait for room.
#[derive(Debug, Default)]
pub(super) struct Room(Option<Key>);

impl Room {
    /// Tries under the lock; when there is no room, waits until there may be some, or until the deadline, which `expired` turns into
    /// a result.
    pub(super) fn poll<T>(
        &mut self,
        caller: Caller<'_, '_>,
        mut attempt: impl FnMut(&mut Engine, Instant, &mut Option<Waker>) -> Attempt<T>,
        expired: impl FnOnce() -> T,
    ) -> Poll<T> {
        let Caller {
            shared,
            context,
            quiet,
            deadline,
            mut waker,
        } = caller;
        let now = shared.now();
        let waited = self.0.is_some();
        loop {
            let mut engine = shared.lock_for(quiet);
            let old = self.0.take().and_then(|key| engine.operations().close(key));
            let result = match attempt(&mut engine, now, &mut waker) {
                Attempt::Ready(result) => Some(Poll::Ready(result)),
                Attempt::NoRoom if waited && deadline.is_some_and(|deadline| deadline <= now) => {
                    None
                }
                Attempt::NoRoom => match waker.take() {
                    Some(waker) => {
                        self.0 = Some(engine.watch(Watch::Room, deadline, waker));
                        Some(Poll::Pending)
                    }
                    None => {
                        drop(engine);
                        drop(old);
                        waker = Some(context.waker().clone());
                        continue;
                    }
                },
            };
            drop(engine);
            drop(old);
            return result.unwrap_or_else(|| Poll::Ready(expired()));
        }
    }

    /// Leaves the place.
    pub(super) fn leave(&mut self, shared: &Shared) {
        if let Some(key) = self.0.take() {
            close_slot(shared, key);
        }
    }
}

/// A slot that only a deadline ends.
pub(super) fn open_timer(shared: &Shared, deadline: Instant) -> Key {
    shared.lock().open_timed(Stage::Timer, Some(deadline), None)
}
