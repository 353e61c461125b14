//! Requests on their way out.

use super::{Request, SentSubscribe, SentUnsubscribe, SubscribeCall, UnsubscribeCall};
use crate::engine::wanted::Wanted;
use crate::engine::{Engine, Owner};
use crate::error::{Detail, Error, SubscribeError, SubscribeErrorKind, UnsubscribeErrorKind};
use mqtt5_proto::packet::SubscribeFilter;
use mqtt5_proto::{Instant, Op, Property, PropertyBuffer, Refused, RetainHandling, TopicFilter};

impl Engine {
    /// Gives the call back when the machine is full.
    pub(super) fn send_subscribe(
        &mut self,
        now: Instant,
        call: SubscribeCall,
    ) -> Result<(), SubscribeCall> {
        if self.registry.local(call.local).is_none() {
            return Ok(());
        }
        let mut named = Vec::with_capacity(call.filters.len());
        let mut filters = Vec::with_capacity(call.filters.len());
        for (index, (key, filter)) in call.filters.iter().enumerate() {
            let Some(wanted) = self
                .registry
                .wanted(*key)
                .filter(|wanted| !wanted.satisfies(filter))
            else {
                continue;
            };
            let Ok(topic_filter) = TopicFilter::new(&filter.name) else {
                continue;
            };
            named.push(index);
            filters.push(SubscribeFilter {
                filter: topic_filter,
                qos: wanted.qos,
                no_local: filter.no_local,
                retain_as_published: filter.retain_as_published,
                retain_handling: filter.retain_handling,
            });
        }
        if filters.is_empty() {
            self.subscribed(
                now,
                SentSubscribe { call, named },
                &[],
                PropertyBuffer::new(),
            );
            return Ok(());
        }
        let identifier = self.identifier_for(&call, &named);
        let mut properties = call.properties.clone();
        identifier
            .into_iter()
            .for_each(|identifier| properties.push(Property::SubscriptionIdentifier(identifier)));
        match self.machine.subscribe(now, &filters, properties.view()) {
            Ok(op) => self.subscribe_sent(now, op, SentSubscribe { call, named }, identifier),
            Err(Refused::Full | Refused::PacketIdsExhausted) => return Err(call),
            Err(refused) => self.subscribe_refused(now, call, refused),
        }
        Ok(())
    }

    fn subscribe_sent(
        &mut self,
        now: Instant,
        op: Op,
        mut sent: SentSubscribe,
        identifier: Option<u32>,
    ) {
        self.statistics.subscribes_sent += 1;
        sent.call.identifier = identifier;
        for index in &sent.named {
            if let Some(wanted) = self.registry.wanted_mut(sent.call.filters[*index].0) {
                if let Some(identifier) = identifier {
                    wanted.subscribed_under(identifier, sent.call.local);
                }
                wanted.asked += 1;
                wanted.at_server = true;
                wanted.sent = wanted.qos;
            }
        }
        self.owners.insert(op, Owner::Subscribe(Box::new(sent)));
        self.pause.unanswered += 1;
        self.update_pause(now);
    }

    pub(super) fn subscribe_refused(
        &mut self,
        now: Instant,
        call: SubscribeCall,
        refused: Refused,
    ) {
        let error: SubscribeError = match refused {
            Refused::Encode(error) => {
                Error::new(SubscribeErrorKind::InvalidProperty, Detail::Encode(error))
            }
            Refused::TooLarge { .. } => SubscribeErrorKind::TooLarge.into(),
            Refused::WildcardSubscriptionsNotSupported => {
                SubscribeErrorKind::WildcardsNotSupported.into()
            }
            Refused::SharedSubscriptionsNotSupported => {
                SubscribeErrorKind::SharedSubscriptionsNotSupported.into()
            }
            _ => SubscribeErrorKind::NotConnected.into(),
        };
        if call.slot.is_none() {
            return self.split_or_leave(now, call, error);
        }
        let (_, gone) = self.leave_filters(now, call.local);
        self.give_up(now, gone);
        self.finish_subscribe(call.slot, Err(error));
    }

