//! A small, correct MQTT 5 broker in process: for development, tests and simulation.
//!
//! Three lines in a test, without a runtime, and nothing to install:
//!
//! ```
//! let broker = mqtt5_broker::spawn()?;
//! let url = broker.url(); // "mqtt://127.0.0.1:40321": give it to any MQTT 5 client
//! drop(broker); // every client is told, every socket closed, every thread ended
//! # let _ = url;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It works with and without an async runtime, since it uses threads of its own. Each broker has its own port, so
//! that tests can run side by side.
//!
//! # What it does
//!
//! All of MQTT 5: QoS 0, 1 and 2 in both directions, sessions and their expiry, session takeover, retained messages,
//! wills with their delay, wildcards, shared subscriptions, subscription identifiers, No Local, Retain As Published,
//! message expiry, topic aliases, flow control and packet size limits in both directions, keep alive, enhanced
//! authentication with methods of your own ([`Access::authenticate`]). Every property of a message is forwarded as it came, User Properties in their order. A
//! client that breaks a rule is told the reason code that the specification names, and in words what was wrong.
//!
//! Everything is bounded ([`Config`]): what waits for a client at QoS 1 and 2, in messages and bytes; what may be unsent
//! before QoS 0 messages for it are discarded; retained messages, sessions, subscriptions. A slow client first slows its
//! publishers down; one that is stuck holds up nobody for more than a second.
//!
//! For tests it can be told what to announce in CONNACK ([`Config`]), whom to refuse ([`Access`]), and to
//! [disconnect](Server::disconnect), [cut](Server::cut) or [forget](Server::forget) a client:
//!
//! ```
//! use mqtt5_broker::{Broker, Config, Users};
//! use mqtt5_proto::QoS;
//!
//! let mut config = Config::default();
//! config.maximum_qos = QoS::AtLeastOnce;
//! config.receive_maximum = 3;
//! config.access = Box::new(Users::new([("anna", "secret")]));
//! let broker = Broker::new(config).listen("127.0.0.1:0")?;
//! # let _ = broker;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It also makes things go wrong when it is asked to ([`Fault`]): connects are refused, packets dropped, delayed, or sent
//! twice, connections cut at a packet, sessions lost.
//!
//! ```
//! use mqtt5_broker::{Farewell, Fault, Mishap, On};
//! use mqtt5_proto::{PacketType, ReasonCode};
//!
//! let broker = mqtt5_broker::spawn()?;
//! let elsewhere = Farewell::from(ReasonCode::USE_ANOTHER_SERVER).server_reference("mqtt://localhost:1884");
//! broker.inject(Fault::new(On::Received(PacketType::Connect), Mishap::Refuse(elsewhere)));
//! broker.inject(Fault::new(On::Sent(PacketType::Puback), Mishap::Drop).client("anna").times(3));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it is not
//!
//! It speaks neither TLS nor WebSocket nor MQTT 3.1.1, keeps everything in memory, and has never met the internet. In
//! production use a broker that is made for it, such as [Mosquitto](https://mosquitto.org),
//! [EMQX](https://www.emqx.io), [HiveMQ](https://www.hivemq.com) or [NanoMQ](https://nanomq.io).
//!
//! # The machine
//!
//! [`Broker`] is the broker without sockets, threads and clock: connections are numbers, bytes go in and come out, time
//! is an argument. A simulation drives it opposite a client through weeks of virtual time. [`Server`] is this machine
//! on TCP sockets.

#![forbid(unsafe_code)]

mod access;
mod aliases;
mod clock;
mod config;
mod connection;
mod faults;
mod machine;
mod message;
mod outgoing;
mod outputs;
mod retained;
mod server;
mod session;
mod slab;
mod statistics;
mod timers;
mod trie;

pub use access::{Access, AuthenticationStep, Everybody, Login, Users, Verdict};
pub use config::Config;
pub use faults::{Farewell, Fault, Mishap, On};
pub use machine::{Action, Broker};
pub use outgoing::Outgoing;
pub use server::{Server, spawn};
pub use statistics::Statistics;
pub use timers::TimerReason;
