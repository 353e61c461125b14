//! Who the client is for the server, and what it leaves behind.

use std::time::Duration;

use clap::Args;
use mqtt5_client::{Options, QoS, Resume, Will};

use crate::values::{
    Binary, Pair, PayloadFormat, binary, pair, qos, seconds, session_expiry, topic,
};

/// Flags of the commands that are one client.
#[derive(Debug, Args)]
#[command(next_help_heading = "Session")]
pub(crate) struct SessionArgs {
    /// The Client Identifier; without one the server assigns it
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,

    /// Whether an earlier session of this Client Identifier is forgotten
    ///
    /// `false` resumes it: what the server has kept for this client is delivered. It needs --client-id.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pub(crate) clean_start: bool,

    /// How long the server keeps the session after the connection: seconds, or `never` for without end
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = session_expiry)]
    pub(crate) session_expiry: u32,

    /// The topic of the will, which the server publishes when this client is lost without a goodbye
    #[arg(long, value_name = "TOPIC", help_heading = "Will", value_parser = topic)]
    pub(crate) will_topic: Option<String>,

    /// The payload of the will: text, or with the prefix hex: or base64:
    #[arg(long, value_name = "BYTES", help_heading = "Will", requires = "will_topic", value_parser = binary)]
    pub(crate) will_payload: Option<Binary>,

    /// The QoS of the will
    #[arg(long, value_name = "QOS", help_heading = "Will", requires = "will_topic", value_parser = qos)]
    pub(crate) will_qos: Option<QoS>,

    /// Let the server keep the will as a retained message
    #[arg(long, help_heading = "Will", requires = "will_topic")]
    pub(crate) will_retain: bool,

    /// How long the server waits for the client to come back before it publishes the will, in whole seconds
    #[arg(long, value_name = "SECONDS", help_heading = "Will", requires = "will_topic", value_parser = seconds)]
    pub(crate) will_delay: Option<u32>,

    /// How long the published will lives, in whole seconds
    #[arg(long, value_name = "SECONDS", help_heading = "Will", requires = "will_topic", value_parser = seconds)]
    pub(crate) will_expiry: Option<u32>,

    /// What the payload of the will is
    #[arg(
        long,
        value_name = "FORMAT",
        help_heading = "Will",
        requires = "will_topic"
    )]
    pub(crate) will_payload_format: Option<PayloadFormat>,

    /// A description of the payload of the will, such as a MIME type
    #[arg(
        long,
        value_name = "TYPE",
        help_heading = "Will",
        requires = "will_topic"
    )]
    pub(crate) will_content_type: Option<String>,

    /// Where an answer to the will should go
    #[arg(long, value_name = "TOPIC", help_heading = "Will", requires = "will_topic", value_parser = topic)]
    pub(crate) will_response_topic: Option<String>,

    /// What an answer to the will should carry: text, or with the prefix hex: or base64:
    #[arg(long, value_name = "BYTES", help_heading = "Will", requires = "will_topic", value_parser = binary)]
    pub(crate) will_correlation_data: Option<Binary>,

    /// A User Property of the will; may repeat, the order is kept
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Will", requires = "will_topic", value_parser = pair)]
    pub(crate) will_user_property: Vec<Pair>,
}

impl SessionArgs {
    /// Completes the options.
    pub(crate) fn apply(&self, mut options: Options) -> Options {
        // A client that has begun clean goes on with its own session.
        let resume = match self.clean_start {
            true => Resume::WhenKnown,
            false => Resume::AssumeSession,
        };
        options = options
            .resume(resume)
            .session_expiry_interval(self.session_expiry);
        if let Some(client_id) = &self.client_id {
            options = options.client_id(client_id);
        }
        match self.will() {
            Some(will) => options.will(will),
            None => options,
        }
    }

    fn will(&self) -> Option<Will> {
        let payload = self
            .will_payload
            .as_ref()
            .map_or(&[][..], |payload| &payload.0);
        let mut will = Will::new(self.will_topic.as_ref()?, payload)
            .qos(self.will_qos.unwrap_or_default())
            .retain(self.will_retain);
        if let Some(delay) = self.will_delay {
            will = will.delay(Duration::from_secs(delay.into()));
        }
        if let Some(format) = self.will_payload_format {
            will = will.payload_is_text(format == PayloadFormat::Text);
        }
        if let Some(expiry) = self.will_expiry {
            will = will.message_expiry(Duration::from_secs(expiry.into()));
        }
        if let Some(content_type) = &self.will_content_type {
            will = will.content_type(content_type);
        }
        if let Some(topic) = &self.will_response_topic {
            will = will.response_topic(topic);
        }
        if let Some(data) = &self.will_correlation_data {
            will = will.correlation_data(&data.0);
        }
        let properties = self.will_user_property.iter();
        Some(properties.fold(will, |will, Pair { name, value }| {
            will.user_property(name, value)
        }))
    }
}
