//! Requests that have begun: what `start` gives.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// A request that is first accepted and then answered.
pub trait Accept: Unpin {
    /// Why it is not accepted.
    type Error;

    /// Ready when it is accepted.
    fn poll_accepted(&mut self, context: &Context<'_>) -> Poll<Result<(), Self::Error>>;
}

/// The future of `start`: resolves when the request is accepted, and gives the future of its answer.
///
/// Cancel safe: nothing is accepted before the first poll, and a future dropped before it resolves has asked for nothing.
#[must_use = "futures do nothing unless polled"]
pub struct Asking<T>(Option<T>);

impl<T> Asking<T> {
    pub(super) const fn new(request: T) -> Self {
        Self(Some(request))
    }
}

impl<T: Accept> Future for Asking<T> {
    type Output = Result<T, T::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut request) = self.0.take() else {
            return Poll::Pending;
        };
        match request.poll_accepted(context) {
            Poll::Ready(accepted) => Poll::Ready(accepted.map(|()| request)),
            Poll::Pending => {
                self.0 = Some(request);
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Asking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}
