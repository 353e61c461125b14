//! Clock, timer and sockets of tokio.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use mqtt5_client::Instant;
use mqtt5_client::driver::Host;
use mqtt5_transport::{Pending, Runtime, Socket, TcpSettings};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Sleep, sleep_until};

/// Tokio's clock, so that a runtime whose time is paused pauses this, too.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }
}

impl Host for Clock {
    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }
}

pub(crate) struct Tokio {
    clock: Clock,
    /// Made when it is first needed, which is on the runtime.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Tokio {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, timer: None }
    }
}

impl Runtime for Tokio {
    type Socket = Tcp;

    fn resolve(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }

    fn connect(&self, address: SocketAddr, settings: &TcpSettings) -> Pending<Tcp> {
        let settings = settings.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            settings.apply(&stream)?;
            Ok(Tcp(stream))
        })
    }

    fn arm(&mut self, at: Instant) {
        let at = self.clock.origin + at.saturating_duration_since(Instant::ZERO);
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

pub(crate) struct Tcp(TcpStream);

impl Socket for Tcp {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(space);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn shut_down(&mut self) -> io::Result<()> {
        // A TCP socket never has to wait for that.
        match Pin::new(&mut self.0).poll_shutdown(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
