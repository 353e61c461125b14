//! `mqtt5 broker`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use mqtt5_client::QoS;

use crate::values::{qos, session_expiry};

/// Run the embedded broker until Ctrl-C
///
/// All of MQTT 5 except enhanced authentication, in memory, for development and tests. It listens on the loopback
/// interface, where only this machine can connect. In production use a broker that is made for it, such as Mosquitto,
/// EMQX, HiveMQ or NanoMQ.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct BrokerArgs {
    /// The address to listen on; port 0 chooses a free one
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:1883")]
    pub(crate) listen: SocketAddr,

    /// Let only those connect who are in this file: a line of name:password for each
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,

    /// The highest QoS
    #[arg(long, value_name = "QOS", help_heading = "Limits to announce", value_parser = qos)]
    pub(crate) maximum_qos: Option<QoS>,

    /// Keep no retained messages
    #[arg(long, help_heading = "Limits to announce")]
    pub(crate) no_retain: bool,

    /// Allow no wildcards in filters
    #[arg(long, help_heading = "Limits to announce")]
    pub(crate) no_wildcards: bool,

    /// Allow no Subscription Identifiers
    #[arg(long, help_heading = "Limits to announce")]
    pub(crate) no_subscription_identifiers: bool,

    /// Allow no shared subscriptions
    #[arg(long, help_heading = "Limits to announce")]
    pub(crate) no_shared_subscriptions: bool,

    /// How many QoS 1 and 2 messages of a client may be unfinished
    #[arg(long, value_name = "N", help_heading = "Limits to announce", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) receive_maximum: Option<u16>,

    /// The largest packet in bytes
    #[arg(long, value_name = "BYTES", help_heading = "Limits to announce", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) maximum_packet_size: Option<u32>,

    /// The highest Topic Alias
    #[arg(long, value_name = "N", help_heading = "Limits to announce")]
    pub(crate) topic_alias_maximum: Option<u16>,

    /// The Keep Alive that all clients must use, in seconds; 0 is off
    #[arg(long, value_name = "SECONDS", help_heading = "Limits to announce")]
    pub(crate) server_keep_alive: Option<u16>,

    /// The longest time to keep a session: seconds, or `never` for without end
    #[arg(long, value_name = "SECONDS", help_heading = "Limits to announce", value_parser = session_expiry)]
    pub(crate) maximum_session_expiry: Option<u32>,

    /// The Response Information for clients that ask for it
    #[arg(long, value_name = "TEXT", help_heading = "Limits to announce")]
    pub(crate) response_information: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  mqtt5 broker
  mqtt5 broker --listen 127.0.0.1:0 --output json             a free port, told as JSON
  mqtt5 broker --maximum-qos 1 --receive-maximum 3 --no-retain  how does my client take limits?
  mqtt5 broker --listen 0.0.0.0:1883 --users users.txt";
