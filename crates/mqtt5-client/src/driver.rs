//! What an adapter sees: everything between the handles and a byte stream.
//!
//! An adapter opens transports, moves bytes and sleeps. It takes no decision: [`Driver`] says what to do next. The loop of an adapter
//! that waits for several things at once is [`Driver::turn_read`], then [`Driver::turn_write`], then whatever became ready. One that
//! blocks uses a thread for each of the two.
//!
//! The whole of a driver, with one thread that never sleeps:
//!
//! ```no_run
//! use mqtt5_client::driver::{Action, Driver, Host};
//! use mqtt5_client::{Async, Client, DialError, Incoming, Instant, Outgoing};
//! use std::io::{ErrorKind, Read, Write};
//! use std::net::TcpStream;
//! use std::task::Waker;
//!
//! struct Clock(std::time::Instant);
//!
//! impl Host for Clock {
//!     fn now(&self) -> Instant {
//!         Instant::ZERO + self.0.elapsed()
//!     }
//! }
//!
//! fn drive(driver: &Driver) {
//!     let waker = Waker::noop(); // of a thread that sleeps: one that ends its sleep
//!     let (mut incoming, mut outgoing) = (Incoming::new(), Outgoing::new());
//!     let (mut link, mut written) = (None, 0);
//!     loop {
//!         let reading = driver.turn_read(&mut incoming, waker);
//!         let turn = driver.turn_write(&mut outgoing, std::mem::take(&mut written), waker);
//!         match turn.action {
//!             Some(Action::Dial { attempt, endpoint, .. }) => {
//!                 let dialed = TcpStream::connect((endpoint.host(), endpoint.port()));
//!                 match dialed.and_then(|stream| stream.set_nonblocking(true).map(|()| stream)) {
//!                     Ok(stream) if driver.handle_dialed(attempt) => link = Some((attempt, stream)),
//!                     Ok(_) => {}
//!                     Err(error) => driver.handle_dial_failed(attempt, DialError::from(error)),
//!                 }
//!                 continue;
//!             }
//!             Some(Action::CancelDial(_)) => continue,
//!             Some(Action::Hangup(attempt)) => {
//!                 link = None;
//!                 driver.handle_closed(attempt);
//!                 continue;
//!             }
//!             Some(Action::Finish) => return,
//!             None => {}
//!         }
//!         let Some((attempt, stream)) = &mut link else { continue };
//!         let attempt = *attempt;
//!         let sent = if outgoing.is_empty() { Ok(0) } else { stream.write(outgoing.first()) };
//!         let received = if reading { stream.read(incoming.space()) } else { Err(ErrorKind::WouldBlock.into()) };
//!         match (sent, received) {
//!             (_, Ok(0)) => {
//!                 link = None;
//!                 driver.handle_closed(attempt);
//!             }
//!             (sent, received) => {
//!                 written = sent.unwrap_or(0);
//!                 incoming.filled(received.unwrap_or(0));
//!             }
//!         }
//!     }
//! }
//!
//! let clock = Clock(std::time::Instant::now());
//! let (client, driver): (Client<Async>, Driver) = Driver::new("mqtt://localhost".into(), clock)?;
//! std::thread::spawn(move || drive(&driver));
//! # Ok::<(), mqtt5_client::OptionsError>(())
//! ```

use crate::endpoint::Endpoint;
use crate::engine::{Engine, Progress};
use crate::error::DialError;
use crate::handles::Client;
use crate::mode::Mode;
use crate::options::{Config, Options, OptionsError};
use crate::shared::Shared;
use core::fmt;
use core::hash::{BuildHasher, Hasher};
use core::task::Waker;
use mqtt5_proto::{Incoming, Instant, Outgoing};
use std::collections::hash_map::RandomState;
use std::sync::Arc;

/// What the handles need of the world: the time, and perhaps a hand with writing.
pub trait Host: Send + Sync + 'static {
    /// The time since an origin that the adapter chooses; it must not go backwards.
    fn now(&self) -> Instant;

    /// Where the randomness of a client begins, which spreads the attempts of many clients: the same seed and the same events give the
    /// same times. Asked when the client is built and for each requester; a number of the standard library's random state by default.
    fn seed(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }

    /// The calling thread is about to park until something that it has asked for is answered; only [`Blocking`](crate::Blocking)
    /// handles call it. An adapter may write what [`Driver::transmit`] gives, if nobody else is writing. The engine is not locked.
    fn before_wait(&self) {}
}

/// The number of an attempt to reach the server, counted from 1. A transport belongs to one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(u64);

