//! Clock, timer and sockets of tokio.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use mqtt5_client::Instant;
use mqtt5_client::driver::Host;
use mqtt5_transport::{Pending, Runtime, Socket, TcpSettings};
use socket2::{SockRef, TcpKeepalive};
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
            set_options(&SockRef::from(&stream), &settings)?;
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

fn set_options(socket: &SockRef<'_>, settings: &TcpSettings) -> io::Result<()> {
    socket.set_tcp_nodelay(settings.nodelay)?;
    if let Some(time) = settings.keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time))?;
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    socket.set_tcp_user_timeout(settings.user_timeout)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    #[test]
    fn the_settings_reach_the_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let settings = mqtt5_transport::Settings::default();
        let mut tcp = settings.tcp;
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let runtime = tokio.block_on(async { Tokio::new(Clock::start()) });
        for (keepalive, user_timeout) in [(None, None), (Some(7), Some(9))] {
            tcp.keepalive = keepalive.map(Duration::from_secs);
            tcp.user_timeout = user_timeout.map(Duration::from_secs);
            let connecting = runtime.connect(address, &tcp);
            let Tcp(stream) = tokio.block_on(connecting).expect("loopback");
            let socket = SockRef::from(&stream);
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
