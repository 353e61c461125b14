//! Real brokers and faulty links for the tests of this workspace.
//!
//! [`Mosquitto`] is a broker of its own for one test, [`mosquitto_pub`] and [`Subscriber`] are the other end of an
//! exchange, [`Proxy`] is a link that can be cut, stalled and slowed down, and [`ScriptedPeer`] plays bytes that no
//! real broker sends on purpose. [`open_file_descriptors`] and [`thread_count`] find what a test left behind.
//!
//! With the feature `behaviour`, the module of this name has what every adapter of the client must do.
//!
//! Everything blocks, and everything ends what it started when it is dropped.

#![forbid(unsafe_code)]

#[cfg(feature = "behaviour")]
pub mod behaviour;
#[cfg(feature = "behaviour")]
mod built_in;
mod child;
mod clock;
mod lines;
mod mosquitto;
mod mosquitto_clients;
mod proxy;
mod scripted;
mod soak;
mod temp;

#[cfg(feature = "behaviour")]
pub use built_in::is_built_in;
pub use clock::wait_until;
pub use mosquitto::{Mosquitto, MosquittoSettings, find_program};
pub use mosquitto_clients::{ClientOutput, Received, Subscriber, mosquitto_pub, mosquitto_sub};
pub use proxy::{Direction, Proxy};
pub use scripted::{Script, ScriptError, ScriptedPeer};
pub use soak::{open_file_descriptors, resident_bytes, thread_count};
pub use temp::TempDir;

/// The programs of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