impl Attempt {
    /// Before the first attempt.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an adapter must do. Every action must be obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a transport, then call [`Driver::handle_dialed`] or [`Driver::handle_dial_failed`].
    Dial {
        /// The attempt that the transport is for.
        attempt: Attempt,
        /// Where to.
        endpoint: Arc<Endpoint>,
        /// Whether the server may be told who we are. If not, a redirect has named it, and no secret of the transport, such as a header
        /// with a token or the client's certificate, may go to it.
        is_trusted: bool,
    },
    /// Stop opening the transport of this attempt; nothing need be reported.
    CancelDial(Attempt),
    /// Close the transport of this attempt, then call [`Driver::handle_closed`].
    Hangup(Attempt),
    /// The client has stopped: the driver can end.
    Finish,
}

/// What came out of a turn of the writing side.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a turn that is not looked at loses its action"]
pub struct Turn {
    /// What to do first, if anything. There may be more: take another turn after it.
    pub action: Option<Action>,
    /// When to take another turn at the latest.
    pub deadline: Option<Instant>,
}

/// The engine as its driver sees it: one for each client, `Send + Sync`, so that two threads can share it in an `Arc`.
///
/// Dropping it before [`Action::Finish`] stops the client: every operation ends, none hangs.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
}

impl Driver {
    /// Builds a client and its driver. The first [`Action::Dial`] is waiting already.
    ///
    /// # Errors
    ///
    /// The first mistake in the options.
    pub fn new<M: Mode>(
        options: Options,
        host: impl Host,
    ) -> Result<(Client<M>, Self), OptionsError> {
        let shared = Arc::new(Shared::new(
            Engine::new(Config::new(options)?, host.seed()),
            host,
        ));
        let now = shared.now();
        shared.lock().start(now);
        Ok((Client::new(shared.clone()), Self { shared }))
    }

    /// A turn of the reading side: hands in what was read into `incoming` since the last one, perhaps nothing, and handles it.
    ///
    /// `true`: read into `incoming`, then take another turn. `false`: nothing may be read; `waker` is woken when that changes.
    pub fn turn_read(&self, incoming: &mut Incoming, waker: &Waker) -> bool {
        let waker = waker.clone();
        let now = self.shared.now();
        let mut engine = self.shared.lock();
        engine.handle_incoming(now, incoming);
        while engine.poll_events(now, EVENTS_PER_LOCK) == Progress::More {
            drop(engine);
            engine = self.shared.lock();
        }
        let (wants_read, unneeded) = engine.lend_incoming(incoming, waker);
        drop(engine);
        drop(unneeded);
        wants_read
    }

    /// A turn of the writing side: reports that `written` bytes of `outgoing` were written, does what is due, and moves the next bytes
    /// into `outgoing` when it is empty.
    ///
    /// When there is no action, `waker` is woken as soon as there is something new: bytes, if `outgoing` is still empty, an action, an
    /// earlier deadline.
    pub fn turn_write(&self, outgoing: &mut Outgoing, written: usize, waker: &Waker) -> Turn {
        let waker = waker.clone();
        let now = self.shared.now();
        let mut engine = self.shared.lock();
        engine.handle_due(now);
        engine.handle_sent(now, outgoing, written);
        while engine.poll_events(now, EVENTS_PER_LOCK) == Progress::More {
            drop(engine);
            engine = self.shared.lock();
        }
        engine.lend_outgoing(outgoing);
        let (action, deadline, unneeded) = engine.end_turn(waker);
        drop(engine);
        drop(unneeded);
        Turn { action, deadline }
    }

    /// Only the bytes of [`turn_write`](Self::turn_write), and what follows from their being written: for [`Host::before_wait`]. What
    /// else is new wakes the writing side, when the engine is next unlocked by somebody else.
    pub fn transmit(&self, outgoing: &mut Outgoing, written: usize) {
        let now = self.shared.now();
        self.shared.lock_for(true).transmit(now, outgoing, written);
    }

    /// The transport of this attempt is open; `false` when it is not wanted any more and must be closed.
    #[must_use = "a transport that is not wanted must be closed"]
    pub fn handle_dialed(&self, attempt: Attempt) -> bool {
        let now = self.shared.now();
        self.shared.lock().handle_dialed(now, attempt)
    }

    /// The transport of this attempt could not be opened.
    pub fn handle_dial_failed(&self, attempt: Attempt, error: DialError) {
        let now = self.shared.now();
        self.shared.lock().handle_dial_failed(now, attempt, error);
    }

    /// The transport of this attempt is gone: its end, an error, or after [`Action::Hangup`]. Only the first call for an attempt counts.
    pub fn handle_closed(&self, attempt: Attempt) {
        let now = self.shared.now();
        self.shared.lock().handle_closed(now, attempt);
    }

    /// The time of the host.
    pub fn now(&self) -> Instant {
        self.shared.now()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let now = self.shared.now();
        self.shared.lock().abandoned(now);
    }
}

/// How many events are handled before others get a chance at the lock.
const EVENTS_PER_LOCK: usize = 256;
