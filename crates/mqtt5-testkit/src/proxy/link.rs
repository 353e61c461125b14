//! One connection through the proxy, and the thread of each direction.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use super::{Direction, Shared, Way};
use crate::clock::pause;

/// The two sockets of a connection.
#[derive(Debug)]
pub(super) struct Link {
    client: TcpStream,
    broker: TcpStream,
    cut: AtomicBool,
    directions: AtomicU8,
}

impl Link {
    pub(super) fn new(client: TcpStream, broker: TcpStream) -> io::Result<Self> {
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        Ok(Self {
            client,
            broker,
            cut: AtomicBool::new(false),
            directions: AtomicU8::new(2),
        })
    }

    /// Ends the connection on both sides; what blocks in a read or write of it returns.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        for socket in [&self.client, &self.broker] {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    fn ends(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::ToBroker => (&self.client, &self.broker),
            Direction::ToClient => (&self.broker, &self.client),
        }
    }
}

/// Forwards in one direction until its end, and then lets the other direction run to its own.
pub(super) fn pump(link: &Arc<Link>, direction: Direction, shared: &Shared) {
    let (_, to) = link.ends(direction);
    let ended = match forward(link, direction, shared) {
        Ok(()) => to.shutdown(Shutdown::Write),
        Err(error) => Err(error),
    };
    let was_last = link.directions.fetch_sub(1, Ordering::Relaxed) == 1;
    if ended.is_err() || was_last {
        link.cut();
        let mut state = shared.lock();
        state.links.retain(|other| !Arc::ptr_eq(other, link));
        // The other direction may wait in a stall.
        shared.changed.notify_all();
    }
}

/// Forwards until the sender ends its side.
fn forward(link: &Link, direction: Direction, shared: &Shared) -> io::Result<()> {
    let (mut from, mut to) = link.ends(direction);
    let mut buffer = [0; 16 * 1024];
    loop {
        let received = match from.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            received => received?,
        };
        let mut rest = &buffer[..received];
        loop {
            let grant = shared.permit(link, direction, rest.len())?;
            to.write_all(&rest[..grant.bytes])?;
            shared.lock().ways[direction as usize].forwarded += grant.bytes as u64;
            if grant.is_last {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            rest = &rest[grant.bytes..];
            if rest.is_empty() {
                break;
            }
            pause(SPACING);
        }
        if received == 0 {
            return Ok(());
        }
    }
}

/// What may be written now.
struct Grant {
    bytes: usize,
    /// The connection is to be cut after these bytes.
    is_last: bool,
}

impl Shared {
    /// Waits while the direction is stalled, then tells how many of `wanted` bytes may be written now.
    ///
    /// # Errors
    ///
    /// When the link is cut, or is to be cut before the next byte.
    fn permit(&self, link: &Link, direction: Direction, wanted: usize) -> io::Result<Grant> {
        let at = direction as usize;
        let waiting = self.changed.wait_while(self.lock(), |state| {
            state.ways[at].stalled && !link.is_cut()
        });
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        if link.is_cut() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let one_by_one = self.dribbling.load(Ordering::Relaxed);
        let bytes = if one_by_one { wanted.min(1) } else { wanted };
        state.ways[at].spend(bytes)
    }
}

impl Way {
    /// Takes bytes from the allowance, when there is one. The one who takes the last is the one to be cut.
    fn spend(&mut self, wanted: usize) -> io::Result<Grant> {
        let Some(allowance) = self.allowance.filter(|_| wanted > 0) else {
            return Ok(Grant {
                bytes: wanted,
                is_last: false,
            });
        };
        let bytes = wanted.min(usize::try_from(allowance).unwrap_or(usize::MAX));
        let left = allowance - bytes as u64;
        self.allowance = Some(left).filter(|&left| left > 0);
        if bytes == 0 {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(Grant {
            bytes,
            is_last: left == 0,
        })
    }
}

const SPACING: Duration = Duration::from_micros(100);
