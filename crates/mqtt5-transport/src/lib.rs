//! From an endpoint to a stack of byte machines between a socket and MQTT, without sockets and without a clock.
//!
//! An adapter asks a [`Stack`] where to connect to, lets [`StaggeredDial`] decide which address to try when, applies
//! the [`TcpSettings`], and then moves bytes. In this version the only stack is TCP itself: the bytes of the socket are
//! the bytes of MQTT. [`AsyncDriver`] is the whole loop for adapters whose runtimes poll futures; a [`Runtime`] gives it
//! sockets and a timer.
//!
//! ```
//! use mqtt5_client::{DialErrorKind, Endpoint};
//! use mqtt5_transport::{Settings, Stack};
//!
//! let settings = Settings::default();
//! let stack = Stack::new(&"mqtt://[::1]".parse::<Endpoint>()?, &settings)?;
//! assert_eq!((stack.host(), stack.port()), ("::1", 1883));
//!
//! let refused = Stack::new(&"mqtts://localhost".parse::<Endpoint>()?, &settings).unwrap_err();
//! assert_eq!(refused.kind(), DialErrorKind::Unsupported);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod async_driver;
mod settings;
mod stack;
mod staggered;

pub use async_driver::{AsyncDriver, Pending, Runtime, Socket};
pub use settings::{Settings, TcpSettings};
pub use stack::{Stack, check_supported};
pub use staggered::{StaggeredDial, Step};
