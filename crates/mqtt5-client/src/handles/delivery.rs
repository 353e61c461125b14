//! A publish under way.

use super::draft::Observers;
use super::limited::wait_for;
use super::slot::{close_slot, poll_slot};
use crate::delivered::Delivered;
use crate::engine::{Accepted, Outcome, Stage};
use crate::error::{PublishError, PublishErrorKind};
use crate::mode::{Async, Blocking, Mode, wait};
use crate::shared::Shared;
use crate::slab::Key;
use core::fmt;
use core::future::{Future, poll_fn};
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

/// A message that was accepted: resolves when its publish is complete.
///
/// Dropping it detaches: the message is delivered all the same. Cancel safe: polling it can stop and go on at will.
#[must_use = "dropping a delivery forgets how the publish ends"]
pub struct Delivery<M: Mode = Async> {
    shared: Arc<Shared>,
    stage: Held,
    observers: Observers,
    mode: PhantomData<M>,
}

/// What a delivery holds.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// It was complete when it was accepted.
    Complete,
    /// The slot will tell.
    Open(Key),
    /// The outcome was given.
    Given,
}

impl Held {
    fn slot(self) -> Option<Key> {
        match self {
            Self::Open(slot) => Some(slot),
            Self::Complete | Self::Given => None,
        }
    }
}

/// How far a publish has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Progress {
    /// It waits for a connection, or behind messages that do. It can be withdrawn.
    Waiting,
    /// It waits in the protocol machine for room. It can be withdrawn.
    Pending,
    /// It is encoded for the transport, which may have taken a part of it. When the connection is lost before that, it is pending again.
    Encoded,
    /// QoS 1 and 2: all of it was written to a transport, and it is not acknowledged.
    Written,
    /// QoS 2: the server has received it (PUBREC); what is missing is PUBCOMP.
    Received,
    /// It has ended.
    Complete,
}

impl<M: Mode> Delivery<M> {
    pub(super) fn new(shared: Arc<Shared>, accepted: Accepted, observers: Observers) -> Self {
        let stage = match accepted {
            Accepted::Done => Held::Complete,
            Accepted::Open(slot) => Held::Open(slot),
        };
        Self {
            shared,
            stage,
            observers,
            mode: PhantomData,
        }
    }

    /// The same delivery, for waiting in another way.
    pub(super) fn into_mode<N: Mode>(mut self) -> Delivery<N> {
        Delivery {
            shared: self.shared.clone(),
            stage: core::mem::replace(&mut self.stage, Held::Given),
            observers: core::mem::take(&mut self.observers),
            mode: PhantomData,
        }
    }

    /// How far the publish has come.
    pub fn progress(&self) -> Progress {
        let Some(slot) = self.stage.slot() else {
            return Progress::Complete;
        };
        let mut engine = self.shared.lock();
        match engine.operations().stage(slot) {
            Some(Stage::Waiting(_)) => Progress::Waiting,
            Some(Stage::InMachine(op)) => match engine.progress(op) {
                Some(mqtt5_proto::Progress::Pending) => Progress::Pending,
                Some(mqtt5_proto::Progress::Written) => Progress::Written,
                Some(mqtt5_proto::Progress::Received) => Progress::Received,
                _ => Progress::Encoded,
            },
            Some(_) => Progress::Encoded,
            None => Progress::Complete,
        }
    }

    /// Takes the message back if it was never encoded.
    ///
    /// # Errors
    ///
    /// Gives the delivery back when it is too late: the exchange goes on to its end.
    pub fn withdraw(mut self) -> Result<(), Self> {
        let withdrawn = self.stage.slot().is_some_and(|slot| {
            self.shared
                .lock()
                .withdraw(slot, PublishErrorKind::Withdrawn)
        });
        if !withdrawn {
            return Err(self);
        }
        self.observers
            .tell(Err(&PublishErrorKind::Withdrawn.into()));
        Ok(())
    }

    /// How the publish ended, if it has; never waits. The outcome is given once, and `None` after that.
    pub fn try_outcome(&mut self) -> Option<Result<Delivered, PublishError>> {
        let outcome = match self.stage {
            Held::Given => return None,
            Held::Complete => Ok(Delivered::accepted()),
            Held::Open(slot) => {
                let mut engine = self.shared.lock();
                if engine.operations().stage(slot).is_some() {
                    return None;
                }
                result_of(engine.operations().take_outcome(slot))
            }
        };
        Some(self.give(outcome))
    }

    fn give(
        &mut self,
        outcome: Result<Delivered, PublishError>,
    ) -> Result<Delivered, PublishError> {
        self.stage = Held::Given;
        self.observers.tell(outcome.as_ref());
        outcome
    }

    fn poll_outcome(&mut self, context: &Context<'_>) -> Poll<Result<Delivered, PublishError>> {
        let result = match self.stage {
            Held::Complete => Ok(Delivered::accepted()),
            Held::Given => Err(PublishErrorKind::Unknown.into()),
            Held::Open(slot) => {
                core::task::ready!(poll_delivery(&self.shared, slot, context, false))
            }
        };
        Poll::Ready(self.give(result))
    }
}

impl Delivery<Blocking> {
    /// Waits until the publish is complete.
    ///
    /// # Errors
    ///
    /// See [`PublishErrorKind`].
    pub fn wait(self) -> Result<Delivered, PublishError> {
        let shared = self.shared.clone();
        wait(&shared, self.into_mode::<Async>())
    }

    /// Waits until the publish is complete, for so long; `None` when it is not by then. The outcome is given once.
    ///
    /// # Errors
    ///
    /// See [`PublishErrorKind`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Delivered, PublishError>> {
        let shared = self.shared.clone();
        wait_for(
            &shared,
            timeout,
            poll_fn(|context| self.poll_outcome(context)),
        )
    }
}

/// Resolves when the publish is complete. Polled again after that, it says that the outcome is not known.
impl Future for Delivery<Async> {
    type Output = Result<Delivered, PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_outcome(context)
    }
}

impl<M: Mode> Drop for Delivery<M> {
    fn drop(&mut self) {
        if let Held::Open(slot) = self.stage {
            close_slot(&self.shared, slot);
        }
    }
}

impl<M: Mode> fmt::Debug for Delivery<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

pub(super) fn poll_delivery(
    shared: &Shared,
    slot: Key,
    context: &Context<'_>,
    quiet: bool,
) -> Poll<Result<Delivered, PublishError>> {
    poll_slot(shared, slot, context, quiet).map(result_of)
}

fn result_of(outcome: Option<Outcome>) -> Result<Delivered, PublishError> {
    match outcome {
        Some(Outcome::Published(result)) => result,
        _ => Err(PublishErrorKind::Unknown.into()),
    }
}
