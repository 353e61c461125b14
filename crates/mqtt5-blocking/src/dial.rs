//! Opening a socket: name resolution and connecting, each where it may block.

use crate::threads::{Threads, spawn};
use core::time::Duration;
use mqtt5_client::{DialError, DialErrorKind, Endpoint};
use mqtt5_transport::{StaggeredDial, Step, check_supported};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

/// What a dial is told: the number of the socket that is connected or why one could not be; nothing when it is given up.
pub(crate) type Report = Option<Result<usize, io::ErrorKind>>;
/// Both ends of the way on which it is told.
pub(crate) type Reports = (Sender<Report>, Receiver<Report>);
/// An open socket; `None` when the dial was given up.
pub(crate) type Outcome = Result<Option<Arc<Socket>>, DialError>;

/// Opens a socket to the endpoint: begins with one address after the other until one answers.
pub(crate) fn open(endpoint: &Endpoint, threads: &Threads, reports: &Reports) -> Outcome {
    check_supported(endpoint)?;
    let addresses = (endpoint.host(), endpoint.port()).to_socket_addrs();
    let addresses = addresses.map_err(|_| DialError::new(DialErrorKind::NameResolution))?;
    let mut dial = StaggeredDial::new(addresses);
    let mut sockets = Vec::new();
    let outcome = loop {
        let limit = match dial.poll(threads.driver.now()) {
            Step::Start(address) => {
                if let Err(error) = connect(address, &mut sockets, reports.0.clone()) {
                    dial.handle_failed(error.kind());
                }
                continue;
            }
            Step::Wait { until } => threads.until(until),
            Step::Fail(error) => break Err(error),
        };
        match reports.1.recv_timeout(limit.unwrap_or(Duration::MAX)) {
            Ok(Some(Ok(number))) => break Ok(Some(sockets.swap_remove(number))),
            Ok(Some(Err(error))) => dial.handle_failed(error),
            Ok(None) => break Ok(None),
            // It is time to ask again.
            Err(_) => {}
        }
    };
    for socket in sockets {
        // It ends the thread that connects it. Those that have failed are not connected.
        let _ = socket.shutdown(Shutdown::Both);
    }
    outcome
}

/// Starts a thread that connects a socket to the address and reports.
fn connect(address: SocketAddr, all: &mut Vec<Arc<Socket>>, to: Sender<Report>) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    let socket = Arc::new(socket);
    // Without it a connection works, only slower.
    let _ = socket.set_tcp_nodelay(true);
    let (connecting, number) = (socket.clone(), all.len());
    spawn("mqtt5-dial", move || {
        let connected = connecting.connect_timeout(&address.into(), LIMIT);
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
