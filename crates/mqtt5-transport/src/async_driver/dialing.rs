//! From an endpoint to an open socket.

use core::mem;
use core::task::{Context, Poll, ready};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mqtt5_client::driver::Attempt;
use mqtt5_client::{DialError, DialErrorKind, Endpoint, Instant};

use super::piped::Piped;
use super::{Pending, Runtime, Socket};
use crate::{Settings, Stack, StaggeredDial, Step};

/// An attempt to open a transport.
pub(super) struct Dialing<S> {
    pub(super) attempt: Attempt,
    phase: Phase<S>,
}

enum Phase<S> {
    Begin {
        endpoint: Arc<Endpoint>,
        is_trusted: bool,
    },
    Resolving(Stack, Pending<Vec<SocketAddr>>),
    Connecting(Stack, Connecting<S>),
    Opening(Piped<S>),
    Over,
}

/// Several addresses, one of which will do.
struct Connecting<S> {
    dial: StaggeredDial,
    sockets: Vec<Pending<S>>,
    until: Option<Instant>,
}

impl<S: Socket> Dialing<S> {
    pub(super) fn new(attempt: Attempt, endpoint: Arc<Endpoint>, is_trusted: bool) -> Self {
        Self {
            attempt,
            phase: Phase::Begin {
                endpoint,
                is_trusted,
            },
        }
    }

    /// When it must be polled, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Connecting(_, connecting) => connecting.until,
            _ => None,
        }
    }

    pub(super) fn poll<R: Runtime<Socket = S>>(
        &mut self,
        context: &mut Context<'_>,
        runtime: &R,
        settings: &Settings,
        now: Instant,
    ) -> Poll<Result<Piped<S>, DialError>> {
        loop {
            self.phase = match &mut self.phase {
                Phase::Begin {
                    endpoint,
                    is_trusted,
                } => {
                    let stack = Stack::new(endpoint, settings, *is_trusted)?;
                    match stack.host().parse::<IpAddr>() {
                        Ok(address) => {
                            let addresses = [(address, stack.port()).into()];
                            Phase::Connecting(stack, Connecting::new(addresses))
                        }
                        Err(_) => {
                            let addresses = runtime.resolve(stack.host(), stack.port());
                            Phase::Resolving(stack, addresses)
                        }
                    }
                }
                Phase::Resolving(stack, addresses) => {
                    let addresses = ready!(addresses.as_mut().poll(context))
                        .map_err(|_| DialError::new(DialErrorKind::NameResolution))?;
                    Phase::Connecting(stack.clone(), Connecting::new(addresses))
                }
                Phase::Connecting(stack, connecting) => {
                    let socket = ready!(connecting.poll(context, runtime, stack, now))?;
                    Phase::Opening(Piped::new(socket, stack.open()?))
                }
                Phase::Opening(piped) => {
                    ready!(piped.poll_open(context))?;
                    match mem::replace(&mut self.phase, Phase::Over) {
                        Phase::Opening(piped) => return Poll::Ready(Ok(piped)),
                        other => other,
                    }
                }
                Phase::Over => return Poll::Pending,
            };
        }
    }
}

impl<S: Socket> Connecting<S> {
    fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            dial: StaggeredDial::new(addresses),
            sockets: Vec::new(),
            until: None,
        }
    }

    fn poll<R: Runtime<Socket = S>>(
        &mut self,
        context: &mut Context<'_>,
        runtime: &R,
        stack: &Stack,
        now: Instant,
    ) -> Poll<Result<S, DialError>> {
        loop {
            if let Some(socket) = self.poll_sockets(context) {
                return Poll::Ready(Ok(socket));
            }
            match self.dial.poll(now) {
                Step::Start(address) => self.sockets.push(runtime.connect(address, stack.tcp())),
                Step::Wait { until } => {
                    self.until = until;
                    return Poll::Pending;
                }
                Step::Fail(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The first socket that is connected; those that failed are reported and forgotten.
    fn poll_sockets(&mut self, context: &mut Context<'_>) -> Option<S> {
        let mut winner = None;
        self.sockets.retain_mut(|socket| {
            if winner.is_some() {
                return true;
            }
            match socket.as_mut().poll(context) {
                Poll::Pending => return true,
                Poll::Ready(Ok(socket)) => winner = Some(socket),
                Poll::Ready(Err(error)) => self.dial.handle_failed(error.kind()),
            }
            false
        });
        winner
    }
}
