//! `mqtt5 pub`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mqtt5_client::QoS;

use super::{AccessArgs, SessionArgs};
use crate::values::{
    Binary, Pair, PayloadFormat, binary, pair, positive_duration, qos, seconds, topic,
};

/// Publish a message, or one for each line of standard input
///
/// Prints what the server answered and exits with 0 when it has taken every message. QoS 0 has no answer: there 0 says
/// that all was sent.
#[derive(Debug, Args)]
#[command(
    visible_alias = "publish",
    override_usage = "mqtt5 pub [OPTIONS] [URL] <TOPIC> [PAYLOAD]",
    after_help = EXAMPLES,
    after_long_help = EXAMPLES,
)]
pub(crate) struct PublishArgs {
    /// The URL of the server; it can be left out when MQTT_URL is set
    url: Option<String>,

    /// The topic, without wildcards
    topic: Option<String>,

    /// The payload; empty without it, --file, --stdin and --stdin-lines
    ///
    /// One that begins with a hyphen and is no number goes after `--`. An empty message with --retain removes the
    /// message that the server has kept.
    #[arg(allow_negative_numbers = true)]
    payload: Option<String>,

    /// 0: at most once, 1: at least once, 2: exactly once
    #[arg(short, long, default_value = "0", value_parser = qos)]
    pub(crate) qos: QoS,

    /// Let the server keep the message for those who subscribe later
    #[arg(short, long)]
    pub(crate) retain: bool,

    /// Publish the content of a file
    #[arg(short, long, value_name = "FILE", group = "source")]
    pub(crate) file: Option<PathBuf>,

    /// Publish all of standard input as one message
    #[arg(long, group = "source")]
    pub(crate) stdin: bool,

    /// Publish each line of standard input as a message, without its line end
    #[arg(short = 'l', long, group = "source")]
    pub(crate) stdin_lines: bool,

    /// How long one message may take to be acknowledged, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = positive_duration)]
    pub(crate) timeout: Duration,

    /// Print nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,

    /// What the payload is
    #[arg(long, value_name = "FORMAT", help_heading = "Properties")]
    pub(crate) payload_format: Option<PayloadFormat>,

    /// How long the message lives, in whole seconds
    #[arg(long, value_name = "SECONDS", help_heading = "Properties", value_parser = seconds)]
    pub(crate) expiry: Option<u32>,

    /// A description of the payload, such as a MIME type
    #[arg(long, value_name = "TYPE", help_heading = "Properties")]
    pub(crate) content_type: Option<String>,

    /// Where an answer should go
    #[arg(long, value_name = "TOPIC", help_heading = "Properties", value_parser = topic)]
    pub(crate) response_topic: Option<String>,

    /// What an answer should carry to be recognised: text, or with the prefix hex: or base64:
    #[arg(long, value_name = "BYTES", help_heading = "Properties", value_parser = binary)]
    pub(crate) correlation_data: Option<Binary>,

    /// A User Property; may repeat, the order is kept
    #[arg(short = 'u', long, value_name = "NAME=VALUE", help_heading = "Properties", value_parser = pair)]
    pub(crate) user_property: Vec<Pair>,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

impl PublishArgs {
    /// What stands without a flag, in its order.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let arguments = [&self.url, &self.topic, &self.payload];
        arguments.into_iter().flatten().cloned().collect()
    }
}

const EXAMPLES: &str = "\
Examples:
  mqtt5 pub mqtt://127.0.0.1 sensors/a 22.5 --qos 2 --retain
  mqtt5 pub mqtt://127.0.0.1 sensors/a --retain                            remove a retained message
  mqtt5 pub mqtt://127.0.0.1 jobs/1 --file job.json --content-type application/json --user-property site=a
  mqtt5 pub mqtt://127.0.0.1 requests/time '' --response-topic answers/me --correlation-data hex:00ff
  tail -f app.log | mqtt5 pub mqtt://127.0.0.1 logs/app --stdin-lines --qos 1
  MQTT_URL=mqtts://broker.example mqtt5 pub sensors/a 22.5 --username me --password-env SECRET";
