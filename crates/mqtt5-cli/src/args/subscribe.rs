//! `mqtt5 sub`

use std::time::Duration;

use clap::Args;
use mqtt5_client::{QoS, Reconnect};

use super::{AccessArgs, SessionArgs};
use crate::values::{Pair, Retained, pair, positive_duration, qos};

/// Subscribe and print what arrives
///
/// On a terminal: the time, the topic, the payload and, on a second line, everything else that the message carries.
/// Elsewhere: one JSON object on each line. A message of QoS 1 or 2 is acknowledged when its line has been written.
/// A connection that is lost is made again, and told of on standard error; what is published meanwhile arrives when
/// --session-expiry lets the server keep it. Ctrl-C disconnects and ends.
#[derive(Debug, Args)]
#[command(
    visible_alias = "subscribe",
    override_usage = "mqtt5 sub [OPTIONS] [URL] <FILTER>...",
    after_help = EXAMPLES,
    after_long_help = LONG_EXAMPLES,
)]
pub(crate) struct SubscribeArgs {
    /// The URL of the server; it can be left out when MQTT_URL is set
    url: Option<String>,

    /// What to subscribe to
    ///
    /// `+` stands for one level of a topic, `#` at the end for all that follow. Quote them for the shell.
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,

    /// The highest QoS to receive with
    #[arg(short, long, default_value = "0", value_parser = qos)]
    pub(crate) qos: QoS,

    /// End after so many messages
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// End after so many seconds, with exit code 8 unless --count was reached
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = positive_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Write payloads only, each followed by a line end
    ///
    /// Elsewhere than on a terminal the bytes are written as they are.
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,

    /// With --raw: no line end after payloads
    #[arg(short = 'N', long, requires = "raw")]
    pub(crate) no_newline: bool,

    /// Keep trying when the server cannot be reached at the beginning
    #[arg(long, conflicts_with = "no_reconnect")]
    pub(crate) retry: bool,

    /// End when the connection is lost
    #[arg(long)]
    pub(crate) no_reconnect: bool,

    /// Tell on standard error when the subscription is made, also when no terminal reads it
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Leave out what this client publishes itself
    #[arg(long, help_heading = "Subscription")]
    pub(crate) no_local: bool,

    /// Keep the RETAIN flag of forwarded messages as it was published
    #[arg(long, help_heading = "Subscription")]
    pub(crate) retain_as_published: bool,

    /// Which retained messages the server sends first
    #[arg(
        long,
        value_name = "WHICH",
        help_heading = "Subscription",
        default_value = "send"
    )]
    pub(crate) retain_handling: Retained,

    /// A User Property of SUBSCRIBE; may repeat, the order is kept
    #[arg(short = 'u', long, value_name = "NAME=VALUE", help_heading = "Subscription", value_parser = pair)]
    pub(crate) user_property: Vec<Pair>,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

impl SubscribeArgs {
    /// What to do without a connection.
    pub(crate) fn reconnect(&self) -> Reconnect {
        if self.no_reconnect {
            return Reconnect::never();
        }
        Reconnect::default().retry_first(self.retry)
    }

    /// What stands without a flag, in its order.
    pub(crate) fn arguments(&self) -> Vec<String> {
        self.url.iter().chain(&self.filters).cloned().collect()
    }
}

const EXAMPLES: &str = "\
Examples:
  mqtt5 sub mqtt://127.0.0.1 'sensors/#' --qos 2
  mqtt5 sub mqtt://127.0.0.1 'sensors/+/temperature' 'alarms/#' | jq -r .payload
  mqtt5 sub mqtt://127.0.0.1 firmware/image --raw --no-newline --count 1 > image.bin
  mqtt5 sub mqtt://127.0.0.1 '$share/workers/jobs/#' --qos 1
  mqtt5 sub mqtt://127.0.0.1 'jobs/#' -q 1 --client-id w1 --session-expiry 3600 --clean-start=false";

const LONG_EXAMPLES: &str = "\
Examples:
  mqtt5 sub mqtt://127.0.0.1 'sensors/#' --qos 2
  mqtt5 sub mqtt://127.0.0.1 'sensors/+/temperature' 'alarms/#' | jq -r .payload
  mqtt5 sub mqtt://127.0.0.1 firmware/image --raw --no-newline --count 1 > image.bin
  mqtt5 sub mqtt://127.0.0.1 '$share/workers/jobs/#' --qos 1
  mqtt5 sub mqtt://127.0.0.1 'jobs/#' -q 1 --client-id w1 --session-expiry 3600 --clean-start=false

The members of a JSON line, absent when the message does not carry them:
  topic, qos, retain, dup       as received
  payload                       the payload when it is UTF-8 text
  payload_base64                the payload when it is not
  received_at                   when it was taken, RFC 3339 in UTC
  payload_format_indicator, message_expiry_interval, content_type, response_topic
  correlation_data              when it is UTF-8 text, otherwise correlation_data_base64
  subscription_identifiers      a list of numbers
  user_properties               a list of [name, value], in order";
