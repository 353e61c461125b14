//! Holds the publisher back while too many messages are outstanding.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// Counts outstanding messages.
#[derive(Debug)]
struct Pacer {
    limit: u64,
    outstanding: u64,
    waiting: bool,
    /// How often in a row messages were given up.
    losses: u32,
}

impl Pacer {
    /// Takes room for one message, if there is any.
    fn enter(&mut self) -> bool {
        self.waiting = self.outstanding >= self.limit;
        if !self.waiting {
            self.outstanding += 1;
        }
        !self.waiting
    }

    /// Gives the room of a message back; tells whether somebody waits for it.
    fn leave(&mut self) -> bool {
        self.losses = 0;
        // One that was given up may arrive after all.
        self.outstanding = self.outstanding.saturating_sub(1);
        std::mem::take(&mut self.waiting)
    }

    /// Gives up what is outstanding: it is lost.
    fn give_up(&mut self) {
        self.outstanding = 0;
        self.losses += 1;
    }
}

/// A [`Pacer`] between the publisher and the receiver, for tasks and for threads.
#[derive(Debug)]
pub(crate) struct Gate {
    pacer: Mutex<Pacer>,
    patience: Duration,
    task: Notify,
    thread: Condvar,
}

impl Gate {
    /// Lets so many messages be outstanding, and gives them up when none arrives for as long as `patience`, or half as
    /// long each time that nothing has arrived since.
    pub(crate) fn new(limit: u64, patience: Duration) -> Self {
        let pacer = Pacer {
            limit,
            outstanding: 0,
            waiting: false,
            losses: 0,
        };
        Self {
            pacer: Mutex::new(pacer),
            patience,
            task: Notify::new(),
            thread: Condvar::new(),
        }
    }

    /// Waits for room for a message.
    pub(crate) async fn enter(&self) {
        loop {
            // The guard must be gone before the wait.
            let patience = self.try_enter(&mut self.lock());
            let Some(patience) = patience else { return };
            if timeout(patience, self.task.notified()).await.is_err() {
                self.lock().give_up();
            }
        }
    }

    /// Waits for room for a message, on a thread.
    pub(crate) fn enter_blocking(&self) {
        let mut pacer = self.lock();
        while let Some(patience) = self.try_enter(&mut pacer) {
            let waited = self.thread.wait_timeout(pacer, patience);
            let (guard, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
            pacer = guard;
            if outcome.timed_out() {
                pacer.give_up();
            }
        }
    }

    /// A message has arrived.
    pub(crate) fn leave(&self) {
        if self.lock().leave() {
            self.task.notify_one();
            self.thread.notify_one();
        }
    }

    /// Takes room for a message, or tells how long to wait for it.
    fn try_enter(&self, pacer: &mut Pacer) -> Option<Duration> {
        let halvings = pacer.losses.min(MOST_HALVINGS);
        (!pacer.enter()).then(|| self.patience / (1 << halvings))
    }

    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        let pacer = self.lock();
        pacer.outstanding < pacer.limit
    }

    fn lock(&self) -> MutexGuard<'_, Pacer> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MOST_HALVINGS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::from_millis(5);

    #[test]
    fn no_more_than_the_limit_is_outstanding() {
        let gate = Gate::new(2, NO_TIME);
        gate.enter_blocking();
        gate.enter_blocking();
        assert!(!gate.lock().enter());
        gate.leave();
        assert!(gate.lock().enter());
        assert!(!gate.lock().enter());
    }

    #[test]
    fn lost_messages_do_not_hold_it_for_ever() {
        let gate = Gate::new(3, NO_TIME);
        (0..10).for_each(|_| gate.enter_blocking());
        // Nine that were given up arrive late.
        (0..10).for_each(|_| gate.leave());
        assert_eq!(gate.lock().outstanding, 0);
    }

    #[test]
    fn an_arrival_wakes_who_waits() {
        let gate = Gate::new(1, Duration::from_secs(60));
        gate.enter_blocking();
        std::thread::scope(|scope| {
            scope.spawn(|| gate.enter_blocking());
            while !gate.lock().waiting {
                std::thread::yield_now();
            }
            gate.leave();
        });
        assert_eq!(gate.lock().outstanding, 1);
    }

    #[tokio::test]
    async fn tasks_wait_as_threads_do() {
        let gate = Gate::new(1, NO_TIME);
        gate.enter().await;
        gate.enter().await;
        let gate = Gate::new(1, Duration::from_secs(60));
        gate.enter().await;
        tokio::join!(gate.enter(), async { gate.leave() });
        assert_eq!(gate.lock().outstanding, 1);
    }
}
