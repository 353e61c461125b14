//! SCRAM-SHA-256 (RFC 5802, RFC 7677) for enhanced authentication (section 4.12): client and server prove to each other
//! that they know the password, and neither sends it.
//!
//! [`Scram`] is one exchange of four messages, as a state machine without I/O, clock or randomness:
//!
//! ```text
//! client-first-message   CONNECT, or AUTH 0x19 to authenticate again
//! server-first-message   AUTH 0x18
//! client-final-message   AUTH 0x18
//! server-final-message   CONNACK, or AUTH 0x00
//! ```
//!
//! [`answer`](Scram::answer) gives the step for each [`AuthChallenge`](crate::Event::AuthChallenge). A server may also leave
//! the last message out, and then there is no challenge to check: [`is_verified`](Scram::is_verified) must be looked at when
//! the connection is accepted.
//!
//! ```
//! use mqtt5_proto::packet::Connect;
//! use mqtt5_proto::scram::{self, Scram};
//! use mqtt5_proto::{
//!     Authenticate, Client, Config, DisconnectReason, Event, Instant, Properties, Property,
//! };
//!
//! fn connect(client: &mut Client, scram: &Scram, now: Instant) -> Result<(), Box<dyn core::error::Error>> {
//!     let properties = [
//!         Property::AuthenticationMethod(scram::METHOD),
//!         Property::AuthenticationData(scram.client_first_message().as_bytes()),
//!     ];
//!     let connect = Connect {
//!         properties: Properties::new(&properties)?,
//!         ..Connect::new("sensor-1")
//!     };
//!     Ok(client.connect(now, &connect)?)
//! }
//!
//! /// After every input.
//! fn poll(client: &mut Client, scram: &mut Scram, now: Instant) -> Result<(), Box<dyn core::error::Error>> {
//!     while let Some(event) = client.poll_event(now) {
//!         match event {
//!             Event::AuthChallenge { reason, properties } => {
//!                 let step = scram.answer(reason, properties).unwrap_or_else(|error| {
//!                     eprintln!("authentication failed: {error}");
//!                     Authenticate::Abort
//!                 });
//!                 client.authenticate(now, step)?;
//!             }
//!             // The server has not shown that it knows the password. Nothing has been sent since CONNECT but proofs.
//!             Event::Connected(_) if !scram.is_verified() => {
//!                 client.disconnect(now, DisconnectReason::UnspecifiedError, Properties::EMPTY)?;
//!             }
//!             Event::Connected(_) => println!("both sides are authentic"),
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let random = [7; 18]; // fresh for every exchange, from a secure source
//! let mut scram = Scram::new("sensor", "pencil", &random)?;
//! let mut client = Client::new(Config::default());
//! connect(&mut client, &scram, Instant::ZERO)?;
//! poll(&mut client, &mut scram, Instant::ZERO)?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! To authenticate again, begin a new exchange and give its client-first-message to
//! [`reauthenticate`](crate::Client::reauthenticate).
//!
//! There is no channel binding (`n,,`). Password and keys are kept where they are overwritten when they are no longer
//! needed, and nothing prints them; the caller's copies are the caller's.

mod error;
mod keys;
mod message;
mod prepare;

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::mem;

use zeroize::Zeroizing;

use crate::{Authenticate, Properties, ReasonCode};

pub use error::{ScramError, ServerError};
use keys::ServerSignature;
use message::ServerFirst;

/// The Authentication Method.
pub const METHOD: &str = "SCRAM-SHA-256";

/// The fewest iterations that a server may ask for (RFC 7677, section 4).
pub const MINIMUM_ITERATIONS: u32 = 4096;

/// The most iterations that a server may ask for, unless [`Scram::maximum_iterations`] says otherwise: as many as are
/// recommended for this hash today.
pub const DEFAULT_MAXIMUM_ITERATIONS: u32 = 600_000;

const SHORTEST_NONCE: usize = 12;

/// One exchange, the client's side.
pub struct Scram {
    /// `n,,` or `n,a=authzid,`.
    gs2_header: String,
    client_first_bare: String,
    client_first: String,
    client_final: String,
    nonce: String,
    maximum_iterations: u32,
    state: State,
}

/// What is to come.
enum State {
    ServerFirst {
        password: Zeroizing<String>,
    },
    ServerFinal(ServerSignature),
    /// Nothing: the server is authentic.
    Verified,
    /// Nothing: the exchange has failed.
    Failed,
}

impl Scram {
    /// Begins an exchange for a user.
    ///
    /// The nonce is made of `random`: at least 12 bytes, better 18, from a cryptographically secure source, and never
    /// the same twice. User name and password are prepared with SASLprep when the feature `saslprep` is on, both as stored
    /// strings: characters that Unicode 3.2 did not assign are refused. Without it they must be printable US-ASCII.
    ///
    /// # Errors
    ///
    /// `NonceTooShort`, `EmptyName` for an empty user name, `Prohibited`.
    pub fn new(username: &str, password: &str, random: &[u8]) -> Result<Self, ScramError> {
        if random.len() < SHORTEST_NONCE {
            return Err(ScramError::NonceTooShort);
        }
        let username = prepare::prepare(username)?;
        if username.is_empty() {
            return Err(ScramError::EmptyName);
        }
        let nonce = message::encode(random);
        let client_first_bare = format!("n={},r={nonce}", message::saslname(&username));
        let password = prepare::prepare(password)?;
        Ok(Self {
            gs2_header: String::new(),
            client_first_bare,
            client_first: String::new(),
            client_final: String::new(),
            nonce,
            maximum_iterations: DEFAULT_MAXIMUM_ITERATIONS,
            state: State::ServerFirst { password },
        }
        .with_gs2_header("n,,".to_owned()))
    }

