//! The threads of a client: one that writes, dials and keeps time, one that reads.

use crate::dial;
use crate::host::{BlockingHost, Place};
use crate::link::{Link, Writer};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use mqtt5_client::driver::{Action, Attempt, Driver};
use mqtt5_client::{Client, Endpoint, Incoming, Instant, Mode, OptionsError, Outgoing};
use mqtt5_transport::{DialReport, Settings, Setup, SharedPipe, Signal};
use socket2::Socket;
use std::io::{self, ErrorKind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;

/// What the threads of one client share. Lock order: the writer, then the engine.
#[derive(Debug)]
pub(crate) struct Threads {
    pub(crate) driver: Arc<Driver>,
    /// The thread that drives sleeps on it.
    pub(crate) signal: Arc<Signal>,
    pub(crate) settings: Settings,
    writer: Mutex<Writer>,
}

impl Threads {
    /// Builds a client and starts the thread that drives it and starts the others. It ends with the client.
    ///
    /// A system that gives no thread is a server that cannot be reached.
    pub(crate) fn start<M: Mode>(setup: Setup) -> Result<Client<M>, OptionsError> {
        let place = Place::default();
        let settings = setup.settings;
        let (client, driver) = Driver::new(setup.options, BlockingHost::new(place.clone()))?;
        let driver = Arc::new(driver);
        let threadless = driver.clone();
        let started = spawn("mqtt5-write", move || {
            let signal = Signal::of_this_thread();
            let threads = Arc::new(Self {
                driver,
                signal,
                settings,
                writer: Mutex::default(),
            });
            // It is filled only here.
            let _ = place.set(Arc::downgrade(&threads));
            threads.drive();
        });
        if let Err(error) = started {
            let turn = threadless.turn_write(&mut Outgoing::new(), 0, Waker::noop());
            if let Some(Action::Dial { attempt, .. }) = turn.action {
                threadless.handle_dial_failed(attempt, error.into());
            }
        }
        Ok(client)
    }

    /// Does what the engine asks for until the client has stopped.
    fn drive(self: &Arc<Self>) {
        let waker = Waker::from(self.signal.clone());
        let mut dial: Option<Sender<DialReport>> = None;
        let mut leaving: Option<Instant> = None;
        loop {
            let mut writer = self.writer();
            let written = core::mem::take(&mut writer.written);
            let turn = self
                .driver
                .turn_write(&mut writer.outgoing, written, &waker);
            let has_sent = turn.action.is_none() && writer.send(self);
            match turn.action {
                Some(Action::Dial {
                    attempt,
                    endpoint,
                    is_trusted,
                }) => {
                    // Whatever was left is gone.
                    leaving = None;
                    dial = self.dial(attempt, endpoint, is_trusted);
                }
                Some(Action::CancelDial(_)) => drop(dial.take().map(|dial| dial.send(None))),
                Some(Action::Hangup(_)) => {
                    // The transport of another attempt is dialed only when this one is gone.
                    writer.link.iter().for_each(|link| link.leave());
                    leaving = Some(self.driver.now() + LEAVE);
                }
                Some(Action::Finish) => return,
                None if has_sent => {}
                None => {
                    if leaving
                        .take_if(|until| *until <= self.driver.now())
                        .is_some()
                    {
                        writer.link.iter().for_each(|link| link.cut());
                    }
                    drop(writer);
                    let deadline = turn.deadline.into_iter().chain(leaving).min();
                    self.signal.wait(self.until(deadline));
                }
            }
        }
    }

    /// Writes what is waiting, if nobody else does: for a thread that is about to wait for the answer.
    pub(crate) fn lend_a_hand(self: &Arc<Self>) {
        let Ok(mut writer) = self.writer.try_lock() else {
            return;
        };
        for _ in 0..ROUNDS {
            let written = core::mem::take(&mut writer.written);
            self.driver.transmit(&mut writer.outgoing, written);
            if !writer.send(self) {
                break;
            }
        }
        if writer.outgoing.is_empty() {
            return;
        }
        // The peer takes nothing, which has a deadline, or others keep it busy.
        drop(writer);
        self.signal.raise();
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it is until then.
    pub(crate) fn until(&self, deadline: Option<Instant>) -> Option<Duration> {
        deadline.map(|deadline| deadline.saturating_duration_since(self.driver.now()))
    }

    /// Starts the thread that dials; once the transport is open it reads from it.
    fn dial(
        self: &Arc<Self>,
        attempt: Attempt,
        endpoint: Arc<Endpoint>,
        is_trusted: bool,
    ) -> Option<Sender<DialReport>> {
        let reports = mpsc::channel();
        let (threads, sender) = (self.clone(), reports.0.clone());
        let started = spawn("mqtt5-read", move || {
            match dial::open(&endpoint, is_trusted, &threads, &reports) {
                Ok(Some((socket, pipe))) => threads.serve(attempt, socket, pipe),
                Ok(None) => {}
                Err(error) => threads.driver.handle_dial_failed(attempt, error),
            }
        });
        let failed = |error: io::Error| self.driver.handle_dial_failed(attempt, error.into());
        started.map_err(failed).ok().map(|()| sender)
    }

    /// Reads until the end of the transport.
    fn serve(self: &Arc<Self>, attempt: Attempt, socket: Arc<Socket>, pipe: SharedPipe) {
        let link = Arc::new(Link {
            socket,
            pipe,
            reader: Signal::of_this_thread(),
            is_left: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
        });
        let mut writer = self.writer();
        if !self.driver.handle_dialed(attempt) {
            return;
        }
        writer.attach(Some(link.clone()));
        drop(writer);
        self.signal.raise();
        self.read(&link);
        let mut writer = self.writer();
        if link.pipe.owes() {
            // Why it is over.
            writer.send(self);
        }
        writer.attach(None);
        drop(writer);
        // When the engine learns of it, the socket is closed, whoever still waits for it.
        link.cut();
        drop(link);
        self.driver.handle_closed(attempt);
    }

    /// Reads until the end, handing everything to the engine.
    fn read(&self, link: &Link) {
        let waker = Waker::from(link.reader.clone());
        let mut incoming = Incoming::new();
        loop {
            let wants_read = self.driver.turn_read(&mut incoming, &waker);
            let is_deaf = !wants_read && link.is_cut.load(Ordering::Acquire);
            let is_left = is_deaf || link.is_left.load(Ordering::Acquire);
            if !wants_read && !is_left {
                link.reader.wait(None);
                continue;
            }
            let read = link.pipe.read(&*link.socket, incoming.space());
            if link.pipe.owes() {
                self.signal.raise();
            }
            match read {
                Ok(1..) if is_left => {}
                Ok(count @ 1..) => incoming.filled(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}

/// Starts a thread with a small stack, which nobody waits for.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.stack_size(STACK).spawn(run).map(drop)
}

/// How long the peer has to close when it knows that nothing more comes.
const LEAVE: Duration = Duration::from_millis(500);
/// How often a thread that lends a hand writes.
const ROUNDS: usize = 4;
/// Enough for name resolution by the system's library, the deepest of all calls.
const STACK: usize = 256 << 10;
