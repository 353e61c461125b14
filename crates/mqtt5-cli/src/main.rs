//! The `mqtt5` command: MQTT 5 at the command line.

#![forbid(unsafe_code)]

mod args;
mod clock;
mod commands;
mod connection_log;
mod demo;
mod escape;
mod exit;
mod json;
mod message;
mod output;
mod problem;
mod report;
mod session;
mod signal;
mod target;
mod timestamp;
mod values;

use std::env;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use clap::error::ErrorKind;
use tokio::runtime::{Builder, Runtime};

use args::{Cli, Command, OutputArgs};
use exit::Exit;
use output::{Form, Output, is_closed_pipe};
use problem::Problem;
use report::Report;
use signal::Interrupt;

fn main() -> ExitCode {
    let Cli {
        command,
        output: args,
    } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let mut output = Output::new(args);
    if matches!(command, Command::Demo(_)) {
        output = output.prefers_text(args);
    }
    match run(&command, output) {
        Ok(exit) => exit.into(),
        Err(error) if error.chain().any(is_gone_reader) => Exit::Success.into(),
        Err(error) => Report::new(&error).tell(&output).into(),
    }
}

/// Help and version are as clap writes them, and so are errors for people; others are reported as all errors are.
fn refuse(error: &clap::Error) -> ExitCode {
    let output = Output::new(OutputArgs::of_wrong_call(env::args_os()));
    let is_help =
        !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help || (output.errors == Form::Text && io::stderr().is_terminal()) {
        error.exit();
    }
    Report::new(&Problem::from(error).into())
        .tell(&output)
        .into()
}

fn run(command: &Command, output: Output) -> Result<Exit> {
    let runtime = runtime(command).context("cannot start")?;
    let outcome = runtime.block_on(async {
        let interrupt = Interrupt::listen();
        match command {
            Command::Demo(args) => commands::demo(args, output, interrupt).await,
            Command::Pub(args) => commands::publish(args, output, interrupt).await,
            Command::Sub(args) => commands::subscribe(args, output, interrupt).await,
            Command::Broker(args) => commands::broker(args, output, interrupt).await,
        }
    });
    // A thread may wait for standard input, and nobody waits for it.
    runtime.shutdown_background();
    outcome
}

/// One thread moves bytes while the main thread waits for pipes; the demonstration takes all there are.
fn runtime(command: &Command) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if !matches!(command, Command::Demo(_)) {
        builder.worker_threads(1);
    }
    builder.enable_all().build()
}

fn is_gone_reader(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(is_closed_pipe)
}
