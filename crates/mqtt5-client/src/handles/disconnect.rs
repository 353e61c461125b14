//! Ending a client.

use super::watching::Watching;
use crate::engine::{Engine, Farewell, State, Watch};
use crate::error::{Detail, DisconnectError, DisconnectErrorKind};
use crate::mode::{Async, Blocking, Mode, wait};
use crate::properties::PropertyList;
use crate::shared::Shared;
use core::fmt;
use core::future::{Future, IntoFuture};
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use mqtt5_proto::{DisconnectReason, Property};
use std::sync::Arc;

/// A disconnect that is being put together; see [`Client::disconnect`](crate::Client::disconnect).
#[must_use = "a disconnect does nothing until it is awaited or waited for"]
pub struct Disconnect<'a, M: Mode = Async> {
    shared: &'a Arc<Shared>,
    reason: DisconnectReason,
    properties: PropertyList,
    drain: Option<Duration>,
    mode: PhantomData<M>,
}

impl<'a, M: Mode> Disconnect<'a, M> {
    pub(super) fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            reason: DisconnectReason::Normal,
            properties: PropertyList::default(),
            drain: None,
            mode: PhantomData,
        }
    }

    /// Sets the reason code (3.14.2.1): normal by default. [`DisconnectReason::WithWill`] lets the server publish the will.
    pub fn reason(mut self, reason: DisconnectReason) -> Self {
        self.reason = reason;
        self
    }

    /// Explains the reason in words (3.14.2.2.3).
    pub fn reason_string(mut self, text: &str) -> Self {
        self.properties.push(Property::ReasonString(text));
        self
    }

    /// Replaces the Session Expiry Interval of CONNECT, in seconds (3.14.2.2.2).
    pub fn session_expiry_interval(mut self, seconds: u32) -> Self {
        self.properties
            .push(Property::SessionExpiryInterval(seconds));
        self
    }

    /// Adds a User Property; names may repeat, the order is kept (3.14.2.2.4).
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.properties.push(Property::UserProperty(name, value));
        self
    }

    /// Sets how long accepted operations may take to complete; the client's option by default. Zero disconnects at once. Without a
    /// connection, and while none is being made, the client stops at once in any case; while one is being made, it does not wait for
    /// subscribes.
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = Some(time);
        self
    }

    fn begin(self) -> Disconnecting<'a> {
        let Self {
            shared,
            reason,
            properties,
            drain,
            ..
        } = self;
        let drain = drain.unwrap_or_else(|| shared.lock().config().drain_timeout);
        Disconnecting {
            shared,
            farewell: Some(Farewell {
                reason,
                properties,
                drain,
            }),
            stopped: Watching::new(shared, Watch::State, stopped),
        }
    }
}

fn stopped(engine: &Engine) -> Option<Result<(), DisconnectError>> {
    let result = if engine.was_cut_short() {
        Err(DisconnectErrorKind::NotDrained.into())
    } else {
        Ok(())
    };
    (engine.state() == State::Stopped).then_some(result)
}

impl Disconnect<'_, Blocking> {
    /// Waits until the client has stopped.
    ///
    /// # Errors
    ///
    /// See [`DisconnectErrorKind`].
    pub fn wait(self) -> Result<(), DisconnectError> {
        wait(self.shared, self.begin())
    }
}

/// Resolves when the client has stopped. Dropping the future after its first poll does not take the disconnect back.
impl<'a> IntoFuture for Disconnect<'a, Async> {
    type Output = Result<(), DisconnectError>;
    type IntoFuture = Disconnecting<'a>;

    fn into_future(self) -> Disconnecting<'a> {
        self.begin()
    }
}

impl<M: Mode> fmt::Debug for Disconnect<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disconnect")
            .field("reason", &self.reason)
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}

/// The future of [`Disconnect`]: resolves when the client has stopped.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Disconnecting<'a> {
    shared: &'a Arc<Shared>,
    farewell: Option<Farewell>,
    stopped: Watching<'a, Result<(), DisconnectError>>,
}

impl Future for Disconnecting<'_> {
    type Output = Result<(), DisconnectError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(farewell) = self.farewell.take() {
            let checked = farewell.properties.checked().map(drop);
            checked.map_err(|error| {
                DisconnectError::new(DisconnectErrorKind::InvalidProperty, Detail::Encode(error))
            })?;
            let now = self.shared.now();
            self.shared.lock().disconnect(now, &farewell)?;
        }
        Pin::new(&mut self.stopped).poll(context)
    }
}
