//! The address of a server, as a parsed URL.

use crate::secret::Password;
use core::net::{IpAddr, Ipv6Addr};
use core::{fmt, str::FromStr};

/// Where a server is, how it is reached, and the credentials that the URL carried.
///
/// `scheme://[user[:password]@]host[:port][/path]`. User name and password are percent-decoded; an IPv6 address stands
/// in brackets; a port that is left out is the scheme's. A path is kept for the WebSocket schemes and must be empty (or `/`) for the others.
/// `Debug` and `Display` print `***` for the password, and for the query, which may be a signature or a token.
///
/// ```
/// use mqtt5_client::{Endpoint, Scheme};
///
/// let endpoint: Endpoint = "mqtts://alice:secret@[2001:db8::1]".parse()?;
/// assert_eq!((endpoint.scheme(), endpoint.host(), endpoint.port()), (Scheme::Mqtts, "2001:db8::1", 8883));
/// assert_eq!(endpoint.to_string(), "mqtts://alice:***@[2001:db8::1]:8883");
/// # Ok::<(), mqtt5_client::EndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    path: Box<str>,
    username: Option<Box<str>>,
    password: Option<Password>,
}

impl Endpoint {
    /// The transport that the URL's scheme names.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host name or address; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as an address, when it is one and needs no name resolution.
    pub fn host_address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port, the scheme's default included; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path and query of a WebSocket URL, `/mqtt` when it names none; empty for the other schemes.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The user name in the URL, percent-decoded.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password in the URL, percent-decoded.
    pub fn password(&self) -> Option<&Password> {
        self.password.as_ref()
    }

    /// The servers in a Server Reference (4.11): a list of names or addresses, each with an optional port, or URLs, separated by
    /// spaces. What is no address is left out. What a name leaves open is as here. User name, password and query, which may be a
    /// signature, are ours and go along only with hosts that are trusted; which those are is told with each.
    pub(crate) fn referenced<'a>(
        &'a self,
        reference: &'a str,
        is_trusted: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = (Self, bool)> + 'a {
        reference.split(' ').filter_map(move |entry| {
            let mut endpoint = if entry.contains("://") {
                Self {
                    // They are the server's words, not the user's.
                    username: None,
                    password: None,
                    ..entry.parse().ok()?
                }
            } else {
                let (host, port) = parse_address(entry).ok()?;
                let path = self.path.split('?').next().unwrap_or_default();
                Self {
                    scheme: self.scheme,
                    port: port.unwrap_or_else(|| self.scheme.default_port()),
                    path: if is_trusted(&host) { &self.path } else { path }.into(),
                    host,
                    username: None,
                    password: None,
                }
            };
            let is_trusted = is_trusted(&endpoint.host);
            if is_trusted {
                endpoint.username.clone_from(&self.username);
                endpoint.password.clone_from(&self.password);
            }
            Some((endpoint, is_trusted))
        })
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        // Not everything before the first `://` may be shown.
        let is_scheme = |text: &str| !text.contains([':', '/', '?', '#', '@']);
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| is_scheme(scheme))
            .ok_or(EndpointError::MissingScheme)?;
        let scheme = Scheme::from_name(scheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user_info, address) = match authority.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, authority),
        };
        // What is not encoded in a password may end it here: then what is left of the cut is no address, and not to be shown.
        let is_cut = path.contains('@');
        if is_cut && !scheme.is_websocket() {
            return Err(EndpointError::InvalidUserInfo);
        }
        let (username, password) = parse_user_info(user_info)?;
        let (host, port) = match parse_address(address) {
            Err(_) if is_cut => return Err(EndpointError::InvalidUserInfo),
            parsed => parsed?,
        };
        Ok(Self {
            scheme,
            host,
            port: port.unwrap_or_else(|| scheme.default_port()),
            path: parse_path(scheme, path)?,
            username,
            password,
        })
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = EndpointError;

    fn try_from(url: &str) -> Result<Self, EndpointError> {
        url.parse()
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = EndpointError;

    fn try_from(url: &String) -> Result<Self, EndpointError> {
        url.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(url: String) -> Result<Self, EndpointError> {
        url.parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(username) = &self.username {
            write!(
                f,
                "{}{}@",
                username.escape_debug(),
                if self.password.is_some() { ":***" } else { "" }
            )?;
        }
        let (path, query) = match self.path.split_once('?') {
            Some((path, _)) => (path, "?***"),
            None => (&*self.path, ""),
        };
        if self.host.contains(':') {
            write!(f, "[{}]:{}{path}{query}", self.host, self.port)
        } else {
            write!(f, "{}:{}{path}{query}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// The transports that a URL can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// MQTT over TCP: `mqtt`, `tcp`.
    Mqtt,
    /// MQTT over TLS: `mqtts`, `tls`, `ssl`.
    Mqtts,
    /// MQTT over WebSocket: `ws`.
    Ws,
    /// MQTT over WebSocket over TLS: `wss`.
    Wss,
}

impl Scheme {
    /// Whether the transport is encrypted.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether MQTT travels in WebSocket frames.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    fn from_name(name: &str) -> Result<Self, EndpointError> {
        SCHEMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, scheme)| *scheme)
            .ok_or_else(|| EndpointError::UnknownScheme(name.escape_debug().to_string().into()))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        })
    }
}

