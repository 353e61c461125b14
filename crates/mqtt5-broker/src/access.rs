//! Who may do what.

use std::collections::BTreeMap;
use std::fmt;

use mqtt5_proto::ReasonCode;

/// What a client says about itself in CONNECT.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Login<'a> {
    /// Its Client Identifier; one that the broker assigned when the client left it empty.
    pub client_id: &'a str,
    /// Its User Name.
    pub username: Option<&'a str>,
    /// Its Password.
    pub password: Option<&'a [u8]>,
}

impl fmt::Debug for Login<'_> {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("password", &self.password.map(|_| "…"))
            .finish()
    }
}

/// What a client says in one step of an enhanced authentication (4.12): in CONNECT, or in AUTH.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct AuthenticationStep<'a> {
    /// What it said about itself in CONNECT. In a re-authentication only the Client Identifier is known.
    pub login: Login<'a>,
    /// The number of its connection, which tells concurrent authentications apart.
    pub connection: u64,
    /// The Authentication Method, the same in every step.
    pub method: &'a str,
    /// The Authentication Data of this step.
    pub data: Option<&'a [u8]>,
    /// How many steps of this authentication came before it: 0 for CONNECT, and for the AUTH that begins a
    /// re-authentication.
    pub round: u32,
    /// Whether the connection was accepted before and authenticates again (4.12.1).
    pub is_again: bool,
}

impl fmt::Debug for AuthenticationStep<'_> {
    /// Prints the length of the data, not the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticationStep")
            .field("login", &self.login)
            .field("connection", &self.connection)
            .field("method", &self.method)
            .field("data_len", &self.data.map(<[u8]>::len))
            .field("round", &self.round)
            .field("is_again", &self.is_again)
            .finish()
    }
}

/// What [`Access::authenticate`] decides. Empty data is not sent.
#[derive(Clone, PartialEq, Eq)]
pub enum Verdict {
    /// AUTH 0x18 with this Authentication Data: the client is to take another step.
    Continue(Vec<u8>),
    /// The client is who it says it is: CONNACK, or AUTH 0x00, with this Authentication Data.
    Success(Vec<u8>),
    /// It is not: CONNACK with this reason code, or DISCONNECT when it was connected already [MQTT-4.12.1-2].
    Refuse(ReasonCode),
}

impl fmt::Debug for Verdict {
    /// Prints the length of the data, not the data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue(data) => write!(f, "Continue({} bytes)", data.len()),
            Self::Success(data) => write!(f, "Success({} bytes)", data.len()),
            Self::Refuse(reason) => write!(f, "Refuse({reason})"),
        }
    }
}

/// Decides who may connect, publish and subscribe.
///
/// It is asked while the broker holds its lock: it must answer at once and must not call the broker. A reason code that
/// the packet may not carry is sent as 0x83, Implementation specific error.
///
/// A closure from [`Login`] is enough when only connecting is to be checked:
///
/// ```
/// use mqtt5_broker::{Config, Login};
/// use mqtt5_proto::ReasonCode;
///
/// let mut config = Config::default();
/// config.access = Box::new(|login: &Login<'_>| match login.username {
///     Some("anna") => Ok(()),
///     _ => Err(ReasonCode::NOT_AUTHORIZED),
/// });
/// ```
pub trait Access: Send {
    /// Decides about a CONNECT without an Authentication Method.
    ///
    /// # Errors
    ///
    /// The reason code of the CONNACK that refuses it.
    fn login(&mut self, login: &Login<'_>) -> Result<(), ReasonCode>;

    /// Decides about a step of an enhanced authentication: a CONNECT with an Authentication Method, and every AUTH of
    /// that connection (4.12). Without it every method is refused with 0x8C.
    ///
    /// ```
    /// use mqtt5_broker::{Access, AuthenticationStep, Login, Verdict};
    /// use mqtt5_proto::ReasonCode;
    ///
    /// struct Riddle;
    ///
    /// impl Access for Riddle {
    ///     fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
    ///         Err(ReasonCode::NOT_AUTHORIZED) // not without a method
    ///     }
    ///
    ///     fn authenticate(&mut self, step: &AuthenticationStep<'_>) -> Verdict {
    ///         match (step.method, step.round, step.data) {
    ///             ("riddle", 0, _) => Verdict::Continue(b"6 * 7?".to_vec()),
    ///             ("riddle", 1, Some(b"42")) => Verdict::Success(Vec::new()),
    ///             ("riddle", ..) => Verdict::Refuse(ReasonCode::NOT_AUTHORIZED),
    ///             _ => Verdict::Refuse(ReasonCode::BAD_AUTHENTICATION_METHOD),
    ///         }
    ///     }
    /// }
    /// ```
    fn authenticate(&mut self, step: &AuthenticationStep<'_>) -> Verdict {
        let _ = step;
        Verdict::Refuse(ReasonCode::BAD_AUTHENTICATION_METHOD)
    }

    /// Decides about a PUBLISH, and about the will in a CONNECT. At QoS 0 a refused message is discarded without a word.
    ///
    /// # Errors
    ///
    /// The reason code of the PUBACK or PUBREC that refuses it, or of the CONNACK.
    fn publish(&mut self, client_id: &str, topic: &str) -> Result<(), ReasonCode> {
        let _ = (client_id, topic);
        Ok(())
    }

    /// Decides about one Topic Filter of a SUBSCRIBE.
    ///
    /// # Errors
    ///
    /// The reason code in the SUBACK that refuses it.
    fn subscribe(&mut self, client_id: &str, filter: &str) -> Result<(), ReasonCode> {
        let _ = (client_id, filter);
        Ok(())
    }
}

impl<F: FnMut(&Login<'_>) -> Result<(), ReasonCode> + Send> Access for F {
    fn login(&mut self, login: &Login<'_>) -> Result<(), ReasonCode> {
        self(login)
    }
}

/// Everybody may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

impl Access for Everybody {
    fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
        Ok(())
    }
}

/// Those may connect who know one of these names with its password; the others get 0x86, Bad User Name or Password.
///
/// ```
/// use mqtt5_broker::{Config, Users};
///
/// let mut config = Config::default();
/// config.access = Box::new(Users::new([("anna", "secret"), ("ben", "hidden")]));
/// ```
#[derive(Clone, Default)]
pub struct Users(BTreeMap<String, Vec<u8>>);

impl Users {
    /// Makes the list from names and passwords; of a name that repeats the last password counts.
    pub fn new<N: Into<String>, P: Into<Vec<u8>>>(users: impl IntoIterator<Item = (N, P)>) -> Self {
        Self(
            users
                .into_iter()
                .map(|(name, password)| (name.into(), password.into()))
                .collect(),
        )
    }
}

impl Access for Users {
    fn login(&mut self, login: &Login<'_>) -> Result<(), ReasonCode> {
        let expected = login.username.and_then(|name| self.0.get(name));
        match (expected, login.password) {
            (Some(expected), Some(given)) if expected == given => Ok(()),
            _ => Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        }
    }
}

impl fmt::Debug for Users {
    /// Prints the names without the passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
