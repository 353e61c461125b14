//! How the process ends.

use std::fmt::Write as _;
use std::process::ExitCode;

/// One row for each exit code: variant, number, meaning.
macro_rules! exits {
    ($($(#[$doc:meta])+ $variant:ident $code:literal $meaning:literal;)+) => {
        /// How the process ends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Exit {
            $($(#[$doc])+ $variant,)+
        }

        impl Exit {
            const TABLE: &[(u8, &str)] = &[$(($code, $meaning)),+];

            /// The number that the shell sees.
            pub(crate) const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }
        }
    };
}

exits! {
    /// All went well.
    Success 0 "success";
    /// A file, a pipe or a socket of this machine failed.
    Local 1 "a file, a pipe or the system failed";
    /// The call was wrong.
    Usage 2 "wrong arguments";
    /// There is no connection.
    Connect 3 "the server cannot be reached, or the connection was lost";
    /// TLS failed.
    Tls 4 "TLS failed";
    /// The server refused the client.
    Refused 5 "the server refused the connection or ended it, such as for a wrong password";
    /// The server refused the operation.
    Rejected 6 "the server rejected the message or the subscription";
    /// The server broke the protocol.
    Protocol 7 "the server broke the protocol";
    /// It took too long.
    Timeout 8 "something took too long";
    /// The demonstration failed.
    Broken 9 "demo: a guarantee was broken";
    /// Ctrl-C.
    Interrupted 130 "interrupted (SIGINT)";
    /// Asked to end.
    Terminated 143 "terminated (SIGTERM)";
}

impl Exit {
    /// The table for `--help`.
    pub(crate) fn help() -> String {
        let mut text = "Exit codes:".to_owned();
        for (code, meaning) in Self::TABLE {
            // Writing into a string cannot fail.
            let _ = write!(text, "\n  {code:>3}  {meaning}");
        }
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
