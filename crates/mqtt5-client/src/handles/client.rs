//! The handle of a client.

use super::limited::wait_for;
use super::watching::{Watching, watches};
use super::{Attempts, Disconnect, Events, Publish, States, Subscribe, Subscription, Unsubscribe};
use crate::connection_info::ConnectionInfo;
use crate::endpoint::{Endpoint, EndpointError};
use crate::engine::{Engine, State, Watch};
use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::filter::Filter;
use crate::mode::{Async, Blocking, Mode, wait};
use crate::options::{OptionsError, Will};
use crate::payload::Payload;
use crate::shared::Shared;
use crate::statistics::Statistics;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

/// A client: cheap to clone, shared between tasks and threads, free of any runtime.
///
/// Every method can be called from everywhere, also while the connection is being made. The connection lives while any `Client` or
/// [`Subscription`](crate::Subscription) lives; when the last one is dropped, what was accepted gets 500 ms, then the client disconnects.
///
/// Operations are builders. In [`Async`] mode they end in `.await` or `.start().await`, in [`Blocking`] mode in `.wait()` or `.start()`.
///
/// ```no_run
/// use mqtt5_client::{Client, QoS};
///
/// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut temperatures = client.subscribe("sensors/+/temperature").qos(QoS::AtLeastOnce).await?;
/// client.publish("sensors/a/temperature", "22.5").qos(QoS::ExactlyOnce).content_type("text/plain").await?;
/// while let Some(message) = temperatures.recv().await {
///     println!("{} {:?}", message.topic(), message.payload());
/// }
/// # Ok(())
/// # }
/// ```
pub struct Client<M: Mode = Async> {
    shared: Arc<Shared>,
    mode: PhantomData<M>,
}

impl<M: Mode> Client<M> {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.add_handle();
        Self {
            shared,
            mode: PhantomData,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Begins a publish (3.3): QoS 0 and not retained unless the builder says otherwise.
    ///
    /// Nothing happens before the builder is awaited, started or waited for. Messages are sent in the order in which they are accepted.
    pub fn publish<'a>(
        &'a self,
        topic: impl Into<Cow<'a, str>>,
        payload: impl Into<Payload<'a>>,
    ) -> Publish<'a, M> {
        Publish::new(&self.shared, topic.into(), payload.into())
    }

    /// Begins a subscribe to one filter (3.8); [`and`](Subscribe::and) adds more to the same packet.
    pub fn subscribe(&self, filter: impl Into<Filter>) -> Subscribe<'_, M> {
        Subscribe::new(&self.shared, vec![filter.into()])
    }

    /// Begins a subscribe to any number of filters, with one packet (3.8).
    pub fn subscribe_all<F: Into<Filter>>(
        &self,
        filters: impl IntoIterator<Item = F>,
    ) -> Subscribe<'_, M> {
        Subscribe::new(&self.shared, filters.into_iter().map(Into::into).collect())
    }

    /// Begins an unsubscribe (3.10): the filter is given up whoever holds it, and subscriptions without another filter end.
    ///
    /// It is given up at once, whatever the server answers: what it still sends for it matches nothing, and is acknowledged.
    ///
    /// To give up only one's own, drop the [`Subscription`](crate::Subscription), or call its `unsubscribe`.
    pub fn unsubscribe(&self, filter: impl Into<String>) -> Unsubscribe<'_, M> {
        Unsubscribe::new(&self.shared, filter.into())
    }

    /// Begins the end: new operations are refused, accepted ones get time to complete, then DISCONNECT is sent (3.14). The client
    /// cannot be started again; build another one.
    ///
    /// Messages that arrived can still be taken after that, but not be acknowledged: a session that is kept sends those of QoS 1 and 2 to
    /// the next client again. Who must not have them twice takes them before, or not at all.
    pub fn disconnect(&self) -> Disconnect<'_, M> {
        Disconnect::new(&self.shared)
    }

    /// Listens to what happens to the client from now on. A listener that is slow loses the oldest events.
    pub fn events(&self) -> Events<M> {
        Events::new(self.shared.clone())
    }

    /// Asks to prepare each attempt; needs [`Options::prepare_attempts`](crate::Options::prepare_attempts). Each attempt goes to one
    /// of those who ask.
    pub fn attempts(&self) -> Attempts<M> {
        Attempts::new(self.shared.clone())
    }

    /// The subscription that the options [declared](crate::Options::declare) with this filter, once; later `None`.
    ///
    /// [`Event::Resubscribed`](crate::Event::Resubscribed) or [`ResubscribeFailed`](crate::Event::ResubscribeFailed) tells what the server
    /// has answered; [`granted`](Subscription::granted) is empty. Dropping it leaves its filter with the server; one that was not
    /// asked for yet is not asked for any more.
    pub fn declared(&self, filter: &str) -> Option<Subscription<M>> {
        let (local, ack_mode) = self.shared.lock().take_declared(filter)?;
        let shared = self.shared.clone();
        Some(Subscription::new(shared, local, Vec::new(), ack_mode, true))
    }

    /// The messages that no subscription matches, once; needs [`Options::keep_unmatched`](crate::Options::keep_unmatched). Dropping it
    /// lets them be acknowledged and dropped.
    pub fn unmatched(&self) -> Option<Subscription<M>> {
        let mut engine = self.shared.lock();
        let local = engine.take_unmatched()?;
        let ack_mode = engine.config().ack_mode;
        drop(engine);
        let shared = self.shared.clone();
        Some(Subscription::new(shared, local, Vec::new(), ack_mode, true))
    }

    /// Replaces the servers, from the next attempt on; see [`Options::server`](crate::Options::server).
    ///
    /// # Errors
    ///
    /// One of the URLs is wrong, or there is none. Nothing was changed.
    pub fn set_servers<E>(&self, servers: impl IntoIterator<Item = E>) -> Result<(), OptionsError>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let parse = |server: E| server.try_into().map(Arc::new).map_err(Into::into);
        let servers = servers
            .into_iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>();
        let servers = servers.map_err(OptionsError::Endpoint)?;
        if servers.is_empty() {
            return Err(OptionsError::NoServers);
        }
        self.shared.lock().set_servers(servers);
        Ok(())
    }

    /// Replaces the will, from the next attempt on (3.1.2.5); `None` takes it away. The present connection keeps the one it has.
    ///
    /// # Errors
    ///
    /// CONNECT cannot carry it. Nothing was changed.
    pub fn set_will(&self, will: Option<Will>) -> Result<(), OptionsError> {
        self.shared.lock().config_mut().set_will(will)
    }

    /// Where the client is in its life.
    pub fn state(&self) -> State {
        self.shared.lock().state()
    }

    /// Watches where the client is in its life, from now on.
    pub fn states(&self) -> States<M> {
        States::new(self.shared.clone())
    }

    /// Whether the server has accepted the connection and it has not ended.
    pub fn is_connected(&self) -> bool {
        self.state() == State::Online
    }

    /// What holds on the connection; `None` while there is none.
    pub fn connection(&self) -> Option<Arc<ConnectionInfo>> {
        self.shared.lock().connection().cloned()
    }

    /// Counters and gauges of this client.
    pub fn statistics(&self) -> Statistics {
        self.shared.lock().statistics()
    }
}

