//! A received message in the hands of the application.

use crate::options::OnDrop;
use crate::shared::Shared;
use crate::slab::Key;
use core::fmt;
use core::ops::Deref;
use mqtt5_proto::{Instant, RejectReason};
use std::sync::Arc;

/// A received message: topic, payload, QoS, properties and the rest are those of the [protocol message](mqtt5_proto::Message) that it
/// dereferences to.
///
/// In [`AckMode::Manual`](crate::AckMode::Manual) a QoS 1 or 2 message waits for [`ack`](Self::ack) or [`reject`](Self::reject); dropped
/// without either it does what that mode says. In the other modes both do nothing.
///
/// It keeps the chunk alive that it was received in: [`detach`](mqtt5_proto::Message::detach) gives a copy for keeping long.
#[must_use = "a message that is dropped was received for nothing"]
pub struct Message {
    message: mqtt5_proto::Message,
    received_at: Instant,
    answer: Option<Answer>,
}

/// The duty to answer for a message.
pub(super) struct Answer {
    pub(super) shared: Arc<Shared>,
    pub(super) hold: Key,
    pub(super) subscription: Key,
    pub(super) on_drop: OnDrop,
}

impl Message {
    pub(super) fn new(
        message: mqtt5_proto::Message,
        received_at: Instant,
        answer: Option<Answer>,
    ) -> Self {
        Self {
            message,
            received_at,
            answer,
        }
    }

    /// Acknowledges the message. PUBACK or PUBREC leaves once all that arrived before it are answered [MQTT-4.6.0-2]; when several
    /// subscriptions have it, once all of them have answered. After a lost session it does nothing.
    pub fn ack(mut self) {
        self.settle(None);
    }

    /// Refuses the message: PUBACK or PUBREC carries `reason`, in the same order as acknowledgements (3.4.2.1, 3.5.2.1).
    pub fn reject(mut self, reason: RejectReason) {
        self.settle(Some(reason));
    }

    /// When it arrived, on the clock of the adapter.
    pub fn received_at(&self) -> Instant {
        self.received_at
    }

    /// Whether it waits for an answer.
    pub fn needs_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// Acknowledges the message and keeps its content.
    pub fn into_inner(mut self) -> mqtt5_proto::Message {
        self.settle(None);
        self.message.clone()
    }

    /// The content without the duty to answer.
    pub(super) fn content(&self) -> mqtt5_proto::Message {
        self.message.clone()
    }

    /// The same message for somebody who need not answer for it.
    pub(super) fn lent(&self) -> Self {
        Self::new(self.content(), self.received_at, None)
    }

    pub(super) fn replace(&mut self, content: mqtt5_proto::Message) {
        self.message = content;
    }

    /// The duty to answer moves to another form of the same message.
    pub(super) fn move_answer(&mut self, to: &mut Self) {
        to.answer = self.answer.take();
    }

    pub(super) fn take_answer(&mut self) -> Option<Answer> {
        self.answer.take()
    }

    /// Answers, if that is still to be done; `false` when the message was discarded meanwhile and will come again.
    pub(super) fn settle(&mut self, refusal: Option<RejectReason>) -> bool {
        let Some(answer) = self.answer.take() else {
            return true;
        };
        let Answer {
            hold, subscription, ..
        } = answer;
        let now = answer.shared.now();
        let mut engine = answer.shared.lock();
        engine.answer(now, subscription, hold, refusal)
    }
}

impl Deref for Message {
    type Target = mqtt5_proto::Message;

    fn deref(&self) -> &mqtt5_proto::Message {
        &self.message
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(Answer {
            shared,
            hold,
            subscription,
            on_drop,
        }) = self.answer.take()
        {
            let now = shared.now();
            shared.lock().abandon(now, subscription, hold, on_drop);
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}
