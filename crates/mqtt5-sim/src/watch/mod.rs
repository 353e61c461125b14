//! Who watches what the referee and the ledger do not: wills, and later what else belongs to no exchange.

pub(crate) mod requests;
mod routes;
mod wills;

use core::cell::{Cell, RefCell};
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
    /// What a client reads now it looks at before it does anything else.
    pub(crate) looked: Cell<bool>,
}

impl Watch {
    pub(crate) fn new(transcript: &Rc<Transcript>) -> Self {
        Self {
            transcript: transcript.clone(),
            wills: RefCell::new(Wills::new(transcript.clone())),
            routes: RefCell::default(),
            requests: RefCell::default(),
            prepared: RefCell::default(),
            looked: Cell::new(true),
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
        let mut wills = self.wills.borrow_mut();
        let mut routes = self.routes.borrow_mut();
        let route = routes.get_mut(&process);
        match (role, sent, packet, route) {
            (Role::Client, false, Packet::Connack(connack), Some(route))
                if connack.reason.is_error() =>
            {
                let retry = Retry::after_connack(connack.reason);
                let named = connack.properties.server_reference();
                route.told(connack.reason, retry, named, self.looked.get());
            }
            (Role::Client, false, Packet::Disconnect(farewell), Some(route)) => {
                let retry = Retry::after_disconnect(farewell.reason);
                let named = farewell.properties.server_reference();
                route.told(farewell.reason, retry, named, self.looked.get());
            }
            (Role::Client, true, Packet::Disconnect(_), Some(route)) => route.leaves(),
            (Role::Client, true, Packet::Connect(connect), Some(route)) => {
                self.check_prepared(process, connect.username);
                let named = connect.username.is_some();
                let right = route.is_trusted().is_none_or(|trusted| trusted == named);
                self.transcript.check(Invariant::Servers, right, || {
                    format!("{process} tells its user name: {named}, to {route:?}")
                });
            }
            _ => {}
        }
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
