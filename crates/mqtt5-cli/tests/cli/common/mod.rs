//! The built command, run as a user runs it, and the brokers that it meets.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use mqtt5_testkit::{Mosquitto, wait_until};
use serde_json::Value;

/// Long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn assert_success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The objects on the lines of standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }

    /// The only line of standard error.
    #[track_caller]
    pub(crate) fn error_line(&self) -> &str {
        let mut lines = self.stderr.lines();
        match (lines.next(), lines.next()) {
            (Some(line), None) => line,
            _ => panic!("not one line: {self:?}"),
        }
    }
}

#[track_caller]
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(parse).collect()
}

#[track_caller]
pub(crate) fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {line}: {error}"))
}

/// The command, without what the environment of the test could change.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqtt5"));
    command
        .args(arguments)
        .env_remove("MQTT_URL")
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn mqtt5(arguments: &[&str]) -> Outcome {
    Running::start(&mut command(arguments)).wait()
}

/// Runs it to its end, with this standard input.
pub(crate) fn mqtt5_with_input(arguments: &[&str], input: &[u8]) -> Outcome {
    let mut command = command(arguments);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let mut stdin = running.child.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("it reads its input");
    drop(stdin);
    running.wait()
}

/// A command that runs; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command can be started");
        let stdout = lines(child.stdout.take().expect("it is piped"));
        let stderr = lines(child.stderr.take().expect("it is piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Starts `mqtt5 sub` and waits until it is subscribed.
    pub(crate) fn subscribed(arguments: &[&str]) -> Self {
        let mut all = vec!["sub", "--verbose"];
        all.extend(arguments);
        let running = Self::start(&mut command(&all));
        let line = running.error_line();
        assert!(line.contains("subscribed"), "{line}");
        running
    }

    /// The next line of standard output.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        let line = self.stdout.recv_timeout(PATIENCE);
        line.unwrap_or_else(|_| {
            panic!(
                "no further line; standard error: {:?}",
                self.stderr.try_iter().collect::<Vec<_>>()
            )
        })
    }

    #[track_caller]
    pub(crate) fn error_line(&self) -> String {
        self.stderr
            .recv_timeout(PATIENCE)
            .expect("it writes to standard error")
    }

    pub(crate) fn try_error_line(&self) -> Option<String> {
        self.stderr.try_recv().ok()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let order = format!("kill -{signal} {}", self.child.id());
        let sent = Command::new("sh")
            .args(["-c", &order])
            .status()
            .expect("there is a shell");
        assert!(sent.success());
    }

    /// Waits for the end; the output is what was not read before.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Outcome {
        let mut status: Option<ExitStatus> = None;
        let ended = wait_until(PATIENCE, || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        let so_far = |lines: &Receiver<String>| lines.try_iter().collect::<Vec<_>>();
        assert!(
            ended,
            "the command did not end: {:?} {:?}",
            so_far(&self.stdout),
            so_far(&self.stderr)
        );
        let rest = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
        Outcome {
            code: status.and_then(|status| status.code()),
            stdout: rest(&self.stdout),
            stderr: rest(&self.stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// A broker to test against.
#[derive(Debug)]
pub(crate) enum Broker {
    Embedded(mqtt5_broker::Server),
    Mosquitto(Box<Mosquitto>),
}

impl Broker {
    pub(crate) fn each() -> [Self; 2] {
        [Self::embedded(), Self::mosquitto()]
    }

    pub(crate) fn embedded() -> Self {
        Self::Embedded(mqtt5_broker::spawn().expect("the broker starts"))
    }

    pub(crate) fn mosquitto() -> Self {
        Self::Mosquitto(Box::new(Mosquitto::start()))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        match self {
            Self::Embedded(server) => server.address(),
            Self::Mosquitto(mosquitto) => mosquitto.addr(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.addr())
    }
}
