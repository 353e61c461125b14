//! What a client is built from.

mod config;
mod declared;
mod interceptors;
mod policy;
mod reconnect;
mod will;

pub use config::OptionsError;
pub(crate) use config::{Config, Credentials};
pub use declared::Declared;
pub(crate) use declared::check as check_subscription;
use declared::check_conflicts;
pub use interceptors::{Interception, Refusal};
pub(crate) use interceptors::{Interceptors, MessageInterceptor, PublishInterceptor};
pub use policy::{
    AckMode, Bound, Congestion, KeepAlive, Offline, OnDrop, Overflow, QueueFull, Resume,
};
pub use reconnect::{Backoff, OnSessionLost, Reconnect, Redirects, Resubscribe, Retry};
pub use will::Will;

use crate::endpoint::{Endpoint, EndpointError};
use crate::properties::UserProperties;
use crate::secret::Password;
use core::num::{NonZeroU16, NonZeroU32};
use core::str::FromStr;
use core::time::Duration;
use mqtt5_proto::TopicAliases;

/// Everything that a client can be told before it connects.
///
/// A builder by value: setters cannot fail, [`validate`](Self::validate) (and every way to build a client) tells the first thing
/// that cannot work. `Debug` prints neither password nor will payload, nor the query of a URL, and of User Properties the names.
///
/// ```
/// use core::time::Duration;
/// use mqtt5_client::{KeepAlive, Options, Will};
///
/// let options = Options::new("mqtt://sensor-7:secret@localhost")
///     .client_id("sensor-7")
///     .keep_alive(KeepAlive::Off)
///     .will(Will::new("sensors/7/state", "gone").retain(true).delay(Duration::from_secs(30)));
/// assert!(options.validate().is_ok());
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a client is built from them"]
pub struct Options {
    pub(crate) endpoint: Result<Endpoint, EndpointError>,
    pub(crate) further_servers: Vec<Result<Endpoint, EndpointError>>,
    pub(crate) reconnect: Reconnect,
    pub(crate) prepare_attempts: bool,
    pub(crate) on_session_lost: OnSessionLost,
    pub(crate) resubscribe: Resubscribe,
    pub(crate) declared: Vec<Declared>,
    pub(crate) keep_unmatched: bool,
    pub(crate) client_id: String,
    pub(crate) resume: Resume,
    pub(crate) session_expiry_interval: u32,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) receive_maximum: NonZeroU16,
    pub(crate) maximum_packet_size: NonZeroU32,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Password>,
    pub(crate) will: Option<Will>,
    pub(crate) request_response_information: bool,
    pub(crate) request_problem_information: bool,
    pub(crate) user_properties: UserProperties,
    pub(crate) connect_timeout: Duration,
    pub(crate) ack_mode: AckMode,
    pub(crate) offline_qos0: Offline,
    pub(crate) offline_qos12: Offline,
    pub(crate) offline_subscribe: Offline,
    pub(crate) offline_queue: Bound,
    pub(crate) compact_retained: bool,
    pub(crate) congestion_qos0: Congestion,
    pub(crate) publish_early: bool,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) topic_aliases: TopicAliases,
    pub(crate) subscription_queue: Bound,
    pub(crate) overflow: Overflow,
    pub(crate) inbound_bytes: usize,
    pub(crate) inbound_margin: Option<u16>,
    pub(crate) stall_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) maximum_topic_length: usize,
    pub(crate) maximum_payload: usize,
    pub(crate) interceptors: Interceptors,
}

/// The part of the options that is looked at without a lock, by whoever publishes or receives.
#[derive(Debug)]
pub(crate) struct LocalPolicy {
    pub(crate) interceptors: Interceptors,
    pub(crate) maximum_topic_length: usize,
    pub(crate) maximum_payload: usize,
}

