//! Debian's `mosquitto_pub` and `mosquitto_sub`, always with MQTT 5.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::child::Process;
use crate::lines::Lines;
use crate::mosquitto::{MISSING, find_program};

/// How a client ended, and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOutput {
    /// Its exit code; `None` when a signal ended it, which is also what happens when it takes too long.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl ClientOutput {
    /// Gives the output back when the client succeeded.
    ///
    /// # Panics
    ///
    /// When it did not, with what it wrote.
    #[track_caller]
    pub fn assert_success(self) -> Self {
        assert_eq!(self.code, Some(0), "the client failed: {self:?}");
        self
    }
}

/// Runs `mosquitto_pub` against a broker, with these further arguments, until it ends or 20 seconds are over.
///
/// # Panics
///
/// When it is not installed.
#[must_use = "it may have failed"]
pub fn mosquitto_pub(broker: SocketAddr, arguments: &[&str]) -> ClientOutput {
    let (mut process, stdout, stderr) = start(&mut client("mosquitto_pub", broker, arguments));
    let status = process.wait(PATIENCE);
    process.kill();
    stdout.wait_for_end(PATIENCE);
    stderr.wait_for_end(PATIENCE);
    ClientOutput {
        code: status.and_then(|status| status.code()),
        stdout: stdout.snapshot().join("\n"),
        stderr: stderr.snapshot().join("\n"),
    }
}

/// Starts `mosquitto_sub` against a broker, with these further arguments (`-t`, `-q`, `-C`, `-D`, …; not `-F`, `-v`,
/// `-N` or `-d`), and waits until its subscription is acknowledged.
///
/// # Panics
///
/// When it is not installed, or is not subscribed within 20 seconds.
pub fn mosquitto_sub(broker: SocketAddr, arguments: &[&str]) -> Subscriber {
    let mut command = client("mosquitto_sub", broker, arguments);
    let (process, stdout, stderr) = start(command.args(["-d", "-F", FORMAT]));
    let subscribed = stdout.wait_for(PATIENCE, 0, |line| line.starts_with("Subscribed (mid:"));
    let subscriber = Subscriber {
        process,
        stdout,
        stderr,
        next: 0,
    };
    assert!(
        subscribed.is_some(),
        "mosquitto_sub did not subscribe:\n{}",
        subscriber.debug()
    );
    subscriber
}

/// A running `mosquitto_sub`; it ends when this is dropped.
#[derive(Debug)]
pub struct Subscriber {
    process: Process,
    stdout: Lines,
    stderr: Lines,
    next: usize,
}

impl Subscriber {
    /// Waits for the next message.
    pub fn receive(&mut self, timeout: Duration) -> Option<Received> {
        self.wait_for_line(timeout)
            .map(|line| Received::parse(&line))
    }

    /// Waits for the next message, as a line with the fields of [`Received`] between tabulators.
    pub fn wait_for_line(&mut self, timeout: Duration) -> Option<String> {
        let (at, line) = self
            .stdout
            .wait_for(timeout, self.next, |line| line.starts_with(MARK))?;
        self.next = at + 1;
        Some(line[MARK.len_utf8()..].to_owned())
    }

    /// Asks it to disconnect and end, and tells whether it did so with success.
    pub fn stop(&mut self) -> bool {
        self.process.terminate();
        self.wait_for_end(PATIENCE)
    }

    /// Waits until it ends by itself (`-C`, `-W`, or because the broker closed) and tells whether that was a success.
    pub fn wait_for_end(&mut self, timeout: Duration) -> bool {
        let status = self.process.wait(timeout);
        status.is_some_and(|status| status.success())
    }

    /// The lines of all messages so far.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.stdout.snapshot();
        lines
            .iter()
            .filter_map(|line| line.strip_prefix(MARK))
            .map(str::to_owned)
            .collect()
    }

    /// Everything that it has written, the names of packets that it sent and received among it.
    pub fn debug(&self) -> String {
        [self.stdout.snapshot(), self.stderr.snapshot()]
            .concat()
            .join("\n")
    }
}

/// A message as `mosquitto_sub` prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields have the names that the specification gives them"
)]
pub struct Received {
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    pub payload: Vec<u8>,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub message_expiry_interval: Option<u32>,
    pub payload_format_indicator: Option<u8>,
    pub subscription_identifier: Option<u32>,
    /// Every `name:value`, with spaces between.
    pub user_properties: Option<String>,
    /// As text, up to a line feed.
    pub correlation_data: Option<String>,
}

impl Received {
    fn parse(line: &str) -> Self {
        let mut fields = line.splitn(FIELDS, '\t');
        let mut text = || {
            fields
                .next()
                .filter(|field| !field.is_empty())
                .map(str::to_owned)
        };
        Self {
            topic: text().unwrap_or_default(),
            qos: number(text()).unwrap_or_default(),
            retain: text().is_some_and(|retain| retain == "1"),
            payload: bytes(&text().unwrap_or_default()),
            content_type: text(),
            response_topic: text(),
            message_expiry_interval: number(text()),
            payload_format_indicator: number(text()),
            subscription_identifier: number(text()),
            user_properties: text(),
            correlation_data: text(),
        }
    }
}

fn number<T: std::str::FromStr>(text: Option<String>) -> Option<T> {
    text.and_then(|text| text.parse().ok())
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, &digit| byte << 4 | digit as u8))
        .collect()
}

fn client(program: &str, broker: SocketAddr, arguments: &[&str]) -> Command {
    let program = find_program(program).unwrap_or_else(|| panic!("{MISSING}"));
    // Into a pipe it would write only when its buffer is full.
    let mut command = Command::new("stdbuf");
    command.arg("-oL").arg(program).args(["-V", "mqttv5"]);
    command
        .args([
            "-h",
            &broker.ip().to_string(),
            "-p",
            &broker.port().to_string(),
        ])
        .args(arguments);
    command
}

fn start(command: &mut Command) -> (Process, Lines, Lines) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Process::start(command).expect("there is stdbuf");
    let (stdout, stderr) = (Lines::default(), Lines::default());
    stdout.follow(process.child().stdout.take().expect("it is piped"));
    stderr.follow(process.child().stderr.take().expect("it is piped"));
    (process, stdout, stderr)
}

/// Begins the line of a message, among the lines of `-d`.
const MARK: char = '\u{1b}';
/// The fields of [`Received`] in their order. Mosquitto lets no control characters into text, so only the last field,
/// which is no text, may hold a tabulator.
const FORMAT: &str = r"\e%t\t%q\t%r\t%x\t%C\t%R\t%E\t%F\t%S\t%P\t%D";
const FIELDS: usize = 11;
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_properties_has_none() {
        let received = Received::parse("a/b\t2\t1\t00ff\t\t\t\t\t\t\t");
        let expected = Received {
            topic: "a/b".into(),
            qos: 2,
            retain: true,
            payload: vec![0, 255],
            ..Received::default()
        };
        assert_eq!(received, expected);
    }
}
