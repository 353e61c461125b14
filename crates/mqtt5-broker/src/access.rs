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
    /// Decides about a CONNECT.
    ///
    /// # Errors
    ///
    /// The reason code of the CONNACK that refuses it.
    fn login(&mut self, login: &Login<'_>) -> Result<(), ReasonCode>;

    /// Decides about a PUBLISH. At QoS 0 a refused message is discarded without a word.
    ///
    /// # Errors
    ///
    /// The reason code of the PUBACK or PUBREC that refuses it.
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
