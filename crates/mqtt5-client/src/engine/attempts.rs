//! From one attempt to the next: whom to ask, when, with which credentials, and when to stop asking.

use super::Engine;
use super::notices::Event;
use super::servers::{Left, Server};
use super::supervisor::{Input, State};
use crate::driver::Attempt;
use crate::endpoint::Endpoint;
use crate::error::{
    ConnectionError, ConnectionErrorKind as Kind, DialError, DialErrorKind, code_of_server,
};
use crate::options::{Config, Credentials, OptionsError, Resume, Retry};
use crate::planted::planted;
use core::time::Duration;
use mqtt5_proto::{DisconnectCause, Instant, ReasonCode};
use std::sync::Arc;

/// What the present attempt connects with.
#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) endpoint: Arc<Endpoint>,
    /// The server may be told who we are.
    pub(super) is_trusted: bool,
    credentials: Credentials,
    /// The Client Identifier: that of the options, or the one that the server assigned.
    pub(super) client_id: Arc<str>,
    /// The application has been asked and has not answered.
    is_asked: bool,
    /// There has been a connection.
    pub(super) has_succeeded: bool,
    /// The last CONNECT was not answered.
    pub(super) is_unanswered: bool,
    /// Since the last connection a CONNECT was not answered.
    pub(super) is_session_in_doubt: bool,
    /// Nobody is left to make another one.
    pub(super) is_abandoned: bool,
}

impl Connecting {
    pub(super) fn new(config: &Config, server: &Server) -> Self {
        Self {
            endpoint: server.endpoint.clone(),
            is_trusted: server.is_trusted,
            credentials: config.credentials(&server.endpoint, server.is_trusted),
            client_id: config.client_id.as_str().into(),
            is_asked: false,
            has_succeeded: false,
            is_unanswered: false,
            is_session_in_doubt: false,
            is_abandoned: false,
        }
    }
}

/// An attempt that the application may change.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) attempt: Attempt,
    pub(crate) endpoint: Arc<Endpoint>,
    /// The server is one of the user's, not one that a redirect named.
    pub(crate) is_trusted: bool,
    pub(crate) credentials: Credentials,
}

