//! What the machine tells.

use crate::client::{AckToken, Op, Refused};
use crate::packet::{Acknowledgement, Connack, SubscribeAcknowledgement};
use crate::{DecodeErrorKind, PacketType, Properties, ReasonCode};

/// Something that happened. Views in it borrow from the machine until the next call.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a, M> {
    /// CONNACK has accepted the connection.
    Connected(Connack<'a>),
    /// The server has taken a step in an enhanced authentication; answer with
    /// [`authenticate`](crate::Client::authenticate).
    AuthChallenge {
        /// Continue authentication for a challenge; success when the server has accepted and its final data is to be
        /// checked, and then nothing more is handled until it is.
        reason: ReasonCode,
        /// With the Authentication Data, of AUTH or of CONNACK.
        properties: Properties<'a>,
    },
    /// A message has arrived.
    Message {
        /// The message.
        message: M,
        /// To acknowledge it with; `None` for QoS 0.
        token: Option<AckToken>,
    },
    /// An operation has ended. Comes exactly once for each, except for a QoS 0 publish that was encoded at once and
    /// for one that was withdrawn.
    Completed {
        /// Which one.
        op: Op,
        /// How.
        outcome: Outcome<'a>,
    },
    /// The connection is over: once for each, when the transport is closed.
    Disconnected {
        /// Why.
        cause: DisconnectCause,
        /// The properties of the DISCONNECT or CONNACK with which the server ended it, otherwise none.
        properties: Properties<'a>,
    },
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// QoS 0: the message had to wait and is now on its way.
    Accepted,
    /// QoS 1 or 2: the server has taken responsibility for the message, with PUBACK or with PUBREC and PUBCOMP.
    Delivered {
        /// The reason of PUBACK or, for QoS 2, of PUBREC: success, or No matching subscribers.
        reason: ReasonCode,
        /// The PUBACK or PUBCOMP.
        acknowledgement: Acknowledgement<'a>,
    },
    /// QoS 1 or 2: the server has refused the message, with the code of this PUBACK or PUBREC.
    Rejected(Acknowledgement<'a>),
    /// The server has answered a SUBSCRIBE; each filter has its own code.
    Subscribed(SubscribeAcknowledgement<'a>),
    /// The server has answered an UNSUBSCRIBE; each filter has its own code.
    Unsubscribed(SubscribeAcknowledgement<'a>),
    /// The connection is authenticated again.
    Authenticated,
    /// The exchange was open when the session ended: the message may have been delivered or not. Also when it was to be
    /// sent again as a new message, and was not or has expired.
    Unknown,
    /// The message was never encoded.
    NotSent,
    /// The record of the message could not be written, so that it was not sent.
    NotStored,
    /// The Message Expiry Interval ended before the message was encoded: told when it ends, with or without a connection,
    /// provided that [`poll_timeout`](crate::Client::poll_timeout) is obeyed.
    Expired,
    /// The message waited for a connection, or was to be sent again, and the CONNACK of this one has announced a limit that
    /// rules it out. Whether one that was sent before was delivered is not known.
    LimitExceeded(Refused),
    /// The connection was lost before the answer to a SUBSCRIBE or UNSUBSCRIBE.
    ConnectionLost,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectCause {
    /// CONNACK refused it.
    #[error("refused by the server: {0}")]
    Refused(ReasonCode),
    /// A server of an older version refused it with a CONNACK of MQTT 3.1.1 (its table 3.1).
    #[error("refused by a server of an older protocol version, return code {0}")]
    RefusedByOlderVersion(u8),
    /// The server sent DISCONNECT.
    #[error("ended by the server: {reason}")]
    ByServer {
        /// The code.
        reason: ReasonCode,
        /// Whether a server may send this code in DISCONNECT.
        defined: bool,
    },
    /// [`disconnect`](crate::Client::disconnect) was called.
    #[error("ended by the client")]
    Requested,
    /// A record of the session could not be written; see [`handle_persisted`](crate::Client::handle_persisted).
    #[error("the session could not be recorded")]
    Store,
    /// The server's authentication was not right, or could not be answered.
    #[error("authentication aborted by the client")]
    AuthenticationAborted,
    /// The server broke the protocol.
    #[error("protocol violation: {0}")]
    Violation(Violation),
    /// The server was silent for too long (3.1.2.10).
    #[error("the server was silent for longer than the Keep Alive allows")]
    KeepAliveTimeout,
    /// CONNACK did not arrive in time.
    #[error("no CONNACK in time")]
    ConnectTimeout,
    /// The rest of a packet did not arrive in time.
    #[error("the rest of a packet did not arrive in time")]
    PartialPacketTimeout,
    /// The transport accepted no byte for too long.
    #[error("nothing could be written for too long")]
    WriteTimeout,
    /// A packet that could not be left out, an acknowledgement or PINGREQ, would have exceeded the server's Maximum Packet
    /// Size [MQTT-3.2.2-15]. The server is told 0x83 if that fits.
    #[error("{0} exceeds the server's Maximum Packet Size")]
    PacketTooLarge(PacketType),
    /// The transport closed without a word.
    #[error("the transport closed")]
    TransportClosed,
}

/// How the server broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A packet that is none, or that a server may not send.
    #[error(transparent)]
    Decode(#[from] DecodeErrorKind),
    /// A packet that may not come now, such as anything else before CONNACK [MQTT-3.2.0-1], or a second CONNACK
    /// [MQTT-3.2.0-2].
    #[error("unexpected {0}")]
    UnexpectedPacket(PacketType),
    /// A packet larger than the Maximum Packet Size that we announced (3.1.2.11.4).
    #[error("packet larger than our Maximum Packet Size")]
    PacketTooLarge,
    /// A CONNACK of more than 64 KiB.
    #[error("CONNACK of more than 64 KiB")]
    ConnackTooLarge,
    /// Session Present without a session on our side [MQTT-3.2.2-4].
    #[error("Session Present although there is no session")]
    UnexpectedSessionPresent,
    /// No Assigned Client Identifier in answer to an empty one [MQTT-3.2.2-16].
    #[error("no Assigned Client Identifier")]
    MissingClientIdentifier,
    /// Enhanced authentication that we did not begin [MQTT-4.12.0-6], with another method [MQTT-4.12.0-5], or out of turn.
    #[error("authentication that was not asked for")]
    UnexpectedAuthentication,
    /// More challenges than ten in one authentication.
    #[error("too many rounds of authentication")]
    TooManyRounds,
    /// Content that no publisher may send, when that is not tolerated (3.3.2.3.2, [MQTT-3.3.2-14], 1.5.4).
    #[error("content that is not allowed")]
    Content,
    /// The same in a DISCONNECT of the server or in a CONNACK that refuses, which had this code. It is told nothing.
    #[error("content that is not allowed in the server's {0}")]
    ContentFromServer(ReasonCode),
    /// More unfinished publishes than the Receive Maximum that we announced [MQTT-3.3.4-9].
    #[error("more publishes than our Receive Maximum")]
    ReceiveMaximumExceeded,
    /// A Topic Alias above the maximum that we announced (3.3.4).
    #[error("topic alias above our Topic Alias Maximum")]
    TopicAliasInvalid,
    /// A Topic Alias without a Topic Name that was not mapped on this connection (3.3.4).
    #[error("unknown topic alias")]
    UnknownTopicAlias,
    /// An identifier that belongs to an open exchange of another kind [MQTT-2.2.1-4].
    #[error("packet identifier in use")]
    PacketIdInUse,
    /// An acknowledgement of a kind that its exchange does not wait for.
    #[error("{0} for an exchange that does not wait for it")]
    WrongAcknowledgement(PacketType),
    /// Not one reason code for each filter [MQTT-3.8.4-6].
    #[error("not one reason code for each filter")]
    WrongReasonCount,
    /// A Session Expiry Interval in a DISCONNECT of the server, which had this code [MQTT-3.14.2-2]. It is told nothing.
    #[error("session expiry interval sent by the server in DISCONNECT {0}")]
    SessionExpiryFromServer(ReasonCode),
    /// DISCONNECT before CONNACK, with this code [MQTT-3.14.0-1]. It is told nothing.
    #[error("DISCONNECT {0} before CONNACK")]
    DisconnectBeforeConnack(ReasonCode),
    /// Reason String or User Property although Request Problem Information is 0 [MQTT-3.1.2-29].
    #[error("problem information that was not asked for")]
    UnexpectedProblemInformation,
}

impl Violation {
    /// What DISCONNECT tells the server (4.13).
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::Decode(kind) => kind.reason_code(),
            Self::PacketTooLarge => ReasonCode::PACKET_TOO_LARGE,
            Self::ConnackTooLarge | Self::TooManyRounds => ReasonCode::QUOTA_EXCEEDED,
            Self::ReceiveMaximumExceeded => ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            Self::TopicAliasInvalid => ReasonCode::TOPIC_ALIAS_INVALID,
            _ => ReasonCode::PROTOCOL_ERROR,
        }
    }
}
