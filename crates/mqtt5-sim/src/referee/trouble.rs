//! What is forgiven on a connection on which the broker loses or repeats packets on purpose.

use std::collections::VecDeque;

/// Takes `id` from the front of what is due; gives what stood there. With `troubled`, what stands before it was lost, and what
/// does not stand there at all was repeated.
pub(crate) fn take_due(due: &mut VecDeque<u16>, id: u16, troubled: bool) -> Option<u16> {
    if troubled {
        let lost = due.iter().position(|due| *due == id);
        let Some(lost) = lost else { return Some(id) };
        due.drain(..lost);
    }
    due.pop_front()
}
