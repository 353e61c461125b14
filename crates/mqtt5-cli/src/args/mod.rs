//! The command line: one file for each group of flags.

mod access;
mod broker;
mod demo;
mod publish;
mod session;
mod subscribe;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use access::AccessArgs;
pub(crate) use broker::BrokerArgs;
pub(crate) use demo::{Adapter, DemoArgs};
pub(crate) use publish::PublishArgs;
pub(crate) use session::SessionArgs;
pub(crate) use subscribe::SubscribeArgs;

use crate::exit::Exit;

/// MQTT 5 at the command line.
#[derive(Debug, Parser)]
#[command(
    name = "mqtt5",
    version,
    about = "MQTT 5 at the command line: publish, subscribe, a broker to try them on, and a proof that nothing is lost.",
    long_about = LONG_ABOUT,
    after_long_help = Exit::help(),
    propagate_version = true,
    arg_required_else_help = true,
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(Box<DemoArgs>),
    Pub(Box<PublishArgs>),
    Sub(Box<SubscribeArgs>),
    Broker(Box<BrokerArgs>),
}

/// How everything is written.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// The form of results, notices and errors
    ///
    /// Text is for people: control characters are escaped, whatever a peer sends. JSON is for programs: one object on
    /// each line. `auto` is text where a terminal reads and JSON elsewhere, for standard output and standard error
    /// each by itself; the table of `demo` is text unless JSON is asked for.
    #[arg(long, global = true, value_enum, default_value_t = OutputForm::Auto, value_name = "FORM")]
    pub(crate) output: OutputForm,

    /// Short for --output json
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,

    /// Exit with the server's reason code when it gave one, as the clients of Mosquitto do
    #[arg(long, global = true)]
    pub(crate) exit_reason_code: bool,
}

impl OutputArgs {
    /// The form that a command line asks for although something else in it is wrong.
    pub(crate) fn of_wrong_call(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut form = OutputForm::Auto;
        let mut is_form = false;
        for argument in arguments {
            let argument = argument.to_string_lossy();
            let value = match argument.as_ref() {
                "--" => break,
                "--json" => Some("json"),
                value if is_form => Some(value),
                other => other.strip_prefix("--output="),
            };
            is_form = argument == "--output";
            if let Some(asked) = value.and_then(|value| OutputForm::from_str(value, false).ok()) {
                form = asked;
            }
        }
        Self {
            output: form,
            json: false,
            exit_reason_code: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// For people
    Text,
    /// For programs
    Json,
}

const LONG_ABOUT: &str = "\
MQTT 5 at the command line: publish, subscribe, a broker to try them on, and a proof that nothing is lost.

Try it without installing anything else:

  mqtt5 demo                                            checks 300,000 messages over real TCP
  mqtt5 broker                                          a broker on 127.0.0.1:1883, in this terminal
  mqtt5 sub mqtt://127.0.0.1 'sensors/#' --qos 2        in a second one
  mqtt5 pub mqtt://127.0.0.1 sensors/a 22.5 --qos 2     in a third

The URL of the server comes first and can be left out when MQTT_URL is set: scheme://[user[:password]@]host[:port].";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_call_says_which_form_it_wants() {
        let table = [
            ("fly", OutputForm::Auto),
            ("pub --output text --fly", OutputForm::Text),
            ("--output=json fly", OutputForm::Json),
            ("fly --json", OutputForm::Json),
            ("pub --output fly", OutputForm::Auto),
            ("pub --output", OutputForm::Auto),
            ("pub -- --json", OutputForm::Auto),
        ];
        for (call, expected) in table {
            let arguments = call.split(' ').map(OsString::from);
            assert_eq!(
                OutputArgs::of_wrong_call(arguments).output,
                expected,
                "{call}"
            );
        }
    }
}
