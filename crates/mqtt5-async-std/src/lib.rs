//! MQTT 5 client on futures-io and async-io: for async-std and smol.
//!
//! ```
//! use mqtt5_async_std::{QoS, connect};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = mqtt5_broker::spawn()?;
//! # let url = broker.url();
//! # let url = url.as_str();
//! smol::block_on(async {
//!     let client = connect(url).await?; // such as "mqtt://localhost"
//!     let mut temperatures = client.subscribe("sensors/+/temperature").qos(QoS::AtLeastOnce).await?;
//!     client.publish("sensors/a/temperature", "22.5").qos(QoS::ExactlyOnce).content_type("text/plain").await?;
//!     while let Some(message) = temperatures.recv().await {
//!         println!("{} {:?}", message.topic(), message.payload());
//! #       break;
//!     }
//!     client.disconnect().await?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # async-std and smol
//!
//! async-std is discontinued upstream; its authors send their users to smol. Both stand on `async-io`, and so does this
//! crate: it depends on neither of them, and is tested on both.
//!
//! # Who drives
//!
//! A future moves the bytes of a client, and somebody has to poll it. Programs that have an executor give it to that:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = mqtt5_broker::spawn()?;
//! # let url = broker.url();
//! # let url = url.as_str();
//! # async_std::task::block_on(async {
//! use mqtt5_async_std::connect_with;
//!
//! let on_async_std = connect_with(url, |driver| drop(async_std::task::spawn(driver))).await?;
//! let on_smol = connect_with(url, |driver| smol::spawn(driver).detach()).await?;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! [`connect`] and [`start`], the shortest way, need none: they start a thread that does nothing else, one for each
//! client. [`driver`] gives you the future itself. In all cases it ends by itself: after [`disconnect`](Client::disconnect),
//! when [`Reconnect`] or a server's reason forbids another attempt, or shortly after the last handle is dropped. Until then a
//! connection that is lost is made again; subscriptions and accepted publishes go on. The handles need no executor; they
//! can be cloned, kept in other tasks and threads, and dropped anywhere. Whatever waits for something ends when the client
//! stops: nothing hangs.
//!
//! Host names are looked up on a thread of the `blocking` crate. Nobody can interrupt the system there: when a dial is given
//! up, the thread ends as soon as the system has answered.

#![forbid(unsafe_code)]

mod runtime;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use mqtt5_client::Async;
use mqtt5_transport::AsyncDriver;

use runtime::{AsyncIo, Clock};

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

/// Connects to a server with a thread that drives the connection, and returns when the server has accepted it.
///
/// Takes a URL or [`Options`]. Works on every executor, and without one.
///
/// Dropping the future gives the connection up: nothing is left behind.
///
/// # Errors
///
/// What is wrong with the options, why the server cannot be reached, or why it refused. With several
/// [servers](Options::server) each of them is asked once; then the failure is final, unless [`Reconnect::retry_first`]
/// says otherwise. [`Options::connect_timeout`] bounds each attempt. [`Closed`](ConnectionErrorKind::Closed) if the system
/// gives no thread.
///
/// ```
/// use mqtt5_async_std::{ConnectionErrorKind, connect};
///
/// let error = smol::block_on(connect("mqtt://127.0.0.1:1")).unwrap_err(); // nothing listens there
/// assert_eq!(error.kind(), ConnectionErrorKind::Dial);
/// ```
pub async fn connect(options: impl Into<Setup>) -> Result<Client, ConnectionError> {
    connect_with(options, drive_on_thread).await
}

/// As [`connect`], but `spawn` says who drives: it gets the future and gives it to an executor.
///
/// # Errors
///
/// As [`connect`]; [`Closed`](ConnectionErrorKind::Closed) if `spawn` drops the future.
pub async fn connect_with(
    options: impl Into<Setup>,
    spawn: impl FnOnce(Driver),
) -> Result<Client, ConnectionError> {
    let (client, driver) = driver(options)?;
    spawn(driver);
    client.connected().await?;
    Ok(client)
}

/// Begins to connect with a thread that drives the connection, and returns at once.
///
/// Operations can be started before the server has answered; [`Options`] say whether they wait for it.
/// [`Client::connected`] waits for the outcome.
///
/// # Errors
///
/// What is wrong with the options. Nothing was started.
pub fn start(options: impl Into<Setup>) -> Result<Client, OptionsError> {
    let (client, driver) = driver(options)?;
    drive_on_thread(driver);
    Ok(client)
}

/// Makes a client and the [`Driver`] that moves its bytes, which you spawn or poll yourself.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = mqtt5_broker::spawn()?;
/// # let url = broker.url();
/// let executor = smol::LocalExecutor::new();
/// let (client, driver) = mqtt5_async_std::driver(url)?;
/// let driver = executor.spawn(driver);
///
/// smol::block_on(executor.run(async {
///     client.publish("a", "1").qos(mqtt5_async_std::QoS::AtLeastOnce).await?;
///     drop(client); // the last handle: the client says goodbye and stops
///     driver.await;
///     Ok(())
/// }))
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
        Driver(AsyncDriver::new(driver, AsyncIo::new(clock), settings)),
    ))
}

/// The future that moves the bytes of a client; it ends when the client has stopped.
///
/// No handle needs to poll it, but nothing moves while nobody does. Dropping it closes the socket and stops the client:
/// every operation ends. It can be polled on every executor.
#[must_use = "a client without its driver does nothing"]
pub struct Driver(AsyncDriver<AsyncIo>);

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

/// A system that gives no thread drops the driver, which stops the client.
fn drive_on_thread(driver: Driver) {
    let thread = thread::Builder::new()
        .name("mqtt5".to_owned())
        .stack_size(STACK);
    let _ = thread.spawn(|| async_io::block_on(driver));
}

const STACK: usize = 256 << 10;
