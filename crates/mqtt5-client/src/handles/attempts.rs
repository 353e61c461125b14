//! A say in each attempt, before it begins.

use super::limited::receive_for;
use super::subscription::Ended;
use super::watching::Watcher;
use crate::driver::Attempt;
use crate::endpoint::Endpoint;
use crate::engine::{Prepared, State};
use crate::mode::{Async, Blocking, Mode, wait};
use crate::options::{OptionsError, Will};
use crate::secret::Password;
use crate::shared::Shared;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

/// The attempts of a client that waits for the application before each of them; see [`Client::attempts`](crate::Client::attempts).
///
/// It runs where the application wants it to, for example in a task of its own that fetches a fresh token each time. The time it takes
/// counts as part of [`connect_timeout`](crate::Options::connect_timeout), and the client goes on working meanwhile. It does not keep the
/// connection alive.
///
/// ```no_run
/// # async fn fetch_token() -> Option<String> { None }
/// # async fn example(client: mqtt5_client::Client) {
/// let mut attempts = client.attempts();
/// while let Some(mut attempt) = attempts.recv().await {
///     match fetch_token().await {
///         Some(token) => {
///             // A redirect may have named the server: the token is not meant for it.
///             if attempt.is_trusted() {
///                 attempt.set_password(token);
///             }
///             if let Err(error) = attempt.accept() {
///                 eprintln!("{error}");
///             }
///         }
///         None => attempt.decline(),
///     }
/// }
/// # }
/// ```
pub struct Attempts<M: Mode = Async> {
    watcher: Watcher,
    mode: PhantomData<M>,
}

impl<M: Mode> Attempts<M> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            watcher: Watcher::new(shared),
            mode: PhantomData,
        }
    }
}

impl Attempts<Async> {
    /// The next attempt; `None` when the client has stopped.
    ///
    /// Cancel safe: a future dropped before it resolves has taken no attempt.
    pub fn recv(&mut self) -> NextAttempt<'_> {
        NextAttempt(&mut self.watcher)
    }
}

impl Attempts<Blocking> {
    /// Waits for the next attempt; `None` when the client has stopped.
    pub fn recv(&mut self) -> Option<Preparation> {
        let shared = self.watcher.shared.clone();
        wait(&shared, NextAttempt(&mut self.watcher))
    }

    /// Waits for the next attempt, for so long; `None` when none came in time.
    ///
    /// # Errors
    ///
    /// [`Ended`]: there will be none.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Preparation>, Ended> {
        let shared = self.watcher.shared.clone();
        receive_for(&shared, timeout, NextAttempt(&mut self.watcher))
    }
}

impl<M: Mode> fmt::Debug for Attempts<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts").finish_non_exhaustive()
    }
}

/// The future of [`Attempts::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct NextAttempt<'a>(&'a mut Watcher);

impl Future for NextAttempt<'_> {
    type Output = Option<Preparation>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Preparation>> {
        let prepared = self.0.poll(context, |engine| {
            let prepared = engine.poll_preparation();
            (prepared.is_some() || engine.state() == State::Stopped).then_some(prepared)
        });
        prepared.map(|prepared| {
            let shared = self.0.shared.clone();
            Some(Preparation {
                shared,
                prepared: Some(prepared?),
            })
        })
    }
}

impl fmt::Debug for NextAttempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextAttempt").finish_non_exhaustive()
    }
}

/// An attempt that waits for the application. Dropping it declines.
///
/// What is set here holds for this attempt only; the next one begins from the options again. An answer that comes when the attempt was
/// given up for its time changes nothing.
#[must_use = "an attempt that is dropped is declined"]
pub struct Preparation {
    shared: Arc<Shared>,
    prepared: Option<Prepared>,
}

impl Preparation {
    /// The number of the attempt.
    pub fn attempt(&self) -> Attempt {
        self.prepared().attempt
    }

    /// The server that is to be asked.
    pub fn endpoint(&self) -> &Endpoint {
        &self.prepared().endpoint
    }

    /// Whether the server is one that the application named; `false` for one that a redirect named and that is not to be told who we
    /// are, see [`Redirects`](crate::Redirects).
    pub fn is_trusted(&self) -> bool {
        self.prepared().is_trusted
    }

    /// Asks another server, or the same under another URL, such as one with a fresh signature. User name and password in the URL are
    /// not looked at: those that are set here go to this server, which is trusted from then on.
    pub fn set_endpoint(&mut self, endpoint: Endpoint) {
        let prepared = self.prepared_mut();
        prepared.endpoint = Arc::new(endpoint);
        prepared.is_trusted = true;
    }

    /// Sets the user name (3.1.3.5), or takes it away.
    pub fn set_username(&mut self, username: Option<String>) {
        self.prepared_mut().credentials.username = username;
    }

    /// Sets the password (3.1.3.6).
    pub fn set_password(&mut self, password: impl Into<Password>) {
        self.prepared_mut().credentials.password = Some(password.into());
    }

    /// Sets the will (3.1.2.5), or takes it away.
    pub fn set_will(&mut self, will: Option<Will>) {
        self.prepared_mut().credentials.will = will;
    }

    /// The User Properties of CONNECT, in order (3.1.2.11.8): those of the options, to be changed.
    pub fn user_properties(&mut self) -> &mut Vec<(String, String)> {
        &mut self.prepared_mut().credentials.user_properties.0
    }

    /// Lets the attempt begin.
    ///
    /// # Errors
    ///
    /// CONNECT cannot carry what was set: the attempt is declined.
    pub fn accept(mut self) -> Result<(), OptionsError> {
        let Some(prepared) = self.prepared.clone() else {
            return Ok(());
        };
        let accepted = self.shared.lock().prepared(prepared);
        if accepted.is_ok() {
            self.prepared = None;
        }
        accepted
    }

    /// Lets the attempt fail; there will be another one after the backoff, if the policy says so.
    pub fn decline(self) {}

    /// Lets the attempt fail and the client stop.
    pub fn stop(mut self) {
        self.answer(true);
    }

    fn answer(&mut self, is_final: bool) {
        if let Some(prepared) = self.prepared.take() {
            let now = self.shared.now();
            self.shared.lock().decline(now, prepared.attempt, is_final);
        }
    }

    fn prepared(&self) -> &Prepared {
        self.prepared.as_ref().expect("there until it is answered")
    }

    fn prepared_mut(&mut self) -> &mut Prepared {
        self.prepared.as_mut().expect("there until it is answered")
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        self.answer(false);
    }
}

/// Prints no credentials.
impl fmt::Debug for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preparation")
            .field("attempt", &self.attempt())
            .field("endpoint", self.endpoint())
            .finish_non_exhaustive()
    }
}
