//! Writing: all bytes for a connection at once, without the lock.

use std::io::{ErrorKind, IoSlice, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Buf;
use mqtt5_proto::Instant;

use super::{Shared, State, shut_down, thread_named};
use crate::clock::Clock;
use crate::outgoing::Outgoing;

/// Bytes for one connection, and the right to write to it.
#[derive(Debug)]
pub(super) struct Job {
    stream: Arc<TcpStream>,
    outgoing: Outgoing,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Written,
    /// The client takes nothing, or too little.
    Blocked,
    Failed,
}

impl Job {
    pub(super) const fn new(stream: Arc<TcpStream>, outgoing: Outgoing) -> Self {
        Self {
            stream,
            outgoing,
            outcome: Outcome::Blocked,
        }
    }

    /// Writes until everything is written; with a limit only until it comes or the client takes nothing for
    /// [`WRITE_TIMEOUT`].
    fn write(&mut self, limit: Option<(&Clock, Instant)>) {
        self.outcome = loop {
            if self.outgoing.is_empty() {
                break Outcome::Written;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.outgoing.chunks_vectored(&mut slices);
            match (&*self.stream).write_vectored(&slices[..count]) {
                Ok(0) => break Outcome::Failed,
                Ok(written) => self.outgoing.advance(written),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if limit.is_none() => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => break Outcome::Blocked,
                    _ => break Outcome::Failed,
                },
            }
            let is_late = |(clock, until): (&Clock, Instant)| clock.now() >= until;
            if !self.outgoing.is_empty() && limit.is_some_and(is_late) {
                break Outcome::Blocked;
            }
        };
    }
}

impl Shared {
    /// Does everything that the machine asks for: the end of every turn that gave it input.
    pub(super) fn settle<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State>) {
        let mut jobs = Vec::new();
        for round in 0.. {
            let State { broker, links, .. } = &mut *state;
            links.collect(broker, &mut jobs);
            if state.must_wake_timer() {
                self.timer.notify_all();
            }
            if !state.broker.is_congested() {
                state.is_impatient = false;
            }
            if state.must_wake_waiting() {
                self.relief.notify_all();
            }
            if jobs.is_empty() {
                return;
            }
            drop(state);
            // Others may produce output as fast as this thread writes it, but it has its own client to read from.
            if round < ROUNDS {
                self.write_all(&mut jobs);
            }
            state = self.lock();
            for job in jobs.drain(..) {
                self.finish(&mut state, job);
            }
        }
    }

    fn write_all(&self, jobs: &mut [Job]) {
        let until = self.clock.now() + WRITE_LIMIT;
        for job in jobs {
            job.write(Some((&self.clock, until)));
        }
    }

    /// Reports a job to the machine, or gives it to a thread of its own.
    fn finish(self: &Arc<Self>, state: &mut State, job: Job) {
        let number = job.outgoing.connection();
        match job.outcome {
            Outcome::Blocked => return self.delegate(state, job),
            Outcome::Failed => shut_down(&job.stream, Shutdown::Both),
            Outcome::Written => {}
        }
        state.broker.handle_sent(self.clock.now(), job.outgoing);
        state.links.finish(number);
    }

    /// Lets a thread of its own write to a client that is slow, so that it slows down nobody else.
    fn delegate(self: &Arc<Self>, state: &mut State, job: Job) {
        let shared = Arc::clone(self);
        let stream = Arc::clone(&job.stream);
        match thread_named("mqtt5-broker-write", move || shared.write_patiently(job)) {
            Ok(thread) => state.threads.push(thread),
            // Without a thread its bytes cannot leave.
            Err(_) => shut_down(&stream, Shutdown::Both),
        }
    }

    fn write_patiently(self: &Arc<Self>, mut job: Job) {
        loop {
            let number = job.outgoing.connection();
            job.write(None);
            let mut state = self.lock();
            self.finish(&mut state, job);
            let State { broker, links, .. } = &mut *state;
            match links.take_job(broker, number) {
                Some(next) => job = next,
                None => return self.settle(state),
            }
        }
    }
}

/// How long a write may wait for a client that takes nothing.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long one turn may write to slow clients altogether.
const WRITE_LIMIT: Duration = Duration::from_secs(1);
/// How often a turn writes what came up while it wrote.
const ROUNDS: usize = 64;
const SLICES: usize = 32;
