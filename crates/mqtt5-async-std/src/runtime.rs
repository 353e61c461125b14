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
use socket2::{SockRef, TcpKeepalive};

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
            set_options(&SockRef::from(stream.get_ref()), &settings)?;
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
        let runtime = AsyncIo::new(Clock::start());
        for (keepalive, user_timeout) in [(None, None), (Some(7), Some(9))] {
            tcp.keepalive = keepalive.map(Duration::from_secs);
            tcp.user_timeout = user_timeout.map(Duration::from_secs);
            let connecting = runtime.connect(address, &tcp);
            let Tcp { stream, .. } = async_io::block_on(connecting).expect("loopback");
            let socket = SockRef::from(stream.get_ref());
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
