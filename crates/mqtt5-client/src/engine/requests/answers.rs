//! What the server answers to requests, or that it does not.

use super::{Request, SentSubscribe, SentUnsubscribe};
use crate::engine::Engine;
use crate::engine::notices::Event;
use crate::engine::operations::Outcome;
use crate::error::{
    Answer, Detail, SubscribeError, SubscribeErrorKind, UnsubscribeError, UnsubscribeErrorKind,
};
use crate::planted::planted;
use crate::slab::Key;
use mqtt5_proto::{Instant, PropertyBuffer, QoS, ReasonCode};

impl Engine {
    /// SUBACK.
    pub(in crate::engine) fn subscribed(
        &mut self,
        now: Instant,
        sent: SentSubscribe,
        results: &[ReasonCode],
        properties: PropertyBuffer,
    ) {
        let call = sent.call;
        let mut reasons: Vec<_> = call
            .filters
            .iter()
            .map(|(key, _)| self.granted(*key))
            .collect();
        for (&index, &reason) in sent.named.iter().zip(results) {
            reasons[index] = reason;
            let (key, _) = call.filters[index];
            self.settle_filter(now, call.local, key, reason);
        }
        for (index, (key, _)) in call.filters.iter().enumerate() {
            let wanted = self.registry.wanted_mut(*key);
            if let Some(wanted) = wanted.filter(|_| !reasons[index].is_error()) {
                let own = call.identifier.filter(|_| sent.named.contains(&index));
                wanted.granted_to(call.local, own);
            }
        }
        let results: Vec<_> = call
            .filters
            .iter()
            .zip(&reasons)
            .map(|((_, filter), reason)| (filter.name.clone(), *reason))
            .collect();
        let refusal = reasons.iter().find(|reason| reason.is_error()).copied();
        if call.slot.is_none() {
            return self.tell_resubscribed(refusal, results, properties);
        }
        if let Some(local) = self.registry.local_mut(call.local) {
            local.awaited = false;
        }
        let some_granted = reasons.iter().any(|reason| !reason.is_error());
        match refusal {
            Some(reason) if !(call.allow_partial && some_granted) => {
                let (_, gone) = self.leave_filters(now, call.local);
                self.give_up(now, gone);
                let answer = Detail::Answer(Answer {
                    reason,
                    properties,
                    results,
                });
                self.finish_subscribe(
                    call.slot,
                    Err(SubscribeError::new(SubscribeErrorKind::Rejected, answer)),
                );
            }
            _ => {
                self.pause_if_full(now, call.local);
                self.finish_subscribe(call.slot, Ok(results));
            }
        }
    }

    /// UNSUBACK.
    pub(in crate::engine) fn unsubscribed(
        &mut self,
        sent: SentUnsubscribe,
        results: &[ReasonCode],
        properties: PropertyBuffer,
    ) {
        let refusal = results.iter().find(|reason| reason.is_error()).copied();
        let mut reasons = vec![ReasonCode::SUCCESS; sent.call.names.len()];
        for (index, reason) in sent.named.iter().zip(results) {
            reasons[*index] = *reason;
        }
        let results = sent.call.names.into_iter().zip(reasons).collect();
        let result = match refusal {
            None => Ok(results),
            Some(reason) => {
                let answer = Detail::Answer(Answer {
                    reason,
                    properties,
                    results,
                });
                Err(UnsubscribeError::new(
                    UnsubscribeErrorKind::Rejected,
                    answer,
                ))
            }
        };
        self.finish_unsubscribe(sent.call.slot, result);
    }

