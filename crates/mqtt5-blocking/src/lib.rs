//! MQTT 5 client on blocking sockets and threads, without a runtime.
//!
//! For simple tools, scripts and programs that use threads anyway:
//!
//! ```
//! use mqtt5_blocking::{QoS, connect};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = mqtt5_broker::spawn()?;
//! # let url = broker.url();
//! let client = connect(url)?; // such as "mqtt://localhost"
//! let mut temperatures = client.subscribe("sensors/+/temperature").qos(QoS::AtLeastOnce).wait()?;
//! client.publish("sensors/a/temperature", "22.5").qos(QoS::ExactlyOnce).wait()?;
//! for message in temperatures.by_ref().take(1) {
//!     println!("{} {:?}", message.topic(), message.payload());
//! }
//! client.disconnect().wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! The handles can be shared and sent between threads. `.wait()` blocks the calling thread until the operation has ended, `.start()` until
//! it was accepted; `.timeout(..)` bounds both. Whatever else waits has a form with a time, such as
//! [`connected_timeout`](Client::connected_timeout) and [`recv_timeout`](Events::recv_timeout). A connection that is lost is made again, as [`Reconnect`] says, and what they
//! wait for goes on. It ends in any case when the client stops: nothing hangs.
//!
//! # Threads
//!
//! A client has two threads with small stacks. One sleeps until there is something to write or a time has come, one waits for what the
//! server sends. An idle client does not run at all between keep-alives. A thread that waits for the answer to its own request writes it
//! by itself when nobody else is writing. While names are looked up and sockets connected, and while the server takes no bytes, there are
//! further threads for that. They never run code of the application.
//!
//! The threads end by themselves after [`disconnect`](Client::disconnect), when [`Reconnect`] or a server's reason forbids another
//! attempt, or shortly after the last handle is dropped. Between two attempts there is only the first of them. Nobody waits for them when the program ends: call `disconnect` before that, or messages that were accepted
//! and not yet sent are lost, and the server takes the client for dead.

#![forbid(unsafe_code)]

mod dial;
mod host;
mod link;
mod threads;

use threads::Threads;

pub use mqtt5_client::*;
pub use mqtt5_transport::{Identity, Settings, Setup, TcpSettings, TlsSettings, WebSocketSettings};

/// The handle of a client: cheap to clone, shared between threads.
pub type Client = mqtt5_client::Client<Blocking>;
/// The handle of a client whose operations are futures: see [`start_async`].
pub type AsyncClient = mqtt5_client::Client<Async>;
/// The messages of one or several filters: an [`Iterator`].
pub type Subscription = mqtt5_client::Subscription<Blocking>;
/// Sends requests and waits for their answers.
pub type Requester = mqtt5_client::Requester<Blocking>;
/// How an accepted publish ends.
pub type Delivery = mqtt5_client::Delivery<Blocking>;
/// What happens to a client: an [`Iterator`].
pub type Events = mqtt5_client::Events<Blocking>;
/// The attempts to connect that the application prepares, with credentials for example.
pub type Attempts = mqtt5_client::Attempts<Blocking>;

/// Connects to a server and waits until it has accepted the connection.
///
/// Takes [`Options`], or just the URL of the server.
///
/// ```
/// use mqtt5_blocking::{KeepAlive, Options, connect};
///
/// # let broker = mqtt5_broker::spawn()?;
/// # let url = broker.url();
/// let client = connect(Options::new(url).client_id("sensor-7").keep_alive(KeepAlive::Off))?;
/// assert!(client.is_connected());
/// # client.disconnect().wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// What is wrong with the options, why the server cannot be reached, or why it refused: see [`ConnectionErrorKind`]. With several
/// [servers](Options::server) each of them is asked once; then the failure is final, unless [`Reconnect::retry_first`] says otherwise.
/// [`Options::connect_timeout`] bounds each attempt.
pub fn connect(options: impl Into<Setup>) -> Result<Client, ConnectionError> {
    let client = start(options)?;
    client.connected()?;
    Ok(client)
}

/// Starts a client that connects by itself, and returns at once.
///
/// [`Client::connected`] waits for the outcome. What is published and subscribed before it is connected waits, or fails, as the options say.
///
/// ```
/// use mqtt5_blocking::{QoS, start};
///
/// # let broker = mqtt5_broker::spawn()?;
/// # let url = broker.url();
/// let client = start(url)?;
/// let delivery = client.publish("sensors/7/state", "here").qos(QoS::AtLeastOnce).start()?;
/// delivery.wait()?;
/// # client.disconnect().wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// What is wrong with the options. Nothing was started.
pub fn start(options: impl Into<Setup>) -> Result<Client, OptionsError> {
    Threads::start(options.into())
}

/// Starts a client whose operations are futures, for executors that have neither sockets nor timers.
///
/// The same two threads move its bytes, so that any executor will do, even the smallest. On tokio, async-std and smol use the adapter
/// that is made for it.
///
/// # Errors
///
/// What is wrong with the options. Nothing was started.
pub fn start_async(options: impl Into<Setup>) -> Result<AsyncClient, OptionsError> {
    Threads::start(options.into())
}
