//! What a server must not do, and how it ends.

use mqtt5_proto::{DisconnectCause, Violation};

use super::bed::Bed;
use super::face::Face;
use super::packets::{disconnect, encode};
use super::told::Told;

/// The server sends these bytes, and they end the connection: nothing is told of them, DISCONNECT leaves with this code
/// and nothing else, the transport is to be closed, and then this cause is told once.
#[track_caller]
pub(crate) fn ends<F: Face>(
    mut bed: Bed<F>,
    bytes: &[u8],
    code: u8,
    violation: impl Into<Violation>,
) {
    let what = format!(
        "{:02X?} of {} bytes",
        &bytes[..bytes.len().min(40)],
        bytes.len()
    );
    bed.sent_bytes();
    bed.feed_bytes(bytes);
    let events = bed.events();
    assert!(events.is_empty(), "{what}: {events:?}");
    assert!(!bed.client.wants_read(), "{what} was accepted");
    assert!(bed.client.receive_space().is_empty(), "{what}");
    let sent = bed.sent_bytes();
    assert_eq!(sent, encode(&disconnect(code)), "{what}");
    assert!(bed.client.wants_close(), "{what}");
    assert_eq!(bed.timer(), None, "{what}");
    let cause = DisconnectCause::Violation(violation.into());
    let told = bed.close();
    assert_eq!(told[0], Told::Disconnected(cause, "[]".into()), "{what}");
}