    /// A SUBSCRIBE that will not be answered on its connection: it is sent again, unless the client ends or it was fatal too often.
    pub(in crate::engine) fn subscribe_lost(&mut self, now: Instant, sent: SentSubscribe) {
        for index in &sent.named {
            if let Some(wanted) = self.registry.wanted_mut(sent.call.filters[*index].0) {
                wanted.asked = wanted.asked.saturating_sub(1);
                wanted.sent = QoS::AtMostOnce;
            }
        }
        if self.is_closed() || planted!(FailSubscribe) {
            let lost = SubscribeErrorKind::ConnectionLost.into();
            return self.finish_subscribe(sent.call.slot, Err(lost));
        }
        if planted!(LoseSubscribe) {
            return;
        }
        let Err(Request::Subscribe(call)) = self.requests.put_back(Request::Subscribe(sent.call))
        else {
            return;
        };
        let fatal = self
            .requests
            .fatal_error(SubscribeErrorKind::RejectedByDisconnect);
        match call.slot {
            None => self.lose_filters(now, call.local, call.filters, fatal),
            Some(_) => {
                let (_, gone) = self.leave_filters(now, call.local);
                self.give_up(now, gone);
                self.finish_subscribe(call.slot, Err(fatal));
            }
        }
    }

    /// An UNSUBSCRIBE that will not be answered on its connection; as above.
    pub(in crate::engine) fn unsubscribe_lost(&mut self, sent: SentUnsubscribe) {
        if self.is_closed() {
            let lost = UnsubscribeErrorKind::ConnectionLost.into();
            return self.finish_unsubscribe(sent.call.slot, Err(lost));
        }
        let put = self.requests.put_back(Request::Unsubscribe(sent.call));
        if let Err(Request::Unsubscribe(call)) = put {
            let fatal = self
                .requests
                .fatal_error(UnsubscribeErrorKind::RejectedByDisconnect);
            self.finish_unsubscribe(call.slot, Err(fatal));
        }
    }

    fn tell_resubscribed(
        &mut self,
        refusal: Option<ReasonCode>,
        results: Vec<(String, ReasonCode)>,
        properties: PropertyBuffer,
    ) {
        self.tell(match refusal {
            None => Event::Resubscribed { results },
            Some(reason) => {
                let refused = results.iter().filter(|(_, reason)| reason.is_error());
                let filters = refused.map(|(filter, _)| filter.clone()).collect();
                let answer = Detail::Answer(Answer {
                    reason,
                    properties,
                    results,
                });
                let error = SubscribeError::new(SubscribeErrorKind::Rejected, answer);
                Event::ResubscribeFailed { filters, error }
            }
        });
    }

    /// What the server has granted for a filter that need not be asked for, or is not any more.
    pub(super) fn granted(&self, filter: Key) -> ReasonCode {
        match self.registry.wanted(filter) {
            Some(wanted) => wanted.granted.unwrap_or(ReasonCode::SUCCESS),
            None => ReasonCode::NO_SUBSCRIPTION_EXISTED,
        }
    }

    pub(super) fn settle_filter(
        &mut self,
        now: Instant,
        local: Key,
        filter: Key,
        reason: ReasonCode,
    ) {
        let Some(wanted) = self.registry.wanted_mut(filter) else {
            return;
        };
        wanted.answered(reason);
        if !reason.is_error() {
            return;
        }
        if let Some(abandoned) = self.registry.leave(local, filter, &mut self.wakes) {
            self.give_up(now, vec![abandoned]);
        }
    }

    pub(super) fn finish_subscribe(
        &mut self,
        slot: Option<Key>,
        result: Result<Vec<(String, ReasonCode)>, SubscribeError>,
    ) {
        if let Some(slot) = slot {
            self.log.subscribed(&result);
            self.operations
                .finish(slot, Outcome::Subscribed(result), &mut self.wakes);
        }
    }

    pub(super) fn finish_unsubscribe(
        &mut self,
        slot: Option<Key>,
        result: Result<Vec<(String, ReasonCode)>, UnsubscribeError>,
    ) {
        if let Some(slot) = slot {
            self.log.unsubscribed(&result);
            self.operations
                .finish(slot, Outcome::Unsubscribed(result), &mut self.wakes);
        }
    }
}