    /// Asks to act as another user than the one whose password is proven. The identity is sent as it is.
    ///
    /// # Errors
    ///
    /// `EmptyName`; `Prohibited` when it contains U+0000.
    pub fn authorization_identity(self, identity: &str) -> Result<Self, ScramError> {
        if identity.is_empty() {
            return Err(ScramError::EmptyName);
        }
        if identity.contains('\0') {
            return Err(ScramError::Prohibited);
        }
        let header = format!("n,a={},", message::saslname(identity));
        Ok(self.with_gs2_header(header))
    }

    /// Limits how often a server may have the password hashed, [`DEFAULT_MAXIMUM_ITERATIONS`] unless set. This work is
    /// done within [`client_final_message`](Self::client_final_message), so it bounds how long that takes.
    #[must_use]
    pub fn maximum_iterations(mut self, maximum: u32) -> Self {
        self.maximum_iterations = maximum;
        self
    }

    fn with_gs2_header(mut self, header: String) -> Self {
        self.client_first = format!("{header}{}", self.client_first_bare);
        self.gs2_header = header;
        self
    }

    /// The client-first-message: the Authentication Data of CONNECT, or of the AUTH that begins a re-authentication.
    pub fn client_first_message(&self) -> &str {
        &self.client_first
    }

    /// The step with which to answer an [`AuthChallenge`](crate::Event::AuthChallenge) that carries this.
    ///
    /// A server-final-message may also come in an AUTH 0x18; it is answered with empty data.
    ///
    /// # Errors
    ///
    /// As those of [`client_final_message`](Self::client_final_message) and [`verify`](Self::verify); the step is then
    /// [`Abort`](Authenticate::Abort).
    pub fn answer(
        &mut self,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<Authenticate<'_>, ScramError> {
        let data = properties.authentication_data().unwrap_or_default();
        if reason == ReasonCode::SUCCESS {
            return self.verify(data).map(|()| Authenticate::Accept);
        }
        if matches!(self.state, State::ServerFinal(_)) {
            return self.verify(data).map(|()| Authenticate::Continue(&[]));
        }
        let message = self.client_final_message(data)?;
        Ok(Authenticate::Continue(message.as_bytes()))
    }

    /// Takes the server-first-message and gives the client-final-message, with the proof of the password.
    ///
    /// # Errors
    ///
    /// `Malformed`, `Base64`, `NonceMismatch`, `TooFewIterations`, `TooManyIterations`, `ExtensionNotSupported`,
    /// `Server`; `OutOfOrder` unless this message is the next one.
    pub fn client_final_message(&mut self, server_first: &[u8]) -> Result<&str, ScramError> {
        let State::ServerFirst { password } = self.take_state() else {
            return Err(ScramError::OutOfOrder);
        };
        let server_first = ServerFirst::parse(server_first)?;
        if !extends(server_first.nonce, &self.nonce) {
            return Err(ScramError::NonceMismatch);
        }
        let iterations = self.check_iterations(server_first.iterations)?;
        let header = message::encode(self.gs2_header.as_bytes());
        let without_proof = format!("c={header},r={}", server_first.nonce);
        let auth_message = format!(
            "{},{},{without_proof}",
            self.client_first_bare, server_first.text
        );
        let (proof, signature) =
            keys::prove(&password, &server_first.salt, iterations, &auth_message);
        self.state = State::ServerFinal(signature);
        self.client_final = format!("{without_proof},p={}", message::encode(&proof));
        Ok(&self.client_final)
    }

    /// Takes the server-final-message; without an error the server has proven that it knows the password's keys.
    ///
    /// # Errors
    ///
    /// `Malformed`, `Base64`, `ExtensionNotSupported`, `Server`, `WrongSignature`; `OutOfOrder` unless this message is
    /// the next one.
    pub fn verify(&mut self, server_final: &[u8]) -> Result<(), ScramError> {
        let State::ServerFinal(expected) = self.take_state() else {
            return Err(ScramError::OutOfOrder);
        };
        let signature = message::parse_server_final(server_final)?;
        if !expected.matches(&signature) {
            return Err(ScramError::WrongSignature);
        }
        self.state = State::Verified;
        Ok(())
    }

    /// Whether the server has proven itself. Only then is the connection authentic.
    pub fn is_verified(&self) -> bool {
        matches!(self.state, State::Verified)
    }

    /// The state, which has failed unless it is set again.
    fn take_state(&mut self) -> State {
        mem::replace(&mut self.state, State::Failed)
    }

    fn check_iterations(&self, count: u64) -> Result<u32, ScramError> {
        if count < u64::from(MINIMUM_ITERATIONS) {
            return Err(ScramError::TooFewIterations(count));
        }
        match u32::try_from(count) {
            Ok(count) if count <= self.maximum_iterations => Ok(count),
            _ => Err(ScramError::TooManyIterations(count)),
        }
    }
}

impl fmt::Debug for Scram {
    /// Prints where the exchange is, and nothing of its content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::ServerFirst { .. } => "ServerFirst",
            State::ServerFinal(_) => "ServerFinal",
            State::Verified => "Verified",
            State::Failed => "Failed",
        };
        f.debug_tuple("Scram").field(&state).finish()
    }
}

/// Whether the server has put something of its own behind our nonce.
fn extends(nonce: &str, ours: &str) -> bool {
    nonce
        .strip_prefix(ours)
        .is_some_and(|added| !added.is_empty())
}
