//! Subscriptions that the server has to be told again, and those that are there before the first connection.

use super::{Request, SubscribeCall, SubscribeRequest, Turn};
use crate::engine::Engine;
use crate::engine::notices::Event;
use crate::engine::registry::Asked;
use crate::error::SubscribeError;
use crate::filter::Filter;
use crate::options::{AckMode, Resubscribe};
use crate::planted::planted;
use crate::slab::Key;
use mqtt5_proto::Instant;
use std::collections::HashSet;

impl Engine {
    /// Opens the subscriptions that the options declare.
    pub(in crate::engine) fn declare(&mut self) {
        let behaviour = self.config.behaviour();
        if self.config.keep_unmatched {
            self.unmatched = Some(self.registry.open_unmatched(behaviour));
        }
        for declared in self.config.declared.clone() {
            let behaviour = declared.behaviour(behaviour);
            let request = SubscribeRequest {
                filters: declared.filters,
                properties: declared.properties,
                behaviour,
                allow_partial: true,
                deadline: None,
            };
            let opened = self.open_local(&request);
            debug_assert!(opened.is_ok(), "conflicts were told with the options");
            if let Ok(local) = opened {
                let names = request
                    .filters
                    .iter()
                    .map(|filter| filter.name.as_str().into());
                self.declared.extend(names.map(|name| (name, local)));
                let call = self.call_of(local);
                call.into_iter()
                    .for_each(|call| self.requests.put(Request::Subscribe(call)));
            }
        }
    }

    /// Hands out a declared subscription by one of its filters, once.
    pub(crate) fn take_declared(&mut self, filter: &str) -> Option<(Key, AckMode)> {
        let at = self
            .declared
            .iter()
            .position(|(name, _)| **name == *filter)?;
        let (_, local) = self.declared.swap_remove(at);
        self.declared.retain(|(_, other)| *other != local);
        let ack_mode = self.registry.local(local)?.behaviour.ack_mode;
        Some((local, ack_mode))
    }

    /// Hands out the subscription for what no other matches, once.
    pub(crate) fn take_unmatched(&mut self) -> Option<Key> {
        self.unmatched
            .filter(|_| !core::mem::replace(&mut self.unmatched_taken, true))
    }

    /// A connection was accepted: asks again for what the server does not have any more, in the order of the calls.
    ///
    /// A session that is `in_doubt` may have begun with a CONNACK that was lost: Session Present says nothing about our subscriptions then.
    pub(in crate::engine) fn resubscribe(&mut self, session_present: bool, in_doubt: bool) {
        if !session_present {
            self.registry.forget_session();
            // What nobody wants the server does not have.
            self.requests.remove(
                |request| matches!(request, Request::Unsubscribe(call) if call.slot.is_none()),
            );
        }
        if planted!(SkipResubscribe) {
            return;
        }
        match self.config.resubscribe {
            Resubscribe::Always => {}
            Resubscribe::WhenSessionLost if !session_present || in_doubt => {}
            Resubscribe::WhenSessionLost if planted!(ResubscribeAlways) => {}
            Resubscribe::WhenSessionLost | Resubscribe::Never => return,
        }
        if session_present {
            self.registry.forget_grants();
        }
        // Of what was asked for in parts, one part may have been answered: it is asked for again as a whole.
        let fatal = self.requests.take_unwaited();
        let waiting: HashSet<Key> = self.requests.subscribing().collect();
        let settled = self.registry.keys().filter(|key| !waiting.contains(key));
        let calls: Vec<_> = settled.filter_map(|local| self.call_of(local)).collect();
        for mut call in calls {
            call.turn.fatal = fatal.get(&call.local).copied().unwrap_or(0);
            self.requests.put(Request::Subscribe(call));
        }
    }

    /// Opens a subscription in its turn.
    pub(super) fn open_local(&mut self, request: &SubscribeRequest) -> Result<Key, ()> {
        let Turn { number, .. } = self.requests.next_turn();
        self.registry.open(request, number)
    }

    /// The call that asks for a subscription; `None` when it has no filters.
    pub(super) fn call_of(&self, local: Key) -> Option<SubscribeCall> {
        let Asked {
            number,
            filters,
            properties,
        } = self.registry.asked(local)?;
        Some(SubscribeCall {
            turn: Turn { number, fatal: 0 },
            local,
            slot: None,
            filters,
            properties,
            allow_partial: true,
            identifier: None,
        })
    }

    /// A subscription that is there already could not be asked for: in smaller parts it may, and what may not alone leaves the set.
    pub(super) fn split_or_leave(
        &mut self,
        now: Instant,
        mut call: SubscribeCall,
        error: SubscribeError,
    ) {
        if call.filters.len() > 1 {
            let filters = call.filters.split_off(call.filters.len() / 2);
            let rest = SubscribeCall {
                filters,
                properties: call.properties.clone(),
                ..call
            };
            self.requests.put(Request::Subscribe(rest));
            self.requests.put(Request::Subscribe(call));
            return;
        }
        self.lose_filters(now, call.local, call.filters, error);
    }

    /// Filters leave the desired set against the will of their subscription.
    pub(super) fn lose_filters(
        &mut self,
        now: Instant,
        local: Key,
        filters: Vec<(Key, Filter)>,
        error: SubscribeError,
    ) {
        let mut gone = Vec::new();
        for (key, _) in &filters {
            gone.extend(self.registry.leave(local, *key, &mut self.wakes));
        }
        self.update_pause(now);
        let filters = filters.into_iter().map(|(_, filter)| filter.name).collect();
        self.tell(Event::ResubscribeFailed { filters, error });
        self.give_up(now, gone);
    }
}
