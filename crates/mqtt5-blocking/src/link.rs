//! An open connection, and the writing end of it.

use crate::threads::{Threads, spawn};
use core::sync::atomic::{AtomicBool, Ordering};
use mqtt5_client::Outgoing;
use mqtt5_transport::{SharedPipe, Signal};
use socket2::Socket;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;

/// An open socket, shared by the thread that reads and those that write.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) socket: Arc<Socket>,
    pub(crate) pipe: SharedPipe,
    /// The reader sleeps on it while the engine wants nothing read.
    pub(crate) reader: Arc<Signal>,
    /// The peer was told that nothing more comes; what it still sends is not wanted.
    pub(crate) is_left: AtomicBool,
    /// Nothing can be written any more: a reader that waits to be wanted waits in vain.
    pub(crate) is_cut: AtomicBool,
}

impl Link {
    /// Tells the peer that nothing more comes. The reader goes on until the peer closes: closing a socket that holds unread bytes makes
    /// the system send a reset, which can destroy what the peer has not yet read of our last bytes.
    pub(crate) fn leave(&self) {
        self.is_left.store(true, Ordering::Release);
        self.pipe.close(|slices| send_now(&self.socket, slices));
        // The peer may have been faster.
        let _ = self.socket.shutdown(Shutdown::Write);
        self.reader.raise();
    }

    /// Ends every call that waits for the socket. What has arrived can still be read.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        let _ = self.socket.shutdown(Shutdown::Both);
        self.reader.raise();
    }
}

/// What is being written, and where to. Whoever writes holds its lock, and never waits for the peer while it does.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) outgoing: Outgoing,
    /// Bytes of `outgoing` that were written and that the engine has not been told of.
    pub(crate) written: usize,
    pub(crate) link: Option<Arc<Link>>,
    /// A thread waits for the peer to take some bytes, or the peer will take no more: nobody else may write.
    is_blocked: bool,
}

impl Writer {
    /// From now on bytes go to this link, or nowhere.
    pub(crate) fn attach(&mut self, link: Option<Arc<Link>>) {
        self.link = link;
        self.written = 0;
        self.is_blocked = false;
    }

    /// Writes what the socket takes at once; `true` when that is anything, which `written` counts.
    pub(crate) fn send(&mut self, threads: &Arc<Threads>) -> bool {
        let has_bytes = |link: &Arc<Link>| !self.outgoing.is_empty() || link.pipe.owes();
        let link = self.link.clone().filter(has_bytes);
        let Some(link) = link.filter(|_| !self.is_blocked) else {
            return false;
        };
        let send = |slices: &[IoSlice<'_>]| send_now(&link.socket, slices);
        match link.pipe.write(&self.outgoing, send) {
            Ok(count) => {
                self.written += count;
                return true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.push(threads, &link),
            _ => link.cut(),
        }
        self.is_blocked = true;
        false
    }

    /// Has a thread write the first bytes that may wait for the peer.
    ///
    /// Only a few: the peer's room is looked at again after them, so that one who is slow but alive does not look dead.
    fn push(&self, threads: &Arc<Threads>, link: &Arc<Link>) {
        let part = link.pipe.first(&self.outgoing, PUSH);
        let (threads, pushed) = (threads.clone(), link.clone());
        let started = spawn("mqtt5-push", move || {
            let count = match pushed.socket.send_with_flags(&part, NO_SIGNAL) {
                Ok(count @ 1..) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                _ => return pushed.cut(),
            };
            let mut writer = threads.writer();
            let link = writer.link.as_ref();
            if link.is_some_and(|link| Arc::ptr_eq(link, &pushed)) {
                writer.written += pushed.pipe.sent(count);
                writer.is_blocked = false;
            }
            drop(writer);
            threads.signal.raise();
        });
        if started.is_err() {
            link.cut();
        }
    }
}

/// Writes without waiting.
#[cfg(unix)]
fn send_now(socket: &Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    socket.send_vectored_with_flags(slices, libc::MSG_DONTWAIT | NO_SIGNAL)
}

/// Where a single write cannot be told not to wait, a thread of its own waits for each.
#[cfg(not(unix))]
fn send_now(_: &Socket, _: &[IoSlice<'_>]) -> io::Result<usize> {
    Err(ErrorKind::WouldBlock.into())
}

/// Keeps a closed socket from raising a signal, where the socket itself cannot be told.
#[cfg(all(unix, not(target_vendor = "apple")))]
pub(crate) const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
pub(crate) const NO_SIGNAL: i32 = 0;
/// How many bytes wait for the peer at a time.
const PUSH: usize = 4 << 10;
