//! SUBSCRIBE and UNSUBSCRIBE: from the desired set to the server, in the order of the calls.

mod answers;
mod queue;
mod resubscribe;
mod send;

pub(super) use queue::Requests;

use super::operations::{Outcome, Stage, Watch};
use super::registry::{Abandoned, Behaviour};
use super::{Engine, State};
use crate::error::{SubscribeErrorKind, UnsubscribeErrorKind};
use crate::filter::Filter;
use crate::options::Offline;
use crate::planted::planted;
use crate::properties::PropertyList;
use crate::slab::Key;
use core::task::Waker;
use mqtt5_proto::{Instant, ReasonCode};

/// A subscribe as the application asked for it; the filters are valid.
#[derive(Debug)]
pub(crate) struct SubscribeRequest {
    pub(crate) filters: Vec<Filter>,
    pub(crate) properties: PropertyList,
    pub(crate) behaviour: Behaviour,
    pub(crate) allow_partial: bool,
    pub(crate) deadline: Option<Instant>,
}

/// An unsubscribe as the application asked for it; the filters are valid.
#[derive(Debug)]
pub(crate) struct UnsubscribeRequest {
    pub(crate) filters: Vec<String>,
    pub(crate) properties: PropertyList,
    pub(crate) deadline: Option<Instant>,
}

/// What waits to be sent.
#[derive(Debug)]
pub(super) enum Request {
    Subscribe(SubscribeCall),
    Unsubscribe(UnsubscribeCall),
}

/// The place of a call among all calls, and how it fared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Calls are sent in the order of their numbers, also when they are sent again.
    number: u64,
    /// How often the server answered it by ending the connection.
    fatal: u8,
}

#[derive(Debug)]
pub(super) struct SubscribeCall {
    turn: Turn,
    local: Key,
    /// `None` when nobody waits: the subscription is there already.
    slot: Option<Key>,
    filters: Vec<(Key, Filter)>,
    properties: PropertyList,
    allow_partial: bool,
    /// The Subscription Identifier that it was sent under before.
    identifier: Option<u32>,
}

#[derive(Debug)]
pub(super) struct UnsubscribeCall {
    turn: Turn,
    names: Vec<String>,
    properties: PropertyList,
    /// `None` when a subscription was dropped and nobody waits.
    slot: Option<Key>,
}

/// A SUBSCRIBE on its way, and which filters of the call it names.
#[derive(Debug)]
pub(super) struct SentSubscribe {
    call: SubscribeCall,
    named: Vec<usize>,
}

/// An UNSUBSCRIBE on its way.
#[derive(Debug)]
pub(super) struct SentUnsubscribe {
    call: UnsubscribeCall,
    /// Which of its names were sent.
    named: Vec<usize>,
}

impl Engine {
    /// Adds filters to the desired set and asks the server for them; gives the subscription and the slot of the answer.
    ///
    /// `Ok(None)`: there is no room for another request now.
    pub(crate) fn subscribe(
        &mut self,
        now: Instant,
        request: &SubscribeRequest,
        waker: &mut Option<Waker>,
    ) -> Result<Option<(Key, Key)>, SubscribeErrorKind> {
        if !self.admit(SubscribeErrorKind::Closed, SubscribeErrorKind::NotConnected)? {
            return Ok(None);
        }
        let local = self
            .open_local(request)
            .map_err(|()| SubscribeErrorKind::ConflictingOptions)?;
        let slot = self.open_timed(Stage::Subscribe, request.deadline, waker.take());
        if let Some(local) = self.registry.local_mut(local) {
            local.awaited = true;
        }
        if let Some(mut call) = self.call_of(local) {
            call.slot = Some(slot);
            call.allow_partial = request.allow_partial;
            self.requests.put(Request::Subscribe(call));
        }
        self.pump_requests(now);
        Ok(Some((local, slot)))
    }

    /// Takes filters out of the desired set, whoever holds them, and tells the server. `Ok(None)`: as above.
    pub(crate) fn unsubscribe(
        &mut self,
        now: Instant,
        request: &UnsubscribeRequest,
        waker: &mut Option<Waker>,
    ) -> Result<Option<Key>, UnsubscribeErrorKind> {
        if !self.admit(
            UnsubscribeErrorKind::Closed,
            UnsubscribeErrorKind::NotConnected,
        )? {
            return Ok(None);
        }
        for name in &request.filters {
            self.registry.leave_all(name, &mut self.wakes);
        }
        self.update_pause(now);
        let slot = self.open_timed(Stage::Unsubscribe, request.deadline, waker.take());
        let (names, properties) = (request.filters.clone(), request.properties.clone());
        let turn = self.requests.next_turn();
        self.requests.put(Request::Unsubscribe(UnsubscribeCall {
            turn,
            names,
            properties,
            slot: Some(slot),
        }));
        self.pump_requests(now);
        Ok(Some(slot))
    }

    /// Ends a subscription and tells the server about the filters that nobody else wants; gives the slot of the answer.
    pub(crate) fn end_subscription(
        &mut self,
        now: Instant,
        local: Key,
        deadline: Option<Instant>,
    ) -> Result<Key, UnsubscribeErrorKind> {
        if self.is_closed() {
            return Err(UnsubscribeErrorKind::Closed);
        }
        let (kept, gone) = self.leave_filters(now, local);
        self.forget_call(local);
        let result = if gone.is_empty() {
            let results = kept
                .into_iter()
                .map(|name| (name.into(), ReasonCode::SUCCESS))
                .collect();
            let slot = self.open_timed(Stage::Unsubscribe, None, None);
            let outcome = Outcome::Unsubscribed(Ok(results));
            self.operations.finish(slot, outcome, &mut self.wakes);
            Ok(slot)
        } else {
            self.tell_end(now, gone, deadline)
        };
        // Nobody will take what is left: it must not keep the answer from being read.
        let left = self.registry.local_mut(local);
        let left = left.map(|local| core::mem::take(&mut local.queue));
        self.release(now, local, &left.unwrap_or_default());
        result
    }

