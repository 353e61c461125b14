//! A link that misbehaves on request.

mod link;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use link::Link;

/// A way through a [`Proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the broker.
    ToBroker,
    /// From the broker to the client.
    ToClient,
}

/// A TCP proxy on the loopback interface, between a client and a broker.
///
/// It forwards until it is told otherwise; each setting holds for connections that exist and for those to come.
/// Dropping it ends every connection and all its threads.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// What the threads of a proxy have in common.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// A stalled direction may go on, or a link was cut.
    changed: Condvar,
    dribbling: AtomicBool,
    accepted: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    links: Vec<Arc<Link>>,
    threads: Vec<JoinHandle<()>>,
    ways: [Way; 2],
    refusing: bool,
    ending: bool,
}

/// The state of a direction, over all connections.
#[derive(Debug, Default)]
struct Way {
    stalled: bool,
    forwarded: u64,
    /// How many more bytes until the cut.
    allowance: Option<u64>,
}

impl Proxy {
    /// Starts a proxy to `broker` on a free port. It connects to the broker anew for each client.
    ///
    /// # Panics
    ///
    /// When the loopback interface has no free port.
    pub fn start(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("the loopback interface has a free port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, broker, &shared)
        });
        Self {
            addr,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Ends every connection now, on both sides. Later ones are not affected.
    pub fn cut(&self) {
        let state = self.shared.lock();
        state.links.iter().for_each(|link| link.cut());
        self.shared.changed.notify_all();
    }

    /// Cuts a connection once, when `bytes` more bytes have been forwarded in this direction: counted from this call,
    /// over all connections. These bytes still arrive, as long as the receiver reads; with 0 the cut comes instead of the
    /// next byte. Connections made after the cut are not affected.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.shared.lock().ways[direction as usize].allowance = Some(bytes);
    }

    /// Stops to forward in this direction, and keeps everything open; or goes on. The sender notices nothing until
    /// its socket is full, and an end of the connection waits too.
    pub fn stall(&self, direction: Direction, stalled: bool) {
        self.shared.lock().ways[direction as usize].stalled = stalled;
        self.shared.changed.notify_all();
    }

    /// Forwards one byte at a time, about ten thousand a second.
    pub fn dribble(&self, dribbling: bool) {
        self.shared.dribbling.store(dribbling, Ordering::Relaxed);
    }

    /// Closes new connections as soon as they are accepted.
    pub fn refuse(&self, refusing: bool) {
        self.shared.lock().refusing = refusing;
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where clients connect, as a URL.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr)
    }

    /// How many connections clients have made, refused ones included.
    pub fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.lock().links.len()
    }

    /// How many bytes have been forwarded in this direction, over all connections.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.lock().ways[direction as usize].forwarded
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let threads = {
            let mut state = self.shared.lock();
            state.ending = true;
            std::mem::take(&mut state.threads)
        };
        self.cut();
        // The acceptor looks at `ending` after each connection. When this one fails, it has ended already.
        let _ = TcpStream::connect(self.addr);
        for thread in threads.into_iter().chain(self.acceptor.take()) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, broker: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.lock().ending {
            return;
        }
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        // A client that went away, or a broker that does not answer: for the client the connection ends.
        let _ = client.and_then(|client| join(client, broker, shared));
    }
}

/// Connects a client with the broker, unless new connections are refused.
fn join(client: TcpStream, broker: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    if shared.lock().refusing {
        return Ok(());
    }
    let link = Arc::new(Link::new(client, TcpStream::connect(broker)?)?);
    let mut state = shared.lock();
    if state.ending {
        return Ok(());
    }
    state.threads.retain(|thread| !thread.is_finished());
    state.links.push(Arc::clone(&link));
    for direction in [Direction::ToBroker, Direction::ToClient] {
        let (link, shared) = (Arc::clone(&link), Arc::clone(shared));
        state
            .threads
            .push(thread::spawn(move || link::pump(&link, direction, &shared)));
    }
    Ok(())
}
