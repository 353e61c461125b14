//! Standard output and standard error, each in its form.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use crate::args::{OutputArgs, OutputForm};
use crate::json::Object;

/// For whom something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// People: text without control characters.
    Text,
    /// Programs: a JSON object on each line.
    Json,
}

/// Where a command writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) results: Form,
    pub(crate) errors: Form,
    pub(crate) is_terminal: bool,
    pub(crate) exit_reason_code: bool,
    notices: bool,
}

impl Output {
    pub(crate) fn new(args: OutputArgs) -> Self {
        let form = |is_terminal| match args.output {
            _ if args.json => Form::Json,
            OutputForm::Json => Form::Json,
            OutputForm::Text => Form::Text,
            OutputForm::Auto if is_terminal => Form::Text,
            OutputForm::Auto => Form::Json,
        };
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            results: form(stdout),
            errors: form(stderr),
            is_terminal: stdout,
            exit_reason_code: args.exit_reason_code,
            notices: stderr,
        }
    }

    /// Text unless JSON was asked for in words.
    pub(crate) fn prefers_text(mut self, args: OutputArgs) -> Self {
        if args.output == OutputForm::Auto && !args.json {
            self.results = Form::Text;
        }
        self
    }

    /// Tells notices even when no terminal reads them.
    pub(crate) const fn verbose(mut self, verbose: bool) -> Self {
        self.notices |= verbose;
        self
    }

    /// Writes a result, in the form for its reader.
    pub(crate) fn result(
        &self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Object,
    ) -> io::Result<()> {
        let line = match self.results {
            Form::Text => text(),
            Form::Json => json().to_string(),
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(line.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }

    /// Tells what goes on, to a terminal or who asked for it.
    pub(crate) fn notice(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Object) {
        if self.notices {
            self.error(text, json);
        }
    }

    /// Writes a line to standard error.
    pub(crate) fn error(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Object) {
        let line = match self.errors {
            Form::Text => text(),
            Form::Json => json().to_string(),
        };
        // When standard error is closed, nobody is left to tell.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Whether the reader of a pipe is gone, which is no error: it has what it wanted.
pub(crate) fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}
