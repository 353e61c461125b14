//! Listening to what happens to the client.

use super::limited::receive_for;
use super::subscription::Ended;
use crate::engine::Event;
use crate::mode::{Async, Blocking, Mode, wait};
use crate::shared::Shared;
use crate::slab::Key;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use futures_core::Stream;
use std::sync::Arc;

/// What happens to a client, from when this was made; see [`Client::events`](crate::Client::events).
///
/// A [`Stream`] in async mode, an [`Iterator`] in blocking mode. Any number of listeners hear everything; one that is more than 256
/// events behind loses the oldest and is told how many. It ends after [`Event::Stopped`] and does not keep the connection alive.
pub struct Events<M: Mode = Async> {
    inner: Inner,
    mode: PhantomData<M>,
}

struct Inner {
    shared: Arc<Shared>,
    listener: Key,
}

impl<M: Mode> Events<M> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let listener = shared.lock().notices().listen();
        Self {
            inner: Inner { shared, listener },
            mode: PhantomData,
        }
    }

    /// The next event if there is one; never waits.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.inner
            .shared
            .lock()
            .notices()
            .poll(self.inner.listener)
            .ok()
    }
}

impl Events<Async> {
    /// The next event; `None` after the last.
    ///
    /// Cancel safe: a future dropped before it resolves has taken nothing.
    pub fn recv(&mut self) -> NextEvent<'_> {
        NextEvent(&mut self.inner)
    }
}

impl Events<Blocking> {
    /// Waits for the next event; `None` after the last.
    pub fn recv(&mut self) -> Option<Event> {
        let shared = self.inner.shared.clone();
        wait(&shared, NextEvent(&mut self.inner))
    }

    /// Waits for the next event, for so long; `None` when none came in time.
    ///
    /// # Errors
    ///
    /// [`Ended`]: there will be none.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Event>, Ended> {
        let shared = self.inner.shared.clone();
        receive_for(&shared, timeout, NextEvent(&mut self.inner))
    }
}

impl Stream for Events<Async> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.inner.poll_next(context)
    }
}

impl Iterator for Events<Blocking> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.recv()
    }
}

impl<M: Mode> fmt::Debug for Events<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Inner {
    fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Event>> {
        let mut waker: Option<Waker> = None;
        loop {
            let mut engine = self.shared.lock();
            match engine.notices().poll(self.listener) {
                Ok(event) => return Poll::Ready(Some(event)),
                Err(false) => return Poll::Ready(None),
                Err(true) => {}
            }
            if let Some(waker) = waker.take() {
                let replaced = engine.notices().set_waker(self.listener, waker);
                drop(engine);
                drop(replaced);
                return Poll::Pending;
            }
            drop(engine);
            waker = Some(context.waker().clone());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let waker = self.shared.lock().notices().leave(self.listener);
        drop(waker);
    }
}

/// The future of [`Events::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct NextEvent<'a>(&'a mut Inner);

impl Future for NextEvent<'_> {
    type Output = Option<Event>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(context)
    }
}

impl fmt::Debug for NextEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextEvent").finish_non_exhaustive()
    }
}
