//! Options that were checked, in the form in which the engine uses them.

use super::{Options, Resume, Will};
use crate::endpoint::{Endpoint, EndpointError};
use crate::engine::Behaviour;
use crate::properties::PropertyList;
use crate::secret::Password;
use core::ops::Deref;
use mqtt5_proto::packet;
use mqtt5_proto::{EncodeError, Property, TopicError, TopicName};
use std::sync::Arc;

/// Checked options. What was plain in the options is read through `Deref`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    options: Options,
    endpoint: Arc<Endpoint>,
    properties: PropertyList,
}

impl Config {
    pub(crate) fn new(options: Options) -> Result<Self, OptionsError> {
        let endpoint = Arc::new(options.endpoint.clone().map_err(OptionsError::Endpoint)?);
        check_strings(&options)?;
        if let Some(will) = &options.will {
            check_will(will)?;
        }
        if options.resume == Resume::AssumeSession && options.client_id.is_empty() {
            return Err(OptionsError::SessionWithoutClientId);
        }
        let bounds = [
            ("offline_queue", options.offline_queue),
            ("subscription_queue", options.subscription_queue),
        ];
        if let Some((name, _)) = bounds.iter().find(|(_, bound)| bound.is_zero()) {
            return Err(OptionsError::Zero(name));
        }
        if options.connect_timeout.is_zero() {
            return Err(OptionsError::Zero("connect_timeout"));
        }
        if options.inbound_bytes == 0 {
            return Err(OptionsError::Zero("inbound_bytes"));
        }
        let properties = connect_properties(&options);
        properties.checked().map_err(OptionsError::UserProperty)?;
        Ok(Self {
            options,
            endpoint,
            properties,
        })
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The CONNECT packet of an attempt.
    pub(crate) fn connect_packet(&self, clean_start: bool) -> packet::Connect<'_> {
        let options = &self.options;
        packet::Connect {
            clean_start,
            keep_alive: options.keep_alive.value(),
            client_id: &options.client_id,
            will: options.will.as_ref().and_then(will_packet),
            username: options
                .username
                .as_deref()
                .or_else(|| self.endpoint.username()),
            password: options
                .password
                .as_ref()
                .or_else(|| self.endpoint.password())
                .map(Password::expose),
            properties: self.properties.view(),
        }
    }

    /// How subscriptions behave that do not say otherwise.
    pub(crate) fn behaviour(&self) -> Behaviour {
        Behaviour {
            bound: self.options.subscription_queue,
            overflow: self.options.overflow,
            ack_mode: self.options.ack_mode,
            observed_drops: 0,
        }
    }

    /// What the machine tolerates beyond our Receive Maximum.
    pub(crate) fn margin(&self) -> u16 {
        let receive_maximum = self.options.receive_maximum.get();
        self.options
            .inbound_margin
            .unwrap_or_else(|| (receive_maximum / 4).max(8))
    }
}

impl Deref for Config {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

/// Why a client cannot be built from its options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The URL of the server is wrong.
    #[error("invalid server URL")]
    Endpoint(#[source] EndpointError),
    /// A string of CONNECT has more than 65,535 bytes or holds U+0000. The text says which.
    #[error("the {0} must have at most 65,535 bytes and no U+0000")]
    InvalidString(&'static str),
    /// The will's topic cannot be published to.
    #[error("invalid will topic")]
    WillTopic(#[source] TopicError),
    /// The will's payload has more than 65,535 bytes.
    #[error("the will's payload has more than 65,535 bytes")]
    WillPayload,
    /// A property of the will cannot be sent.
    #[error("a property of the will cannot be sent")]
    WillProperty(#[source] EncodeError),
    /// A User Property cannot be sent.
    #[error("a user property cannot be sent")]
    UserProperty(#[source] EncodeError),
    /// [`Resume::AssumeSession`] without a Client Identifier: the server could not know which session is meant.
    #[error("a session can be resumed only under a client identifier; set one")]
    SessionWithoutClientId,
    /// A bound or time is zero that must not be. The text names the setter.
    #[error("`{0}` must not be zero")]
    Zero(&'static str),
}

fn check_strings(options: &Options) -> Result<(), OptionsError> {
    let username = options.username.as_deref().unwrap_or_default();
    for (name, text) in [
        ("client identifier", options.client_id.as_str()),
        ("user name", username),
    ] {
        if text.len() > MAXIMUM_FIELD || text.contains('\0') {
            return Err(OptionsError::InvalidString(name));
        }
    }
    if options
        .password
        .as_ref()
        .is_some_and(|password| password.expose().len() > MAXIMUM_FIELD)
    {
        return Err(OptionsError::InvalidString("password"));
    }
    Ok(())
}

fn check_will(will: &Will) -> Result<(), OptionsError> {
    TopicName::new(&will.topic).map_err(OptionsError::WillTopic)?;
    if will.payload.len() > MAXIMUM_FIELD {
        return Err(OptionsError::WillPayload);
    }
    let properties = will
        .properties
        .checked()
        .map_err(OptionsError::WillProperty)?;
    let is_text = properties.payload_format_indicator() == Some(1);
    if is_text && core::str::from_utf8(&will.payload).is_err() {
        return Err(OptionsError::WillProperty(EncodeError::PayloadNotText));
    }
    Ok(())
}

fn will_packet(will: &Will) -> Option<packet::Will<'_>> {
    Some(packet::Will {
        qos: will.qos,
        retain: will.retain,
        topic: TopicName::new(&will.topic).ok()?,
        payload: &will.payload,
        properties: will.properties.view(),
    })
}

/// Properties that say the default of the specification are left out, except Receive Maximum, which is always sent.
fn connect_properties(options: &Options) -> PropertyList {
    let mut properties = PropertyList::default();
    if options.session_expiry_interval != 0 {
        properties.push(Property::SessionExpiryInterval(
            options.session_expiry_interval,
        ));
    }
    properties.push(Property::ReceiveMaximum(options.receive_maximum.get()));
    properties.push(Property::MaximumPacketSize(
        options.maximum_packet_size.get(),
    ));
    if options.request_response_information {
        properties.push(Property::RequestResponseInformation(true));
    }
    if !options.request_problem_information {
        properties.push(Property::RequestProblemInformation(false));
    }
    for (name, value) in &options.user_properties {
        properties.push(Property::UserProperty(name, value));
    }
    properties
}

/// The longest string or binary field of a packet (1.5.4, 1.5.6).
const MAXIMUM_FIELD: usize = 65_535;
