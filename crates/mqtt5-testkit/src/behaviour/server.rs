//! The server of a behaviour.

use std::net::SocketAddr;

use mqtt5_broker::{Broker, Config, Login};
use mqtt5_client::ReasonCode;

use super::Kind;
use crate::{Mosquitto, MosquittoSettings, Proxy};

/// A broker that a behaviour has for itself; it ends when this is dropped.
#[derive(Debug)]
pub enum Server {
    /// The one of this workspace.
    Embedded(mqtt5_broker::Server),
    /// The real one.
    Mosquitto(Mosquitto),
}

impl Server {
    /// Starts a broker that accepts everybody.
    pub fn start(kind: Kind) -> Self {
        match kind {
            Kind::Embedded => Self::embedded(Config::default()),
            Kind::Mosquitto => Self::Mosquitto(mosquitto().start()),
        }
    }

    /// Starts a broker that accepts nobody.
    pub fn refusing(kind: Kind) -> Self {
        match kind {
            Kind::Embedded => {
                let mut config = Config::default();
                config.access = Box::new(|_: &Login<'_>| Err(ReasonCode::NOT_AUTHORIZED));
                Self::embedded(config)
            }
            Kind::Mosquitto => {
                Self::Mosquitto(mosquitto().option("allow_anonymous", "false").start())
            }
        }
    }

    /// Stops it, as for maintenance: clients may be told.
    pub fn stop(self) {
        if let Self::Mosquitto(mut broker) = self {
            broker.stop();
        }
    }

    /// Stops it and starts it again at the same place; it remembers nothing.
    pub fn restart(self) -> Self {
        let address = self.address();
        match self {
            Self::Embedded(broker) => {
                drop(broker);
                let broker = Broker::new(Config::default()).listen(address);
                Self::Embedded(broker.expect("the port is still free"))
            }
            Self::Mosquitto(mut broker) => {
                broker.restart();
                Self::Mosquitto(broker)
            }
        }
    }

    /// Starts a broker that accepts everybody and lets each client have so many messages unacknowledged.
    pub fn with_window(kind: Kind, messages: u16) -> Self {
        match kind {
            Kind::Embedded => {
                let mut config = Config::default();
                config.receive_maximum = messages;
                Self::embedded(config)
            }
            Kind::Mosquitto => {
                let messages = messages.to_string();
                let settings = mosquitto().option("max_inflight_messages", messages);
                Self::Mosquitto(settings.start())
            }
        }
    }

    /// Starts a link to it that can be disturbed.
    pub fn proxy(&self) -> Proxy {
        Proxy::start(self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Embedded(broker) => broker.address(),
            Self::Mosquitto(broker) => broker.addr(),
        }
    }

    /// Where it listens, for a client.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address())
    }

    fn embedded(config: Config) -> Self {
        let broker = Broker::new(config).spawn_thread();
        Self::Embedded(broker.expect("the system gives a socket and threads"))
    }
}

/// Large messages, and no end to the queues: ten thousand messages wait for a client that is slow.
fn mosquitto() -> MosquittoSettings {
    MosquittoSettings::normal()
        .option("max_packet_size", "4194304")
        .option("max_queued_messages", "0")
        .option("set_tcp_nodelay", "true")
        .option("max_inflight_messages", "100")
}
