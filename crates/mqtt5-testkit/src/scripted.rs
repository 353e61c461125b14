//! A peer that plays bytes.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock::wait_until;

/// What a [`ScriptedPeer`] does on a connection, step by step.
#[derive(Debug, Clone, Default)]
pub struct Script {
    steps: VecDeque<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Expect(Vec<u8>),
    Skip(usize),
    SkipPacket,
    Send(Vec<u8>),
    UntilClosed,
    NextConnection,
}

impl Script {
    /// Does nothing but accept a connection and close it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads exactly these bytes.
    pub fn expect(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Expect(bytes.into()))
    }

    /// Reads so many bytes, whatever they are.
    pub fn skip(self, bytes: usize) -> Self {
        self.then(Step::Skip(bytes))
    }

    /// Reads one whole packet, whatever is in it.
    pub fn skip_packet(self) -> Self {
        self.then(Step::SkipPacket)
    }

    /// Writes these bytes.
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Reads until the other side closes.
    pub fn until_closed(self) -> Self {
        self.then(Step::UntilClosed)
    }

    /// Closes the connection and accepts the next one. The end of the script closes too.
    pub fn next_connection(self) -> Self {
        self.then(Step::NextConnection)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }
}

/// A listener on the loopback interface that plays a [`Script`] on a thread of its own.
///
/// Each step may take ten seconds. A step that fails closes the connection, so that the other side does not wait.
/// Dropping it ends it, wherever it is.
#[derive(Debug)]
pub struct ScriptedPeer {
    addr: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    player: Option<JoinHandle<Result<Vec<u8>, ScriptError>>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The connection that is played on, to shut it down from outside.
    socket: Option<TcpStream>,
    ending: bool,
}

impl ScriptedPeer {
    /// Listens on a free port.
    ///
    /// # Panics
    ///
    /// When the loopback interface has no free port.
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("the loopback interface has a free port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let mut player = Player {
            listener,
            shared: Arc::clone(&shared),
            socket: None,
            received: Vec::new(),
        };
        Self {
            addr,
            shared,
            player: Some(thread::spawn(move || player.play(script))),
        }
    }

    /// Waits for the end of the script and gives all bytes that were received.
    ///
    /// # Errors
    ///
    /// When the other side did not what the script expects.
    ///
    /// # Panics
    ///
    /// When the thread of the script did.
    pub fn join(mut self) -> Result<Vec<u8>, ScriptError> {
        let player = self.player.take().expect("only this takes it");
        player.join().expect("the script does not panic")
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr)
    }
}

impl Drop for ScriptedPeer {
    fn drop(&mut self) {
        let Some(player) = self.player.take() else {
            return;
        };
        let mut shared = lock(&self.shared);
        shared.ending = true;
        if let Some(socket) = &shared.socket {
            // The other side may have ended it already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(shared);
        let _ = player.join();
    }
}

/// Where a script failed, counted from 0, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// The step, counted from 0.
    pub step: usize,
    /// What it has received in this step.
    pub received: Vec<u8>,
    /// What it should have received, when that was fixed.
    pub expected: Option<Vec<u8>>,
    /// What went wrong below; `None` when bytes arrived and were others.
    pub cause: Option<ErrorKind>,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: ", self.step)?;
        match self.cause {
            Some(ErrorKind::UnexpectedEof) => f.write_str("the other side closed"),
            Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                f.write_str("nothing happened for too long")
            }
            Some(cause) => write!(f, "{cause}"),
            None => f.write_str("other bytes arrived"),
        }?;
        write!(f, "\n  received: {}", Hex(&self.received))?;
        let Some(expected) = &self.expected else {
            return Ok(());
        };
        let same = self
            .received
            .iter()
            .zip(expected)
            .take_while(|(a, b)| a == b)
            .count();
        write!(
            f,
            "\n  expected: {}\n  equal up to byte {same}",
            Hex(expected)
        )
    }
}

impl Error for ScriptError {}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x} "))
    }
}

