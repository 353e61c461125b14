//! The loop between a driver and the network: it obeys, moves bytes and sleeps, as the adapters of this workspace do.
//!
//! It sleeps on the wakers and the deadline that it gave and was given, and on nothing else, so that a forgotten wake-up is a hang.

use core::task::Waker;
use core::time::Duration;
use std::sync::Arc;

use mqtt5_client::driver::{Action, Attempt, Driver};
use mqtt5_client::{DialError, DialErrorKind, Incoming, Instant, Outgoing};

use crate::executor::Alarm;
use crate::hub::{Hub, ProcessId};
use crate::link::Read;
use crate::options::ClientOptions;
use crate::outside::{Dialed, Outside};
use crate::pacing::Pacing;
use crate::transcript::Invariant;

/// The driver of one process, and its transport.
#[derive(Debug)]
pub(crate) struct Adapter {
    process: ProcessId,
    driver: Driver,
    incoming: Incoming,
    outgoing: Outgoing,
    /// How many bytes of `outgoing` were written since the driver was told.
    written: usize,
    /// Bytes that were read since the driver was told.
    read: Vec<u8>,
    /// How many bytes of `outgoing` the referee has seen, and how many of those the transport has not taken.
    seen: usize,
    unwritten: usize,
    link: Link,
    deadline: Option<Instant>,
    pub(crate) reading: bool,
    /// When bytes last arrived, or it began to read.
    pub(crate) heard: Instant,
    /// When it last wrote what the transport had had no room for before.
    pub(crate) blocked: Instant,
    pacing: Pacing,
    pub(crate) finished: bool,
    two_threads: bool,
    reader: Arc<Alarm>,
    writer: Arc<Alarm>,
    reader_waker: Waker,
    writer_waker: Waker,
}

/// Where the transport is in its life.
#[derive(Clone, Copy, Debug)]
enum Link {
    Closed,
    Dialing(Attempt, Dialed, Instant),
    Open {
        attempt: Attempt,
        number: u64,
        deaf: bool,
    },
    /// Nothing more is sent, and what arrives is thrown away.
    Leaving {
        attempt: Attempt,
        number: u64,
        until: Instant,
    },
}

/// Which side is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Awake {
    reader: bool,
    writer: bool,
}

impl Adapter {
    /// The numbers are those under which its two sides can be woken.
    pub(crate) fn new(
        hub: &Hub,
        process: ProcessId,
        driver: Driver,
        options: &ClientOptions,
        sides: [usize; 2],
    ) -> Self {
        let pacing = {
            let prepared = options.preparing.is_some().then_some(options.servers.len());
            Pacing::new(options.longest_backoff, options.stable_after, prepared)
        };
        let [reader, writer] = sides.map(|side| {
            let alarm = Alarm::new(side, &hub.ready);
            hub.note_alarm(side, process, Arc::downgrade(&alarm));
            alarm
        });
        reader.ring();
        writer.ring();
        Self {
            process,
            driver,
            incoming: Incoming::new(),
            outgoing: Outgoing::new(),
            written: 0,
            read: Vec::new(),
            seen: 0,
            unwritten: 0,
            link: Link::Closed,
            deadline: None,
            reading: false,
            heard: hub.clock.now(),
            blocked: hub.clock.now(),
            pacing,
            finished: false,
            two_threads: options.two_threads,
            reader_waker: reader.clone().into(),
            writer_waker: writer.clone().into(),
            reader,
            writer,
        }
    }

    /// The connection that it uses.
    pub(crate) fn connection(&self) -> Option<u64> {
        match self.link {
            Link::Open { number, .. } => Some(number),
            _ => None,
        }
    }

    /// Whether bytes wait that the transport has no room for.
    pub(crate) fn is_writing(&self) -> bool {
        self.unwritten > 0
    }

