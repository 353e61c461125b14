//! Errors: which exit code, what happened, and what to do.

use std::error::Error as StdError;

use mqtt5_client::{
    ConnectionError, ConnectionErrorKind as Connection, DialError, DialErrorKind as Dial,
    DisconnectCause, Error, ErrorKind, PublishError, PublishErrorKind as Publish, ReasonCode,
    SubscribeError, SubscribeErrorKind as Subscribe, Violation,
};

use crate::escape::escape;
use crate::exit::Exit;
use crate::json::Object;
use crate::output::Output;
use crate::problem::Problem;

/// What is known about an error.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) exit: Exit,
    message: String,
    hint: Option<String>,
    answer: Option<Answer>,
}

/// What the server said.
#[derive(Debug)]
struct Answer {
    reason: ReasonCode,
    reason_string: Option<String>,
    user_properties: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn new(error: &anyhow::Error) -> Self {
        let mut report = Self {
            exit: Exit::Local,
            message: String::new(),
            hint: None,
            answer: None,
        };
        for cause in error.chain() {
            report.add(cause);
            if is_told(cause) || (report.answer.is_some() && !is_violation(cause)) {
                // What is behind it says the same in other words.
                break;
            }
        }
        report
    }

    /// Writes it as one line and gives the code to exit with.
    pub(crate) fn tell(&self, output: &Output) -> u8 {
        output.error(|| self.text(), || self.json());
        match &self.answer {
            Some(answer) if output.exit_reason_code => answer.reason.value(),
            _ => self.exit.code(),
        }
    }

    fn text(&self) -> String {
        let message = escape(&self.message);
        match &self.hint {
            Some(hint) => format!("error: {message} ({})", escape(hint)),
            None => format!("error: {message}"),
        }
    }

    fn json(&self) -> Object {
        let object = Object::new()
            .with("error", self.message.as_str())
            .with_some("hint", self.hint.as_deref())
            .with("exit_code", self.exit.code());
        let Some(answer) = &self.answer else {
            return object;
        };
        let properties = answer.user_properties.iter();
        object
            .with("reason_code", answer.reason.value())
            .with("reason", answer.reason.name())
            .with_some("reason_string", answer.reason_string.as_deref())
            .with_pairs(
                "user_properties",
                properties.map(|(name, value)| (name.as_str(), value.as_str())),
            )
    }

    fn add(&mut self, cause: &(dyn StdError + 'static)) {
        let text = words(cause);
        if !self.message.contains(&text) {
            if !self.message.is_empty() {
                self.message.push_str(": ");
            }
            self.message.push_str(&text);
        }
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            self.exit = problem.exit;
            self.hint = problem.hint.clone();
        } else if let Some(error) = cause.downcast_ref::<ConnectionError>() {
            self.add_operation(error, connection(error));
        } else if let Some(error) = cause.downcast_ref::<PublishError>() {
            self.add_operation(error, publish(error.kind()));
        } else if let Some(error) = cause.downcast_ref::<SubscribeError>() {
            self.add_operation(error, subscribe(error.kind()));
        }
    }

    fn add_operation<K: ErrorKind>(&mut self, error: &Error<K>, (exit, hint): (Exit, &str)) {
        self.exit = exit;
        self.hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.answer = error.reason_code().map(|reason| Answer {
            reason,
            reason_string: error.reason_string().map(str::to_owned),
            user_properties: error
                .user_properties()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        });
    }
}