struct Player {
    listener: TcpListener,
    shared: Arc<Mutex<Shared>>,
    socket: Option<TcpStream>,
    received: Vec<u8>,
}

impl Player {
    fn play(&mut self, mut script: Script) -> Result<Vec<u8>, ScriptError> {
        let outcome = self.play_steps(&mut script);
        self.close();
        outcome.map(|()| std::mem::take(&mut self.received))
    }

    fn play_steps(&mut self, script: &mut Script) -> Result<(), ScriptError> {
        let failed = |step, received: &[u8], expected, cause| ScriptError {
            step,
            received: received.to_vec(),
            expected,
            cause,
        };
        let accepted = self.accept();
        accepted.map_err(|error| failed(0, &[], None, Some(error.kind())))?;
        for (at, step) in script.steps.drain(..).enumerate() {
            let start = self.received.len();
            let outcome = self.play_step(&step);
            let received = &self.received[start..];
            let expected = if let Step::Expect(bytes) = step {
                Some(bytes)
            } else {
                None
            };
            if let Err(error) = outcome {
                return Err(failed(at, received, expected, Some(error.kind())));
            }
            if expected
                .as_ref()
                .is_some_and(|expected| expected != received)
            {
                return Err(failed(at, received, expected, None));
            }
        }
        Ok(())
    }

    fn play_step(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Expect(bytes) => self.read_while_equal(bytes),
            Step::Skip(length) => self.read(*length),
            Step::SkipPacket => self.read_packet(),
            Step::Send(bytes) => self.socket().write_all(bytes),
            Step::UntilClosed => self.read_until_closed(),
            Step::NextConnection => {
                self.close();
                self.accept()
            }
        }
    }

    fn read_while_equal(&mut self, expected: &[u8]) -> io::Result<()> {
        for &byte in expected {
            self.read(1)?;
            if self.received.last() != Some(&byte) {
                // The error shall show what follows, as far as it is there.
                return self.read_available(expected.len());
            }
        }
        Ok(())
    }

    fn read(&mut self, length: usize) -> io::Result<()> {
        for _ in 0..length {
            let mut byte = [0];
            self.socket().read_exact(&mut byte)?;
            self.received.push(byte[0]);
        }
        Ok(())
    }

    fn read_available(&mut self, limit: usize) -> io::Result<()> {
        self.socket().set_nonblocking(true)?;
        let mut bytes = vec![0; limit];
        let read = self.socket().read(&mut bytes).unwrap_or(0);
        self.received.extend_from_slice(&bytes[..read]);
        Ok(())
    }

    /// A type, a length in up to four bytes of seven bits, the lowest first, and so many bytes.
    fn read_packet(&mut self) -> io::Result<()> {
        self.read(1)?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            self.read(1)?;
            let byte = self.received.last().copied().unwrap_or(0);
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return self.read(length);
            }
        }
        Err(ErrorKind::InvalidData.into())
    }

    fn read_until_closed(&mut self) -> io::Result<()> {
        loop {
            match self.read(1) {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                    ) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        let mut outcome = Err(ErrorKind::TimedOut.into());
        wait_until(PATIENCE, || {
            let accepted = self.listener.accept();
            let waiting = matches!(&accepted, Err(error) if error.kind() == ErrorKind::WouldBlock);
            if !waiting {
                outcome = accepted.map(|(socket, _)| socket);
            }
            !waiting || lock(&self.shared).ending
        });
        let socket = outcome?;
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut shared = lock(&self.shared);
        if shared.ending {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        shared.socket = Some(socket.try_clone()?);
        drop(shared);
        self.socket = Some(socket);
        Ok(())
    }

    fn close(&mut self) {
        lock(&self.shared).socket = None;
        self.socket = None;
    }

    fn socket(&mut self) -> &mut TcpStream {
        self.socket
            .as_mut()
            .expect("steps are played between accept and close")
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

const PATIENCE: Duration = Duration::from_secs(10);