    /// Gives the call back when the machine is full.
    pub(super) fn send_unsubscribe(
        &mut self,
        now: Instant,
        mut call: UnsubscribeCall,
    ) -> Result<(), UnsubscribeCall> {
        let (mut named, mut filters) = (Vec::new(), Vec::new());
        for (index, name) in call.names.iter().enumerate() {
            // Granted after it was given up: the server has answered a later SUBSCRIBE, and had the lost UNSUBSCRIBE before that.
            let wanted = self.registry.key_of(name);
            let wanted = wanted.and_then(|key| self.registry.wanted(key));
            if wanted.is_some_and(|wanted| wanted.granted.is_some()) {
                continue;
            }
            if let Ok(filter) = TopicFilter::new(name) {
                named.push(index);
                filters.push(filter);
            }
        }
        if filters.is_empty() {
            self.unsubscribed(SentUnsubscribe { call, named }, &[], PropertyBuffer::new());
            return Ok(());
        }
        match self
            .machine
            .unsubscribe(now, &filters, call.properties.view())
        {
            Ok(op) => {
                self.statistics.unsubscribes_sent += 1;
                let sent = SentUnsubscribe { call, named };
                self.owners.insert(op, Owner::Unsubscribe(Box::new(sent)));
            }
            Err(Refused::Full | Refused::PacketIdsExhausted) => return Err(call),
            // Filters that were given up by several subscriptions: no one packet is what anybody asked for.
            Err(Refused::TooLarge { .. }) if call.slot.is_none() && call.names.len() > 1 => {
                let names = call.names.split_off(call.names.len() / 2);
                let properties = call.properties.clone();
                let rest = UnsubscribeCall {
                    turn: call.turn,
                    names,
                    properties,
                    slot: None,
                };
                self.requests.put(Request::Unsubscribe(rest));
                self.requests.put(Request::Unsubscribe(call));
            }
            Err(refused) => {
                let error = match refused {
                    Refused::Encode(error) => {
                        Error::new(UnsubscribeErrorKind::InvalidProperty, Detail::Encode(error))
                    }
                    Refused::TooLarge { .. } => UnsubscribeErrorKind::TooLarge.into(),
                    _ => UnsubscribeErrorKind::NotConnected.into(),
                };
                self.finish_unsubscribe(call.slot, Err(error));
            }
        }
        Ok(())
    }

    /// The identifier of a SUBSCRIBE: the one that it had when it was lost, a new one if it asks for retained messages, otherwise the one that all its filters already
    /// have, if they do; `None` when the server knows none.
    ///
    /// With the same identifier, what is still on its way for the SUBSCRIBE before could not be told from what answers this one: the
    /// identifier is all that a retained copy says about its SUBSCRIBE, and a SUBACK may arrive before or after the copies.
    pub(super) fn identifier_for(&mut self, call: &SubscribeCall, named: &[usize]) -> Option<u32> {
        if !self
            .machine
            .negotiated()
            .is_some_and(|negotiated| negotiated.subscription_identifier_available)
        {
            return None;
        }
        if call.identifier.is_some() {
            return call.identifier;
        }
        let asks_for_copies = named
            .iter()
            .any(|index| call.filters[*index].1.retain_handling != RetainHandling::DoNotSend);
        let mut known = named.iter().map(|index| {
            self.registry
                .wanted(call.filters[*index].0)
                .and_then(Wanted::identifier)
        });
        let first = known.next().flatten();
        if !asks_for_copies && first.is_some() && known.all(|identifier| identifier == first) {
            return first;
        }
        self.next_identifier = self.next_identifier % MAXIMUM_IDENTIFIER + 1;
        Some(self.next_identifier)
    }
}

/// The largest Subscription Identifier (3.8.2.1.2).
const MAXIMUM_IDENTIFIER: u32 = 268_435_455;
