//! MQTT 5 as a pure state machine: bytes and time in, packets and events out.
//!
//! This crate has no clock, no I/O, no threads and no randomness of its own. It has two parts:
//!
//! * the **codec**: [`packet`], [`Properties`], [`FixedHeader`]. Packets are views that borrow from the
//!   input; decoding and encoding allocate nothing, with or without the feature `alloc`.
//! * the **machine**: [`Client`] (on growable storage, feature `alloc`) and [`fixed::Client`] (fixed
//!   capacity, no allocator). Both are the same code on another storage.
//!
//! # Features
//!
//! `std` (default) implies `alloc`. Without either, the codec and [`fixed::Client`] remain. `scram` (implies `alloc`) is the
//! module of that name: SCRAM-SHA-256 for enhanced authentication; `saslprep` (implies `std`) lets it take user names and
//! passwords beyond US-ASCII.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod client;
mod connection;
mod error;
mod frame;
#[cfg(feature = "alloc")]
mod message;
pub mod packet;
#[cfg(not(mqtt5_planted))]
mod planted;
#[cfg(mqtt5_planted)]
pub mod planted;
mod property;
pub mod qos;
mod reason;
mod record;
#[cfg(feature = "scram")]
pub mod scram;
mod session;
pub mod storage;
mod time;
pub mod topic;
mod types;
mod wire;

#[cfg(feature = "alloc")]
pub use client::Client;
pub use client::{
    AckToken, Authenticate, Config, ContentPolicy, DisconnectCause, DisconnectReason, Event, Op,
    Outbound, Outcome, Payload, Progress, Refused, RejectReason, SessionLoss, Statistics,
    TopicAliases, Violation, fixed,
};
pub use connection::{Negotiated, State, TimerReason};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use frame::{Decoding, FixedHeader, MAXIMUM_REMAINING_LENGTH};
#[cfg(feature = "alloc")]
pub use message::{ContentFaults, Message};
pub use packet::Packet;
#[cfg(feature = "alloc")]
pub use property::PropertyBuffer;
pub use property::{Place, Properties, Property, PropertyIter};
pub use reason::ReasonCode;
#[cfg(feature = "alloc")]
pub use record::SessionSnapshot;
pub use record::{Persisted, Record, RecordError, RecordToken};
#[cfg(feature = "alloc")]
pub use storage::heap::{Incoming, Outgoing};
pub use time::Instant;
pub use topic::{TopicError, TopicFilter, TopicName};
pub use types::{PacketId, PacketType, ProtocolVersion, QoS, RetainHandling, Role};
