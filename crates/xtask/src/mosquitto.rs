//! A broker for a developer.

use std::env;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use mqtt5_testkit::{MosquittoSettings, find_program};

/// Runs Mosquitto on `port` until it ends or is interrupted; its log is on standard error.
pub(crate) fn run_in_foreground(port: u16) -> Result<()> {
    let program = find_program("mosquitto");
    let program = program.context("Mosquitto is not installed: run `apt-get install mosquitto`")?;
    // From a pipe, so that an interrupt leaves no file behind.
    let mut child = Command::new(program)
        .args(["-c", "/dev/stdin"])
        .stdin(Stdio::piped())
        .spawn()?;
    let text = MosquittoSettings::normal().text(port, &env::temp_dir());
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    stdin.write_all(text.as_bytes())?;
    drop(stdin);

    println!("mqtt://127.0.0.1:{port}, until Ctrl-C");
    let status = child.wait()?;
    ensure!(status.success(), "mosquitto failed ({status})");
    Ok(())
}
