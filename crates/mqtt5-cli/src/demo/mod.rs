//! The demonstration: what is sent, what must arrive, and the two ways to run it.

mod checker;
mod gate;
mod inspection;
mod run_async;
mod run_blocking;
mod stamp;
mod table;

pub(crate) use checker::{Broken, Plan, Verdict};
pub(crate) use inspection::Run;
pub(crate) use run_async::run as run_async;
pub(crate) use run_blocking::run as run_blocking;
pub(crate) use stamp::MINIMUM_SIZE;
pub(crate) use table::{json, number, text};

/// How the publishing half of a run ended.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Messages that the client accepted.
    sent: u64,
    /// Of these, the ones that the server did not acknowledge with success.
    unacknowledged: u64,
}
