//! What an adapter needs whose threads block.

use std::io::{self, IoSlice, Read};
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqtt5_client::{DialError, Instant, Outgoing};

use crate::stack::opening_failed;
use crate::{Pipe, Stack, StaggeredDial, Step};

/// What a dial is told: the number of the address that is connected or why one could not be, counted from 0 in the order in
/// which they were begun; nothing when it is given up.
pub type DialReport = Option<Result<usize, io::ErrorKind>>;

/// Begins with one address after the other until one answers; gives its number, or nothing when it was given up.
///
/// # Errors
///
/// Why none can be reached.
pub fn dial(
    addresses: impl IntoIterator<Item = SocketAddr>,
    reports: &Receiver<DialReport>,
    now: impl Fn() -> Instant,
    mut connect: impl FnMut(SocketAddr) -> io::Result<()>,
) -> Result<Option<usize>, DialError> {
    let mut dial = StaggeredDial::new(addresses);
    loop {
        let limit = match dial.poll(now()) {
            Step::Start(address) => {
                if let Err(error) = connect(address) {
                    dial.handle_failed(error.kind());
                }
                continue;
            }
            Step::Wait { until } => until.map(|until| until.saturating_duration_since(now())),
            Step::Fail(error) => return Err(error),
        };
        match reports.recv_timeout(limit.unwrap_or(Duration::MAX)) {
            Ok(Some(Ok(number))) => return Ok(Some(number)),
            Ok(Some(Err(error))) => dial.handle_failed(error),
            Ok(None) => return Ok(None),
            // It is time to ask again.
            Err(_) => {}
        }
    }
}

/// What the threads that read and write share: the [`Pipe`] of a stack, if there is any.
#[derive(Debug)]
pub struct SharedPipe(Option<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    pipe: Pipe,
    /// So many bytes of MQTT are in what is pending, and the engine has not been told.
    accepted: usize,
}

impl SharedPipe {
    /// Opens the stack on a connected socket, by `read`, which ends after a while, and `write`; `None` when it was given up
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened.
    pub fn open(
        stack: &Stack,
        mut socket: impl Read,
        write: impl Fn(&[u8]) -> io::Result<usize>,
        reports: &Receiver<DialReport>,
    ) -> Result<Option<Self>, DialError> {
        let Some(mut pipe) = stack.open()? else {
            return Ok(Some(Self(None)));
        };
        let mut space = [0; 4096];
        while !pipe.is_open() {
            while !pipe.pending().is_empty() {
                match write(pipe.pending()) {
                    Ok(count @ 1..) => pipe.sent(count),
                    Err(error) if is_later(error.kind()) => {}
                    written => return Err(opening_failed(written)),
                }
            }
            match socket.read(&mut space) {
                Ok(count) => pipe.receive(&space[..count])?,
                Err(error) if is_later(error.kind()) => {}
                read => return Err(opening_failed(read)),
            }
            if reports.try_iter().any(|report| report.is_none()) {
                return Ok(None);
            }
        }
        let shared = Shared { pipe, accepted: 0 };
        Ok(Some(Self(Some(Mutex::new(shared)))))
    }

    /// Whether something is to be written that is no MQTT, such as an answer to the server.
    pub fn owes(&self) -> bool {
        self.lock()
            .is_some_and(|shared| !shared.pipe.pending().is_empty())
    }

    /// Reads bytes of MQTT from the socket, with one call of it at most; 0 is the end.
    ///
    /// # Errors
    ///
    /// [`Interrupted`](io::ErrorKind::Interrupted) when what was read holds no MQTT, those of the socket, and a [`StackError`](crate::StackError).
    pub fn read(&self, mut socket: impl Read, space: &mut [u8]) -> io::Result<usize> {
        let Some(mut shared) = self.lock() else {
            return socket.read(space);
        };
        let count = shared.pipe.read(space).map_err(io::Error::other)?;
        if count > 0 {
            return Ok(count);
        }
        drop(shared);
        let count = socket.read(space)?;
        let Some(mut shared) = self.lock() else {
            return Ok(count);
        };
        shared
            .pipe
            .receive(&space[..count])
            .map_err(io::Error::other)?;
        match shared.pipe.read(space).map_err(io::Error::other)? {
            0 => Err(io::ErrorKind::Interrupted.into()),
            count => Ok(count),
        }
    }

    /// Gives `write` what is to be written, and tells how many bytes of `outgoing` are written with it: perhaps 0.
    ///
    /// # Errors
    ///
    /// Those of `write`; [`WriteZero`](io::ErrorKind::WriteZero) when it writes nothing.
    pub fn write(
        &self,
        outgoing: &Outgoing,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let written = match self.lock() {
            None => {
                let count = outgoing.slices(&mut slices);
                write(&slices[..count])?
            }
            Some(mut shared) => {
                shared.accept(outgoing);
                write(&[IoSlice::new(shared.pipe.pending())])?
            }
        };
        match written {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(self.sent(written)),
        }
    }

    /// A copy of the first bytes that are to be written, at most `limit`; [`sent`](Self::sent) is told of them.
    pub fn first(&self, outgoing: &Outgoing, limit: usize) -> Vec<u8> {
        let shared = self.lock();
        let first = match &shared {
            None => outgoing.first(),
            Some(shared) => shared.pipe.pending(),
        };
        first[..first.len().min(limit)].to_vec()
    }

    /// So many bytes were written to the socket; tells how many bytes of MQTT are written with them.
    pub fn sent(&self, count: usize) -> usize {
        let Some(mut shared) = self.lock() else {
            return count;
        };
        let Shared { pipe, accepted } = &mut *shared;
        pipe.sent(count);
        pipe.written(count, accepted)
    }

    /// Gives `write` the goodbye of the pipe, if nothing else is still to be written.
    pub fn close(&self, write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>) {
        if let Some(mut shared) = self
            .lock()
            .filter(|shared| shared.pipe.pending().is_empty())
        {
            shared.pipe.close();
            // A socket that takes nothing now has more to tell than that.
            let _ = write(&[IoSlice::new(shared.pipe.pending())]);
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Shared>> {
        let shared = self.0.as_ref()?;
        Some(shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    /// Takes MQTT into the pipe, unless there is some in it; one that has failed may still have to say why.
    fn accept(&mut self, outgoing: &Outgoing) {
        if self.accepted == 0 && !outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = outgoing.slices(&mut slices);
            self.accepted = self.pipe.write(&slices[..count]).unwrap_or(0);
        }
    }
}

fn is_later(error: io::ErrorKind) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error, Interrupted | TimedOut | WouldBlock)
}

/// How many parts of what is to be sent one write takes.
const SLICES: usize = 32;
