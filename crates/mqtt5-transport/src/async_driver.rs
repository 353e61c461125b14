//! The driver loop of the adapters whose runtimes poll futures.

mod dialing;
mod piped;
#[cfg(test)]
mod tests;

use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use mqtt5_client::driver::{Action, Attempt, Driver};
use mqtt5_client::{Incoming, Instant, Outgoing};

use crate::{Settings, TcpSettings};
use dialing::Dialing;
use piped::Piped;

/// What a runtime gives to [`AsyncDriver`]: sockets and a timer. It takes no decision.
pub trait Runtime: Unpin {
    /// An open connection.
    type Socket: Socket;

    /// Looks up the addresses of a host name, as the system orders them.
    fn resolve(&self, host: &str, port: u16) -> Pending<Vec<SocketAddr>>;

    /// Connects to one address and applies the settings to the socket then.
    fn connect(&self, address: SocketAddr, settings: &TcpSettings) -> Pending<Self::Socket>;

    /// Sets the only timer there is; it replaces what was set before.
    fn arm(&mut self, at: Instant);

    /// Ready when the time has come for which the timer was [armed](Self::arm) last.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// A connected socket.
pub trait Socket: Unpin {
    /// Reads into the beginning of `space`, which is not empty; 0 is the end of the stream.
    fn poll_read(&mut self, context: &mut Context<'_>, space: &mut [u8])
    -> Poll<io::Result<usize>>;

    /// Writes from the beginning of `slices`, with one call to the system.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Tells the other side that nothing more will be written.
    fn shut_down(&mut self) -> io::Result<()>;
}

/// An operation of a runtime that is under way; dropping it ends it.
pub type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// The loop between a [`Driver`] and a runtime, as a future that ends when the client has stopped.
///
/// All that it knows is in the struct and no byte is on its way in a local variable, so dropping it between two polls
/// loses nothing but the connection. It does a bounded amount of work in each poll and then asks to be polled again.
pub struct AsyncDriver<R: Runtime> {
    driver: Driver,
    runtime: R,
    settings: Settings,
    link: Link<R::Socket>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// How many bytes of `outgoing` were written since the driver was told.
    written: usize,
    /// When the timer fires, if it is armed.
    armed: Option<Instant>,
}

/// Where the transport is in its life.
enum Link<S> {
    Closed,
    /// Boxed, because it is large and soon over.
    Dialing(Box<Dialing<S>>),
    Open(Open<Piped<S>>),
    Leaving(Leaving<Piped<S>>),
}

struct Open<S> {
    attempt: Attempt,
    socket: S,
    /// Nothing can be written any more, but what the other side sent before it closed may still be there.
    is_deaf: bool,
}

/// Nothing more is sent, and what arrives is thrown away.
///
/// Closing a socket that holds unread bytes makes the system send a reset, which can destroy what the other side has not
/// yet read of our last bytes.
struct Leaving<S> {
    attempt: Attempt,
    socket: S,
    until: Instant,
}

/// The other side closed, or the connection failed.
struct Gone;

/// What a turn led to.
enum Next {
    /// There may be more to do now.
    Turn,
    /// Whatever comes next will wake us.
    Sleep,
    /// The client has stopped.
    Finish,
}

impl<R: Runtime> AsyncDriver<R> {
    /// Makes the loop; nothing happens before it is polled.
    pub fn new(driver: Driver, runtime: R, settings: Settings) -> Self {
        Self {
            driver,
            runtime,
            settings,
            link: Link::Closed,
            incoming: Incoming::new(),
            outgoing: Outgoing::new(),
            written: 0,
            armed: None,
        }
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Next {
        let waker = context.waker();
        let reading = self.driver.turn_read(&mut self.incoming, waker);
        let written = mem::take(&mut self.written);
        let turn = self.driver.turn_write(&mut self.outgoing, written, waker);
        if let Some(action) = turn.action {
            return self.obey(action);
        }
        let moved = self.poll_link(context, reading);
        // The link may have come to wait for something else, so its deadline is asked for after it.
        let deadline = [turn.deadline, self.link.deadline()]
            .into_iter()
            .flatten()
            .min();
        if self.poll_timer(context, deadline) | moved {
            Next::Turn
        } else {
            Next::Sleep
        }
    }

    fn obey(&mut self, action: Action) -> Next {
        match action {
            Action::Dial {
                attempt,
                endpoint,
                is_trusted,
            } => {
                let dialing = Dialing::new(attempt, endpoint, is_trusted);
                self.link = Link::Dialing(Box::new(dialing));
            }
            Action::CancelDial(attempt) => {
                if matches!(&self.link, Link::Dialing(dialing) if dialing.attempt == attempt) {
                    self.link = Link::Closed;
                }
            }
            Action::Hangup(attempt) => self.leave(attempt),
            Action::Finish => {
                self.link = Link::Closed;
                return Next::Finish;
            }
        }
        Next::Turn
    }

    fn leave(&mut self, attempt: Attempt) {
        match mem::replace(&mut self.link, Link::Closed) {
            Link::Open(mut open) if open.attempt == attempt => {
                if open.is_deaf || open.socket.shut_down().is_err() {
                    drop(open);
                    return self.driver.handle_closed(attempt);
                }
                let until = self.driver.now() + LEAVE;
                let socket = open.socket;
                self.link = Link::Leaving(Leaving {
                    attempt,
                    socket,
                    until,
                });
            }
            other => self.link = other,
        }
    }

    /// Does what the transport is ready for; tells whether that was anything.
    fn poll_link(&mut self, context: &mut Context<'_>, reading: bool) -> bool {
        let (attempt, polled) = match &mut self.link {
            Link::Closed => return false,
            Link::Dialing(_) => return self.poll_dialing(context),
            Link::Open(open) => {
                let incoming = reading.then_some(&mut self.incoming);
                (
                    open.attempt,
                    open.poll(context, &self.outgoing, &mut self.written, incoming),
                )
            }
            Link::Leaving(leaving) => (leaving.attempt, leaving.poll(context, self.driver.now())),
        };
        if let Poll::Ready(Err(Gone)) = polled {
            self.link = Link::Closed;
            self.written = 0;
            self.driver.handle_closed(attempt);
        }
        polled.is_ready()
    }

    fn poll_dialing(&mut self, context: &mut Context<'_>) -> bool {
        let Link::Dialing(dialing) = &mut self.link else {
            return false;
        };
        let attempt = dialing.attempt;
        let Poll::Ready(dialed) =
            dialing.poll(context, &self.runtime, &self.settings, self.driver.now())
        else {
            return false;
        };
        self.link = Link::Closed;
        match dialed {
            Ok(socket) if self.driver.handle_dialed(attempt) => {
                self.link = Link::Open(Open {
                    attempt,
                    socket,
                    is_deaf: false,
                });
            }
            Ok(_) => {}
            Err(error) => self.driver.handle_dial_failed(attempt, error),
        }
        true
    }

    /// Keeps the timer armed for `deadline` or earlier; tells whether it has fired.
    ///
    /// A deadline that moved away, as those of keep alive do with each packet, leaves the timer alone: it fires once too
    /// early, and the driver says then when it has to fire next.
    fn poll_timer(&mut self, context: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        if let Some(at) = deadline
            && self.armed.is_none_or(|armed| at < armed)
        {
            self.runtime.arm(at);
            self.armed = Some(at);
        }
        let fired = self.armed.is_some() && self.runtime.poll_timer(context).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }
}

impl<S: Socket> Open<S> {
    /// Writes and reads once each; `incoming` is there only if reading is wanted.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        outgoing: &Outgoing,
        written: &mut usize,
        incoming: Option<&mut Incoming>,
    ) -> Poll<Result<(), Gone>> {
        let sent = self
            .poll_write(context, outgoing)
            .map(|count| *written = count);
        let received = match incoming {
            Some(incoming) => self.poll_read(context, incoming),
            // It may be long before reading is wanted again.
            None if self.is_deaf => Poll::Ready(Err(Gone)),
            None => Poll::Pending,
        };
        if received.is_pending() {
            sent.map(Ok)
        } else {
            received
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, outgoing: &Outgoing) -> Poll<usize> {
        if self.is_deaf || outgoing.is_empty() {
            return Poll::Pending;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = outgoing.slices(&mut slices);
        let written = ready!(self.socket.poll_write(context, &slices[..count]));
        self.is_deaf = !matches!(written, Ok(1..));
        Poll::Ready(written.unwrap_or(0))
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        incoming: &mut Incoming,
    ) -> Poll<Result<(), Gone>> {
        Poll::Ready(
            match ready!(self.socket.poll_read(context, incoming.space())) {
                Ok(count @ 1..) => {
                    incoming.filled(count);
                    Ok(())
                }
                _ => Err(Gone),
            },
        )
    }
}

impl<S: Socket> Leaving<S> {
    fn poll(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<Result<(), Gone>> {
        if self.until <= now {
            return Poll::Ready(Err(Gone));
        }
        let mut unwanted = [0; 4096];
        Poll::Ready(
            match ready!(self.socket.poll_read(context, &mut unwanted)) {
                Ok(1..) => Ok(()),
                _ => Err(Gone),
            },
        )
    }
}

impl<S: Socket> Link<S> {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Dialing(dialing) => dialing.deadline(),
            Self::Leaving(leaving) => Some(leaving.until),
            Self::Closed | Self::Open(_) => None,
        }
    }
}

impl<R: Runtime> Future for AsyncDriver<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let driver = self.get_mut();
        for _ in 0..TURNS {
            match driver.turn(context) {
                Next::Turn => {}
                Next::Sleep => return Poll::Pending,
                Next::Finish => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: Runtime> fmt::Debug for AsyncDriver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = match &self.link {
            Link::Closed => "Closed",
            Link::Dialing(_) => "Dialing",
            Link::Open(_) => "Open",
            Link::Leaving(_) => "Leaving",
        };
        f.debug_struct("AsyncDriver")
            .field("link", &link)
            .finish_non_exhaustive()
    }
}

/// How many turns one poll takes at most; each moves up to 128 KiB in each direction.
const TURNS: usize = 16;
/// How many parts of what is to be sent one call to the system takes.
const SLICES: usize = 32;
/// How long the other side has to close when we have said that nothing more comes.
const LEAVE: Duration = Duration::from_millis(500);
