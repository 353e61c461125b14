//! Waiting for something, for a time only.

use super::slot::{close_slot, open_timer, poll_slot};
use super::subscription::Ended;
use crate::mode::wait;
use crate::shared::Shared;
use crate::slab::Key;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

/// A future that is given up, with `None`, when its time is over; the time counts from the first poll.
pub(super) struct Limited<F> {
    shared: Arc<Shared>,
    future: F,
    timeout: Duration,
    timer: Option<Key>,
}

impl<F> Limited<F> {
    pub(super) fn new(shared: &Arc<Shared>, timeout: Duration, future: F) -> Self {
        Self {
            shared: shared.clone(),
            future,
            timeout,
            timer: None,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl<F: Future + Unpin> Future for Limited<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = Pin::new(&mut self.future).poll(context) {
            return Poll::Ready(Some(output));
        }
        let timer = match self.timer {
            Some(timer) => timer,
            None => {
                let timer = open_timer(&self.shared, self.shared.now() + self.timeout);
                *self.timer.insert(timer)
            }
        };
        core::task::ready!(poll_slot(&self.shared, timer, context, false));
        self.timer = None;
        Poll::Ready(None)
    }
}

impl<F> Drop for Limited<F> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            close_slot(&self.shared, timer);
        }
    }
}

/// Parks the calling thread until the future is ready, for so long; `None` when the time was over first.
pub(super) fn wait_for<F: Future + Unpin>(
    shared: &Arc<Shared>,
    timeout: Duration,
    future: F,
) -> Option<F::Output> {
    wait(shared, Limited::new(shared, timeout, future))
}

/// As [`wait_for`], for the next of a sequence.
pub(super) fn receive_for<T, F: Future<Output = Option<T>> + Unpin>(
    shared: &Arc<Shared>,
    timeout: Duration,
    next: F,
) -> Result<Option<T>, Ended> {
    received(wait_for(shared, timeout, next))
}

/// What the next of a sequence is, if it came in time.
pub(super) fn received<T>(next: Option<Option<T>>) -> Result<Option<T>, Ended> {
    next.map_or(Ok(None), |item| item.ok_or(Ended).map(Some))
}
