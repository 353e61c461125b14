//! From an endpoint to a stack of byte machines between a socket and MQTT, without sockets of its own and without a clock.
//!
//! An adapter asks a [`Stack`] where to connect to, lets [`StaggeredDial`] decide which address to try when, has the
//! [`TcpSettings`] applied to the connected socket, and then moves bytes through the [`Pipe`] that the stack opens, if there is any:
//! over TCP alone the bytes of the socket are the bytes of MQTT. [`AsyncDriver`] is the whole loop for adapters whose runtimes poll
//! futures; a [`Runtime`] gives it sockets and a timer. [`dial`] and [`SharedPipe`] are for threads that block.
//!
//! The feature `websocket` adds `ws://` endpoints, `tls` adds `mqtts://`, and both together `wss://`.
//!
//! ```
//! use mqtt5_client::{DialErrorKind, Endpoint};
//! use mqtt5_transport::{Settings, Stack};
//!
//! let settings = Settings::default();
//! let stack = Stack::new(&"mqtt://[::1]".parse::<Endpoint>()?, &settings, true)?;
//! assert_eq!((stack.host(), stack.port()), ("::1", 1883));
//!
//! let endpoint = "mqtts://localhost".parse::<Endpoint>()?;
//! # #[cfg(not(feature = "tls"))]
//! match Stack::new(&endpoint, &settings, true) {
//!     Err(error) => assert_eq!(error.kind(), DialErrorKind::Unsupported),
//!     Ok(_) => unreachable!("the feature `tls` is off"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod async_driver;
mod blocking;
mod error;
#[cfg(not(any(feature = "tls", feature = "websocket")))]
#[path = "no_pipe.rs"]
mod pipe;
#[cfg(any(feature = "tls", feature = "websocket"))]
mod pipe;
mod settings;
mod signal;
mod stack;
mod staggered;
#[cfg(any(unix, windows))]
mod tcp;

pub use async_driver::{AsyncDriver, Pending, Runtime, Socket};
pub use blocking::{DialReport, SharedPipe, dial};
pub use error::StackError;
pub use pipe::Pipe;
pub use settings::{Identity, Settings, Setup, TcpSettings, TlsSettings, WebSocketSettings};
pub use signal::Signal;
pub use stack::Stack;
pub use staggered::{StaggeredDial, Step};
