//! What ends with a network connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use mqtt5_proto::{Decoding, Instant, Properties, ProtocolVersion, Role};

use crate::aliases::TopicAliases;
use crate::outgoing::Outgoing;
use crate::trie::SessionSlot;

pub(crate) const VERSION: ProtocolVersion = ProtocolVersion::V5;
pub(crate) const DECODING: Decoding = Decoding::new(Role::Client);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// CONNECT has not been received.
    Waiting,
    /// CONNECT waits for the end of its enhanced authentication.
    Authenticating,
    /// It belongs to a session.
    Live(SessionSlot),
    /// Nothing is read any more; what is left to write leaves, then it is closed.
    Closing,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) phase: Phase,
    /// The beginning of a packet that has not arrived as a whole.
    pub(crate) partial: Vec<u8>,
    pub(crate) outgoing: Outgoing,
    /// Bytes that were taken to be written and not yet reported as sent.
    pub(crate) in_hand: usize,
    /// Whether [`Action::Write`] has been queued since the last time that bytes were taken.
    pub(crate) is_announced: bool,
    /// Whether more waits to be written than [`Outputs::congestion`] allows.
    pub(crate) is_congested: bool,
    /// Bytes that a rule holds back.
    pub(crate) delayed: usize,
    /// Nothing is sent any more, by a rule.
    pub(crate) is_mute: bool,
    /// The client has not been sent the CONNACK that accepts it, by a rule.
    pub(crate) is_ungreeted: bool,
    /// The next CONNECT finds no session, by a rule.
    pub(crate) loses_session: bool,
    /// The Client Identifier, once there was a CONNECT.
    pub(crate) client_id: Option<Arc<str>>,
    pub(crate) last_received: Instant,
    pub(crate) deadline: Option<Instant>,
    /// The longest silence: one and a half times the Keep Alive.
    pub(crate) patience: Option<Duration>,
    pub(crate) limits: ClientLimits,
    /// Topic Names by Topic Alias less one. They are not carried to another connection [MQTT-3.3.2-7].
    pub(crate) aliases: Vec<Option<Box<str>>>,
    /// The Topic Aliases of what is sent.
    pub(crate) topic_aliases: TopicAliases,
    /// Its enhanced authentication, when CONNECT named a method.
    pub(crate) authentication: Option<Box<Authentication>>,
}

/// The enhanced authentication of a connection (4.12).
pub(crate) struct Authentication {
    pub(crate) method: Box<str>,
    pub(crate) client_id: Arc<str>,
    /// How many steps the client has taken in the authentication that is under way.
    pub(crate) round: Option<u32>,
    /// The CONNECT that waits for its end; empty when the connection was accepted.
    pub(crate) connect: Vec<u8>,
}

impl fmt::Debug for Authentication {
    /// Leaves CONNECT out, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("method", &self.method)
            .field("client_id", &self.client_id)
            .field("round", &self.round)
            .finish_non_exhaustive()
    }
}

/// What the client said in CONNECT about what it accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    pub(crate) receive_maximum: usize,
    pub(crate) maximum_packet_size: usize,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) wants_problem_information: bool,
    /// The Session Expiry Interval that it asked for, in seconds.
    pub(crate) session_expiry: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            receive_maximum: usize::from(u16::MAX),
            maximum_packet_size: usize::MAX,
            topic_alias_maximum: 0,
            wants_problem_information: true,
            session_expiry: 0,
        }
    }
}

impl ClientLimits {
    pub(crate) fn new(properties: Properties<'_>) -> Self {
        let default = Self::default();
        Self {
            receive_maximum: properties
                .receive_maximum()
                .map_or(default.receive_maximum, usize::from),
            maximum_packet_size: properties
                .maximum_packet_size()
                .map_or(default.maximum_packet_size, |size| size as usize),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or_default(),
            wants_problem_information: properties.request_problem_information().unwrap_or(true),
            session_expiry: properties.session_expiry_interval().unwrap_or_default(),
        }
    }
}

impl Connection {
    pub(crate) fn new(now: Instant, number: u64) -> Self {
        Self {
            number,
            phase: Phase::Waiting,
            partial: Vec::new(),
            outgoing: Outgoing::new(number),
            in_hand: 0,
            is_announced: false,
            is_congested: false,
            delayed: 0,
            is_mute: false,
            is_ungreeted: false,
            loses_session: false,
            client_id: None,
            last_received: now,
            deadline: None,
            patience: None,
            limits: ClientLimits::default(),
            aliases: Vec::new(),
            topic_aliases: TopicAliases::default(),
            authentication: None,
        }
    }

    /// Bytes that the client has not been sent.
    pub(crate) fn unsent(&self) -> usize {
        self.in_hand + self.outgoing.remaining() + self.delayed
    }
}
