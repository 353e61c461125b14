//! Errors, one type for each operation.
//!
//! All of them are [`Error`] with a kind of their own: the kind is for matching, the rest says what the server answered.

mod dial;
mod kind;

pub use dial::{DialError, DialErrorKind};
pub use kind::{
    ConnectionErrorKind, DisconnectErrorKind, ErrorKind, PublishErrorKind, RequestErrorKind,
    SubscribeErrorKind, UnsubscribeErrorKind,
};

use crate::options::{OptionsError, Refusal};
use core::fmt;
use mqtt5_proto::{
    DisconnectCause, EncodeError, Properties, PropertyBuffer, ReasonCode, TopicError, Violation,
};

/// Why there is no connection: it could not be made, or it ended.
pub type ConnectionError = Error<ConnectionErrorKind>;
/// Why a publish did not succeed.
pub type PublishError = Error<PublishErrorKind>;
/// Why a subscribe did not succeed.
pub type SubscribeError = Error<SubscribeErrorKind>;
/// Why a request has no answer.
pub type RequestError = Error<RequestErrorKind>;
/// Why an unsubscribe did not succeed.
pub type UnsubscribeError = Error<UnsubscribeErrorKind>;
/// Why a disconnect was not as asked for.
pub type DisconnectError = Error<DisconnectErrorKind>;

/// Why an operation failed, and what the server said about it.
///
/// ```
/// use mqtt5_client::{ConnectionError, ConnectionErrorKind, Options};
///
/// let error = ConnectionError::from(Options::new("localhost").validate().unwrap_err());
/// assert_eq!(error.kind(), ConnectionErrorKind::InvalidOptions);
/// assert!(!error.is_retryable() && error.reason_code().is_none());
/// ```
///
#[doc = include_str!("catalogue.md")]
#[derive(Clone, PartialEq, Eq)]
pub struct Error<K> {
    kind: K,
    detail: Option<Box<Detail>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Answer(Answer),
    Options(OptionsError),
    Dial(DialError),
    Topic(TopicError),
    Encode(EncodeError),
    Refusal(Refusal),
    Publish(PublishError),
    /// The connection ended because of the operation.
    Connection(ConnectionError),
    Lost(DisconnectCause, Answer),
}

/// What the server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) reason: ReasonCode,
    pub(crate) properties: PropertyBuffer,
    pub(crate) results: Vec<(String, ReasonCode)>,
}

impl<K: ErrorKind> Error<K> {
    pub(crate) fn new(kind: K, detail: Detail) -> Self {
        Self {
            kind,
            detail: Some(Box::new(detail)),
        }
    }

    /// What went wrong, for matching.
    pub fn kind(&self) -> K {
        self.kind
    }

    /// Whether the same operation may succeed later without a change to it.
    pub fn is_retryable(&self) -> bool {
        match (self.detail.as_deref(), self.reason_code()) {
            (Some(Detail::Publish(error)), _) => error.is_retryable(),
            // The code is that of the connection, which may be made again: not of the operation.
            (Some(Detail::Connection(_)), _) => self.kind.is_retryable(),
            (_, Some(reason)) => is_passing(reason),
            (_, None) => self.kind.is_retryable(),
        }
    }

    /// The reason code that the server gave; `None` when it said nothing. What a server of an older protocol version says in CONNACK is
    /// told as the code that means the same.
    pub fn reason_code(&self) -> Option<ReasonCode> {
        self.answer().map(|answer| answer.reason)
    }

    /// The Reason String that the server gave. It comes from the peer: escape it before it meets a terminal.
    pub fn reason_string(&self) -> Option<&str> {
        self.properties().reason_string()
    }

    /// The User Properties that the server gave, in order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties().user_properties()
    }

    /// All properties that the server gave with its answer, the Server Reference among them; empty when it said nothing.
    pub fn properties(&self) -> Properties<'_> {
        self.answer().map_or(Properties::EMPTY, |answer| {
            answer.properties.as_properties()
        })
    }

    fn answer(&self) -> Option<&Answer> {
        match self.detail.as_deref()? {
            Detail::Answer(answer) => Some(answer),
            Detail::Lost(cause, answer) => code_of_server(cause).map(|_| answer),
            Detail::Publish(error) => error.answer(),
            Detail::Connection(error) => error.answer(),
            _ => None,
        }
    }

    fn answered_results(&self) -> &[(String, ReasonCode)] {
        self.answer().map_or(&[], |answer| &answer.results)
    }
}

impl Error<SubscribeErrorKind> {
    /// What the server answered for each filter, in the order of the call; empty when it did not answer.
    ///
    /// Filters that it granted were given up again, unless the call allowed a part of them to fail.
    pub fn results(&self) -> &[(String, ReasonCode)] {
        self.answered_results()
    }
}

impl Error<UnsubscribeErrorKind> {
    /// What the server answered for each filter, in the order of the call; empty when it did not answer.
    pub fn results(&self) -> &[(String, ReasonCode)] {
        self.answered_results()
    }
}

