//! The messages as text (RFC 5802, section 7).

use alloc::string::String;
use alloc::vec::Vec;
use core::str::Split;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ScramError, ServerError};

/// The server-first-message.
pub(super) struct ServerFirst<'a> {
    pub(super) text: &'a str,
    /// The client's nonce and the server's.
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u64,
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let (text, mut attributes) = Attributes::new(message)?;
        let nonce = attributes.expect("r")?;
        if !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Malformed);
        }
        let first = Self {
            text,
            nonce,
            salt: decode(attributes.expect("s")?)?,
            iterations: iteration_count(attributes.expect("i")?)?,
        };
        attributes.ignore_extensions()?;
        Ok(first)
    }
}

/// The ServerSignature of a server-final-message.
pub(super) fn parse_server_final(message: &[u8]) -> Result<Vec<u8>, ScramError> {
    let (_, mut attributes) = Attributes::new(message)?;
    let signature = decode(attributes.expect("v")?)?;
    attributes.ignore_extensions()?;
    Ok(signature)
}

/// A name as it stands in a message: `,` separates attributes, `=` escapes.
pub(super) fn saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>, ScramError> {
    STANDARD.decode(text).map_err(|_| ScramError::Base64)
}

/// A number without a leading zero; one that is too large for any count is the largest there is.
fn iteration_count(digits: &str) -> Result<u64, ScramError> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || (digits.starts_with('0') && digits != "0") {
        return Err(ScramError::Malformed);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// The attributes of a message: a letter, `=` and a value, separated by commas.
struct Attributes<'a>(Split<'a, char>);

impl<'a> Attributes<'a> {
    fn new(message: &'a [u8]) -> Result<(&'a str, Self), ScramError> {
        let text = core::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        Ok((text, Self(text.split(','))))
    }

    fn next(&mut self) -> Result<Option<(&'a str, &'a str)>, ScramError> {
        let Some(part) = self.0.next() else {
            return Ok(None);
        };
        let (name, value) = part.split_once('=').ok_or(ScramError::Malformed)?;
        let is_letter = name.len() == 1 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
        if !is_letter || value.is_empty() || value.contains('\0') {
            return Err(ScramError::Malformed);
        }
        match name {
            "m" => Err(ScramError::ExtensionNotSupported),
            _ => Ok(Some((name, value))),
        }
    }

    /// The value of the next attribute, which must have this name.
    fn expect(&mut self, expected: &str) -> Result<&'a str, ScramError> {
        match self.next()? {
            Some((name, value)) if name == expected => Ok(value),
            Some(("e", value)) => Err(ScramError::Server(ServerError::from_value(value))),
            _ => Err(ScramError::Malformed),
        }
    }

    /// What else there is must be well formed, and says nothing to us.
    fn ignore_extensions(&mut self) -> Result<(), ScramError> {
        while self.next()?.is_some() {}
        Ok(())
    }
}
