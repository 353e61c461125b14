//! Requests and their answers (4.10).

mod hub;
mod request;

pub use request::{Request, Requesting};

use super::subscribe::{Subscribe, Subscribing};
use super::watching::Watching;
use super::{Client, Publish};
use crate::connection_info::ConnectionInfo;
use crate::engine::{Engine, State, Watch};
use crate::error::{Detail, SubscribeError, SubscribeErrorKind};
use crate::filter::Filter;
use crate::mode::{Async, Blocking, Mode, wait};
use crate::options::{AckMode, Offline};
use crate::payload::Payload;
use crate::shared::Shared;
use core::fmt;
use core::future::{Future, IntoFuture};
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use hub::Hub;
use mqtt5_proto::{QoS, RetainHandling, TopicName};
use std::borrow::Cow;
use std::sync::Arc;

impl<M: Mode> Client<M> {
    /// Begins to make a [`Requester`], which subscribes to a topic for answers.
    ///
    /// ```no_run
    /// # async fn example(client: mqtt5_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let requester = client.requester().await?;
    /// let answer = requester.request("thermostat/7/get", "target").await?;
    /// println!("{:?}", answer.payload_str());
    /// # Ok(())
    /// # }
    /// ```
    pub fn requester(&self) -> OpenRequester<'_, M> {
        OpenRequester {
            shared: self.shared(),
            response_topic: None,
            qos: QoS::AtLeastOnce,
            mode: PhantomData,
        }
    }

    /// Begins to publish the answer to a request: to its Response Topic and with its Correlation Data (4.10). `None` when it has no
    /// Response Topic that can be published to: then nobody waits for an answer.
    ///
    /// The topic was chosen by whoever sent the request: where that must not be trusted, the server has to restrict what this client may
    /// publish to.
    ///
    /// ```no_run
    /// # async fn example(client: mqtt5_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut requests = client.subscribe("thermostat/7/get").await?;
    /// while let Some(request) = requests.recv().await {
    ///     if let Some(reply) = client.reply(&request, "21.5") {
    ///         reply.qos(request.qos()).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn reply<'a>(
        &'a self,
        request: &'a mqtt5_proto::Message,
        payload: impl Into<Payload<'a>>,
    ) -> Option<Publish<'a, M>> {
        let properties = request.properties();
        let topic = TopicName::new(properties.response_topic()?).ok()?;
        let reply = self.publish(Cow::Borrowed(topic.as_str()), payload);
        Some(match properties.correlation_data() {
            Some(data) => reply.correlation_data(data),
            None => reply,
        })
    }
}

/// A requester that is being made; see [`Client::requester`].
#[must_use = "a requester is not made until this is awaited or waited for"]
pub struct OpenRequester<'a, M: Mode = Async> {
    shared: &'a Arc<Shared>,
    response_topic: Option<String>,
    qos: QoS,
    mode: PhantomData<M>,
}

impl<'a, M: Mode> OpenRequester<'a, M> {
    /// Sets the topic for the answers. Nobody else should subscribe to it.
    ///
    /// By default it is `{base}/responses/{number}`. The base is the Response Information of the server if it was
    /// [asked for](crate::Options::request_response_information) and given (3.2.2.3.15), otherwise the Client Identifier.
    pub fn response_topic(mut self, topic: impl Into<String>) -> Self {
        self.response_topic = Some(topic.into());
        self
    }

    /// Sets the highest Quality of Service for answers; QoS 1 by default (3.8.3.1).
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    fn begin(self) -> OpeningRequester<'a, M> {
        OpeningRequester {
            shared: self.shared,
            qos: self.qos,
            number: self.shared.number_requester(),
            topic: String::new(),
            stage: match self.response_topic {
                Some(topic) => Stage::Named(topic),
                None => Stage::Naming(Watching::new(self.shared, Watch::State, base)),
            },
        }
    }
}

impl OpenRequester<'_, Blocking> {
    /// Waits until the server has granted the subscription.
    ///
    /// # Errors
    ///
    /// As for a subscribe: see [`SubscribeErrorKind`].
    pub fn wait(self) -> Result<Requester<Blocking>, SubscribeError> {
        wait(self.shared, self.begin())
    }
}

/// Resolves when the server has granted the subscription. Without a topic of one's own it waits for the connection where only that can
/// tell the topic: the server assigns the Client Identifier, or was asked for Response Information.
///
/// Dropping the future gives the subscription up again. Nothing happens before the first poll.
impl<'a> IntoFuture for OpenRequester<'a, Async> {
    type Output = Result<Requester<Async>, SubscribeError>;
    type IntoFuture = OpeningRequester<'a, Async>;

    fn into_future(self) -> OpeningRequester<'a, Async> {
        self.begin()
    }
}

impl<M: Mode> fmt::Debug for OpenRequester<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRequester")
            .field("response_topic", &self.response_topic)
            .field("qos", &self.qos)
            .finish_non_exhaustive()
    }
}

