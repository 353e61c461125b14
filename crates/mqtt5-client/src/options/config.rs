//! Options that were checked, in the form in which the engine uses them.

use super::{Options, Resume, Will};
use super::{check_conflicts, check_subscription};
use crate::endpoint::{Endpoint, EndpointError};
use crate::engine::Behaviour;
use crate::error::SubscribeError;
use crate::planted::planted;
use crate::properties::{PropertyList, UserProperties};
use crate::secret::Password;
use core::num::NonZeroU16;
use core::ops::Deref;
use mqtt5_proto::packet;
use mqtt5_proto::{EncodeError, Property, TopicError, TopicName};
use std::sync::Arc;

/// Checked options. What was plain in the options is read through `Deref`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    options: Options,
    endpoints: Vec<Arc<Endpoint>>,
}

/// What CONNECT says that may change from one attempt to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Password>,
    pub(crate) will: Option<Will>,
    pub(crate) user_properties: UserProperties,
}

impl Config {
    pub(crate) fn new(options: Options) -> Result<Self, OptionsError> {
        let servers = core::iter::once(&options.endpoint).chain(&options.further_servers);
        let endpoints = servers
            .map(|endpoint| endpoint.clone().map(Arc::new))
            .collect::<Result<_, _>>()
            .map_err(OptionsError::Endpoint)?;
        check_string("client identifier", &options.client_id)?;
        let declared = &options.declared;
        let longest = options.maximum_topic_length;
        declared
            .iter()
            .try_for_each(|one| check_subscription(&one.filters, &one.properties, longest))
            .and_then(|()| check_conflicts(declared.iter().flat_map(|one| &one.filters)))
            .map_err(OptionsError::Declared)?;
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
        let config = Self { options, endpoints };
        config.credentials(&config.endpoints[0], true).check()?;
        Ok(config)
    }

    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// What CONNECT says to this server unless the application changes it; no credentials if it is not trusted, User Properties included.
    pub(crate) fn credentials(&self, endpoint: &Endpoint, is_trusted: bool) -> Credentials {
        let options = &self.options;
        let (username, password) = if is_trusted {
            let username = options.username.as_deref().or_else(|| endpoint.username());
            let password = options.password.as_ref().or_else(|| endpoint.password());
            (username.map(str::to_owned), password.cloned())
        } else {
            (None, None)
        };
        Credentials {
            username,
            password,
            will: options.will.clone(),
            user_properties: match is_trusted {
                true => options.user_properties.clone(),
                false => UserProperties::default(),
            },
        }
    }

    /// Takes another will for the attempts to come.
    pub(crate) fn set_will(&mut self, will: Option<Will>) -> Result<(), OptionsError> {
        will.as_ref().map_or(Ok(()), check_will)?;
        self.options.will = will;
        Ok(())
    }

    /// The properties of a CONNECT packet. Those that say the default of the specification are left out, except Receive Maximum.
    pub(crate) fn connect_properties(
        &self,
        credentials: &Credentials,
        receive_maximum: NonZeroU16,
    ) -> PropertyList {
        connect_properties(&self.options, credentials, receive_maximum)
    }

    /// The CONNECT packet of an attempt.
    pub(crate) fn connect_packet<'a>(
        &self,
        client_id: &'a str,
        clean_start: bool,
        credentials: &'a Credentials,
        properties: &'a PropertyList,
    ) -> packet::Connect<'a> {
        packet::Connect {
            clean_start,
            keep_alive: self.options.keep_alive.value(),
            client_id,
            will: credentials
                .will
                .as_ref()
                .filter(|_| !planted!(OmitWill))
                .and_then(will_packet),
            username: credentials.username.as_deref(),
            password: credentials.password.as_ref().map(Password::expose),
            properties: properties.view(),
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

impl Credentials {
    /// Looks for what CONNECT cannot carry.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        check_string("user name", self.username.as_deref().unwrap_or_default())?;
        let password = self.password.as_ref();
        if password.is_some_and(|password| password.expose().len() > MAXIMUM_FIELD) {
            return Err(OptionsError::InvalidString("password"));
        }
        if let Some(will) = &self.will {
            check_will(will)?;
        }
        let mut properties = PropertyList::default();
        self.push_user_properties(&mut properties);
        properties.checked().map_err(OptionsError::UserProperty)?;
        Ok(())
    }

    fn push_user_properties(&self, properties: &mut PropertyList) {
        for (name, value) in &self.user_properties.0 {
            properties.push(Property::UserProperty(name, value));
        }
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
    /// There is no server to connect to.
    #[error("there must be a server to connect to")]
    NoServers,
    /// A declared subscription cannot be subscribed to.
    #[error("a declared subscription is not valid")]
    Declared(#[source] SubscribeError),
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

fn check_string(name: &'static str, text: &str) -> Result<(), OptionsError> {
    if text.len() > MAXIMUM_FIELD || text.contains('\0') {
        return Err(OptionsError::InvalidString(name));
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

fn connect_properties(
    options: &Options,
    credentials: &Credentials,
    receive_maximum: NonZeroU16,
) -> PropertyList {
    let mut properties = PropertyList::default();
    if options.session_expiry_interval != 0 {
        properties.push(Property::SessionExpiryInterval(
            options.session_expiry_interval,
        ));
    }
    properties.push(Property::ReceiveMaximum(receive_maximum.get()));
    properties.push(Property::MaximumPacketSize(
        options.maximum_packet_size.get(),
    ));
    if options.topic_alias_maximum > 0 {
        properties.push(Property::TopicAliasMaximum(options.topic_alias_maximum));
    }
    if options.request_response_information {
        properties.push(Property::RequestResponseInformation(true));
    }
    if !options.request_problem_information {
        properties.push(Property::RequestProblemInformation(false));
    }
    credentials.push_user_properties(&mut properties);
    properties
}

/// The longest string or binary field of a packet (1.5.4, 1.5.6).
const MAXIMUM_FIELD: usize = 65_535;
