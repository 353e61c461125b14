//! Accepting connections, and reading from them.

use std::io::{ErrorKind, Read as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::write::WRITE_TIMEOUT;
use super::{Shared, shut_down, thread_named};

impl Shared {
    /// Accepts connections until the server stops.
    pub(super) fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let accepted = listener.accept();
            let state = self.lock();
            if state.is_stopping {
                return;
            }
            match accepted {
                Ok((stream, _)) => {
                    drop(state);
                    self.open(stream);
                }
                // Out of descriptors, perhaps: some may be closed meanwhile.
                Err(_) => {
                    let waited = self.timer.wait_timeout(state, ACCEPT_PAUSE);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    fn open(self: &Arc<Self>, stream: TcpStream) {
        // Without these a connection works, only slower.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let stream = Arc::new(stream);
        let mut state = self.lock();
        let number = state.links.add(Arc::clone(&stream));
        state.broker.handle_open(self.clock.now(), number);
        if state.threads.len() > 2 * state.links.len() + 16 {
            state.threads.retain(|thread| !thread.is_finished());
        }
        let shared = Arc::clone(self);
        match thread_named("mqtt5-broker-read", move || shared.read(number, &stream)) {
            Ok(thread) => state.threads.push(thread),
            Err(_) => {
                state.broker.handle_closed(self.clock.now(), number);
                state.links.remove(number);
            }
        }
        self.settle(state);
    }

    /// Waits while a client is slow: its publishers shall not be faster than it, unless it is stuck.
    fn hold_back(&self) {
        let mut state = self.lock();
        while state.broker.is_congested() && !state.is_impatient && !state.is_stopping {
            state.waiting += 1;
            let waited = self.relief.wait_timeout(state, HOLD_BACK);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.waiting -= 1;
            state.is_impatient |= timeout.timed_out();
        }
    }

    /// Reads from one client until it is gone.
    fn read(self: &Arc<Self>, number: u64, stream: &TcpStream) {
        let mut buffer = vec![0; SMALLEST_READ];
        loop {
            let count = match (&*stream).read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let mut state = self.lock();
            let broker = &mut state.broker;
            let before = broker.messages_received();
            broker.handle_received(self.clock.now(), number, &buffer[..count]);
            let is_publisher = broker.messages_received() > before;
            self.settle(state);
            if is_publisher {
                self.hold_back();
            }
            if count == buffer.len() && count < LARGEST_READ {
                buffer.resize(count * 4, 0);
            }
        }
        let mut state = self.lock();
        state.broker.handle_closed(self.clock.now(), number);
        state.links.remove(number);
        shut_down(stream, Shutdown::Both);
        self.settle(state);
    }
}

/// How long publishers wait for a client that is slow before it has to lose QoS 0 messages.
const HOLD_BACK: Duration = Duration::from_secs(1);

/// The buffer of a connection that has little to say, and of one that has much.
const SMALLEST_READ: usize = 4 << 10;
const LARGEST_READ: usize = 64 << 10;

/// How long nothing is accepted after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
