//! The network: bytes that take time, come in pieces, get stuck, vanish, or end with the connection.

use core::task::Waker;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use mqtt5_client::Instant;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    under_way: VecDeque<(Instant, Vec<u8>)>,
    arrived: VecDeque<u8>,
    /// Bytes that were written and not read.
    unread: usize,
    /// When the end of the stream arrives, which follows everything that was written.
    end: Option<Instant>,
    /// Nothing arrives before; `Instant::MAX` when it never will.
    stuck_until: Instant,
    /// The connection breaks once so many more bytes were written.
    cut_after: Option<usize>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How a link treats bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quality {
    pub(crate) latency: Duration,
    /// How many bytes one write or read moves at most.
    pub(crate) piece: usize,
    /// How many bytes may be unread in each direction.
    pub(crate) capacity: usize,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Some(usize),
    Nothing,
    End,
}

/// The two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the broker.
    Up,
    Down,
}

/// A connection, as both ends see it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: usize,
    pub(crate) quality: Quality,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    /// Both ends see an error.
    pub(crate) broken: bool,
    /// It breaks so long after the broker has accepted it.
    pub(crate) doomed: Option<Duration>,
    breaks_at: Option<Instant>,
    pub(crate) client_left: bool,
    pub(crate) broker_left: bool,
}

impl Pipe {
    /// Takes some of the bytes; 0 when there is no room.
    fn write(&mut self, now: Instant, quality: Quality, bytes: &[u8]) -> usize {
        let room = quality.capacity.saturating_sub(self.unread);
        let mut count = bytes.len().min(room).min(quality.piece);
        if let Some(left) = &mut self.cut_after {
            count = count.min(*left);
            *left -= count;
        }
        if count > 0 {
            self.send(now, quality, &bytes[..count]);
        }
        count
    }

    fn send(&mut self, now: Instant, quality: Quality, bytes: &[u8]) {
        let last = self.under_way.back().map_or(now, |(at, _)| *at);
        self.under_way
            .push_back((last.max(now + quality.latency), bytes.to_vec()));
        self.unread += bytes.len();
    }

    fn finish(&mut self, now: Instant, quality: Quality) {
        let last = self.under_way.back().map_or(now, |(at, _)| *at);
        self.end
            .get_or_insert_with(|| last.max(now + quality.latency));
    }

    fn is_cut(&self) -> bool {
        self.cut_after == Some(0)
    }

    /// When something arrives next.
    fn next(&self) -> Option<Instant> {
        let first = self.under_way.front().map(|(at, _)| *at);
        let end = self.end.filter(|at| *at < Instant::MAX);
        first
            .or(end)
            .map(|at| at.max(self.stuck_until))
            .filter(|at| *at < Instant::MAX)
    }

    /// Lets arrive what is due; tells whether anything has.
    fn arrive(&mut self, now: Instant) -> bool {
        if self.stuck_until > now {
            return false;
        }
        let mut news = false;
        while self.under_way.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, bytes)) = self.under_way.pop_front() {
                self.arrived.extend(bytes);
                news = true;
            }
        }
        if self.under_way.is_empty() && self.end.is_some_and(|at| at <= now) {
            // It has arrived for ever and is not news again.
            self.end = Some(Instant::MAX);
            news = true;
        }
        news
    }

    fn has_ended(&self) -> bool {
        self.end == Some(Instant::MAX) && self.arrived.is_empty()
    }

    fn read(&mut self, space: &mut [u8]) -> usize {
        let count = space.len().min(self.arrived.len());
        for (place, byte) in space.iter_mut().zip(self.arrived.drain(..count)) {
            *place = byte;
        }
        self.unread -= count;
        if let Some(waker) = self.writer.take_if(|_| count > 0) {
            waker.wake();
        }
        count
    }

    fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn discard(&mut self) {
        *self = Self {
            reader: self.reader.take(),
            writer: self.writer.take(),
            ..Self::default()
        };
    }
}

impl Connection {
    /// The client's end: writes what fits; 0 when nothing does, with `waker` kept until it does. `None` when the connection is broken.
    pub(crate) fn client_write(
        &mut self,
        now: Instant,
        bytes: &[u8],
        waker: &Waker,
    ) -> Option<usize> {
        if self.broken || self.down.has_ended() {
            return None;
        }
        let count = self.up.write(now, self.quality, bytes);
        if count == 0 {
            self.up.writer = Some(waker.clone());
        }
        Some(count)
    }

    /// The client's end: reads what has arrived; `waker` is kept when nothing has.
    pub(crate) fn client_read(&mut self, space: &mut [u8], waker: &Waker) -> Read {
        let piece = space.len().min(self.quality.piece);
        match self.down.read(&mut space[..piece]) {
            0 if self.broken || self.down.has_ended() => Read::End,
            0 => {
                self.down.reader = Some(waker.clone());
                Read::Nothing
            }
            count => Read::Some(count),
        }
    }

