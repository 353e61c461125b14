//! The listener: a broker on TCP sockets, with threads of the standard library and no runtime.
//!
//! One thread accepts, one sleeps until the next deadline, and one for each connection reads. The machine is behind one
//! mutex that is held while a batch of received bytes is handled and never while a socket is read or written. Who
//! produced output writes it, all packets for a connection with one call; a client that takes nothing for a while gets a
//! thread of its own for that, which ends when the client has caught up.

mod links;
mod read;
mod write;

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mqtt5_proto::Instant;

use crate::clock::Clock;
use crate::config::Config;
use crate::faults::{Farewell, Fault};
use crate::machine::Broker;
use crate::statistics::Statistics;
use links::Links;

/// Starts a broker on a free port of the loopback interface, with the default [`Config`].
///
/// # Errors
///
/// What the operating system says when it gives no socket or no thread.
pub fn spawn() -> io::Result<Server> {
    Broker::new(Config::default()).spawn_thread()
}

/// A broker that listens on a TCP port until this value is dropped.
///
/// Dropping it tells every client that the server shuts down (0x8B), closes all sockets and waits for all threads.
///
/// ```
/// let broker = mqtt5_broker::spawn()?;
/// assert!(broker.url().starts_with("mqtt://127.0.0.1:"));
/// drop(broker); // nothing listens on the port any more
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
    timekeeper: Option<JoinHandle<()>>,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the thread that waits for the next deadline.
    timer: Condvar,
    /// Wakes threads that hold back publishers while a client is slow.
    relief: Condvar,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    broker: Broker,
    links: Links,
    /// Threads of connections, ended ones possibly included.
    threads: Vec<JoinHandle<()>>,
    /// The deadline that the timer thread sleeps for.
    sleeping_until: Option<Instant>,
    /// How many threads hold back publishers, or wait for the last packets to be written.
    waiting: usize,
    /// A client has been slow for so long that publishers do not wait for it any more.
    is_impatient: bool,
    is_stopping: bool,
}

impl Broker {
    /// Starts this broker on a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// What the operating system says when it gives no socket or no thread.
    pub fn spawn_thread(self) -> io::Result<Server> {
        self.listen((Ipv4Addr::LOCALHOST, 0))
    }

    /// Starts this broker on an address; port 0 chooses a free one.
    ///
    /// Everybody who can reach the address can connect, unless [`Config::access`] says otherwise.
    ///
    /// # Errors
    ///
    /// What the operating system says, such as that the port is in use.
    pub fn listen(self, address: impl ToSocketAddrs) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                broker: self,
                links: Links::default(),
                threads: Vec::new(),
                sleeping_until: None,
                waiting: 0,
                is_impatient: false,
                is_stopping: false,
            }),
            timer: Condvar::new(),
            relief: Condvar::new(),
            clock: Clock::start(),
        });
        let mut server = Server {
            shared,
            address,
            acceptor: None,
            timekeeper: None,
        };
        let shared = Arc::clone(&server.shared);
        server.timekeeper = Some(thread_named("mqtt5-broker-timer", move || {
            shared.keep_time();
        })?);
        let shared = Arc::clone(&server.shared);
        let accept = move || shared.accept(&listener);
        server.acceptor = Some(thread_named("mqtt5-broker-accept", accept)?);
        Ok(server)
    }
}

impl Server {
    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address for clients on this machine: `mqtt://127.0.0.1:` and the port, unless another address was chosen.
    pub fn url(&self) -> String {
        format!("mqtt://{}", reachable(self.address))
    }

    /// What there is and what has happened.
    pub fn statistics(&self) -> Statistics {
        self.shared.lock().broker.statistics()
    }

    /// Sends a client DISCONNECT with this reason and closes its connection; false when it has none.
    ///
    /// See [`Broker::disconnect`].
    pub fn disconnect(&self, client_id: &str, farewell: impl Into<Farewell>) -> bool {
        self.command(|broker, now| broker.disconnect(now, client_id, farewell))
    }

