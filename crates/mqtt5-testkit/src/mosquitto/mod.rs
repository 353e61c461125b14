//! Mosquitto, one broker for each test.

mod settings;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use crate::TempDir;
use crate::child::{Process, Watchdog};
use crate::lines::Lines;

pub use settings::MosquittoSettings;

/// A running Mosquitto of its own, on a free port of the loopback interface.
///
/// Its files are in a directory of its own. Dropping it ends it and removes them. It also ends when the process of
/// the test is killed, so that it may live in a `static`.
#[derive(Debug)]
pub struct Mosquitto {
    settings: MosquittoSettings,
    port: u16,
    second_port: u16,
    log: Lines,
    /// The first line after the last start.
    first_line: usize,
    // Dropped in this order: nothing may write into the directory while it is removed.
    running: Option<Running>,
    dir: TempDir,
}

#[derive(Debug)]
struct Running {
    _watchdog: Watchdog,
    process: Process,
}

impl Mosquitto {
    /// Starts the normal instance: see [`MosquittoSettings::normal`].
    ///
    /// # Panics
    ///
    /// Like [`MosquittoSettings::start`].
    pub fn start() -> Self {
        MosquittoSettings::normal().start()
    }

    /// Starts the instance that announces limits: see [`MosquittoSettings::tight`].
    ///
    /// # Panics
    ///
    /// Like [`MosquittoSettings::start`].
    pub fn tight() -> Self {
        MosquittoSettings::tight().start()
    }

    fn with(settings: MosquittoSettings) -> Self {
        let mut broker = Self {
            settings,
            port: 0,
            second_port: 0,
            log: Lines::default(),
            first_line: 0,
            running: None,
            dir: TempDir::new(),
        };
        for _ in 0..ATTEMPTS {
            (broker.port, broker.second_port) = (free_port(), free_port());
            if broker.launch() {
                return broker;
            }
        }
        panic!("Mosquitto did not start:\n{}", broker.log());
    }

    /// Ends it the polite way, so that it saves what it keeps. [`Self::restart`] starts it again on the same port, which
    /// meanwhile is free for others.
    pub fn stop(&mut self) {
        if let Some(running) = &mut self.running {
            running.process.terminate();
            running.process.wait(PATIENCE);
        }
        self.kill();
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.running = None;
        self.log.wait_for_end(PATIENCE);
    }

    /// Stops it, when it runs, and starts it on the same port. What it remembers is up to
    /// [`MosquittoSettings::persistent`].
    ///
    /// # Panics
    ///
    /// When it does not start, because something else took the port.
    pub fn restart(&mut self) {
        self.stop();
        let started = self.launch();
        assert!(started, "Mosquitto did not start again:\n{}", self.log());
    }

    /// Waits for a line of its log that contains `text` and comes after its last start.
    ///
    /// The log of each start begins with a connection of ours that sends nothing.
    pub fn wait_for_log(&self, timeout: Duration, text: &str) -> Option<String> {
        self.log
            .wait_for(timeout, self.first_line, |line| line.contains(text))
            .map(|(_, line)| line)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its second listener is, if it was [told](MosquittoSettings::second_listener) to have one.
    pub fn second_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.second_port).into()
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr())
    }

    /// Everything that it has logged, over all its starts.
    pub fn log(&self) -> String {
        self.log.snapshot().join("\n")
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.process.id())
    }

    /// Starts the process; false when it ended before it served the port.
    fn launch(&mut self) -> bool {
        let config = self.dir.path().join("mosquitto.conf");
        let text = self.settings.text(self.port, self.dir.path())
            + &self.settings.second_text(self.second_port);
        fs::write(&config, text).expect("the directory is writable");

        let binary = find_program("mosquitto").unwrap_or_else(|| panic!("{MISSING}"));
        let mut command = Command::new(binary);
        command
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Process::start(&mut command).expect("mosquitto can be executed");
        let watchdog = Watchdog::start(process.id(), self.dir.path()).expect("there is a shell");

        let old_lines = self.log.len();
        self.log
            .follow(process.child().stderr.take().expect("it is piped"));
        self.running = Some(Running {
            _watchdog: watchdog,
            process,
        });
        self.is_serving(old_lines)
    }

    /// Waits until it answers: not only the port, which another process may have taken first, and which the system opens
    /// before Mosquitto's loop can be asked to stop.
    fn is_serving(&mut self, old_lines: usize) -> bool {
        let wait = |from, text: &str| {
            self.log
                .wait_for(PATIENCE, from, |line| line.contains(text))
        };
        let answer = wait(old_lines, "mosquitto version")
            .and_then(|(version, _)| wait(version + 1, "running"))
            .and_then(|(running, _)| {
                drop(TcpStream::connect(self.addr()).ok()?);
                wait(running + 1, PROBE_ENDED).map(|_| running + 1)
            });
        match answer {
            Some(first_line) => self.first_line = first_line,
            None => self.kill(),
        }
        answer.is_some()
    }
}

/// Finds a program: on the path, or where Debian has it and the path of an ordinary user may not lead.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&path).collect();
    directories
        .extend(["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from));
    directories
        .iter()
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .expect("the loopback interface has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// What to do when a program is missing.
pub(crate) const MISSING: &str = "Mosquitto is not installed: run `cargo xtask test` as root, \
    or `apt-get install mosquitto mosquitto-clients`";

const PROBE_ENDED: &str = "Client <unknown> closed its connection";
const ATTEMPTS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(20);