/// Why a text is not the URL of a server. Each message says what to write instead.
///
/// No variant holds any part of the user information.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no `scheme://`.
    #[error("the URL has no scheme; write it as mqtt://host or mqtts://host")]
    MissingScheme,
    /// The scheme is none of ours.
    #[error("unknown scheme `{0}`; use mqtt, tcp, mqtts, tls, ssl, ws or wss")]
    UnknownScheme(Box<str>),
    /// There is nothing where the host should be.
    #[error("the URL names no host; write it as mqtt://host:port")]
    MissingHost,
    /// The host holds a character that no name or address can hold.
    #[error(
        "`{0}` is no host name or address; put an IPv6 address in brackets and percent-encode `@`, `/` and `:` in user name and password"
    )]
    InvalidHost(Box<str>),
    /// What stands in brackets is no IPv6 address.
    #[error("`[{0}]` is no IPv6 address")]
    InvalidIpv6(Box<str>),
    /// The port is no number from 1 to 65535. What is no number at all is not shown: it may be a password whose `@` is missing.
    #[error("`{0}` is no port; use a number from 1 to 65535, or leave it out")]
    InvalidPort(Box<str>),
    /// The user name or password is not well percent-encoded, or the user name is no UTF-8 or holds U+0000.
    #[error(
        "the user information is not valid; percent-encode special characters, as in mqtt://user:p%40ss@host"
    )]
    InvalidUserInfo,
    /// A path was given for a transport that has none.
    #[error("a {0} URL has no path; remove it, or use ws:// or wss://")]
    UnexpectedPath(Scheme),
    /// The path holds a space, a control character or a fragment.
    #[error("the path of the URL holds a space, a control character or `#`; percent-encode it")]
    InvalidPath,
}

impl From<core::convert::Infallible> for EndpointError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

type Credentials = (Option<Box<str>>, Option<Password>);

fn parse_user_info(user_info: Option<&str>) -> Result<Credentials, EndpointError> {
    let Some(user_info) = user_info else {
        return Ok((None, None));
    };
    let (username, password) = match user_info.split_once(':') {
        Some((username, password)) => (username, Some(percent_decode(password)?)),
        None => (user_info, None),
    };
    let username =
        String::from_utf8(percent_decode(username)?).map_err(|_| EndpointError::InvalidUserInfo)?;
    if username.contains('\0') {
        return Err(EndpointError::InvalidUserInfo);
    }
    let username = (!username.is_empty()).then(|| username.into());
    Ok((username, password.map(Password::from)))
}

fn parse_address(address: &str) -> Result<(Box<str>, Option<u16>), EndpointError> {
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, rest) = bracketed
            .split_once(']')
            .ok_or_else(|| EndpointError::InvalidIpv6(escaped(bracketed)))?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(EndpointError::InvalidIpv6(escaped(host)));
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(invalid_port(rest)),
        }
    } else {
        match address.split_once(':') {
            Some((host, port)) => (check_host(host, address)?, Some(port)),
            None => (check_host(address, address)?, None),
        }
    };
    Ok((host.into(), port.map(parse_port).transpose()?))
}

/// A name is checked for what can be no part of any; whether it exists is the resolver's business.
fn check_host<'a>(host: &'a str, address: &str) -> Result<&'a str, EndpointError> {
    if host.is_empty() {
        return Err(EndpointError::MissingHost);
    }
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "[]%\\^`{}|<>\"@".contains(c);
    if host.contains(forbidden) || address.matches(':').count() > 1 {
        return Err(EndpointError::InvalidHost(escaped(address)));
    }
    Ok(host)
}

fn parse_port(port: &str) -> Result<u16, EndpointError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse()
        .ok()
        .filter(|&port| digits && port != 0)
        .ok_or_else(|| invalid_port(port))
}

fn invalid_port(port: &str) -> EndpointError {
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'+' || byte == b'-';
    let shown = if port.bytes().all(is_number) {
        port
    } else {
        "***"
    };
    EndpointError::InvalidPort(shown.into())
}

fn parse_path(scheme: Scheme, path: &str) -> Result<Box<str>, EndpointError> {
    if !scheme.is_websocket() {
        return if path.is_empty() || path == "/" {
            Ok("".into())
        } else {
            Err(EndpointError::UnexpectedPath(scheme))
        };
    }
    if path.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
        return Err(EndpointError::InvalidPath);
    }
    Ok(match path.as_bytes().first() {
        None => "/mqtt".into(),
        Some(b'/') => path.into(),
        Some(_) => format!("/mqtt{path}").into(),
    })
}

fn percent_decode(text: &str) -> Result<Vec<u8>, EndpointError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || {
                bytes
                    .next()
                    .and_then(|byte| char::from(byte).to_digit(16))
                    .ok_or(EndpointError::InvalidUserInfo)
            };
            u8::try_from(digit()? * 16 + digit()?).map_err(|_| EndpointError::InvalidUserInfo)?
        } else {
            byte
        });
    }
    Ok(decoded)
}

fn escaped(text: &str) -> Box<str> {
    text.escape_debug().to_string().into()
}

const SCHEMES: [(&str, Scheme); 7] = [
    ("mqtt", Scheme::Mqtt),
    ("tcp", Scheme::Mqtt),
    ("mqtts", Scheme::Mqtts),
    ("tls", Scheme::Mqtts),
    ("ssl", Scheme::Mqtts),
    ("ws", Scheme::Ws),
    ("wss", Scheme::Wss),
];

#[cfg(test)]
mod tests;