impl Error<ConnectionErrorKind> {
    /// Why the transport could not be opened, when that was it.
    pub fn dial_error(&self) -> Option<&DialError> {
        match self.detail.as_deref()? {
            Detail::Dial(error) => Some(error),
            _ => None,
        }
    }

    /// How the protocol saw the end, when there was a connection.
    pub fn cause(&self) -> Option<&DisconnectCause> {
        match self.detail.as_deref()? {
            Detail::Lost(cause, _) => Some(cause),
            _ => None,
        }
    }
}

impl<K: ErrorKind> From<K> for Error<K> {
    fn from(kind: K) -> Self {
        Self { kind, detail: None }
    }
}

impl From<OptionsError> for Error<ConnectionErrorKind> {
    fn from(error: OptionsError) -> Self {
        Self::new(ConnectionErrorKind::InvalidOptions, Detail::Options(error))
    }
}

impl From<DialError> for Error<ConnectionErrorKind> {
    fn from(error: DialError) -> Self {
        Self::new(ConnectionErrorKind::Dial, Detail::Dial(error))
    }
}

impl<K: ErrorKind> fmt::Display for Error<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)?;
        if let Some(reason) = self.reason_code() {
            write!(f, ": {reason}")?;
        }
        match self.reason_string() {
            Some(text) => write!(f, ": {}", text.escape_debug()),
            None => Ok(()),
        }
    }
}

impl<K: ErrorKind> fmt::Debug for Error<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.kind);
        match self.detail.as_deref() {
            None => {}
            Some(detail) => {
                debug.field("detail", detail);
            }
        }
        debug.finish()
    }
}

impl<K: ErrorKind> core::error::Error for Error<K> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self.detail.as_deref()? {
            Detail::Answer(_) => None,
            Detail::Options(error) => Some(error),
            Detail::Dial(error) => Some(error),
            Detail::Topic(error) => Some(error),
            Detail::Encode(error) => Some(error),
            Detail::Refusal(refusal) => Some(refusal),
            Detail::Publish(error) => Some(error),
            Detail::Connection(error) => Some(error),
            Detail::Lost(cause, _) => Some(cause),
        }
    }
}

/// The code with which the server itself ended the connection.
pub(crate) const fn code_of_server(cause: &DisconnectCause) -> Option<ReasonCode> {
    match cause {
        DisconnectCause::Refused(reason)
        | DisconnectCause::ByServer { reason, .. }
        | DisconnectCause::Violation(Violation::DisconnectBeforeConnack(reason)) => Some(*reason),
        DisconnectCause::RefusedByOlderVersion(code) => Some(of_older_version(*code)),
        _ => None,
    }
}

/// The reason code for a return code of MQTT 3.1.1 (its table 3.1).
const fn of_older_version(code: u8) -> ReasonCode {
    match code {
        1 => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        2 => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
        3 => ReasonCode::SERVER_UNAVAILABLE,
        4 => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        5 => ReasonCode::NOT_AUTHORIZED,
        _ => ReasonCode::UNSPECIFIED_ERROR,
    }
}

/// Refusals that say "not now" instead of "not this".
fn is_passing(reason: ReasonCode) -> bool {
    [
        ReasonCode::UNSPECIFIED_ERROR,
        ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
        ReasonCode::SERVER_UNAVAILABLE,
        ReasonCode::SERVER_BUSY,
        ReasonCode::SERVER_SHUTTING_DOWN,
        ReasonCode::KEEP_ALIVE_TIMEOUT,
        ReasonCode::QUOTA_EXCEEDED,
        ReasonCode::MESSAGE_RATE_TOO_HIGH,
        ReasonCode::PACKET_IDENTIFIER_IN_USE,
        ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
        ReasonCode::CONNECTION_RATE_EXCEEDED,
        ReasonCode::MAXIMUM_CONNECT_TIME,
        ReasonCode::USE_ANOTHER_SERVER,
        ReasonCode::ADMINISTRATIVE_ACTION,
    ]
    .contains(&reason)
}

#[cfg(test)]
mod tests {
    /// Every kind has its row in the catalogue, and the row tells the truth.
    #[test]
    fn the_catalogue_is_complete() {
        let rows: Vec<_> = include_str!("catalogue.md")
            .lines()
            .filter(|line| line.starts_with('|'))
            .collect();
        for (name, is_retryable) in super::kind::all() {
            let named = format!("[`{name}`]");
            let mut rows = rows.iter().filter(|row| row.contains(&named));
            let (row, more) = (rows.next(), rows.next());
            let row = row.unwrap_or_else(|| panic!("{name} has no row"));
            assert_eq!(more, None, "{name} has two rows");
            let verdict = if is_retryable { "| yes |" } else { "| no |" };
            assert!(row.ends_with(verdict), "{name}: {row}");
        }
    }
}