/// What a cause adds to the line: nothing that the words around it say or contradict.
fn words(cause: &(dyn StdError + 'static)) -> String {
    let connection = cause.downcast_ref::<ConnectionError>();
    let dial = connection.and_then(ConnectionError::dial_error);
    if dial.is_some_and(|error| error.kind() == Dial::Unsupported) {
        // The server was not asked; the source says why.
        return String::new();
    }
    match cause.downcast_ref() {
        Some(DisconnectCause::Violation(Violation::DisconnectBeforeConnack(_))) => {
            // The server's code stands before it.
            "DISCONNECT before CONNACK".to_owned()
        }
        Some(DisconnectCause::Violation(violation)) => violation.to_string(),
        _ => cause.to_string(),
    }
}

/// Whether the kind of an error says all that its source would say.
fn is_told(cause: &(dyn StdError + 'static)) -> bool {
    let explained = [
        Connection::InvalidOptions,
        Connection::Dial,
        Connection::Refused,
        Connection::Protocol,
    ];
    let error = cause.downcast_ref::<ConnectionError>();
    error.is_some_and(|error| !explained.contains(&error.kind()))
}

/// Whether the source has to say what was broken, whatever the server said.
fn is_violation(cause: &(dyn StdError + 'static)) -> bool {
    let error = cause.downcast_ref::<ConnectionError>();
    error.is_some_and(|error| error.kind() == Connection::Protocol)
}

/// Exit code and hint of a connection that was not made or ended.
fn connection(error: &ConnectionError) -> (Exit, &'static str) {
    let reason = error.reason_code();
    match error.kind() {
        Connection::InvalidOptions => (Exit::Usage, ""),
        Connection::Dial => dial(error.dial_error().map_or(Dial::Other, DialError::kind)),
        Connection::Refused if reason.is_none() => (Exit::Refused, OTHER_VERSION),
        Connection::Refused => (Exit::Refused, refusal(reason.unwrap_or_default())),
        Connection::ByServer => (Exit::Refused, refusal(reason.unwrap_or_default())),
        Connection::Protocol => (
            Exit::Protocol,
            reason.map_or("does an MQTT 5 broker listen there?", refusal),
        ),
        Connection::TimedOut => (
            Exit::Timeout,
            "does an MQTT broker listen there? --connect-timeout gives it more time",
        ),
        Connection::KeepAliveTimeout | Connection::TransportStalled => (
            Exit::Timeout,
            "check the network; --keep-alive sets how much silence is allowed",
        ),
        Connection::TransportClosed => (
            Exit::Connect,
            "does an MQTT 5 broker listen there? its log may say why it closed",
        ),
        _ => (Exit::Connect, ""),
    }
}

fn dial(kind: Dial) -> (Exit, &'static str) {
    match kind {
        Dial::NameResolution => (Exit::Connect, "check the host in the URL"),
        Dial::ConnectionRefused => (
            Exit::Connect,
            "check host and port, or start a broker there: mqtt5 broker",
        ),
        Dial::TimedOut => (Exit::Timeout, "check host and port, and firewalls between"),
        Dial::Unsupported => (Exit::Usage, ""),
        Dial::Tls => (
            Exit::Tls,
            "check that the port speaks TLS and the certificate is trusted",
        ),
        Dial::Proxy => (Exit::Connect, "check the proxy"),
        _ => (Exit::Connect, "check host, port and network"),
    }
}

/// What to do about a refused or ended connection.
fn refusal(reason: ReasonCode) -> &'static str {
    match reason {
        ReasonCode::BAD_USER_NAME_OR_PASSWORD | ReasonCode::NOT_AUTHORIZED => {
            "check --username and --password-env or --password-file"
        }
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => OTHER_VERSION,
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => "choose another --client-id",
        ReasonCode::SESSION_TAKEN_OVER => "another client uses the same --client-id",
        ReasonCode::QOS_NOT_SUPPORTED => "use a lower --qos or --will-qos",
        ReasonCode::RETAIN_NOT_SUPPORTED => "leave --retain or --will-retain out",
        ReasonCode::SERVER_BUSY | ReasonCode::SERVER_UNAVAILABLE => "try again later",
        _ => "",
    }
}

fn publish(kind: Publish) -> (Exit, &'static str) {
    match kind {
        Publish::TimedOut => (Exit::Timeout, "--timeout gives it more time"),
        Publish::Expired => (Exit::Timeout, "--expiry gives it a longer life"),
        Publish::Rejected => (Exit::Rejected, ""),
        Publish::TooLarge => (Exit::Rejected, "send a smaller message"),
        Publish::QoSNotSupported => (Exit::Rejected, "use a lower --qos"),
        Publish::RetainNotSupported => (Exit::Rejected, "leave --retain out"),
        Publish::InvalidTopic | Publish::InvalidProperty => (Exit::Usage, ""),
        _ => (Exit::Connect, ""),
    }
}

fn subscribe(kind: Subscribe) -> (Exit, &'static str) {
    match kind {
        Subscribe::TimedOut => (Exit::Timeout, ""),
        Subscribe::Rejected | Subscribe::TooLarge => (Exit::Rejected, ""),
        Subscribe::WildcardsNotSupported => (Exit::Rejected, "use a filter without + and #"),
        Subscribe::SharedSubscriptionsNotSupported => {
            (Exit::Rejected, "use a filter without $share")
        }
        Subscribe::InvalidFilter | Subscribe::InvalidProperty | Subscribe::NoFilters => {
            (Exit::Usage, "")
        }
        Subscribe::NoLocalOnSharedSubscription => (Exit::Usage, "leave --no-local out"),
        Subscribe::ConflictingOptions => (Exit::Usage, "name each filter once"),
        _ => (Exit::Connect, ""),
    }
}

const OTHER_VERSION: &str = "the server speaks another version of MQTT; this client needs MQTT 5";

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    fn report(error: impl Into<anyhow::Error>) -> Report {
        Report::new(&error.into())
    }

    #[test]
    fn every_kind_has_its_exit_code() {
        let table = [
            (
                report(ConnectionError::from(Connection::TimedOut)),
                Exit::Timeout,
            ),
            (
                report(ConnectionError::from(Connection::Protocol)),
                Exit::Protocol,
            ),
            (
                report(ConnectionError::from(Connection::Refused)),
                Exit::Refused,
            ),
            (
                report(ConnectionError::from(Connection::TransportClosed)),
                Exit::Connect,
            ),
            (
                report(ConnectionError::from(DialError::new(Dial::NameResolution))),
                Exit::Connect,
            ),
            (
                report(ConnectionError::from(DialError::new(Dial::Tls))),
                Exit::Tls,
            ),
            (
                report(PublishError::from(Publish::Rejected)),
                Exit::Rejected,
            ),
            (
                report(PublishError::from(Publish::InvalidTopic)),
                Exit::Usage,
            ),
            (
                report(SubscribeError::from(Subscribe::TimedOut)),
                Exit::Timeout,
            ),
            (report(Problem::new(Exit::Broken, "x")), Exit::Broken),
            (report(std::io::Error::other("x")), Exit::Local),
        ];
        for (report, exit) in table {
            assert_eq!(report.exit, exit, "{report:?}");
        }
    }

    #[test]
    fn the_line_says_what_happened_and_what_to_do() {
        let error = ConnectionError::from(DialError::new(Dial::ConnectionRefused));
        let error = Err::<(), _>(error)
            .context("cannot connect to mqtt://h:1")
            .unwrap_err();
        let report = Report::new(&error);
        assert_eq!(
            report.text(),
            "error: cannot connect to mqtt://h:1: the server cannot be reached: nothing listens on this port \
             (check host and port, or start a broker there: mqtt5 broker)"
        );
        let json: serde_json::Value = serde_json::from_str(&report.json().to_string()).unwrap();
        assert_eq!(json["exit_code"], 3);
        assert!(json.get("reason_code").is_none(), "{json}");
    }

    #[test]
    fn a_line_is_one_line() {
        let report = report(Problem::usage("a\nb\u{1b}[2J").hint("c\r"));
        assert_eq!(report.text(), "error: a\\nb\\u{1b}[2J (c\\r)");
    }
}