/// The future of [`OpenRequester`]: resolves when the server has granted the subscription.
#[must_use = "futures do nothing unless polled"]
pub struct OpeningRequester<'a, M: Mode = Async> {
    shared: &'a Arc<Shared>,
    qos: QoS,
    number: u64,
    topic: String,
    stage: Stage<'a, M>,
}

enum Stage<'a, M: Mode> {
    Naming(Watching<'a, Result<String, SubscribeErrorKind>>),
    Named(String),
    Subscribing(Subscribing<M>),
}

impl<M: Mode> Future for OpeningRequester<'_, M> {
    type Output = Result<Requester<M>, SubscribeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match &mut self.stage {
                Stage::Naming(naming) => {
                    let base = core::task::ready!(Pin::new(naming).poll(context))?;
                    Stage::Named(format!("{base}/responses/{}", self.number))
                }
                Stage::Named(topic) => {
                    self.topic = core::mem::take(topic);
                    Stage::Subscribing(subscribe(self.shared, &self.topic, self.qos)?)
                }
                Stage::Subscribing(subscribing) => {
                    let granted = core::task::ready!(Pin::new(subscribing).poll(context))?;
                    let prefix = self.shared.host().seed() ^ self.number;
                    let topic = core::mem::take(&mut self.topic);
                    let hub = Hub::new(granted.into_inbox(), topic, prefix);
                    return Poll::Ready(Ok(Requester {
                        hub,
                        mode: PhantomData,
                    }));
                }
            };
            self.stage = next;
        }
    }
}

impl<M: Mode> fmt::Debug for OpeningRequester<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningRequester")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Sends requests and gives each the answer that is meant for it (4.10).
///
/// Cheap to clone, shared between tasks and threads. Any number of requests can be open at once: all of them share one subscription, and
/// Correlation Data tells their answers apart. It works on over lost connections like every subscription, keeps the connection alive like
/// one, and unsubscribes when its last clone is dropped.
pub struct Requester<M: Mode = Async> {
    hub: Arc<Hub>,
    mode: PhantomData<M>,
}

impl<M: Mode> Requester<M> {
    /// Begins a request: QoS 0 and 10 s for the answer unless the builder says otherwise.
    pub fn request<'a>(
        &'a self,
        topic: impl Into<Cow<'a, str>>,
        payload: impl Into<Payload<'a>>,
    ) -> Request<'a, M> {
        Request::new(&self.hub, topic.into(), payload.into())
    }

    /// Where the answers go.
    pub fn response_topic(&self) -> &str {
        self.hub.response_topic()
    }

    /// How many requests wait for an answer.
    pub fn open_requests(&self) -> usize {
        self.hub.open_requests()
    }

    /// How many messages have come that no open request waits for: too late, twice, or for somebody else.
    pub fn unmatched(&self) -> u64 {
        self.hub.unmatched()
    }
}

impl<M: Mode> Clone for Requester<M> {
    fn clone(&self) -> Self {
        Self {
            hub: self.hub.clone(),
            mode: PhantomData,
        }
    }
}

impl<M: Mode> fmt::Debug for Requester<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester")
            .field("response_topic", &self.response_topic())
            .field("open_requests", &self.open_requests())
            .finish_non_exhaustive()
    }
}

/// What response topics begin with, as soon as that can be said.
fn base(engine: &Engine) -> Option<Result<String, SubscribeErrorKind>> {
    let config = engine.config();
    if engine.is_closed() {
        return Some(Err(SubscribeErrorKind::Closed));
    }
    if let Some(connection) = engine.connection() {
        return Some(Ok(base_of(connection)));
    }
    if engine.state() != State::Online && config.offline_subscribe == Offline::Fail {
        return Some(Err(SubscribeErrorKind::NotConnected));
    }
    let is_known = !config.client_id.is_empty() && !config.request_response_information;
    is_known.then(|| Ok(as_levels(&config.client_id)))
}

fn base_of(connection: &ConnectionInfo) -> String {
    match connection.response_information() {
        Some(information) => information.trim_end_matches('/').to_owned(),
        None => as_levels(connection.client_id()),
    }
}

/// A Client Identifier in a topic: it may hold characters that a topic may not.
fn as_levels(client_id: &str) -> String {
    client_id.replace('+', "%2B").replace('#', "%23")
}

fn subscribe<M: Mode>(
    shared: &Arc<Shared>,
    topic: &str,
    qos: QoS,
) -> Result<Subscribing<M>, SubscribeError> {
    TopicName::new(topic).map_err(|error| {
        SubscribeError::new(SubscribeErrorKind::InvalidFilter, Detail::Topic(error))
    })?;
    let filter = Filter::new(topic)
        .qos(qos)
        .retain_handling(RetainHandling::DoNotSend);
    let subscribe = Subscribe::new(shared, vec![filter]).ack_mode(AckMode::OnTake);
    Ok(subscribe.begin())
}
