//! `mqtt5 demo`

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::AccessArgs;
use crate::demo::MINIMUM_SIZE;
use crate::values::positive_duration;

/// Prove that nothing is lost: publish, receive and check every message
///
/// Starts a broker on a free port of the loopback interface, connects a publisher and a subscriber over TCP, sends
/// messages at QoS 0, 1 and 2, and checks the number, the content and the order of all that arrive. QoS 0 may lose
/// messages and must not duplicate them, QoS 1 must not lose any, QoS 2 delivers each exactly once. Exits with 9 when
/// a guarantee was broken.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// The URL of another broker; without it one is started
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Option<String>,

    /// The adapter that moves the bytes
    #[arg(long, value_enum, default_value_t = Adapter::Tokio)]
    pub(crate) adapter: Adapter,

    /// How many messages at each QoS
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=MOST_MESSAGES))]
    pub(crate) messages: u64,

    /// The size of each payload in bytes
    #[arg(short, long, value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(MINIMUM_SIZE as i64..))]
    pub(crate) size: u32,

    /// How many messages may be on their way at QoS 1 and 2; at QoS 0 it is 1,000
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) window: u16,

    /// How long to wait for a message that does not come, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = positive_duration)]
    pub(crate) idle_timeout: Duration,

    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// The crate between the client and the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Adapter {
    /// mqtt5-tokio
    Tokio,
    /// mqtt5-async-std, on async-io
    AsyncStd,
    /// mqtt5-blocking: threads, no runtime
    Blocking,
}

const MOST_MESSAGES: u64 = 1_000_000_000;

const EXAMPLES: &str = "\
Examples:
  mqtt5 demo
  mqtt5 demo --adapter blocking --messages 20000 --size 1024
  mqtt5 demo --broker mqtt://127.0.0.1:1883 --json";
