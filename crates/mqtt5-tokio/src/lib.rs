//! MQTT 5 client on tokio.
//!
//! ```
//! use mqtt5_tokio::{QoS, connect};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = mqtt5_broker::spawn()?;
//! # let url = broker.url();
//! # let url = url.as_str();
//! let client = connect(url).await?; // such as "mqtt://localhost"
//! let mut temperatures = client.subscribe("sensors/+/temperature").qos(QoS::AtLeastOnce).await?;
//! client.publish("sensors/a/temperature", "22.5").qos(QoS::ExactlyOnce).content_type("text/plain").await?;
//! while let Some(message) = temperatures.recv().await {
//!     println!("{} {:?}", message.topic(), message.payload());
//! #   break;
//! }
//! client.disconnect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! There is nothing to poll: [`connect`] and [`start`] spawn one task for the connection, [`driver`] gives it to you
//! instead. The handles are free of the runtime; they can be cloned, kept in other tasks and threads, and dropped
//! anywhere. A connection that is lost is made again, as [`Reconnect`] says; subscriptions and accepted publishes go on.
//! Whatever waits for something ends when the client stops: nothing hangs.
//!
//! # The runtime
//!
//! Current-thread and multi-thread runtimes both do; it needs I/O and time enabled. The task ends by itself: after
//! [`disconnect`](Client::disconnect), when [`Reconnect`] or a server's reason forbids another attempt, or shortly after
//! the last handle is dropped.
//! A runtime that is shut down drops it with its socket, and every operation then ends with an error. On a multi-thread
//! runtime do the work in a spawned task, not in `block_on`: the thread that blocks is none of the runtime's workers, and
//! each message costs a change of threads.
//!
//! Host names are looked up as [`tokio::net::lookup_host`] does it, on a thread for blocking operations. Nobody can
//! interrupt the system there: when a dial is given up, the thread ends as soon as the system has answered.

#![forbid(unsafe_code)]

mod runtime;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use mqtt5_client::Async;
use mqtt5_transport::AsyncDriver;

use runtime::{Clock, Tokio};

pub use mqtt5_client::{
    AckMode, Backoff, Bound, Bytes, Congestion, ConnectionError, ConnectionErrorKind,
    ConnectionInfo, ContentFaults, Delivered, DialError, DialErrorKind, DisconnectCause,
    DisconnectError, DisconnectErrorKind, DisconnectReason, Ended, Endpoint, EndpointError, Error,
    ErrorKind, Event, Filter, Instant, Interception, Interceptor, KeepAlive, Message, MessageDraft,
    Offline, OnDrop, OnSessionLost, Options, OptionsError, Overflow, PacketId, Password, Payload,
    Preparation, Progress, Properties, Property, ProtocolStatistics, PublishDraft, PublishError,
    PublishErrorKind, QoS, QueueFull, ReasonCode, Reconnect, Redirects, Refusal, RejectReason,
    RequestError, RequestErrorKind, Resubscribe, Resume, RetainHandling, Retry, Scheme, State,
    States, Statistics, SubscribeError, SubscribeErrorKind, SubscriptionId, TopicAliases,
    TopicError, TopicFilter, TopicName, UnsubscribeError, UnsubscribeErrorKind, Unsubscribed,
    Verdict, Will,
};

pub use mqtt5_transport::{Identity, Settings, Setup, TcpSettings, TlsSettings, WebSocketSettings};

/// A client; see [`mqtt5_client::Client`].
pub type Client = mqtt5_client::Client<Async>;
/// The messages of one or several filters; see [`mqtt5_client::Subscription`].
pub type Subscription = mqtt5_client::Subscription<Async>;
/// Sends requests and gets their answers; see [`mqtt5_client::Requester`].
pub type Requester = mqtt5_client::Requester<Async>;
/// A publish that was accepted; see [`mqtt5_client::Delivery`].
pub type Delivery = mqtt5_client::Delivery<Async>;
/// What happens to a client; see [`mqtt5_client::Events`].
pub type Events = mqtt5_client::Events<Async>;
/// The attempts to connect that the application prepares; see [`mqtt5_client::Attempts`].
pub type Attempts = mqtt5_client::Attempts<Async>;

/// Connects to a server, and returns when it has accepted the connection.
///
/// Takes a URL or [`Options`]. The connection is driven by a task that is spawned on the current runtime.
///
/// Dropping the future gives the connection up: nothing is left behind.
///
/// # Errors
///
/// What is wrong with the options, why the server cannot be reached, or why it refused. With several
/// [servers](Options::server) each of them is asked once; then the failure is final, unless [`Reconnect::retry_first`]
/// says otherwise. [`Options::connect_timeout`] bounds each attempt.
///
/// # Panics
///
/// Outside a tokio runtime, and in the task if the runtime was built without I/O or time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use mqtt5_tokio::{ConnectionErrorKind, connect};
///
/// let error = connect("mqtt://127.0.0.1:1").await.unwrap_err(); // nothing listens there
/// assert_eq!(error.kind(), ConnectionErrorKind::Dial);
/// # }
/// ```
pub async fn connect(options: impl Into<Setup>) -> Result<Client, ConnectionError> {
    let client = start(options)?;
    client.connected().await?;
    Ok(client)
}

/// Begins to connect on the current runtime, and returns at once.
///
/// Operations can be started before the server has answered; [`Options`] say whether they wait for it.
/// [`Client::connected`] waits for the outcome.
///
/// # Errors
///
/// What is wrong with the options. Nothing was started.
///
/// # Panics
///
/// As [`connect`].
pub fn start(options: impl Into<Setup>) -> Result<Client, OptionsError> {
    let (client, driver) = driver(options)?;
    tokio::spawn(driver);
    Ok(client)
}

/// Makes a client and the [`Driver`] that moves its bytes, which you spawn or poll yourself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = mqtt5_broker::spawn()?;
/// # let url = broker.url();
/// let (client, driver) = mqtt5_tokio::driver(url)?;
/// let mut tasks = tokio::task::JoinSet::new();
/// tasks.spawn(driver);
///
/// client.publish("a", "1").qos(mqtt5_tokio::QoS::AtLeastOnce).await?;
/// drop(client); // the last handle: the client says goodbye and stops
/// tasks.join_all().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// What is wrong with the options.
pub fn driver(options: impl Into<Setup>) -> Result<(Client, Driver), OptionsError> {
    let clock = Clock::start();
    let Setup {
        options, settings, ..
    } = options.into();
    let (client, driver) = mqtt5_client::driver::Driver::new(options, clock)?;
    Ok((
        client,
        Driver(AsyncDriver::new(driver, Tokio::new(clock), settings)),
    ))
}

/// The future that moves the bytes of a client; it ends when the client has stopped.
///
/// No handle needs to poll it, but nothing moves while nobody does. Dropping it closes the socket and stops the client:
/// every operation ends. It has to be polled on a runtime with I/O and time.
#[must_use = "a client without its driver does nothing"]
pub struct Driver(AsyncDriver<Tokio>);

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.0).finish()
    }
}
