//! Preparation of names and passwords, so that both sides hash the same bytes: SASLprep (RFC 4013).

use alloc::string::String;

use zeroize::Zeroizing;

use super::ScramError;

/// The prepared text. Printable US-ASCII is what it is.
pub(super) fn prepare(text: &str) -> Result<Zeroizing<String>, ScramError> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(Zeroizing::new(text.into()));
    }
    saslprep(text).map(Zeroizing::new)
}

#[cfg(feature = "saslprep")]
fn saslprep(text: &str) -> Result<String, ScramError> {
    match stringprep::saslprep(text) {
        Ok(prepared) => Ok(prepared.into_owned()),
        Err(_) => Err(ScramError::Prohibited),
    }
}

/// RFC 5802, section 2.2, leaves the choice: SASLprep, or nothing beyond US-ASCII.
#[cfg(not(feature = "saslprep"))]
fn saslprep(_: &str) -> Result<String, ScramError> {
    Err(ScramError::Prohibited)
}
