//! The policy of an MQTT 5 client, and its handles, free of any runtime.
//!
//! This crate is what the adapters for tokio, async-std and blocking threads have in common: everything that a client decides, and
//! everything that an application holds. It opens no socket, reads no clock and spawns nothing; [`driver`] is where an adapter plugs in.
//!
//! * [`Options`] and [`Endpoint`] say what to connect to, and how.
//! * [`Client`] publishes and subscribes, [`Subscription`] receives, [`Delivery`] tells how a publish ended, [`Events`] tells what happens
//!   to the connection. All of them come in two modes, [`Async`] and [`Blocking`].
//! * Every operation has an error type of its own: [`Error`] with a kind. Its documentation lists what can go wrong.
//!
//! An application usually depends on an adapter, which gives it these types under their own names.
#![forbid(unsafe_code)]

mod connection_info;
mod delivered;
pub mod driver;
mod endpoint;
mod engine;
mod error;
mod filter;
mod handles;
mod mode;
mod options;
mod payload;
#[cfg(not(mqtt5_planted))]
mod planted;
#[cfg(mqtt5_planted)]
pub mod planted;
mod properties;
mod secret;
mod shared;
mod slab;
mod statistics;
mod subscription_id;
mod trie;

pub use bytes::Bytes;
pub use connection_info::ConnectionInfo;
pub use delivered::Delivered;
pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use engine::{Event, State};
pub use error::{
    ConnectionError, ConnectionErrorKind, DialError, DialErrorKind, DisconnectError,
    DisconnectErrorKind, Error, ErrorKind, PublishError, PublishErrorKind, RequestError,
    RequestErrorKind, SubscribeError, SubscribeErrorKind, UnsubscribeError, UnsubscribeErrorKind,
};
pub use filter::Filter;
pub use handles::{
    Asking, Attempts, Client, Delivery, Disconnect, Disconnecting, Ended, Events, Granted,
    Handling, Interceptor, Message, MessageDraft, NextAttempt, NextEvent, NextState, OpenRequester,
    OpeningRequester, Preparation, Progress, Publish, PublishDraft, Publishing, Receive,
    ReceiveMany, ReceiveTimeout, Request, Requester, Requesting, Starting, States, Subscribe,
    Subscribing, Subscription, Unsubscribe, Unsubscribed, Unsubscribing, Verdict, Watching,
};
pub use mode::{Async, Blocking, Mode};
pub use mqtt5_proto::Statistics as ProtocolStatistics;
pub use mqtt5_proto::{
    ContentFaults, DisconnectCause, DisconnectReason, EncodeError, Incoming, Instant, Outgoing,
    PacketId, Properties, Property, PropertyBuffer, QoS, ReasonCode, RejectReason, RetainHandling,
    TopicAliases, TopicError, TopicFilter, TopicName, Violation,
};
pub use options::{
    AckMode, Backoff, Bound, Congestion, Declared, Interception, KeepAlive, Offline, OnDrop,
    OnSessionLost, Options, OptionsError, Overflow, QueueFull, Reconnect, Redirects, Refusal,
    Resubscribe, Resume, Retry, Will,
};
pub use payload::Payload;
pub use secret::Password;
pub use statistics::Statistics;
pub use subscription_id::SubscriptionId;