    /// Unsubscribes what nobody wants any more. Whoever does not want to wait for a connection need not, but the server is told.
    fn tell_end(
        &mut self,
        now: Instant,
        gone: Vec<Abandoned>,
        deadline: Option<Instant>,
    ) -> Result<Key, UnsubscribeErrorKind> {
        if self.fails_offline() {
            self.give_up(now, gone);
            return Err(UnsubscribeErrorKind::NotConnected);
        }
        let slot = self.open_timed(Stage::Unsubscribe, deadline, None);
        let names = gone.into_iter().map(|filter| filter.name.into()).collect();
        let call = UnsubscribeCall {
            turn: self.requests.next_turn(),
            names,
            properties: PropertyList::default(),
            slot: Some(slot),
        };
        self.requests.put(Request::Unsubscribe(call));
        self.pump_requests(now);
        Ok(slot)
    }

    /// A subscription is not asked for any more, if it waited to be.
    fn forget_call(&mut self, local: Key) {
        let is_its =
            |request: &Request| matches!(request, Request::Subscribe(call) if call.local == local);
        if self.requests.remove(is_its) {
            self.operations.wake(Watch::Room, &mut self.wakes);
            // Somebody may wait for there being nothing left to send.
            self.driver.news = true;
        }
    }

    /// Forgets a subscription whose handle is gone. `keep` leaves its filters with the server.
    pub(crate) fn drop_subscription(
        &mut self,
        now: Instant,
        local: Key,
        keep: bool,
    ) -> Option<Waker> {
        let is_closed = self.is_closed();
        let (_, gone) = self.leave_filters(now, local);
        self.forget_call(local);
        // What nothing matches is nobody's from now on.
        self.unmatched = self.unmatched.filter(|unmatched| *unmatched != local);
        let removed = self.registry.remove(local)?;
        if !is_closed {
            self.release(now, local, &removed.queue);
        }
        self.update_pause(now);
        if !keep && !is_closed && !planted!(KeepDropped) {
            self.give_up(now, gone);
        }
        removed.waker
    }

    /// Sends requests, as many as the machine takes. One that has cost a connection goes alone, so that nothing else is blamed.
    pub(super) fn pump_requests(&mut self, now: Instant) {
        while self.state() == State::Online {
            let Some(request) = self.requests.pop_next(self.machine.requests()) else {
                break;
            };
            let full = match request {
                Request::Subscribe(call) => {
                    self.send_subscribe(now, call).err().map(Request::Subscribe)
                }
                Request::Unsubscribe(call) => self
                    .send_unsubscribe(now, call)
                    .err()
                    .map(Request::Unsubscribe),
            };
            if let Some(request) = full {
                self.requests.put(request);
                break;
            }
            self.operations.wake(Watch::Room, &mut self.wakes);
        }
    }

    /// Ends every request that was not sent.
    pub(super) fn fail_requests(&mut self) {
        for request in self.requests.take_all() {
            match request {
                Request::Subscribe(call) => {
                    self.finish_subscribe(call.slot, Err(SubscribeErrorKind::Closed.into()));
                }
                Request::Unsubscribe(call) => {
                    self.finish_unsubscribe(call.slot, Err(UnsubscribeErrorKind::Closed.into()));
                }
            }
        }
    }

    /// Whether a request may be accepted; `Ok(false)` when the queue of requests is full.
    fn admit<K>(&self, closed: K, not_connected: K) -> Result<bool, K> {
        if self.is_closed() {
            return Err(closed);
        }
        if self.fails_offline() {
            return Err(not_connected);
        }
        Ok(self.requests.len() < self.config.offline_queue.messages)
    }

    fn fails_offline(&self) -> bool {
        self.state() != State::Online && self.config.offline_subscribe == Offline::Fail
    }

    /// Takes a subscription out of its filters; gives the names that others still want, and what nobody wants.
    fn leave_filters(&mut self, now: Instant, local: Key) -> (Vec<Box<str>>, Vec<Abandoned>) {
        let filters = self
            .registry
            .local(local)
            .map_or_else(Vec::new, |local| local.filters.clone());
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for filter in filters {
            let name = self
                .registry
                .wanted(filter)
                .map(|wanted| wanted.name.clone());
            match self.registry.leave(local, filter, &mut self.wakes) {
                Some(abandoned) => gone.push(abandoned),
                None => kept.extend(name),
            }
        }
        self.update_pause(now);
        (kept, gone)
    }

    /// Unsubscribes what nobody wants any more and the server has, without anybody waiting for the answer.
    fn give_up(&mut self, now: Instant, gone: Vec<Abandoned>) {
        let mut names: Vec<String> = gone
            .into_iter()
            .filter(|filter| filter.at_server)
            .map(|filter| filter.name.into())
            .collect();
        if names.is_empty() || self.is_closed() {
            return;
        }
        match self.requests.last_mut() {
            Some(Request::Unsubscribe(call)) if call.slot.is_none() && call.turn.fatal == 0 => {
                call.names.append(&mut names);
            }
            _ => {
                let turn = self.requests.next_turn();
                self.requests.put(Request::Unsubscribe(UnsubscribeCall {
                    turn,
                    names,
                    properties: PropertyList::default(),
                    slot: None,
                }));
            }
        }
        self.pump_requests(now);
    }
}
