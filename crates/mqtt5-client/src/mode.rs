//! The two ways to wait, and the one implementation of both.

use crate::shared::Shared;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};

mod sealed {
    pub trait Sealed {
        /// Whether a call parks its thread until it is answered, after the adapter had a chance to write.
        const PARKS: bool;
    }
}

pub(crate) use sealed::Sealed;

/// How the handles wait: [`Async`] or [`Blocking`]. Sealed: these two are all there are.
pub trait Mode: Sealed + Copy + core::fmt::Debug + Send + Sync + Unpin + 'static {}

/// Handles whose operations are futures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Async {}

/// Handles whose operations block the calling thread. They must not be called on a thread that runs futures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blocking {}

impl Mode for Async {}
impl Mode for Blocking {}

impl Sealed for Async {
    const PARKS: bool = false;
}

impl Sealed for Blocking {
    const PARKS: bool = true;
}

/// Parks the calling thread until `future` is ready.
///
/// Before it sleeps, the adapter may write what the thread itself has just asked to send; the driver is woken for what is left.
pub(crate) fn wait<F: Future + Unpin>(shared: &Shared, mut future: F) -> F::Output {
    PARKER.with(|(parker, waker)| {
        let mut context = Context::from_waker(waker);
        loop {
            if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut context) {
                shared.notify_driver();
                return output;
            }
            shared.host().before_wait();
            shared.notify_driver();
            while !parker.notified.swap(false, Ordering::Acquire) {
                thread::park();
            }
        }
    })
}

struct Parker {
    thread: Thread,
    notified: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notified.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

thread_local! {
    static PARKER: (Arc<Parker>, Waker) = {
        let parker = Arc::new(Parker { thread: thread::current(), notified: AtomicBool::new(false) });
        (parker.clone(), Waker::from(parker))
    };
}
