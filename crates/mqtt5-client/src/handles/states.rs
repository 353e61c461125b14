//! Watching where the client is in its life.

use super::limited::receive_for;
use super::subscription::Ended;
use super::watching::Watcher;
use crate::engine::State;
use crate::mode::{Async, Blocking, Mode, wait};
use crate::shared::Shared;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

/// The state of a client, watched; see [`Client::states`](crate::Client::states).
///
/// It gives where the client is, not every step on the way there: a watcher that is slow misses states, but never the last one. Nothing
/// is kept for it. It does not keep the connection alive.
pub struct States<M: Mode = Async> {
    inner: Inner,
    mode: PhantomData<M>,
}

struct Inner {
    watcher: Watcher,
    seen: Option<State>,
}

impl<M: Mode> States<M> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let inner = Inner {
            watcher: Watcher::new(shared),
            seen: None,
        };
        Self {
            inner,
            mode: PhantomData,
        }
    }
}

impl States<Async> {
    /// The state, at once the first time and then when it is another than the one given last; `None` after [`State::Stopped`].
    ///
    /// Cancel safe: a future dropped before it resolves has taken nothing.
    pub fn recv(&mut self) -> NextState<'_> {
        NextState(&mut self.inner)
    }
}

impl States<Blocking> {
    /// The state, at once the first time; then waits until it is another than the one given last. `None` after [`State::Stopped`].
    pub fn recv(&mut self) -> Option<State> {
        let shared = self.inner.watcher.shared.clone();
        wait(&shared, NextState(&mut self.inner))
    }

    /// Waits for a state, as [`recv`](Self::recv) gives it, for so long; `None` when none came in time.
    ///
    /// # Errors
    ///
    /// [`Ended`]: there will be none.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<State>, Ended> {
        let shared = self.inner.watcher.shared.clone();
        receive_for(&shared, timeout, NextState(&mut self.inner))
    }
}

impl<M: Mode> fmt::Debug for States<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("seen", &self.inner.seen)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<State>> {
        if self.seen == Some(State::Stopped) {
            return Poll::Ready(None);
        }
        let seen = &mut self.seen;
        self.watcher.poll(context, |engine| {
            let state = Some(engine.state());
            (core::mem::replace(seen, state) != state).then_some(state)
        })
    }
}

/// The future of [`States::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct NextState<'a>(&'a mut Inner);

impl Future for NextState<'_> {
    type Output = Option<State>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<State>> {
        self.0.poll_next(context)
    }
}

impl fmt::Debug for NextState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextState").finish_non_exhaustive()
    }
}
