//! What the handles need of the world.

use crate::threads::Threads;
use mqtt5_client::Instant;
use mqtt5_client::driver::Host;
use std::sync::{Arc, OnceLock, Weak};

/// Where a client finds its threads. It does not keep them alive.
pub(crate) type Place = Arc<OnceLock<Weak<Threads>>>;

/// The clock, and the hand that a waiting thread lends.
#[derive(Debug)]
pub(crate) struct BlockingHost {
    origin: std::time::Instant,
    threads: Place,
}

impl BlockingHost {
    #[expect(clippy::disallowed_methods, reason = "the edge where time enters")]
    pub(crate) fn new(threads: Place) -> Self {
        Self {
            origin: std::time::Instant::now(),
            threads,
        }
    }
}

impl Host for BlockingHost {
    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    fn before_wait(&self) {
        if let Some(threads) = self.threads.get().and_then(Weak::upgrade) {
            threads.lend_a_hand();
        }
    }
}
