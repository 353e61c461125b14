//! What is wrong on this side: arguments, files, and the outcome of a demonstration.

use std::error::Error;
use std::fmt;

use crate::exit::Exit;

/// An error of the command line itself, with what to do about it.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) exit: Exit,
    pub(crate) hint: Option<String>,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            hint: None,
            message: message.into(),
            source: None,
        }
    }

    /// The call was wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what is behind it.
    pub(crate) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

/// Arguments that are wrong: what clap says about them before it explains the usage, on one line.
impl From<&clap::Error> for Problem {
    fn from(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let message = text.split("\n\n").next().unwrap_or_default();
        let message: Vec<&str> = message.lines().map(str::trim).collect();
        let message = message.join(" ");
        let problem = Self::usage(message.strip_prefix("error: ").unwrap_or(&message));
        let tip = text
            .lines()
            .find_map(|line| line.trim_start().strip_prefix("tip: "));
        match tip {
            Some(tip) => problem.hint(tip),
            None => problem,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
