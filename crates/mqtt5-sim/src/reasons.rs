//! What must be so for an operation to end with an error, as its application sees it: the error catalogue of the client, read backwards.

use core::error::Error;
use core::time::Duration;

use mqtt5_client::{
    DisconnectErrorKind, Instant, PublishError, PublishErrorKind, QoS, RequestError,
};
use mqtt5_client::{RequestErrorKind, State, SubscribeErrorKind, UnsubscribeErrorKind};

use crate::application::Place;
use crate::asking::SERVICE;
use crate::intercepting::publishes;
use crate::plan::{Draft, How, Question};

/// An operation that has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    at: Instant,
    timeout: Option<Duration>,
    /// How many DISCONNECTs the client had read.
    dismissals: usize,
    /// How many connections it had lost.
    disconnects: u64,
}

impl Place {
    /// An operation begins.
    pub(crate) fn begin(&self, timeout: Option<Duration>) -> Begun {
        Begun {
            at: self.hub.clock.now(),
            timeout,
            dismissals: self.hub.ledger.borrow().dismissals(self.process),
            disconnects: self.client.statistics().disconnects,
        }
    }

    /// Whether the application ends the client, or it has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        let has_ended = match self.client.state() {
            State::Stopped => true,
            // Before the first connection there may be another server.
            State::Closing => !self.options.reconnects && self.client.statistics().connects > 0,
            _ => false,
        };
        has_ended || self.hub.watch.wills.borrow().is_ending(self.process)
    }

    /// Whether its timeout has not passed: it ends then at the latest.
    pub(crate) fn is_in_time(&self, begun: &Begun) -> bool {
        let now = self.hub.clock.now();
        begun
            .timeout
            .is_none_or(|timeout| now <= begun.at + timeout)
    }

    fn has_passed(&self, begun: &Begun, time: Option<Duration>) -> bool {
        time.is_some_and(|time| begun.at + time <= self.hub.clock.now())
    }

    /// A request to which the server has answered with DISCONNECT is sent three times.
    fn is_dismissed(&self, begun: &Begun) -> bool {
        self.hub.ledger.borrow().dismissals(self.process) >= begun.dismissals + 3
    }

    /// Whether there is a reason; what the broker and its session have to do with it is left to the ledger.
    pub(crate) fn may_fail_to_publish(
        &self,
        begun: &Begun,
        draft: &Draft,
        payload: &[u8],
        kind: PublishErrorKind,
    ) -> bool {
        use PublishErrorKind as Kind;
        let options = &self.options;
        let announced = self.hub.ledger.borrow().announced(self.process);
        let (waits, republishes) = match draft.qos {
            QoS::AtMostOnce => (options.qos0_waits, true),
            QoS::AtLeastOnce => (options.qos12_waits, options.republishes_qos1),
            QoS::ExactlyOnce => (options.qos12_waits, true),
        };
        match kind {
            Kind::NotConnected => !waits && self.client.state() != State::Online,
            Kind::Closed | Kind::NotSent => self.is_over(),
            Kind::WouldBlock => draft.how == How::TryPublish,
            Kind::TimedOut => self.has_passed(begun, begun.timeout),
            Kind::Expired => self.has_passed(begun, draft.expiry),
            Kind::Dropped => {
                let disconnects = self.client.statistics().disconnects;
                draft.qos == QoS::AtMostOnce && disconnects > begun.disconnects
            }
            Kind::Superseded => draft.retain && options.compacts,
            Kind::Withdrawn => matches!(draft.how, How::Withdraw(_)),
            Kind::Intercepted => options.intercepts && publishes(payload).is_none(),
            Kind::Rejected => draft.qos > QoS::AtMostOnce,
            Kind::Unknown => self.is_over() || draft.qos == QoS::ExactlyOnce,
            Kind::SessionLost => !republishes || draft.expiry.is_some(),
            Kind::TooLarge => {
                let taken = announced.map_or(usize::MAX, |to| to.maximum_packet_size);
                payload.len() + OVERHEAD > taken.min(options.offline_bytes)
            }
            Kind::QoSNotSupported => announced.is_some_and(|to| draft.qos as u8 > to.maximum_qos),
            _ => false,
        }
    }

    pub(crate) fn may_fail_to_subscribe(
        &self,
        begun: &Begun,
        is_refused: bool,
        kind: SubscribeErrorKind,
    ) -> bool {
        use SubscribeErrorKind as Kind;
        match kind {
            Kind::Rejected => is_refused,
            Kind::Closed | Kind::ConnectionLost => self.is_over(),
            Kind::TimedOut => self.has_passed(begun, begun.timeout),
            Kind::RejectedByDisconnect => self.is_dismissed(begun),
            _ => false,
        }
    }

    pub(crate) fn may_fail_to_unsubscribe(
        &self,
        begun: &Begun,
        kind: UnsubscribeErrorKind,
    ) -> bool {
        use UnsubscribeErrorKind as Kind;
        match kind {
            Kind::Closed | Kind::ConnectionLost => self.is_over(),
            Kind::TimedOut => self.has_passed(begun, begun.timeout),
            Kind::RejectedByDisconnect => self.is_dismissed(begun),
            _ => false,
        }
    }

    pub(crate) fn may_fail_to_request(
        &self,
        begun: &Begun,
        question: &Question,
        error: &RequestError,
    ) -> bool {
        use RequestErrorKind as Kind;
        let published = error
            .source()
            .and_then(|source| source.downcast_ref::<PublishError>());
        match (error.kind(), published) {
            (Kind::Closed, _) => self.is_over(),
            (Kind::TimedOut, _) => self.has_passed(begun, begun.timeout),
            (Kind::NoResponder, _) => question.qos > QoS::AtMostOnce,
            (Kind::NotPublished, Some(why)) => {
                self.may_fail_to_publish(begun, &question.draft(SERVICE), &[], why.kind())
            }
            _ => false,
        }
    }

    /// Of those that were begun when the application ended the client, `left` were open.
    pub(crate) fn may_fail_to_disconnect(kind: DisconnectErrorKind, left: bool) -> bool {
        kind == DisconnectErrorKind::NotDrained && left
    }
}

/// What a PUBLISH has beyond its payload, at most.
const OVERHEAD: usize = 100;
