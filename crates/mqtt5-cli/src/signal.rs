//! Ctrl-C and SIGTERM.

use std::process;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::exit::Exit;

/// Tells when the user or the system asks the process to end.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    asked: watch::Receiver<Option<Exit>>,
}

impl Interrupt {
    /// Listens from now on.
    ///
    /// The first signal is for the command, which disconnects and returns. A second one, or a command that does not
    /// return, ends the process at once.
    pub(crate) fn listen() -> Self {
        let (ask, asked) = watch::channel(None);
        tokio::spawn(async move {
            let exit = next_signal().await;
            ask.send_replace(Some(exit));
            tokio::select! {
                _ = next_signal() => {}
                () = sleep(GRACE) => {}
            }
            process::exit(exit.code().into());
        });
        Self { asked }
    }

    /// Waits for the signal and gives the exit code that belongs to it.
    pub(crate) async fn asked(&mut self) -> Exit {
        let exit = self.asked.wait_for(Option::is_some).await;
        // The sender lives in a task that ends with the process.
        exit.ok()
            .and_then(|exit| *exit)
            .unwrap_or(Exit::Interrupted)
    }
}

async fn next_signal() -> Exit {
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => Exit::Interrupted,
        () = terminated() => Exit::Terminated,
        // The system gives no signals.
        else => std::future::pending().await,
    }
}

/// Waits for SIGTERM, where there is one.
async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut signals) = signal(SignalKind::terminate()) {
            signals.recv().await;
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// More than a disconnect may take.
const GRACE: Duration = Duration::from_secs(8);
