//! Opening a socket: name resolution and connecting, each where it may block.

use crate::link::NO_SIGNAL;
use crate::threads::{Threads, spawn};
use core::time::Duration;
use mqtt5_client::{DialError, DialErrorKind, Endpoint};
use mqtt5_transport::{DialReport, SharedPipe, Stack, dial};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

/// Both ends of the way on which a dial is told what becomes of it.
pub(crate) type Reports = (Sender<DialReport>, Receiver<DialReport>);
/// An open socket and what its bytes go through; `None` when the dial was given up.
pub(crate) type Outcome = Result<Option<(Arc<Socket>, SharedPipe)>, DialError>;

/// Opens a socket to the endpoint: begins with one address after the other until one answers.
pub(crate) fn open(
    endpoint: &Endpoint,
    is_trusted: bool,
    threads: &Threads,
    reports: &Reports,
) -> Outcome {
    let stack = Stack::new(endpoint, &threads.settings, is_trusted)?;
    let addresses = (stack.host(), stack.port()).to_socket_addrs();
    let addresses = addresses.map_err(|_| DialError::new(DialErrorKind::NameResolution))?;
    let mut sockets = Vec::new();
    let now = || threads.driver.now();
    let begin = |address| connect(address, &stack, &mut sockets, reports.0.clone());
    let dialed = dial(addresses, &reports.1, now, begin);
    let winner = dialed.map(|number| number.map(|number| sockets.swap_remove(number)));
    for socket in sockets {
        // It ends the thread that connects it. Those that have failed are not connected.
        let _ = socket.shutdown(Shutdown::Both);
    }
    let Some(socket) = winner? else {
        return Ok(None);
    };
    socket.set_read_timeout(Some(PATIENCE))?;
    let write = |bytes: &[u8]| socket.send_with_flags(bytes, NO_SIGNAL);
    let pipe = SharedPipe::open(&stack, &*socket, write, &reports.1)?;
    socket.set_read_timeout(None)?;
    Ok(pipe.map(|pipe| (socket, pipe)))
}

/// Starts a thread that connects a socket to the peer and reports.
fn connect(
    peer: SocketAddr,
    stack: &Stack,
    all: &mut Vec<Arc<Socket>>,
    to: Sender<DialReport>,
) -> io::Result<()> {
    let socket = Arc::new(Socket::new(Domain::for_address(peer), Type::STREAM, None)?);
    let (connecting, number, tcp) = (socket.clone(), all.len(), stack.tcp().clone());
    spawn("mqtt5-dial", move || {
        let connected = connecting.connect_timeout(&peer.into(), LIMIT);
        let connected = connected.and_then(|()| tcp.apply(&*connecting));
        drop(connecting);
        let report = connected.map(|()| number).map_err(|error| error.kind());
        // Another address may have been faster.
        let _ = to.send(Some(report));
    })?;
    all.push(socket);
    Ok(())
}

/// As long as systems try by themselves. The engine gives up earlier, and then the socket is shut down.
const LIMIT: Duration = Duration::from_secs(120);
/// How often a handshake looks whether the dial was given up.
const PATIENCE: Duration = Duration::from_millis(100);
