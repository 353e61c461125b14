//! Who watches what belongs to no exchange of messages: wills, servers, prepared attempts, requests and their answers.

pub(crate) mod requests;
mod routes;
mod wills;

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mqtt5_client::{Instant, Retry};
use mqtt5_proto::{Packet, Role};

use crate::hub::ProcessId;
use crate::transcript::{Invariant, Transcript};

use requests::Requests;
pub(crate) use routes::Routes;
pub(crate) use wills::Wills;

/// The watchers of a world.
#[derive(Debug)]
pub(crate) struct Watch {
    transcript: Rc<Transcript>,
    pub(crate) wills: RefCell<Wills>,
    pub(crate) routes: RefCell<BTreeMap<ProcessId, Routes>>,
    pub(crate) requests: RefCell<Requests>,
    /// What the application has prepared and no CONNECT has carried: a user name.
    prepared: RefCell<BTreeMap<ProcessId, Option<String>>>,
}

impl Watch {
    pub(crate) fn new(transcript: &Rc<Transcript>) -> Self {
        Self {
            transcript: transcript.clone(),
            wills: RefCell::new(Wills::new(transcript.clone())),
            routes: RefCell::default(),
            requests: RefCell::default(),
            prepared: RefCell::default(),
        }
    }

    /// The application is to prepare each attempt of this process.
    pub(crate) fn asks_first(&self, process: ProcessId) {
        self.declines(process);
    }

    pub(crate) fn prepares(&self, process: ProcessId, name: String) {
        self.prepared.borrow_mut().insert(process, Some(name));
    }

    pub(crate) fn declines(&self, process: ProcessId) {
        self.prepared.borrow_mut().insert(process, None);
    }

    fn check_prepared(&self, process: ProcessId, carried: Option<&str>) {
        if let Some(prepared) = self.prepared.borrow_mut().get_mut(&process) {
            let name = prepared.take();
            let right = name.is_some() && name.as_deref() == carried;
            self.transcript.check(Invariant::Attempts, right, || {
                format!("{process} connects as {carried:?}, and was prepared as {name:?}")
            });
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
        match (role, sent) {
            (Role::Client, true) => self.client_sends(process, packet),
            (Role::Client, false) => self.client_reads(process, packet),
            (Role::Server, _) => self.broker_has(now, process.client, number, packet),
        }
    }

    fn client_sends(&self, process: ProcessId, packet: &Packet<'_>) {
        match packet {
            Packet::Connect(connect) => {
                self.wills.borrow().carried(process, connect);
                self.check_prepared(process, connect.username);
                let routes = self.routes.borrow();
                let trusted = routes.get(&process).and_then(Routes::is_trusted);
                let named = connect.username.is_some();
                let right = trusted.is_none_or(|trusted| trusted == named);
                self.transcript.check(Invariant::Servers, right, || {
                    format!("{process} tells its user name: {named}, the server may know it: {trusted:?}")
                });
            }
            Packet::Disconnect(farewell) => {
                self.wills.borrow().says_farewell(process, farewell.reason);
            }
            _ => {}
        }
    }

    fn client_reads(&self, process: ProcessId, packet: &Packet<'_>) {
        let (reason, retry, properties) = match packet {
            Packet::Connack(connack) if connack.reason.is_error() => {
                let retry = Retry::after_connack(connack.reason);
                (connack.reason, retry, connack.properties)
            }
            Packet::Disconnect(farewell) => {
                let retry = Retry::after_disconnect(farewell.reason);
                (farewell.reason, retry, farewell.properties)
            }
            _ => return,
        };
        if let Some(route) = self.routes.borrow_mut().get_mut(&process) {
            let named = properties.server_reference();
            route.told(reason, retry, named);
        }
    }

    /// The broker has read a packet, or sent one; which is clear from what it is, but for DISCONNECT.
    fn broker_has(&self, now: Instant, client: usize, number: u64, packet: &Packet<'_>) {
        let mut wills = self.wills.borrow_mut();
        match packet {
            Packet::Connect(connect) => wills.asked(now, client, number, connect),
            Packet::Connack(connack) => wills.answered(now, client, number, connack),
            // A server never says 0x00 (3.14.2.1), and nothing else matters here.
            Packet::Disconnect(farewell) => wills.discharged(client, number, farewell.reason),
            _ => {}
        }
    }
}