    /// When it must be woken.
    pub(crate) fn next(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Dialing(_, Dialed::Never, _) | Link::Closed | Link::Open { .. } => None,
            Link::Dialing(_, _, at) | Link::Leaving { until: at, .. } => Some(at),
        };
        self.deadline
            .filter(|_| !self.finished)
            .into_iter()
            .chain(link)
            .min()
    }

    /// The time has come that it sleeps until.
    pub(crate) fn ring_if_due(&self, now: Instant) {
        if self.next().is_some_and(|at| at <= now) {
            self.writer.ring();
        }
    }

    /// One of its sides was woken.
    pub(crate) fn poll(&mut self, outside: &mut Outside, is_reader: bool) {
        if is_reader {
            self.reader.reset();
        } else {
            self.writer.reset();
        }
        let awake = match self.two_threads {
            true => Awake {
                reader: is_reader,
                writer: !is_reader,
            },
            false => Awake {
                reader: true,
                writer: true,
            },
        };
        for _ in 0..TURNS {
            if self.finished || !self.turn(outside, awake) {
                return;
            }
        }
        outside.hub.transcript.fail(
            Invariant::Rest,
            format!("the driver of {} never comes to rest", self.process),
        );
    }

    /// Tells whether there may be more to do.
    fn turn(&mut self, outside: &mut Outside, awake: Awake) -> bool {
        if awake.reader {
            let was_reading = self.reading;
            self.reading = self
                .driver
                .turn_read(&mut self.incoming, &self.reader_waker);
            if self.reading && !was_reading {
                self.heard = outside.now();
            }
            if let Some(number) = self.connection() {
                outside.referees.client_received(
                    number,
                    &core::mem::take(&mut self.read),
                    self.reading,
                );
            }
        }
        if awake.writer {
            let written = core::mem::take(&mut self.written);
            let before = self.outgoing.len().saturating_sub(written);
            let turn = self
                .driver
                .turn_write(&mut self.outgoing, written, &self.writer_waker);
            self.deadline = turn.deadline;
            self.show(outside, before);
            if let Some(action) = turn.action {
                self.obey(outside, &action);
                return true;
            }
        }
        self.move_bytes(outside, awake)
    }

    /// Shows the referee what the driver has just handed over; it does that only when nothing is left.
    fn show(&mut self, outside: &mut Outside, before: usize) {
        if before > 0 && self.seen > 0 {
            return;
        }
        self.seen = self.outgoing.len();
        if let (Some(number), true) = (self.connection(), self.seen > 0) {
            self.unwritten = self.seen;
            let mut slices = [std::io::IoSlice::new(&[]); 64];
            let count = self.outgoing.slices(&mut slices);
            let bytes: Vec<u8> = slices[..count]
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .collect();
            assert_eq!(bytes.len(), self.seen, "more parts than were asked for");
            outside.referees.client_sent(number, &bytes);
        }
    }

    fn obey(&mut self, outside: &mut Outside, action: &Action) {
        outside
            .hub
            .transcript
            .say(self.process, || format!("is told: {action:?}"));
        match *action {
            Action::Dial {
                attempt,
                ref endpoint,
                is_trusted,
            } => {
                self.judge_dial(outside, endpoint.host(), is_trusted);
                let (dialed, time) = outside.dial(self.process, endpoint.host());
                self.link = Link::Dialing(attempt, dialed, outside.now() + time);
            }
            Action::CancelDial(attempt) => {
                if matches!(self.link, Link::Dialing(dialing, ..) if dialing == attempt) {
                    self.link = Link::Closed;
                    self.attempt_ends(outside, None);
                }
            }
            Action::Hangup(attempt) => self.leave(outside, attempt),
            Action::Finish => {
                self.hang_up(outside);
                self.finished = true;
            }
        }
    }

    fn judge_dial(&mut self, outside: &Outside, host: &str, is_trusted: bool) {
        let transcript = &outside.hub.transcript;
        let hurries = self.pacing.begin(outside.now(), host);
        let mut routes = outside.hub.watch.routes.borrow_mut();
        let route = routes.get_mut(&self.process);
        // Where a redirect leads is asked at once, and an attempt there that is declined is not seen here.
        let is_lost = route
            .as_ref()
            .is_some_and(|route| route.is_lost_by_asking());
        if let Some(text) = hurries.filter(|_| !is_lost) {
            transcript.fail(Invariant::Pacing, format!("{} {text}", self.process));
        }
        if let Some(text) = route.and_then(|route| route.dial(host, is_trusted)) {
            transcript.fail(Invariant::Servers, format!("{} {text}", self.process));
        }
    }

    fn leave(&mut self, outside: &mut Outside, left: Attempt) {
        let Link::Open {
            attempt,
            number,
            deaf,
        } = self.link
        else {
            return;
        };
        if attempt != left {
            return;
        }
        match outside
            .network
            .get(number)
            .filter(|connection| !deaf && !connection.broken)
        {
            Some(connection) => {
                connection.client_finish(outside.hub.clock.now());
                self.link = Link::Leaving {
                    attempt,
                    number,
                    until: outside.now() + LEAVE,
                };
            }
            None => self.gone(outside, attempt),
        }
    }

    /// Does what the transport is ready for; tells whether that was anything.
    fn move_bytes(&mut self, outside: &mut Outside, awake: Awake) -> bool {
        match self.link {
            Link::Closed => false,
            Link::Dialing(attempt, dialed, at) => {
                awake.writer && at <= outside.now() && self.dialed(outside, attempt, dialed)
            }
            Link::Open {
                attempt,
                number,
                deaf,
            } => {
                let wrote = awake.writer && !deaf && self.write(outside, number);
                let read = awake.reader && self.reading && self.read(outside, attempt, number);
                wrote | read | self.is_deaf_for_good(outside)
            }
            Link::Leaving {
                attempt,
                number,
                until,
            } => self.linger(outside, attempt, number, until),
        }
    }

    fn dialed(&mut self, outside: &mut Outside, attempt: Attempt, dialed: Dialed) -> bool {
        self.link = Link::Closed;
        match dialed {
            Dialed::Open if self.driver.handle_dialed(attempt) => {
                let number = outside.open(self.process);
                self.link = Link::Open {
                    attempt,
                    number,
                    deaf: false,
                };
                self.heard = outside.now();
                self.seen = 0;
                self.unwritten = 0;
                self.read.clear();
                self.reader.ring();
            }
            Dialed::Open | Dialed::Never => {}
            Dialed::Refused => {
                self.attempt_ends(outside, None);
                self.driver
                    .handle_dial_failed(attempt, DialError::new(DialErrorKind::ConnectionRefused));
            }
        }
        true
    }

    fn write(&mut self, outside: &mut Outside, number: u64) -> bool {
        let now = outside.now();
        let (bytes, waker) = (self.outgoing.first(), &self.writer_waker);
        let Some(connection) = outside.network.get(number).filter(|_| !bytes.is_empty()) else {
            return false;
        };
        match connection.client_write(now, bytes, waker) {
            Some(count) => {
                self.written = count;
                if self.unwritten < self.seen {
                    self.blocked = now;
                }
                self.unwritten -= count;
                if count > 0 {
                    outside.referees.client_wrote(number);
                }
                count > 0
            }
            None => {
                if let Link::Open { deaf, .. } = &mut self.link {
                    *deaf = true;
                }
                self.reader.ring();
                true
            }
        }
    }

    fn read(&mut self, outside: &mut Outside, attempt: Attempt, number: u64) -> bool {
        let space = self.incoming.space();
        let read = outside.network.get(number).map_or(Read::End, |connection| {
            connection.client_read(space, &self.reader_waker)
        });
        match read {
            Read::Some(count) => {
                self.read.extend_from_slice(&space[..count]);
                self.incoming.filled(count);
                self.heard = outside.now();
                true
            }
            Read::Nothing => false,
            Read::End => {
                self.gone(outside, attempt);
                true
            }
        }
    }

    /// Nothing can be written, and it may be long before reading is wanted again.
    fn is_deaf_for_good(&mut self, outside: &mut Outside) -> bool {
        match self.link {
            Link::Open {
                attempt,
                deaf: true,
                ..
            } if !self.reading => {
                self.gone(outside, attempt);
                true
            }
            _ => false,
        }
    }

    fn linger(
        &mut self,
        outside: &mut Outside,
        attempt: Attempt,
        number: u64,
        until: Instant,
    ) -> bool {
        let mut unwanted = [0; 4096];
        let waker = &self.reader_waker;
        let read = outside.network.get(number).map_or(Read::End, |connection| {
            connection.client_read(&mut unwanted, waker)
        });
        if read == Read::End || until <= outside.now() {
            self.gone(outside, attempt);
            return true;
        }
        read != Read::Nothing
    }

    fn gone(&mut self, outside: &mut Outside, attempt: Attempt) {
        self.hang_up(outside);
        self.written = 0;
        // Whoever was reading or writing sees the end of the transport. The driver is woken by nothing but its own waker.
        self.reader.ring();
        if !self.outgoing.is_empty() {
            self.writer.ring();
        }
        self.driver.handle_closed(attempt);
    }

    /// An attempt, or the connection that was accepted then, is over.
    fn attempt_ends(&mut self, outside: &Outside, accepted: Option<Instant>) {
        let was_stable = self.pacing.end(outside.now(), accepted);
        let mut routes = outside.hub.watch.routes.borrow_mut();
        if let Some(route) = routes.get_mut(&self.process) {
            route.ended(was_stable);
        }
        drop(routes);
        let mut wills = outside.hub.watch.wills.borrow_mut();
        wills.attempt_ends(self.process);
    }

    /// The transport is closed, or dies with its process.
    pub(crate) fn hang_up(&mut self, outside: &mut Outside) {
        let now = outside.now();
        if let Link::Open { number, .. } | Link::Leaving { number, .. } = self.link {
            if self.unwritten == 0 {
                outside.referees.check_silence(number);
            }
            outside.referees.client_closed(number);
            self.attempt_ends(outside, outside.referees.accepted(number));
            outside
                .hub
                .transcript
                .say(self.process, || format!("#{number} closed"));
            if let Some(connection) = outside.network.get(number) {
                connection.client_finish(now);
                connection.client_left = true;
            }
        }
        self.link = Link::Closed;
    }
}

/// How many turns a driver may take before it must come to rest.
const TURNS: usize = 200_000;
/// How long the other side has to close when we have said that nothing more comes.
const LEAVE: Duration = Duration::from_millis(500);
