//! The output of a process, line by line, while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that threads read from processes, kept in order of arrival; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    readers: usize,
}

impl Lines {
    /// Reads `source` on a thread of its own until it ends.
    pub(crate) fn follow(&self, source: impl Read + Send + 'static) {
        self.lock().readers += 1;
        let lines = self.clone();
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                lines.push(
                    String::from_utf8_lossy(&line)
                        .trim_end_matches(['\r', '\n'])
                        .to_owned(),
                );
                line.clear();
            }
            lines.lock().readers -= 1;
            lines.shared.changed.notify_all();
        });
    }

    /// The first line at or after `from` that `wanted` accepts, with its index; waits for it.
    ///
    /// `None` when the time is over, or when no process is left that could write it.
    pub(crate) fn wait_for(
        &self,
        timeout: Duration,
        from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<(usize, String)> {
        let mut next = from;
        let mut found = None;
        let waiting = |state: &mut State| {
            let news = state.lines.iter().enumerate().skip(next);
            found = { news }
                .find(|(_, line)| wanted(line))
                .map(|(at, line)| (at, line.clone()));
            next = next.max(state.lines.len());
            found.is_none() && state.readers > 0
        };
        let guard = self.lock();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(guard, timeout, waiting);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        found
    }

    /// Waits until every process that was followed has ended its output.
    pub(crate) fn wait_for_end(&self, timeout: Duration) -> bool {
        let running = |state: &mut State| state.readers > 0;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.lock(), timeout, running);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// Every line so far.
    pub(crate) fn snapshot(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    fn push(&self, line: String) {
        self.lock().lines.push(line);
        self.shared.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn finds_lines_in_order() {
        let lines = Lines::default();
        lines.follow(&b"one\ntwo\r\n\xff three\nno newline"[..]);

        assert_eq!(
            lines.wait_for(SOON, 0, |l| l.contains('t')),
            Some((1, "two".to_owned()))
        );
        assert_eq!(lines.wait_for(SOON, 2, |l| l.contains('t')).unwrap().0, 2);
        assert!(lines.wait_for_end(SOON));
        assert_eq!(
            lines.snapshot(),
            ["one", "two", "\u{fffd} three", "no newline"]
        );
    }

    #[test]
    fn does_not_wait_for_what_cannot_come() {
        let lines = Lines::default();
        lines.follow(&b"one\n"[..]);
        assert_eq!(lines.wait_for(Duration::MAX, 0, |l| l == "two"), None);
    }
}
