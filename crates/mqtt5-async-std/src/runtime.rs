//! Clock, timer and sockets of async-io.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_io::{Async, Timer};
use futures_io::{AsyncRead, AsyncWrite};
use mqtt5_client::Instant;
use mqtt5_client::driver::Host;
use mqtt5_transport::{Pending, Runtime, Socket, TcpSettings};

/// The clock: the one place of this crate that reads it.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the adapter is the edge where time enters"
    )]
    pub(crate) fn start() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }
}

impl Host for Clock {
    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }
}

pub(crate) struct AsyncIo {
    clock: Clock,
    timer: Timer,
}

impl AsyncIo {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            timer: Timer::never(),
        }
    }
}

impl Runtime for AsyncIo {
    type Socket = Tcp;

    fn resolve(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>> {
        let host = host.to_owned();
        Box::pin(blocking::unblock(move || {
            Ok((host, port).to_socket_addrs()?.collect())
        }))
    }

    fn connect(&self, address: SocketAddr, settings: &TcpSettings) -> Pending<Tcp> {
        let settings = settings.clone();
        Box::pin(async move {
            let stream = Async::<TcpStream>::connect(address).await?;
            settings.apply(&stream)?;
            Ok(Tcp {
                stream,
                is_drained: false,
            })
        })
    }

    fn arm(&mut self, at: Instant) {
        self.timer
            .set_at(self.clock.origin + at.saturating_duration_since(Instant::ZERO));
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.timer).poll(context).map(drop)
    }
}

pub(crate) struct Tcp {
    stream: Async<TcpStream>,
    /// The last read did not fill its space: the next one would only be told to wait.
    is_drained: bool,
}

impl Socket for Tcp {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_drained {
            ready!(self.stream.poll_readable(context))?;
            self.is_drained = false;
        }
        let count = ready!(Pin::new(&mut self.stream).poll_read(context, space))?;
        self.is_drained = count < space.len();
        Poll::Ready(Ok(count))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn shut_down(&mut self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }
}
