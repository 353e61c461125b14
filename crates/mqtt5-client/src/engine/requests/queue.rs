//! Requests that wait to be sent, in the order of their calls.

use super::{Request, Turn};
use crate::error::{ConnectionError, Detail, Error, ErrorKind};
use crate::slab::Key;
use std::collections::{HashMap, VecDeque};

/// The queue. What comes back because a connection was lost takes its old place.
#[derive(Debug, Default)]
pub(in crate::engine) struct Requests {
    queue: VecDeque<Request>,
    calls: u64,
    /// What was sent last must be answered before anything else is.
    goes_alone: bool,
    /// The end of the last connection, if the server sent DISCONNECT.
    fatal: Option<ConnectionError>,
}

impl Requests {
    pub(in crate::engine) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A connection is over; `by_server` if the server ended it with DISCONNECT, perhaps because of what we asked.
    pub(in crate::engine) fn note_loss(&mut self, by_server: Option<ConnectionError>) {
        self.fatal = by_server;
        self.goes_alone = false;
    }

    /// The turn of a new call.
    pub(super) fn next_turn(&mut self) -> Turn {
        self.calls += 1;
        Turn {
            number: self.calls,
            fatal: 0,
        }
    }

    /// Puts a request into its place.
    pub(super) fn put(&mut self, request: Request) {
        let number = request.turn().number;
        let at = self
            .queue
            .partition_point(|queued| queued.turn().number < number);
        self.queue.insert(at, request);
    }

    /// Puts a request back that was lost with its connection; gives it back if the server has ended the connection because of it three
    /// times.
    pub(super) fn put_back(&mut self, mut request: Request) -> Result<(), Request> {
        let turn = request.turn_mut();
        turn.fatal += u8::from(self.fatal.is_some());
        if turn.fatal == TRIES {
            return Err(request);
        }
        self.put(request);
        Ok(())
    }

    /// The end of a request that was given back.
    pub(super) fn fatal_error<K: ErrorKind>(&self, kind: K) -> Error<K> {
        match &self.fatal {
            Some(end) => Error::new(kind, Detail::Connection(end.clone())),
            None => kind.into(),
        }
    }

    /// The next one to send, while so many are unanswered.
    pub(super) fn pop_next(&mut self, unanswered: usize) -> Option<Request> {
        let is_suspect = self.queue.front()?.turn().fatal > 0;
        if unanswered > 0 && (is_suspect || self.goes_alone) {
            return None;
        }
        self.goes_alone = is_suspect;
        self.queue.pop_front()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Request> {
        self.queue.back_mut()
    }

    pub(super) fn take_all(&mut self) -> VecDeque<Request> {
        core::mem::take(&mut self.queue)
    }

    /// Removes requests; whether there were any.
    pub(super) fn remove(&mut self, mut which: impl FnMut(&Request) -> bool) -> bool {
        let before = self.queue.len();
        self.queue.retain(|request| !which(request));
        self.queue.len() < before
    }

    /// Takes out the calls for subscriptions that nobody waits for, as how often each subscription was fatal.
    pub(super) fn take_unwaited(&mut self) -> HashMap<Key, u8> {
        let mut fatal = HashMap::new();
        self.queue.retain(|request| match request {
            Request::Subscribe(call) if call.slot.is_none() => {
                let most = fatal.entry(call.local).or_insert(0);
                *most = call.turn.fatal.max(*most);
                false
            }
            _ => true,
        });
        fatal
    }

    /// The subscriptions that wait to be sent.
    pub(in crate::engine) fn subscribing(&self) -> impl Iterator<Item = Key> + '_ {
        self.queue.iter().filter_map(|request| match request {
            Request::Subscribe(call) => Some(call.local),
            Request::Unsubscribe(_) => None,
        })
    }
}

impl Request {
    fn turn(&self) -> Turn {
        match self {
            Self::Subscribe(call) => call.turn,
            Self::Unsubscribe(call) => call.turn,
        }
    }

    fn turn_mut(&mut self) -> &mut Turn {
        match self {
            Self::Subscribe(call) => &mut call.turn,
            Self::Unsubscribe(call) => &mut call.turn,
        }
    }
}

/// How often a request may be answered with the end of the connection.
const TRIES: u8 = 3;
