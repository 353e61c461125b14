//! What the application of a client process does: each operation is a task, and the ledger hears of its beginning and its end.

use std::rc::Rc;

use mqtt5_client::{Client, Delivered, DisconnectReason, Filter, Message, PublishError};
use mqtt5_client::{PublishErrorKind, QoS};
use mqtt5_client::{ReasonCode, RejectReason, SubscribeError, Subscription, UnsubscribeError};

use crate::executor::{Either, Letter, either};
use crate::hub::{Hub, ProcessId};
use crate::intercepting::publishes;
use crate::ledger::{Ending, FilterNote};
use crate::options::{Acknowledging, ClientOptions, Dropping, FORBIDDEN, Testament};
use crate::plan::{Draft, How, Leaving, Wish};
use crate::process::Handles;
use crate::reasons::Begun;
use crate::transcript::Invariant;

type PublishResult = Result<Delivered, PublishError>;

/// Where a task runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) hub: Rc<Hub>,
    pub(crate) process: ProcessId,
    pub(crate) client: Client,
    pub(crate) options: Rc<ClientOptions>,
}

impl Place {
    /// Looks for an end of a publish that has no reason.
    fn judge(
        &self,
        begun: &Begun,
        number: usize,
        draft: &Draft,
        payload: &[u8],
        result: &PublishResult,
    ) {
        let kind = result.as_ref().err().map(PublishError::kind);
        let is_kept_back = self.options.intercepts && publishes(payload).is_none();
        let was_kept_back = kind == Some(PublishErrorKind::Intercepted);
        let transcript = &self.hub.transcript;
        transcript.check(
            Invariant::Interceptors,
            is_kept_back == was_kept_back,
            || format!("m{number} ended as {kind:?}, to be kept back: {is_kept_back}"),
        );
        let may_be = kind.is_none_or(|kind| self.may_fail_to_publish(begun, draft, payload, kind));
        // Who may take it back looks at it late.
        let in_time = matches!(draft.how, How::Withdraw(_)) || self.is_in_time(begun);
        transcript.check(Invariant::Outcome, may_be && in_time, || {
            format!("m{number} ended as {kind:?} for no reason, in time: {in_time}")
        });
    }

    /// The same for a subscribe or an unsubscribe.
    fn judge_request(&self, begun: &Begun, what: &str, may_be: bool) {
        let in_time = self.is_in_time(begun);
        let transcript = &self.hub.transcript;
        transcript.check(Invariant::Outcome, may_be && in_time, || {
            format!(
                "{} {what} failed for no reason, in time: {in_time}",
                self.process
            )
        });
    }

    /// Looks at the end of a subscribe.
    pub(crate) fn judge_subscribe<T>(
        &self,
        begun: &Begun,
        is_refused: bool,
        result: &Result<T, SubscribeError>,
    ) {
        let kind = result.as_ref().err().map(SubscribeError::kind);
        let may_be = kind.is_none_or(|kind| self.may_fail_to_subscribe(begun, is_refused, kind));
        self.judge_request(begun, &format!("subscribe: {kind:?}"), may_be);
    }

    /// Looks at the end of an unsubscribe.
    fn judge_unsubscribe<T>(&self, begun: &Begun, result: &Result<T, UnsubscribeError>) {
        let kind = result.as_ref().err().map(UnsubscribeError::kind);
        let may_be = kind.is_none_or(|kind| self.may_fail_to_unsubscribe(begun, kind));
        self.judge_request(begun, &format!("unsubscribe: {kind:?}"), may_be);
    }

    /// Runs an operation that must end.
    pub(crate) async fn operation<T>(&self, what: String, operation: impl Future<Output = T>) -> T {
        self.hub
            .transcript
            .say(self.process, || format!("begins {what}"));
        let number = self.hub.ledger.borrow_mut().begin(self.process, what);
        let output = operation.await;
        self.hub.ledger.borrow_mut().end(number);
        output
    }
}

