//! How a thread sleeps until it is needed.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};

/// A flag that one thread sleeps on. As a waker it is given to the engine.
#[derive(Debug)]
pub struct Signal {
    is_raised: AtomicBool,
    thread: Thread,
}

impl Signal {
    /// For the calling thread to sleep on.
    pub fn of_this_thread() -> Arc<Self> {
        Arc::new(Self {
            is_raised: AtomicBool::new(false),
            thread: thread::current(),
        })
    }

    /// Wakes the thread, or keeps it from falling asleep the next time.
    pub fn raise(&self) {
        if !self.is_raised.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }

    /// Sleeps until the signal is raised, or for so long. It may return early.
    pub fn wait(&self, limit: Option<Duration>) {
        if !self.is_raised.swap(false, Ordering::AcqRel) {
            limit.map_or_else(thread::park, thread::park_timeout);
            self.is_raised.swap(false, Ordering::AcqRel);
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}