impl Engine {
    /// Begins the first attempt.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.state() == State::Idle {
            self.begin_attempt(now);
        }
    }

    pub(super) fn begin_attempt(&mut self, now: Instant) {
        let server = self.servers.begin();
        self.connecting.is_trusted = server.is_trusted;
        self.connecting.endpoint = server.endpoint.clone();
        self.connecting.credentials = self.config.credentials(&server.endpoint, server.is_trusted);
        self.connecting.is_asked = false;
        if self.config.prepare_attempts {
            self.change(Input::Prepare);
        } else {
            self.dial();
        }
        self.give_patience(now + self.config.connect_timeout);
    }

    /// The attempt that waits for the application, given once.
    pub(crate) fn poll_preparation(&mut self) -> Option<Prepared> {
        let connecting = &mut self.connecting;
        if self.supervisor.state() != State::Preparing
            || core::mem::replace(&mut connecting.is_asked, true)
        {
            return None;
        }
        Some(Prepared {
            attempt: self.supervisor.attempt(),
            endpoint: connecting.endpoint.clone(),
            is_trusted: connecting.is_trusted,
            credentials: connecting.credentials.clone(),
        })
    }

    /// The application has prepared an attempt. One that is over meanwhile is ignored.
    pub(crate) fn prepared(&mut self, prepared: Prepared) -> Result<(), OptionsError> {
        prepared.credentials.check()?;
        if self.is_preparing(prepared.attempt) {
            self.connecting.endpoint = prepared.endpoint;
            self.connecting.is_trusted = prepared.is_trusted;
            self.connecting.credentials = prepared.credentials;
            self.dial();
        }
        Ok(())
    }

    /// The application does not want this attempt, or none any more.
    pub(crate) fn decline(&mut self, now: Instant, attempt: Attempt, is_final: bool) {
        if planted!(DialDeclined) {
            return self.dial();
        }
        if self.is_preparing(attempt) {
            self.supervisor.set_end(Kind::Declined.into());
            if is_final {
                self.finish();
            } else {
                self.attempt_ended(now);
            }
        }
    }

    /// The transport of this attempt is open; `false` when it is not wanted any more and is to be closed.
    pub(crate) fn handle_dialed(&mut self, now: Instant, attempt: Attempt) -> bool {
        if !self.supervisor.is_dialing(attempt) {
            return false;
        }
        let clean_start = self.clean_start();
        let Connecting {
            client_id,
            credentials,
            ..
        } = &self.connecting;
        let properties = self
            .config
            .connect_properties(credentials, self.receive_maximum());
        let connect = self
            .config
            .connect_packet(client_id, clean_start, credentials, &properties);
        if self.machine.connect(now, &connect).is_err() {
            self.supervisor.set_end(Kind::InvalidOptions.into());
            self.supervisor.dial_failed();
            self.attempt_ended(now);
            return false;
        }
        // An earlier CONNECT that was not answered may have begun a session that we know nothing of.
        self.connecting.is_session_in_doubt |= self.connecting.is_unanswered;
        self.connecting.is_unanswered = true;
        self.change(Input::Dialed)
    }

    /// Whether there is a session that the next CONNECT would resume.
    pub(super) fn resumes(&self) -> bool {
        !self.clean_start() && self.machine.has_session()
    }

    /// The Clean Start of the next CONNECT.
    fn clean_start(&self) -> bool {
        match self.config.resume {
            Resume::Never => true,
            Resume::AssumeSession => false,
            Resume::WhenKnown => !self.machine.has_session(),
        }
    }

    /// The transport of this attempt could not be opened.
    pub(crate) fn handle_dial_failed(&mut self, now: Instant, attempt: Attempt, error: DialError) {
        if self.supervisor.is_dialing(attempt) {
            self.supervisor.set_end(error.into());
            self.supervisor.dial_failed();
            self.attempt_ended(now);
        }
    }

    /// An attempt or a connection is over and there is no transport: decides what comes next.
    pub(super) fn attempt_ended(&mut self, now: Instant) {
        let established = self.connection.take().is_some();
        self.failing = false;
        let end = self.supervisor.end().cloned();
        self.statistics.connect_failures += u64::from(!established && end.is_some());
        if let Some(end) = end.clone() {
            self.tell(if established {
                Event::Disconnected(end)
            } else {
                Event::ConnectFailed(end)
            });
        }
        match end.and_then(|end| self.delay_after(now, &end)) {
            Some(delay) => self.wait(now, delay),
            None => self.finish(),
        }
    }

    /// Takes other servers, from the next attempt on.
    pub(crate) fn set_servers(&mut self, endpoints: Vec<Arc<Endpoint>>) {
        self.servers.replace(endpoints);
    }

    pub(crate) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    fn is_preparing(&self, attempt: Attempt) -> bool {
        self.state() == State::Preparing && self.supervisor.attempt() == attempt
    }

    fn dial(&mut self) {
        if self.change(Input::Dial) {
            self.tell(Event::Dialing {
                attempt: self.supervisor.attempt(),
                endpoint: self.endpoint().clone(),
            });
        }
    }

    fn wait(&mut self, now: Instant, delay: Duration) {
        if self.change(Input::Retry) {
            self.give_patience(now + delay);
            let attempt = self.supervisor.attempt().next();
            self.tell(Event::Waiting { attempt, delay });
        }
    }

    /// How long to wait until the next attempt; `None` for ever.
    fn delay_after(&mut self, now: Instant, end: &ConnectionError) -> Option<Duration> {
        let policy = &self.config.reconnect;
        let is_stable = self.pacing.end(now, policy);
        if is_stable {
            self.servers.settle();
        }
        let mut retry = verdict_on(end, &self.config);
        let has_succeeded = self.connecting.has_succeeded;
        let is_over = self.closing.is_some()
            || self.connecting.is_abandoned
            || !self.pacing.may_go_on(policy)
            || (has_succeeded && !policy.enabled)
            || (retry == Retry::Stop && end.reason_code() == Some(ReasonCode::SESSION_TAKEN_OVER));
        let follows = self.follow(end, !is_over);
        if is_over {
            return None;
        }
        let left = if follows {
            retry = Retry::AtOnce;
            Left::Tried
        } else if end.kind() == Kind::Declined {
            // It is no fault of the server's.
            Left::Tried
        } else if is_stable && retry != Retry::Stop {
            self.servers.lose()
        } else {
            self.servers.fail(retry == Retry::Stop)
        };
        let policy = &self.config.reconnect;
        // The first connection is asked of every server, whatever comes later.
        let is_first = !has_succeeded && !follows && left != Left::Untried;
        if is_first && !(policy.enabled && policy.retry_first) {
            return None;
        }
        match left {
            Left::None => None,
            Left::Untried => Some(Duration::ZERO),
            Left::Tried => Some(self.pacing.delay(retry, is_stable, &policy.backoff)),
        }
    }

    /// Tells of a redirect, and follows it if that is wanted (4.11) and there `may` be another attempt.
    fn follow(&mut self, end: &ConnectionError, may: bool) -> bool {
        let Some(reason) = end.reason_code() else {
            return false;
        };
        let (is_redirect, reference) = (
            matches!(
                reason,
                ReasonCode::USE_ANOTHER_SERVER | ReasonCode::SERVER_MOVED
            ),
            end.properties().server_reference(),
        );
        let Some(reference) = reference.filter(|_| is_redirect) else {
            return false;
        };
        let is_permanent = reason == ReasonCode::SERVER_MOVED;
        let policy = self.config.reconnect.redirects;
        let from = Server::new(self.connecting.endpoint.clone(), self.connecting.is_trusted);
        let followed = may
            && self
                .servers
                .redirect(&from, reference, is_permanent, policy);
        self.tell(Event::Redirected {
            reason,
            reference: reference.into(),
            followed,
        });
        followed
    }
}

/// What the end of an attempt or connection says about the same server.
fn verdict_on(end: &ConnectionError, config: &Config) -> Retry {
    if end.kind() == Kind::InvalidOptions
        || end
            .dial_error()
            .is_some_and(|error| error.kind() == DialErrorKind::Unsupported)
    {
        return Retry::Stop;
    }
    let Some(cause) = end.cause() else {
        return Retry::Backoff;
    };
    let in_connack = !matches!(cause, DisconnectCause::ByServer { .. });
    code_of_server(cause).map_or(Retry::Backoff, |reason| {
        config.reconnect.retry_after(reason, in_connack)
    })
}
