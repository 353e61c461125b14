//! What is forgiven on a connection on which the broker loses or repeats packets on purpose.

use std::collections::VecDeque;

use mqtt5_proto::Role;

use super::seat::{Due, Scene, Seat};

impl Seat {
    /// Whether what the side at this seat read or sent may have been lost or repeated on its way to the other.
    ///
    /// Only the broker's: what it hands over is seen before that happens to it, and what the client owes is seen after.
    pub(crate) fn may_be_lost(&self, scene: &Scene<'_>) -> bool {
        self.role == Role::Server && scene.troubled
    }
}

impl Due {
    /// Whether one more answer may leave, since the message was repeated on purpose while its answer was due. It is used up with that.
    pub(crate) fn takes_again(&mut self, qos: u8, id: u16) -> bool {
        let again = self.again.iter().position(|again| *again == (qos, id));
        again.map(|again| self.again.swap_remove(again)).is_some()
    }
}

/// Takes `id` from the front of what is due; gives what stood there. With `may_be_lost`, what stands before it was lost, and what
/// does not stand there at all was repeated.
pub(crate) fn take_due(due: &mut VecDeque<u16>, id: u16, may_be_lost: bool) -> Option<u16> {
    if may_be_lost {
        let lost = due.iter().position(|due| *due == id);
        let Some(lost) = lost else { return Some(id) };
        due.drain(..lost);
    }
    due.pop_front()
}
