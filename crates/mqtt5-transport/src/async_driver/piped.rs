//! A socket and what its bytes go through.

use core::mem;
use core::task::{Context, Poll, Waker, ready};
use std::io::{self, IoSlice};

use mqtt5_client::DialError;

use super::Socket;
use crate::stack::opening_failed;
use crate::{Pipe, StackError};

/// A socket whose bytes are MQTT.
pub(super) struct Piped<S> {
    socket: S,
    /// Boxed, because most have none.
    pipe: Option<Box<Opened>>,
}

struct Opened {
    pipe: Pipe,
    /// So many bytes of MQTT are in what is pending, and the caller has not been told.
    accepted: usize,
}

impl<S: Socket> Piped<S> {
    pub(super) fn new(socket: S, pipe: Option<Pipe>) -> Self {
        let opened = |pipe| Box::new(Opened { pipe, accepted: 0 });
        Self {
            socket,
            pipe: pipe.map(opened),
        }
    }

    /// Ready when MQTT can go through.
    pub(super) fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        let Some(opened) = &mut self.pipe else {
            return Poll::Ready(Ok(()));
        };
        let mut space = [0; 4096];
        while !opened.pipe.is_open() {
            let flushed = ready!(flush(&mut opened.pipe, &mut self.socket, context));
            flushed.map_err(|error| opening_failed(&error))?;
            let read = ready!(self.socket.poll_read(context, &mut space));
            let count = read.map_err(|error| opening_failed(&error))?;
            opened.pipe.receive(&space[..count])?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> Socket for Piped<S> {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(opened) = &mut self.pipe else {
            return self.socket.poll_read(context, space);
        };
        loop {
            let read = opened.pipe.read(space);
            // What the server asked for, or why it is over. Whether it is all written at once matters to nobody here.
            let _ = flush(&mut opened.pipe, &mut self.socket, context)?;
            match read.map_err(failed)? {
                0 => {}
                count => return Poll::Ready(Ok(count)),
            }
            let count = ready!(self.socket.poll_read(context, space))?;
            opened.pipe.receive(&space[..count]).map_err(failed)?;
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(opened) = &mut self.pipe else {
            return self.socket.poll_write(context, slices);
        };
        if opened.accepted == 0 {
            opened.accepted = opened.pipe.write(slices).map_err(failed)?;
        }
        ready!(flush(&mut opened.pipe, &mut self.socket, context))?;
        Poll::Ready(Ok(mem::take(&mut opened.accepted)))
    }

    fn shut_down(&mut self) -> io::Result<()> {
        if let Some(opened) = &mut self.pipe {
            opened.pipe.close();
            // A socket that takes nothing now has more to tell than goodbye.
            let mut context = Context::from_waker(Waker::noop());
            let _ = flush(&mut opened.pipe, &mut self.socket, &mut context)?;
        }
        self.socket.shut_down()
    }
}

/// Ready when nothing is pending.
fn flush(
    pipe: &mut Pipe,
    socket: &mut impl Socket,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !pipe.pending().is_empty() {
        match ready!(socket.poll_write(context, &[IoSlice::new(pipe.pending())]))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => pipe.sent(count),
        }
    }
    Poll::Ready(Ok(()))
}

fn failed(error: StackError) -> io::Error {
    io::Error::other(error)
}
