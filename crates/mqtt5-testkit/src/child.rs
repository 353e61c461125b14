//! A process that does not outlive its owner.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::clock::wait_until;

/// A child process, killed by its id and reaped when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self {
            child: command.spawn()?,
            status: None,
        })
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, to take its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, when it has.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self
                .child
                .try_wait()
                .expect("a child of ours can be waited for");
        }
        self.status
    }

    /// Waits until it ends; `None` when the time is over.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        wait_until(timeout, || self.status().is_some());
        self.status
    }

    /// Asks it to end.
    pub(crate) fn terminate(&mut self) {
        if self.status().is_none() {
            // Not reaped yet, so the id is still its own.
            let order = format!("kill -TERM {}", self.id());
            let _ = Command::new("sh").args(["-c", &order]).status();
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if self.status().is_none() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends a process and removes a directory when the test process dies without running destructors.
///
/// That happens to a broker in a `static`, and after SIGKILL. It is a shell that waits for the end of its standard
/// input, which only this process keeps open.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _shell: Process,
}

impl Watchdog {
    pub(crate) fn start(process: u32, directory: &Path) -> io::Result<Self> {
        let order = r#"read -r _; kill -KILL "$1"; rm -rf -- "$2""#;
        let mut shell = Command::new("sh");
        shell
            .args(["-c", order, "sh", &process.to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal for the whole group of the test shall not end it first.
            .process_group(0);
        Ok(Self {
            _shell: Process::start(&mut shell)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TempDir;

    const SOON: Duration = Duration::from_secs(10);

    fn sleeper() -> Process {
        Process::start(Command::new("sleep").arg("60")).unwrap()
    }

    fn is_running(id: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn dropping_ends_it() {
        let process = sleeper();
        let id = process.id();
        assert!(is_running(id));
        drop(process);
        assert!(!is_running(id));
    }

    #[test]
    fn terminating_gives_a_status() {
        let mut process = sleeper();
        assert_eq!(process.wait(Duration::ZERO), None);
        process.terminate();
        assert!(!process.wait(SOON).unwrap().success());
    }

    #[test]
    fn the_watchdog_acts_when_its_pipe_ends() {
        let mut process = sleeper();
        let directory = TempDir::new();
        let mut watchdog = Watchdog::start(process.id(), directory.path()).unwrap();
        assert_eq!(process.wait(Duration::from_millis(50)), None);

        drop(watchdog._shell.child().stdin.take());
        assert!(process.wait(SOON).is_some());
        assert!(wait_until(SOON, || !directory.path().exists()));
    }

    #[test]
    fn a_watchdog_that_was_dropped_does_nothing() {
        let mut process = sleeper();
        let directory = TempDir::new();
        drop(Watchdog::start(process.id(), directory.path()).unwrap());
        assert_eq!(process.wait(Duration::from_millis(50)), None);
        assert!(directory.path().exists());
    }
}
