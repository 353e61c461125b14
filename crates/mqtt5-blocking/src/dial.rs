//! Opening a socket: name resolution and connecting, each where it may block.

use crate::link::NO_SIGNAL;
use crate::threads::{Threads, spawn};
use core::time::Duration;
use mqtt5_client::{DialError, DialErrorKind, Endpoint};
use mqtt5_transport::{DialReport, SharedPipe, Stack, dial};
use socket2::{Domain, Socket, TcpKeepalive, Type};
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
    socket.set_tcp_nodelay(stack.tcp().nodelay)?;
    if let Some(time) = stack.tcp().keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time))?;
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    socket.set_tcp_user_timeout(stack.tcp().user_timeout)?;
    let (connecting, number) = (socket.clone(), all.len());
    spawn("mqtt5-dial", move || {
        let connected = connecting.connect_timeout(&peer.into(), LIMIT);
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

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt5_transport::Settings;
    use std::net::TcpListener;
    use std::sync::mpsc;

    #[test]
    fn the_settings_reach_the_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let endpoint = "mqtt://127.0.0.1".parse().expect("valid");
        let mut tcp = Settings::default().tcp;
        for (keepalive, user_timeout) in [(None, None), (Some(7), Some(9))] {
            tcp.keepalive = keepalive.map(Duration::from_secs);
            tcp.user_timeout = user_timeout.map(Duration::from_secs);
            let mut settings = Settings::default();
            settings.tcp = tcp.clone();
            let stack = Stack::new(&endpoint, &settings, true).expect("TCP");
            let (mut all, (sender, reports)) = (Vec::new(), mpsc::channel());
            connect(address, &stack, &mut all, sender).expect("a thread");
            assert!(matches!(reports.recv(), Ok(Some(Ok(0)))));
            let socket = all.remove(0);
            assert!(socket.tcp_nodelay().expect("an option"));
            assert_eq!(socket.keepalive().expect("an option"), keepalive.is_some());
            #[cfg(target_os = "linux")]
            {
                let time = socket.tcp_keepalive_time().expect("an option");
                assert_eq!(time == Duration::from_secs(7), keepalive.is_some());
                let timeout = socket.tcp_user_timeout().expect("an option");
                assert_eq!(timeout, tcp.user_timeout);
            }
        }
    }
}