    /// The client's end sends nothing more.
    pub(crate) fn client_finish(&mut self, now: Instant) {
        self.up.finish(now, self.quality);
    }

    /// The broker's end: writes what fits. Nothing may follow what was lost when the connection broke.
    pub(crate) fn broker_write(&mut self, now: Instant, bytes: &[u8]) -> usize {
        if self.broken {
            return 0;
        }
        self.down.write(now, self.quality, bytes)
    }

    /// The broker's end: writes all of it, whether it fits or not, and closes.
    pub(crate) fn broker_finish(&mut self, now: Instant, bytes: &[u8]) {
        if !bytes.is_empty() && !self.down.is_cut() && !self.broken {
            self.down.send(now, self.quality, bytes);
        }
        self.down.finish(now, self.quality);
        self.broker_left = true;
    }

    /// The broker's end: everything that has arrived.
    pub(crate) fn broker_read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; self.up.arrived.len()];
        self.up.read(&mut bytes);
        bytes
    }

    /// Whether the broker has seen the end of what the client sends.
    pub(crate) fn has_client_ended(&self) -> bool {
        self.broken || self.up.has_ended()
    }

    /// Breaks off: what is under way is lost, both ends see it at once.
    pub(crate) fn reset(&mut self) {
        self.broken = true;
        for pipe in [&mut self.up, &mut self.down] {
            pipe.discard();
            pipe.wake();
        }
    }

    /// Nothing arrives in this direction before that time.
    pub(crate) fn stick(&mut self, direction: Direction, until: Instant) {
        let pipe = self.pipe(direction);
        pipe.stuck_until = pipe.stuck_until.max(until);
    }

    pub(crate) fn cut_after(&mut self, direction: Direction, bytes: usize) {
        self.pipe(direction).cut_after = Some(bytes);
    }

    /// The network works again: what was stuck for a while goes on, what was stuck for ever breaks.
    pub(crate) fn heal(&mut self) {
        let dead = [&self.up, &self.down]
            .iter()
            .any(|pipe| pipe.stuck_until == Instant::MAX);
        self.doomed = None;
        self.breaks_at = None;
        self.up.cut_after = None;
        self.down.cut_after = None;
        self.up.stuck_until = Instant::ZERO;
        self.down.stuck_until = Instant::ZERO;
        if dead {
            self.reset();
        }
    }

    fn pipe(&mut self, direction: Direction) -> &mut Pipe {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        [self.up.next(), self.down.next(), self.breaks_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// The broker has accepted the connection: its days may be numbered.
    pub(crate) fn accepted(&mut self, now: Instant) {
        if let Some(time) = self.doomed.take() {
            self.breaks_at = Some(now + time);
        }
    }

    /// Lets arrive what is due.
    fn arrive(&mut self, now: Instant) {
        if self.breaks_at.is_some_and(|at| at <= now) {
            self.breaks_at = None;
            self.reset();
        }
        if self.up.is_cut() || self.down.is_cut() {
            self.up.arrive(now);
            self.down.arrive(now);
            // What was written before the cut arrives before the end does.
            let rest = |pipe: &Pipe| {
                pipe.is_cut() && !pipe.under_way.is_empty() && pipe.stuck_until <= now
            };
            if !rest(&self.up) && !rest(&self.down) {
                self.up.under_way.clear();
                self.broken = true;
            }
        }
        self.up.arrive(now);
        if self.down.arrive(now) || self.broken {
            self.down.reader.take().into_iter().for_each(Waker::wake);
        }
        if self.broken {
            self.up.writer.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// All connections, by number.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) connections: BTreeMap<u64, Connection>,
    opened: u64,
}

impl Network {
    pub(crate) fn open(
        &mut self,
        client: usize,
        quality: Quality,
        doomed: Option<Duration>,
    ) -> u64 {
        self.opened += 1;
        let connection = Connection {
            client,
            quality,
            up: Pipe::default(),
            down: Pipe::default(),
            broken: false,
            doomed,
            breaks_at: None,
            client_left: false,
            broker_left: false,
        };
        self.connections.insert(self.opened, connection);
        self.opened
    }

    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&number)
    }

    /// Whether a connection is over for the broker. A client that does not read may not know.
    pub(crate) fn has_lost(&self, number: u64) -> bool {
        let connection = self.connections.get(&number);
        connection.is_some_and(|connection| connection.broken || connection.broker_left)
    }

    /// The connection that a client uses now.
    pub(crate) fn of_client(&mut self, client: usize) -> Option<(u64, &mut Connection)> {
        let mut all = self.connections.iter_mut().rev();
        all.find(|(_, c)| c.client == client && !c.client_left && !c.broken)
            .map(|(number, c)| (*number, c))
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.connections.values().filter_map(Connection::next).min()
    }

    pub(crate) fn arrive(&mut self, now: Instant) {
        self.connections
            .values_mut()
            .for_each(|connection| connection.arrive(now));
        self.connections
            .retain(|_, connection| !(connection.client_left && connection.broker_left));
    }
}