/// Publishes a message as the draft says; gives its number.
pub(crate) async fn publish(place: Place, draft: Draft) {
    let number = {
        let mut ledger = place.hub.ledger.borrow_mut();
        let number = ledger.draft(place.process, draft.topic, draft.qos, draft.size);
        ledger.messages[number].retain = draft.retain;
        ledger.messages[number].expires = draft.expiry.is_some();
        ledger.messages[number].is_fleeting =
            draft.expiry.is_some() || draft.timeout.is_some() || draft.retain;
        number
    };
    let begun = place.begin(draft.timeout);
    let original = place.hub.ledger.borrow().messages[number].payload.clone();
    if let Some(payload) = publishes(&original).filter(|_| place.options.intercepts) {
        place.hub.ledger.borrow_mut().messages[number].payload = payload.into_owned();
    }
    let what = format!(
        "publish m{number} on {} with {:?}, {:?}",
        draft.topic, draft.qos, draft.how
    );
    let ended = place
        .operation(what, carry_out(&place, &draft, number, &original))
        .await;
    if let Some(result) = ended {
        place.judge(&begun, number, &draft, &original, &result);
        let ending = match result {
            Ok(delivered) if delivered.is_acknowledged() => Ending::Acknowledged,
            Ok(_) => Ending::Accepted,
            Err(error) => Ending::Failed(error.kind()),
        };
        let stopped = place.is_over();
        place
            .hub
            .ledger
            .borrow_mut()
            .published(number, ending, stopped);
    }
}

/// How the publish ended, unless nobody looked.
async fn carry_out(
    place: &Place,
    draft: &Draft,
    number: usize,
    payload: &[u8],
) -> Option<Result<Delivered, PublishError>> {
    let mut builder = place
        .client
        .publish(draft.topic, payload)
        .qos(draft.qos)
        .retain(draft.retain);
    if let Some(expiry) = draft.expiry {
        builder = builder.message_expiry(expiry);
    }
    if let Some(timeout) = draft.timeout {
        builder = builder.timeout(timeout);
    }
    let accepted = || place.hub.ledger.borrow_mut().accepted(number);
    match draft.how {
        How::Await => Some(builder.await),
        How::Cancel(after) => match either(
            builder.into_future(),
            place.hub.timers.sleep(&place.hub.clock, after),
        )
        .await
        {
            Either::Left(result) => Some(result),
            Either::Right(()) => None,
        },
        How::TryPublish => match builder.try_publish() {
            Ok(delivery) => {
                accepted();
                Some(delivery.await)
            }
            Err(error) => Some(Err(error)),
        },
        How::Start | How::Detach | How::Withdraw(_) => {
            let delivery = match builder.start().await {
                Ok(delivery) => delivery,
                Err(error) => return Some(Err(error)),
            };
            accepted();
            match draft.how {
                How::Detach => None,
                How::Withdraw(after) => {
                    place.hub.timers.sleep(&place.hub.clock, after).await;
                    match delivery.withdraw() {
                        Ok(()) => Some(Err(PublishErrorKind::Withdrawn.into())),
                        Err(delivery) => Some(delivery.await),
                    }
                }
                _ => Some(delivery.await),
            }
        }
    }
}

/// Sets the will for the connections to come.
pub(crate) fn set_will(place: &Place, will: Option<&Testament>) {
    let will = will.map(|will| will.draft(&mut place.hub.ledger.borrow_mut(), place.process));
    let mut wills = place.hub.watch.wills.borrow_mut();
    wills.set(place.process, will.as_ref().map(|(number, _)| *number));
    drop(wills);
    let set = place.client.set_will(will.map(|(_, will)| will));
    set.expect("the wills of a plan are valid");
}

