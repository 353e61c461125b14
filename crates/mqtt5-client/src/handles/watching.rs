//! Waiting for a condition of the client.

use super::slot::{close_slot, poll_slot};
use crate::engine::{Engine, Watch};
use crate::shared::Shared;
use crate::slab::Key;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

/// The future of a condition of the client. Dropping it changes nothing.
#[must_use = "futures do nothing unless polled"]
pub struct Watching<'a, T> {
    shared: &'a Shared,
    watch: Watch,
    check: fn(&Engine) -> Option<T>,
    slot: Option<Key>,
}

impl<'a, T> Watching<'a, T> {
    pub(super) fn new(shared: &'a Shared, watch: Watch, check: fn(&Engine) -> Option<T>) -> Self {
        Self {
            shared,
            watch,
            check,
            slot: None,
        }
    }
}

impl<T> Future for Watching<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(slot) = self.slot {
            core::task::ready!(poll_slot(self.shared, slot, context, false));
            self.slot = None;
        }
        if let Some(output) = (self.check)(&self.shared.lock()) {
            return Poll::Ready(output);
        }
        let waker = context.waker().clone();
        let mut engine = self.shared.lock();
        // What came true in between would wake nobody.
        if let Some(output) = (self.check)(&engine) {
            drop(engine);
            return Poll::Ready(output);
        }
        let slot = engine.watch(self.watch, None, waker);
        drop(engine);
        self.slot = Some(slot);
        Poll::Pending
    }
}

impl<T> Drop for Watching<'_, T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            close_slot(self.shared, slot);
        }
    }
}

impl<T> fmt::Debug for Watching<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching")
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

/// Somebody who looks again each time that the state has changed.
pub(super) struct Watcher {
    pub(super) shared: Arc<Shared>,
    slot: Option<Key>,
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, slot: None }
    }

    /// Ready as soon as `look` finds something.
    pub(super) fn poll<T>(
        &mut self,
        context: &Context<'_>,
        mut look: impl FnMut(&mut Engine) -> Option<T>,
    ) -> Poll<T> {
        loop {
            if let Some(slot) = self.slot {
                core::task::ready!(poll_slot(&self.shared, slot, context, false));
                self.slot = None;
            }
            let waker = context.waker().clone();
            let mut engine = self.shared.lock();
            if let Some(found) = look(&mut engine) {
                drop(engine);
                return Poll::Ready(found);
            }
            self.slot = Some(engine.watch(Watch::State, None, waker));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            close_slot(&self.shared, slot);
        }
    }
}

/// Conditions that a client can wait for: in async mode each is a method that gives a future, in blocking mode one that waits.
macro_rules! watches {
    ($($(#[$doc:meta])+ $name:ident, $timed:ident -> $output:ty = $watch:expr, |$engine:ident| $check:expr;)+) => {
        impl Client<Async> {
            $($(#[$doc])+
            ///
            /// Cancel safe: dropping the future changes nothing.
            pub fn $name(&self) -> Watching<'_, $output> {
                Watching::new(&self.shared, $watch, |$engine| $check)
            })+
        }

        impl Client<Blocking> {
            $($(#[$doc])+
            ///
            /// Blocks the calling thread.
            pub fn $name(&self) -> $output {
                wait(&self.shared, Watching::new(&self.shared, $watch, |$engine| $check))
            }

            #[doc = concat!("As [`", stringify!($name), "`](Self::", stringify!($name), "), for so long; `None` when the time is over.")]
            ///
            /// # Errors
            ///
            #[doc = concat!("As [`", stringify!($name), "`](Self::", stringify!($name), ").")]
            pub fn $timed(&self, timeout: Duration) -> Option<$output> {
                let watching = Watching::new(&self.shared, $watch, |$engine| $check);
                wait_for(&self.shared, timeout, watching)
            })+
        }
    };
}

pub(super) use watches;