/// Setters of plain fields: the documentation and the name with its type are all there is to each.
macro_rules! setters {
    ($($(#[$doc:meta])+ $name:ident: $type:ty;)+) => {
        $($(#[$doc])+ pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        })+
    };
}

impl Options {
    /// Starts from the defaults, for the server at `endpoint`: a URL or an [`Endpoint`].
    ///
    /// A URL that does not parse is remembered and told by [`validate`](Self::validate). User name and password in the URL are used unless
    /// [`username`](Self::username) or [`password`](Self::password) says otherwise.
    pub fn new<E>(endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        Self {
            endpoint: endpoint.try_into().map_err(Into::into),
            further_servers: Vec::new(),
            reconnect: Reconnect::default(),
            prepare_attempts: false,
            on_session_lost: OnSessionLost::default(),
            resubscribe: Resubscribe::default(),
            declared: Vec::new(),
            keep_unmatched: false,
            client_id: String::new(),
            resume: Resume::default(),
            session_expiry_interval: 300,
            keep_alive: KeepAlive::default(),
            receive_maximum: NonZeroU16::new(256).expect("not zero"),
            maximum_packet_size: NonZeroU32::new(1 << 20).expect("not zero"),
            username: None,
            password: None,
            will: None,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::default(),
            connect_timeout: Duration::from_secs(10),
            ack_mode: AckMode::default(),
            offline_qos0: Offline::Fail,
            offline_qos12: Offline::Wait,
            offline_subscribe: Offline::Wait,
            offline_queue: Bound {
                messages: 10_000,
                bytes: 64 << 20,
            },
            compact_retained: false,
            congestion_qos0: Congestion::default(),
            publish_early: false,
            topic_alias_maximum: 16,
            topic_aliases: TopicAliases::default(),
            subscription_queue: Bound {
                messages: 65_536,
                bytes: 16 << 20,
            },
            overflow: Overflow::default(),
            inbound_bytes: 16 << 20,
            inbound_margin: None,
            stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            maximum_topic_length: usize::from(u16::MAX),
            maximum_payload: usize::MAX,
            interceptors: Interceptors::default(),
        }
    }

    setters! {
        /// Sets whether and how a lost connection is made again; see [`Reconnect`].
        reconnect: Reconnect;
        /// Sets whether each attempt waits for the application, which may change its credentials or decline it; no by default. See
        /// [`Client::attempts`](crate::Client::attempts).
        prepare_attempts: bool;
        /// Sets what becomes of unacknowledged publishes when the server has lost the session.
        on_session_lost: OnSessionLost;
        /// Sets when subscriptions are sent again; [`Resubscribe::WhenSessionLost`] by default.
        resubscribe: Resubscribe;
        /// Sets whether messages that no subscription matches are kept for [`Client::unmatched`](crate::Client::unmatched), from the
        /// first connection on; otherwise, and by default, they are acknowledged and dropped.
        keep_unmatched: bool;
        /// Sets whether a session that the server keeps is taken over; [`Resume::WhenKnown`] by default.
        resume: Resume;
        /// Sets how long the server keeps the session after the connection, in seconds: 300 by default, 0 ends it with the
        /// connection, `u32::MAX` keeps it for ever (3.1.2.11.2). The server may grant another time.
        session_expiry_interval: u32;
        /// Sets the longest silence on the connection: 60 s by default (3.1.2.10). The server may dictate another.
        keep_alive: KeepAlive;
        /// Sets how many unacknowledged QoS 1 and 2 messages the server may have under way to us: 256 by default (3.1.2.11.3).
        receive_maximum: NonZeroU16;
        /// Sets the largest packet that we accept, in bytes: 1 MiB by default (3.1.2.11.4).
        ///
        /// The server filters by it: a larger message is discarded there without a word [MQTT-3.1.2-25].
        maximum_packet_size: NonZeroU32;
        /// Sets whether the server is asked for a basis for response topics (3.1.2.11.6); no by default.
        request_response_information: bool;
        /// Sets whether the server may explain failures in all packets (3.1.2.11.7); yes by default.
        request_problem_information: bool;
        /// Sets the time for one attempt: name resolution, transport and CONNACK together; 10 s by default, never zero.
        connect_timeout: Duration;
        /// Sets when received messages are acknowledged, for subscriptions that do not say otherwise; [`AckMode::OnTake`] by default.
        ack_mode: AckMode;
        /// Sets what a QoS 0 publish does without a connection; [`Offline::Fail`] by default.
        offline_qos0: Offline;
        /// Sets what a QoS 1 or 2 publish does without a connection; [`Offline::Wait`] by default.
        offline_qos12: Offline;
        /// Sets what a subscribe or unsubscribe does without a connection; [`Offline::Wait`] by default. The end of a
        /// [`Subscription`](crate::Subscription) is told to the server in any case.
        offline_subscribe: Offline;
        /// Bounds the messages that wait for a connection: 10,000 messages and 64 MiB by default, none of them zero.
        offline_queue: Bound;
        /// Sets whether a retained message that waits for a connection makes an older one for the same topic needless, which then ends as
        /// `Superseded`; no by default. One that has a lower QoS, or expires or times out earlier, or may be dropped where the older one may
        /// not, does not: it might be gone before it is sent. Whoever withdraws the newer one leaves neither.
        compact_retained: bool;
        /// Sets what a QoS 0 publish does on a connection that cannot take it at once; [`Congestion::Wait`] by default.
        congestion_qos0: Congestion;
        /// Sets whether QoS 0 messages leave right behind CONNECT, without waiting for CONNACK (3.1.4); no by default. They are lost if the
        /// server refuses the connection, and one that its limits rule out may cost the connection. They overtake what was accepted before
        /// and waits for CONNACK, other QoS 0 messages included.
        publish_early: bool;
        /// Sets how many Topic Aliases the server may use towards us: 16 by default, 0 is none (3.1.2.11.5).
        topic_alias_maximum: u16;
        /// Sets when Topic Aliases are used towards the server, as far as it accepts them; never by default (3.3.2.3.4). A message keeps
        /// its full topic here, so that every QoS may use them.
        topic_aliases: TopicAliases;
        /// Bounds the QoS 0 messages that wait in one subscription: 65,536 messages and 16 MiB by default, none of them zero.
        subscription_queue: Bound;
        /// Sets what happens to a QoS 0 message beyond that bound; [`Overflow::DropNewest`] by default.
        overflow: Overflow;
        /// Bounds the QoS 1 and 2 messages that are held unacknowledged, in bytes: 16 MiB by default, not zero.
        ///
        /// Beyond it nothing more is read until a message is taken. An application that awaits its own publish before it takes the next
        /// message cannot block itself while Receive Maximum × message size fits. One message is held whatever its size; and while a
        /// SUBSCRIBE is unanswered, or after a stall, as many bytes more may be, or one more message of
        /// [`maximum_packet_size`](Self::maximum_packet_size). What is held when a session is lost stays until it is taken, and counts.
        inbound_bytes: usize;
        /// Sets how long reading may stand still because of [`inbound_bytes`](Self::inbound_bytes): 30 s by default. Then the
        /// client disconnects with reason code 0x97, and takes a smaller Receive Maximum to the next connection: as many messages as
        /// fitted.
        stall_timeout: Duration;
        /// Sets how long a disconnect waits for accepted operations: 5 s by default.
        drain_timeout: Duration;
        /// Sets the longest topic that is published to, and the longest filter that is subscribed to, in bytes: 65,535 by default, which
        /// is all that the protocol can say (1.5.4). Beyond it the operation fails here, with `InvalidTopic` or `InvalidFilter`.
        maximum_topic_length: usize;
        /// Sets the largest payload that is published, in bytes: no limit by default but those of the server and the protocol. Beyond it
        /// the publish fails here, with [`PublishErrorKind::TooLarge`](crate::PublishErrorKind::TooLarge).
        maximum_payload: usize;
    }

    /// Adds a server to try when those before it fail. They are tried in turn, beginning with the one that the options were made with,
    /// not at random, and one whose connection was stable is kept to. To resume a session they must share it.
    pub fn server<E>(mut self, endpoint: E) -> Self
    where
        E: TryInto<Endpoint>,
        E::Error: Into<EndpointError>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into);
        self.further_servers.push(endpoint);
        self
    }

    /// Declares a subscription that is there before the first connection, so that messages of a resumed session find it. It is
    /// subscribed as every other; [`Client::declared`](crate::Client::declared) hands it out. A filter, or a [`Declared`] with more to say.
    pub fn declare(mut self, subscription: impl Into<Declared>) -> Self {
        self.declared.push(subscription.into());
        self
    }

    /// Sets the Client Identifier; empty, the default, lets the server assign one (3.1.3.1).
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Sets the Clean Start flag itself: `true` is [`Resume::Never`], `false` is [`Resume::AssumeSession`] (3.1.2.4).
    pub fn clean_start(self, clean_start: bool) -> Self {
        self.resume(if clean_start {
            Resume::Never
        } else {
            Resume::AssumeSession
        })
    }

    /// Sets the user name (3.1.3.5); it wins over the one in the URL.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Sets the password (3.1.3.6); it wins over the one in the URL, and may stand without a user name.
    pub fn password(mut self, password: impl Into<Password>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the message that the server publishes when this client is lost (3.1.2.5).
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// Adds a User Property to CONNECT; names may repeat, the order is kept (3.1.2.11.8).
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user_properties.0.push((name.into(), value.into()));
        self
    }

    /// Sets how many messages beyond our Receive Maximum R are tolerated: max(8, R / 4) by default, 0 is strict.
    ///
    /// More than that ends the connection with reason code 0x93 (3.3.4). Mosquitto 2.0 overshoots without a bound while it
    /// works off a long queue; towards it, set [`u16::MAX`], which only counts. Memory stays bounded by
    /// [`inbound_bytes`](Self::inbound_bytes).
    pub fn inbound_margin(mut self, messages: u16) -> Self {
        self.inbound_margin = Some(messages);
        self
    }

    pub(crate) fn local_policy(&self) -> LocalPolicy {
        LocalPolicy {
            interceptors: self.interceptors.clone(),
            maximum_topic_length: self.maximum_topic_length,
            maximum_payload: self.maximum_payload,
        }
    }

    /// The first server, unless its URL was wrong.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub fn endpoint(&self) -> Result<&Endpoint, &EndpointError> {
        self.endpoint.as_ref()
    }

    /// Looks for what cannot work; building a client does the same.
    ///
    /// # Errors
    ///
    /// The first mistake, each with its own variant.
    pub fn validate(&self) -> Result<(), OptionsError> {
        Config::new(self.clone()).map(drop)
    }
}

impl From<Endpoint> for Options {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint)
    }
}

/// Never fails: what is wrong with the URL is told when the client is built.
impl From<&str> for Options {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

/// Never fails: what is wrong with the URL is told when the client is built.
impl From<String> for Options {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl FromStr for Options {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        url.parse::<Endpoint>().map(Self::new)
    }
}
