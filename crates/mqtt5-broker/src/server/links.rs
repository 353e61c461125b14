//! The sockets by the numbers of their connections, and whose turn it is to write.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use super::shut_down;
use super::write::Job;
use crate::machine::{Action, Broker};

/// All open sockets.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: HashMap<u64, Link>,
    last_number: u64,
    /// Connections that may have something to do.
    ready: Vec<u64>,
}

#[derive(Debug)]
struct Link {
    stream: Arc<TcpStream>,
    /// Some thread writes: nobody else may, or bytes would get mixed.
    is_writing: bool,
    /// The machine has bytes for it.
    has_bytes: bool,
    /// It is to be closed when everything has been written.
    is_closing: bool,
}

impl Links {
    pub(super) fn add(&mut self, stream: Arc<TcpStream>) -> u64 {
        self.last_number += 1;
        let link = Link {
            stream,
            is_writing: false,
            has_bytes: false,
            is_closing: false,
        };
        self.links.insert(self.last_number, link);
        self.last_number
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.links.remove(&number);
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn shut_down_all(&self) {
        for link in self.links.values() {
            shut_down(&link.stream, Shutdown::Both);
        }
    }

    /// Whether nobody writes and nothing waits to be written.
    pub(super) fn are_idle(&self) -> bool {
        self.links
            .values()
            .all(|link| !link.is_writing && !link.has_bytes)
    }

    /// Takes every action from the machine, and every buffer that nobody writes yet.
    pub(super) fn collect(&mut self, broker: &mut Broker, jobs: &mut Vec<Job>) {
        while let Some(action) = broker.poll_action() {
            let number = action.connection();
            let Some(link) = self.links.get_mut(&number) else {
                continue;
            };
            match action {
                Action::Write(_) => link.has_bytes = true,
                Action::Close(_) => link.is_closing = true,
                Action::Abort(_) => shut_down(&link.stream, Shutdown::Both),
            }
            self.ready.push(number);
        }
        while let Some(number) = self.ready.pop() {
            jobs.extend(self.take_job(broker, number));
        }
    }

    /// The bytes for one connection, if there are any and nobody writes to it; the caller must.
    pub(super) fn take_job(&mut self, broker: &mut Broker, number: u64) -> Option<Job> {
        let link = self.links.get_mut(&number)?;
        if link.is_writing {
            return None;
        }
        if !link.has_bytes {
            if link.is_closing {
                // The client reads to the end and closes; the machine aborts if it does not.
                shut_down(&link.stream, Shutdown::Write);
            }
            return None;
        }
        link.has_bytes = false;
        link.is_writing = true;
        Some(Job::new(
            Arc::clone(&link.stream),
            broker.take_outgoing(number),
        ))
    }

    /// The thread that took a job has finished it.
    pub(super) fn finish(&mut self, number: u64) {
        if let Some(link) = self.links.get_mut(&number) {
            link.is_writing = false;
            self.ready.push(number);
        }
    }
}
