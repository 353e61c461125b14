//! A socket and what its bytes go through.

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
            flushed.map_err(|error| opening_failed(Err(error)))?;
            let read = ready!(self.socket.poll_read(context, &mut space));
            let count = read.map_err(|error| opening_failed(Err(error)))?;
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
            // What the server asked for, or why it is over. If it cannot be written, what was read still counts.
            let _ = flush(&mut opened.pipe, &mut self.socket, context);
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
        let before = opened.pipe.pending().len();
        let flushed = flush(&mut opened.pipe, &mut self.socket, context)?;
        let sent = before - opened.pipe.pending().len();
        match opened.pipe.written(sent, &mut opened.accepted) {
            0 if flushed.is_pending() => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
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

#[cfg(all(test, feature = "websocket"))]
mod tests {
    use super::*;
    use crate::{Settings, Stack};
    use tungstenite::handshake::derive_accept_key;

    /// Gives what is there, and takes a few bytes each time that it is told to.
    #[derive(Default)]
    struct Slow {
        given: Vec<u8>,
        taken: Vec<u8>,
        room: usize,
        is_broken: bool,
    }

    impl Socket for Slow {
        fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
            if self.given.is_empty() {
                return Poll::Pending;
            }
            let count = self.given.len().min(space.len());
            space[..count].copy_from_slice(&self.given[..count]);
            self.given.drain(..count);
            Poll::Ready(Ok(count))
        }

        fn poll_write(
            &mut self,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            if self.is_broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let count = self.room.min(slices[0].len());
            if count == 0 {
                return Poll::Pending;
            }
            self.taken.extend(&slices[0][..count]);
            self.room -= count;
            Poll::Ready(Ok(count))
        }

        fn shut_down(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn open(context: &mut Context<'_>) -> Piped<Slow> {
        let endpoint = "ws://h".parse().expect("a URL");
        let stack = Stack::new(&endpoint, &Settings::default(), true).expect("supported");
        let socket = Slow {
            room: usize::MAX,
            ..Slow::default()
        };
        let mut piped = Piped::new(socket, stack.open().expect("valid"));
        assert!(piped.poll_open(context).is_pending());
        let request = String::from_utf8(piped.socket.taken.split_off(0)).expect("text");
        let (_, key) = request.split_once("Sec-WebSocket-Key: ").expect("a key");
        let accept = derive_accept_key(key.lines().next().expect("a line").as_bytes());
        let answer = format!(
            "HTTP/1.1 101 _\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        piped.socket.given = answer.into_bytes();
        assert!(piped.poll_open(context).is_ready());
        piped
    }

    #[test]
    fn a_slow_socket_is_seen_to_move_and_the_last_byte_is_told_last() {
        let mut context = Context::from_waker(Waker::noop());
        let mut piped = open(&mut context);
        let bytes = [7; 1000];
        let mut told = 0;
        piped.socket.room = 0;
        for _ in 0..300 {
            let poll = piped.poll_write(&mut context, &[IoSlice::new(&bytes[told..])]);
            match poll.map(Result::unwrap) {
                Poll::Ready(count) => told += count,
                Poll::Pending => piped.socket.room = 10,
            }
            let taken = piped.socket.taken.len();
            assert!(told <= taken && taken <= told + 20, "{told} of {taken}");
            // Two bytes, two of the length, four of the mask.
            assert_eq!(told == bytes.len(), taken == bytes.len() + 8);
            if told == bytes.len() {
                return;
            }
        }
        panic!("{told} were told");
    }

    #[test]
    fn what_was_read_counts_when_its_answer_cannot_be_written() {
        let mut context = Context::from_waker(Waker::noop());
        let mut piped = open(&mut context);
        piped.socket.is_broken = true;
        piped.socket.given = b"\x89\x01!\x82\x02\xe0\0".to_vec();
        let mut space = [0; 16];
        let read = piped.poll_read(&mut context, &mut space);
        assert!(matches!(read, Poll::Ready(Ok(2))), "{read:?}");
        assert_eq!(space[..2], *b"\xe0\0");
    }
}