watches! {
    /// Waits for the connection: what the server said in CONNACK, or why there is none and will be none.
    ///
    /// While attempts go on it waits, as long as that may take.
    ///
    /// # Errors
    ///
    /// The client has stopped, or was told to: how its last attempt or connection ended.
    connected, connected_timeout -> Result<Arc<ConnectionInfo>, ConnectionError> = Watch::State, |engine| match engine.state() {
        State::Online => engine.connection().cloned().map(Ok),
        State::Stopped => Some(Err(end(engine))),
        _ if engine.is_closed() && !engine.is_failing() => Some(Err(end(engine))),
        _ => None,
    };

    /// Waits until the client has stopped: its connection is gone and nothing will happen any more.
    ///
    /// # Errors
    ///
    /// Why it stopped, if it was not asked to.
    closed, closed_timeout -> Result<(), ConnectionError> = Watch::State, |engine| {
        (engine.state() == State::Stopped).then(|| engine.end().cloned().map_or(Ok(()), Err))
    };

    /// Waits until everything that was accepted is written to the transport. It may not have arrived.
    ///
    /// # Errors
    ///
    /// The client stopped before.
    flush, flush_timeout -> Result<(), ConnectionError> = Watch::Flushed, |engine| match engine.state() {
        State::Stopped => Some(Err(end(engine))),
        _ => engine.is_flushed().then_some(Ok(())),
    };

    /// Waits until every operation that was accepted has ended: acknowledged, refused or failed.
    ///
    /// # Errors
    ///
    /// The client stopped before.
    drain, drain_timeout -> Result<(), ConnectionError> = Watch::Drained, |engine| match engine.state() {
        State::Stopped => Some(Err(end(engine))),
        _ => engine.is_drained().then_some(Ok(())),
    };
}

fn end(engine: &Engine) -> ConnectionError {
    engine
        .end()
        .cloned()
        .unwrap_or_else(|| ConnectionErrorKind::Closed.into())
}

impl<M: Mode> Clone for Client<M> {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl<M: Mode> Drop for Client<M> {
    fn drop(&mut self) {
        if self.shared.remove_handle() {
            let now = self.shared.now();
            self.shared.lock().last_handle_dropped(now);
        }
    }
}

impl<M: Mode> fmt::Debug for Client<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