    /// Makes something go wrong on purpose.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().broker.inject(fault);
    }

    /// Forgets all rules of what goes wrong; see [`Broker::clear_faults`].
    pub fn clear_faults(&self) {
        self.shared.lock().broker.clear_faults();
    }

    /// Closes the connection of a client without a word, as a broken network does; false when it has none.
    pub fn cut(&self, client_id: &str) -> bool {
        self.command(|broker, now| broker.cut(now, client_id))
    }

    /// Ends a session and cuts its connection, so that the client finds Session Present 0; false when there is none.
    pub fn forget(&self, client_id: &str) -> bool {
        self.command(|broker, now| broker.forget(now, client_id))
    }

    /// Stops without telling the clients, as a crash does.
    pub fn abort(mut self) {
        self.stop(false);
    }

    fn command(&self, command: impl FnOnce(&mut Broker, Instant) -> bool) -> bool {
        let mut state = self.shared.lock();
        let outcome = command(&mut state.broker, self.shared.clock.now());
        self.shared.settle(state);
        outcome
    }

    fn stop(&mut self, says_goodbye: bool) {
        let mut state = self.shared.lock();
        state.is_stopping = true;
        if says_goodbye {
            state.broker.shut_down(self.shared.clock.now());
        }
        self.shared.settle(state);
        self.shared.timer.notify_all();
        self.shared.finish_writing();
        if let Some(acceptor) = self.acceptor.take() {
            // It waits for a connection: this is one.
            drop(TcpStream::connect(reachable(self.address)));
            let _ = acceptor.join();
        }
        if let Some(timekeeper) = self.timekeeper.take() {
            let _ = timekeeper.join();
        }
        self.shared.lock().links.shut_down_all();
        loop {
            let Some(thread) = self.shared.lock().threads.pop() else {
                return;
            };
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(true);
    }
}

impl Shared {
    /// The state, whatever happened to the thread that had it last.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until others have written what they had begun to write, within limits.
    fn finish_writing(&self) {
        let end = self.clock.now() + LAST_WRITES;
        let mut state = self.lock();
        self.relief.notify_all();
        while !state.links.are_idle() && self.clock.now() < end {
            state.waiting += 1;
            let waited = self.relief.wait_timeout(state, self.clock.until(end));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }

    /// Calls the machine when a deadline has come, until the server stops.
    fn keep_time(self: &Arc<Self>) {
        let mut state = self.lock();
        while !state.is_stopping {
            let deadline = state.broker.poll_timeout().map(|(at, _)| at);
            let now = self.clock.now();
            if deadline.is_some_and(|at| at <= now) {
                state.broker.handle_timeout(now);
                self.settle(state);
                state = self.lock();
                continue;
            }
            state.sleeping_until = deadline;
            state = match deadline {
                None => self
                    .timer
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let waited = self.timer.wait_timeout(state, self.clock.until(at));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl State {
    /// Whether somebody waits for what has come.
    fn must_wake_waiting(&self) -> bool {
        self.waiting > 0 && (self.is_stopping || !self.broker.is_congested())
    }

    /// Whether the thread that keeps time sleeps for too long.
    fn must_wake_timer(&self) -> bool {
        match (self.broker.poll_timeout(), self.sleeping_until) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some((at, _)), Some(sleeping_until)) => at < sleeping_until,
        }
    }
}

/// The address to connect to in order to reach a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        reachable.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    reachable
}

/// Starts a thread with a small stack, so that a thousand of them cost little.
fn thread_named(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(run)
}

/// Closes a socket in both directions, which ends every call that waits for it.
fn shut_down(stream: &TcpStream, how: Shutdown) {
    // The peer may have been faster.
    let _ = stream.shutdown(how);
}

const STACK: usize = 256 << 10;

/// How long a server that stops waits for the last packets to be written.
const LAST_WRITES: Duration = Duration::from_secs(1);
