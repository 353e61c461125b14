//! Who watches what the referee and the ledger do not: wills, and later what else belongs to no exchange.

mod wills;

use core::cell::RefCell;
use std::rc::Rc;

use mqtt5_client::Instant;
use mqtt5_proto::{Packet, Role};

use crate::hub::ProcessId;
use crate::transcript::Transcript;

pub(crate) use wills::Wills;

/// The watchers of a world.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) wills: RefCell<Wills>,
}

impl Watch {
    pub(crate) fn new(transcript: &Rc<Transcript>) -> Self {
        Self {
            wills: RefCell::new(Wills::new(transcript.clone())),
        }
    }

    /// A packet passes one end of a connection.
    pub(crate) fn observe(
        &self,
        now: Instant,
        process: ProcessId,
        number: u64,
        (role, sent): (Role, bool),
        packet: &Packet<'_>,
    ) {
        let mut wills = self.wills.borrow_mut();
        match (role, sent, packet) {
            (Role::Client, true, Packet::Connect(connect)) => wills.carried(process, connect),
            (Role::Client, true, Packet::Disconnect(farewell)) => {
                wills.says_farewell(process, farewell.reason);
            }
            (Role::Server, false, Packet::Connect(connect)) => {
                wills.asked(now, process.client, number, connect);
            }
            (Role::Server, true, Packet::Connack(connack)) => {
                wills.answered(now, process.client, number, connack);
            }
            (Role::Server, false, Packet::Disconnect(farewell)) => {
                wills.discharged(process.client, number, farewell.reason);
            }
            _ => {}
        }
    }
}