/// Subscribes and then consumes until the subscription ends or a letter says that it shall.
pub(crate) async fn subscribe(place: Place, wish: Wish, handles: Handles) {
    let began = {
        let mut ledger = place.hub.ledger.borrow_mut();
        wish.filters
            .iter()
            .for_each(|(filter, _)| ledger.calls_subscribe(place.process, filter));
        ledger.moment()
    };
    let filters = wish.filters.iter().map(|(name, qos)| {
        Filter::new(*name)
            .qos(*qos)
            .retain_as_published(place.options.retains_as_published)
    });
    let mut builder = place
        .client
        .subscribe_all(filters)
        .ack_mode(wish.acknowledging.mode())
        .observe_drops(usize::MAX);
    if wish.allow_partial {
        builder = builder.allow_partial();
    }
    if let Some(timeout) = wish.timeout {
        builder = builder.timeout(timeout);
    }
    let what = format!("subscribe {:?}, {:?}", wish.filters, wish.acknowledging);
    let begun = place.begin(wish.timeout);
    let result = place.operation(what, builder.into_future()).await;
    let names = wish.filters.iter().map(|(filter, _)| *filter);
    place
        .hub
        .ledger
        .borrow_mut()
        .subscribe_over(place.process, names);
    let is_forbidden = wish.filters.iter().any(|(name, _)| *name == FORBIDDEN);
    place.judge_subscribe(&begun, is_forbidden && !wish.allow_partial, &result);
    let subscription = match result {
        Ok(subscription) => subscription,
        Err(error) => {
            place.hub.transcript.say(place.process, || {
                format!("subscribe failed: {:?}", error.kind())
            });
            return;
        }
    };
    let filters = granted(&wish, &subscription);
    let number =
        place
            .hub
            .ledger
            .borrow_mut()
            .subscribed(place.process, began, filters, wish.acknowledging);
    place
        .hub
        .transcript
        .say(place.process, || format!("has s{number}"));
    let letter = Letter::new();
    handles.borrow_mut().push_back(letter.clone());
    let consumer = Consumer {
        place,
        wish,
        number,
        kept: Vec::new(),
        taken: 0,
        dropped: 0,
    };
    consumer.run(subscription, &letter).await;
}

/// The filters that were not refused.
fn granted(wish: &Wish, subscription: &Subscription) -> Vec<FilterNote> {
    let granted = |name: &str| {
        subscription
            .granted()
            .find(|(filter, _)| *filter == name)
            .map_or(ReasonCode::GRANTED_QOS_0, |(_, reason)| reason)
    };
    let filters = wish.filters.iter().map(|(name, _)| (*name, granted(name)));
    filters
        .filter(|(_, reason)| !reason.is_error())
        .map(|(name, reason)| FilterNote {
            name,
            granted: QoS::try_from(reason.value()).unwrap_or(QoS::AtMostOnce),
            left: false,
        })
        .collect()
}

struct Consumer {
    place: Place,
    wish: Wish,
    number: usize,
    /// Messages that are to be answered together.
    kept: Vec<(usize, Message)>,
    taken: usize,
    /// How many messages it has told to have lost.
    dropped: u64,
}

impl Consumer {
    async fn run(mut self, mut subscription: Subscription, letter: &Letter<Leaving>) {
        let hub = self.place.hub.clone();
        loop {
            let received = async {
                // Only who keeps messages back looks after them from time to time, and who hears of no message that was lost, since an
                // interceptor discards what comes after it. The others wait to be woken.
                let is_manual = matches!(self.wish.acknowledging, Acknowledging::Manual { .. });
                match is_manual || self.place.options.intercepts {
                    true => subscription.recv_timeout(PATIENCE).await.map_err(drop),
                    false => subscription.recv().await.map(Some).ok_or(()),
                }
            };
            match either(letter.take(), received).await {
                Either::Left(leaving) => {
                    hub.ledger.borrow_mut().subscription_over(self.number);
                    hub.transcript.say(self.place.process, || {
                        format!("leaves s{}: {leaving:?}", self.number)
                    });
                    self.answer();
                    return match leaving {
                        Leaving::Drop => drop(subscription),
                        Leaving::Unsubscribe => {
                            let what = format!("unsubscribe s{}", self.number);
                            let begun = self.place.begin(None);
                            let result = self.place.operation(what, subscription.unsubscribe());
                            self.place.judge_unsubscribe(&begun, &result.await);
                        }
                    };
                }
                Either::Right(Ok(Some(message))) => self.take_all(message, &mut subscription),
                Either::Right(Ok(None)) => {
                    self.answer();
                    self.note_dropped(&mut subscription);
                }
                Either::Right(Err(_)) => {
                    self.answer();
                    hub.ledger.borrow_mut().subscription_over(self.number);
                    return hub
                        .transcript
                        .say(self.place.process, || format!("s{} has ended", self.number));
                }
            }
            if !hub.healing.get() {
                hub.timers.sleep(&hub.clock, self.wish.pace).await;
            }
        }
    }

    /// Takes a message, and when the faults are over all that its queue has, which is no more than it may.
    fn take_all(&mut self, message: Message, subscription: &mut Subscription) {
        self.note_dropped(subscription);
        let hub = self.place.hub.clone();
        let mut queued = 0;
        let mut next = Some(message);
        while let Some(message) = next {
            queued += usize::from(
                message.qos() == QoS::AtMostOnce
                    || self.wish.acknowledging == Acknowledging::OnArrival,
            );
            self.take(message);
            let more = || subscription.try_recv().ok().flatten();
            next = hub.healing.get().then(more).flatten();
        }
        let bound = self.place.options.queued_messages;
        hub.transcript
            .check(Invariant::Memory, queued <= bound, || {
                format!("s{} had {queued} messages queued", self.number)
            });
    }

