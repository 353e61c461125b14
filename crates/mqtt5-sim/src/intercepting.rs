//! What the interceptors of a client do to a message: it depends on the message alone, so that the ledger knows it, too.

use std::borrow::Cow;

use mqtt5_client::{Interception, Options, RejectReason};

use crate::ledger::number_of;

/// What becomes of a payload; `None` when nobody gets it.
pub(crate) type Changed<'a> = Option<Cow<'a, [u8]>>;

/// What is published instead of this payload.
pub(crate) fn publishes(payload: &[u8]) -> Changed<'_> {
    match place_of(payload, 8) {
        Some(3) => Some(marked(payload, b'+')),
        Some(5) => None,
        _ => Some(payload.into()),
    }
}

/// What the application sees instead of this payload.
pub(crate) fn sees(payload: &[u8]) -> Changed<'_> {
    match place_of(payload, 9) {
        Some(2) => Some(marked(payload, b'-')),
        Some(DISCARDED | REFUSED) => None,
        _ => Some(payload.into()),
    }
}

/// Adds both interceptors.
pub(crate) fn intercept(options: Options) -> Options {
    options
        .intercept_publish(|message| {
            let changed = publishes(message.payload()).map(Cow::into_owned);
            message.set_payload(changed.ok_or("not this one")?);
            Ok(())
        })
        .intercept_message(|message| {
            let Some(changed) = sees(message.payload()).map(Cow::into_owned) else {
                return match place_of(message.payload(), 9) {
                    Some(REFUSED) => Interception::Refuse(RejectReason::UnspecifiedError),
                    _ => Interception::Discard,
                };
            };
            match message.set_payload(&changed) {
                Ok(()) => Interception::Pass,
                Err(_) => Interception::Discard,
            }
        })
}

/// The place of a numbered message among so many; those without anything behind the number are left alone.
fn place_of(payload: &[u8], among: usize) -> Option<usize> {
    let number = number_of(payload).filter(|_| !payload.ends_with(b"."))?;
    Some(number % among)
}

fn marked(payload: &[u8], mark: u8) -> Cow<'_, [u8]> {
    let mut payload = payload.to_vec();
    payload.push(mark);
    payload.into()
}

const DISCARDED: usize = 4;
const REFUSED: usize = 7;
