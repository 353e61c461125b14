//! Where answers meet the requests that wait for them.
//!
//! There is no task: whoever makes an answer arrive wakes the hub, which is the waker of the response subscription, and the hub gives the
//! answer to its request. So no request depends on another one being polled, and a request that is dropped leaves nothing behind.

use crate::engine::Stage;
use crate::handles::inbox::Inbox;
use crate::handles::message::Message;
use crate::handles::slot::close_slot;
use crate::planted::planted;
use crate::shared::Shared;
use crate::slab::Key;
use core::task::{Context, Poll, Waker};
use mqtt5_proto::Instant;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Wake;

/// What all clones of a requester share.
pub(super) struct Hub {
    shared: Arc<Shared>,
    response_topic: String,
    /// What the Correlation Data of all its requests begins with.
    prefix: u64,
    /// Wakes this hub; it does not keep it alive.
    waker: Waker,
    state: Mutex<State>,
}

/// No waker and no value of the user is in here, and the engine is never locked while this is.
struct State {
    /// Not here while somebody takes answers out of it.
    inbox: Option<Inbox>,
    /// It was woken while somebody did.
    again: bool,
    open: HashMap<u64, Open>,
    next: u64,
    unmatched: u64,
    ended: bool,
}

/// A request without an answer in its hands.
struct Open {
    /// Where the request waits, with its deadline.
    slot: Key,
    answer: Option<Message>,
}

/// The hub as a waker.
struct Dispatch(Weak<Hub>);

impl Wake for Dispatch {
    fn wake(self: Arc<Self>) {
        if let Some(hub) = self.0.upgrade() {
            hub.dispatch();
        }
    }
}

impl Hub {
    pub(super) fn new(inbox: Inbox, response_topic: String, prefix: u64) -> Arc<Self> {
        let hub = Arc::new_cyclic(|hub: &Weak<Self>| Self {
            shared: inbox.shared().clone(),
            response_topic,
            prefix,
            waker: Arc::new(Dispatch(hub.clone())).into(),
            state: Mutex::new(State {
                inbox: Some(inbox),
                again: false,
                open: HashMap::new(),
                next: 0,
                unmatched: 0,
                ended: false,
            }),
        });
        hub.dispatch();
        hub
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn response_topic(&self) -> &str {
        &self.response_topic
    }

    pub(super) fn open_requests(&self) -> usize {
        self.state().open.len()
    }

    pub(super) fn unmatched(&self) -> u64 {
        self.state().unmatched
    }

    /// Adds a request that waits until `deadline`; `None` when no answer can come any more.
    pub(super) fn open(self: &Arc<Self>, deadline: Instant) -> Option<Ticket> {
        let slot = self.open_slot(deadline);
        let mut state = self.state();
        if state.ended {
            drop(state);
            close_slot(&self.shared, slot);
            return None;
        }
        let number = state.next;
        state.next += 1;
        state.open.insert(number, Open { slot, answer: None });
        drop(state);
        Some(Ticket {
            hub: self.clone(),
            number,
            slot,
            deadline,
        })
    }

    fn open_slot(&self, deadline: Instant) -> Key {
        let mut engine = self.shared.lock();
        engine.open_timed(Stage::Timer, Some(deadline), None)
    }

    /// Gives every answer that is here to its request.
    fn dispatch(&self) {
        loop {
            let mut state = self.state();
            let Some(mut inbox) = state.inbox.take() else {
                state.again = true;
                return;
            };
            drop(state);
            let ended = self.take_answers(&mut inbox);
            let mut state = self.state();
            state.inbox = Some(inbox);
            state.ended |= ended;
            let again = core::mem::take(&mut state.again);
            let waiting = state.open.values().filter(|_| ended);
            let abandoned: Vec<Key> = waiting.map(|open| open.slot).collect();
            drop(state);
            self.wake(&abandoned);
            if !again {
                return;
            }
        }
    }

    /// Takes what is here, and waits for more; whether nothing will come any more.
    fn take_answers(&self, inbox: &mut Inbox) -> bool {
        loop {
            match inbox.poll_raw(&Context::from_waker(&self.waker)) {
                Poll::Pending => return false,
                Poll::Ready(None) => return true,
                Poll::Ready(Some(answer)) => {
                    let slot = self.give(answer);
                    self.wake(slot.as_slice());
                }
            }
        }
    }

    /// Puts an answer where its request finds it; the slot in which that waits.
    fn give(&self, answer: Message) -> Option<Key> {
        let properties = answer.properties();
        let number = self.number_in(properties.correlation_data().unwrap_or_default());
        let mut state = self.state();
        let number = match planted!(MixUpAnswers) {
            true => state.open.keys().min().copied(),
            false => number,
        };
        let open = number.and_then(|number| state.open.get_mut(&number));
        match open.filter(|open| open.answer.is_none()) {
            Some(open) => {
                open.answer = Some(answer);
                Some(open.slot)
            }
            None => {
                state.unmatched += 1;
                None
            }
        }
    }

    fn wake(&self, slots: &[Key]) {
        if !slots.is_empty() {
            let mut engine = self.shared.lock();
            for slot in slots {
                engine.wake_slot(*slot);
            }
        }
    }

    fn number_in(&self, correlation_data: &[u8]) -> Option<u64> {
        let (prefix, number) = correlation_data.split_first_chunk()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        (u64::from_be_bytes(*prefix) == self.prefix).then_some(number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of a request to an answer. Dropping it gives that up.
pub(super) struct Ticket {
    hub: Arc<Hub>,
    number: u64,
    slot: Key,
    deadline: Instant,
}

/// What a request finds when its wait is over.
pub(super) enum Found {
    Answer(Message),
    TimedOut,
    /// No answer can come any more.
    Ended,
}

impl Ticket {
    pub(super) fn correlation_data(&self) -> [u8; 16] {
        let (prefix, number) = (self.hub.prefix.to_be_bytes(), self.number.to_be_bytes());
        let mut data = [0; 16];
        data[..8].copy_from_slice(&prefix);
        data[8..].copy_from_slice(&number);
        data
    }

    /// Where the request waits.
    pub(super) fn slot(&self) -> Key {
        self.slot
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.hub.shared
    }

    /// Why the wait is over.
    pub(super) fn find(&mut self) -> Found {
        let mut state = self.hub.state();
        let answer = state
            .open
            .get_mut(&self.number)
            .and_then(|open| open.answer.take());
        match answer {
            Some(answer) => Found::Answer(answer),
            None if state.ended => Found::Ended,
            None => Found::TimedOut,
        }
    }

    /// Waits again, until the same deadline.
    pub(super) fn renew(&mut self) {
        let slot = self.hub.open_slot(self.deadline);
        let mut state = self.hub.state();
        let answered = state.open.get_mut(&self.number).is_some_and(|open| {
            open.slot = slot;
            open.answer.is_some()
        });
        let is_over = answered || state.ended;
        drop(state);
        close_slot(&self.hub.shared, self.slot);
        self.slot = slot;
        if is_over {
            self.hub.wake(&[slot]);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let open = self.hub.state().open.remove(&self.number);
        drop(open);
        close_slot(&self.hub.shared, self.slot);
    }
}