    /// Looks at what was lost since the queue was full.
    fn note_dropped(&mut self, subscription: &mut Subscription) {
        let hub = &self.place.hub;
        let dropped = subscription.take_dropped();
        self.dropped += dropped.len() as u64;
        let told = subscription.dropped();
        hub.transcript
            .check(Invariant::Memory, told == self.dropped, || {
                format!("s{} has dropped {}, not {told}", self.number, self.dropped)
            });
        let mut ledger = hub.ledger.borrow_mut();
        dropped
            .iter()
            .for_each(|message| ledger.dropped(self.number, message));
    }

    fn take(&mut self, message: Message) {
        let hub = &self.place.hub;
        let number = hub.ledger.borrow_mut().received(self.number, &message);
        self.taken += 1;
        let (Acknowledging::Manual { batch, on_drop, .. }, Some(number)) =
            (self.wish.acknowledging, number)
        else {
            return;
        };
        if !message.needs_answer() {
            return;
        }
        if on_drop != Dropping::Never && self.taken.is_multiple_of(4) && !hub.healing.get() {
            if on_drop == Dropping::Rejects {
                hub.ledger.borrow_mut().answered(self.number, number);
            }
            hub.ledger
                .borrow_mut()
                .held_back(self.place.process, number);
            return hub.transcript.say(self.place.process, || {
                format!("s{} drops m{number}", self.number)
            });
        }
        self.kept.push((number, message));
        if self.kept.len() >= batch || hub.healing.get() {
            self.answer();
        }
    }

    /// Answers for what was kept.
    fn answer(&mut self) {
        let Acknowledging::Manual {
            backwards, rejects, ..
        } = self.wish.acknowledging
        else {
            return;
        };
        if backwards {
            self.kept.reverse();
        }
        for (number, message) in self.kept.drain(..) {
            self.place
                .hub
                .ledger
                .borrow_mut()
                .answered(self.number, number);
            if rejects && number.is_multiple_of(3) {
                // When the refusal is lost with its connection, the message comes again.
                self.place
                    .hub
                    .ledger
                    .borrow_mut()
                    .held_back(self.place.process, number);
                message.reject(RejectReason::UnspecifiedError);
            } else {
                message.ack();
            }
        }
    }
}

/// Unsubscribes from a filter, whoever holds it.
pub(crate) async fn unsubscribe(place: Place, filter: &'static str) {
    let ledger = &place.hub.ledger;
    let began = ledger.borrow_mut().unsubscribing(place.process, filter);
    let begun = place.begin(None);
    let answered = place
        .operation(
            format!("unsubscribe {filter}"),
            place.client.unsubscribe(filter).into_future(),
        )
        .await;
    place.judge_unsubscribe(&begun, &answered);
    ledger
        .borrow_mut()
        .unsubscribe_over(place.process, filter, began);
    place.hub.transcript.say(place.process, || {
        format!("unsubscribed {filter}: {}", answered.is_ok())
    });
}

/// Ends the client.
pub(crate) async fn disconnect(place: Place, with_will: bool) {
    let wills = &place.hub.watch.wills;
    wills.borrow_mut().ends(place.process, with_will);
    let left = place.hub.ledger.borrow().is_busy(place.process);
    let reason = match with_will {
        true => DisconnectReason::WithWill,
        false => DisconnectReason::Normal,
    };
    let ended = place
        .operation(
            "disconnect".to_owned(),
            place.client.disconnect().reason(reason).into_future(),
        )
        .await;
    let transcript = &place.hub.transcript;
    transcript.say(place.process, || format!("disconnected: {ended:?}"));
    let kind = ended.err().map(|error| error.kind());
    let may_be = kind.is_none_or(|kind| Place::may_fail_to_disconnect(kind, left));
    transcript.check(Invariant::Outcome, may_be, || {
        format!(
            "{} disconnect: {kind:?}, and nothing was open",
            place.process
        )
    });
}

/// How long a consumer waits for its next message before it answers for what it has.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(2);
