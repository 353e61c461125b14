//! The notes, and how each is told.
//!
//! Neither credentials nor payloads are in them, and what the other side wrote is escaped.

use crate::connection_info::ConnectionInfo;
use crate::engine::Event;
use crate::error::{SubscribeError, UnsubscribeError};
use core::fmt;
use mqtt5_proto::ReasonCode;
use std::sync::Arc;
use tracing::{debug, info, warn};

/// What is to be told, and of which client.
#[derive(Debug)]
pub(crate) struct Log {
    client: Arc<str>,
    records: Vec<Record>,
}

type Results = Vec<(String, ReasonCode)>;

#[derive(Debug)]
enum Record {
    Event(Event),
    Subscribed(Result<Results, SubscribeError>),
    Unsubscribed(Result<Results, UnsubscribeError>),
}

impl Log {
    pub(in crate::engine) fn new(client_id: &str) -> Self {
        Self {
            client: client_id.into(),
            records: Vec::new(),
        }
    }

    pub(in crate::engine) fn event(&mut self, event: &Event) {
        if let Event::Connected(info) = event {
            self.name_client(info);
        }
        self.records.push(Record::Event(event.clone()));
    }

    pub(in crate::engine) fn subscribed(&mut self, result: &Result<Results, SubscribeError>) {
        self.records.push(Record::Subscribed(result.clone()));
    }

    pub(in crate::engine) fn unsubscribed(&mut self, result: &Result<Results, UnsubscribeError>) {
        self.records.push(Record::Unsubscribed(result.clone()));
    }

    /// What was noted since the last time, if anything was.
    pub(crate) fn take(&mut self) -> Option<Self> {
        (!self.records.is_empty()).then(|| Self {
            client: self.client.clone(),
            records: core::mem::take(&mut self.records),
        })
    }

    /// Tells it; the engine must not be locked.
    pub(crate) fn emit(self) {
        let client = &Escaped(&self.client);
        for record in &self.records {
            match record {
                Record::Event(event) => emit_event(client, event),
                Record::Subscribed(Ok(results)) => {
                    debug!(target: TARGET, %client, results = %Listed(results), "subscribed");
                }
                Record::Subscribed(Err(error)) => {
                    warn!(target: TARGET, %client, %error, results = %Listed(error.results()), "subscribe failed");
                }
                Record::Unsubscribed(Ok(results)) => {
                    debug!(target: TARGET, %client, results = %Listed(results), "unsubscribed");
                }
                Record::Unsubscribed(Err(error)) => {
                    warn!(target: TARGET, %client, %error, results = %Listed(error.results()), "unsubscribe failed");
                }
            }
        }
    }

    /// The server may have assigned another name.
    fn name_client(&mut self, info: &ConnectionInfo) {
        if *self.client != *info.client_id() {
            self.client = info.client_id().into();
        }
    }
}

fn emit_event(client: &Escaped<'_>, event: &Event) {
    match event {
        Event::Dialing { attempt, endpoint } => {
            debug!(target: TARGET, %client, %attempt, server = %endpoint, "dialing");
        }
        Event::Connected(connection) => {
            let session_present = connection.session_present();
            let server = connection.endpoint();
            info!(target: TARGET, %client, %server, session_present, "connected");
        }
        Event::ConnectFailed(error) => warn!(target: TARGET, %client, %error, "connecting failed"),
        Event::Disconnected(error) => warn!(target: TARGET, %client, %error, "connection lost"),
        Event::Waiting { attempt, delay } => {
            info!(target: TARGET, %client, next_attempt = %attempt, ?delay, "waiting to reconnect");
        }
        Event::Redirected {
            reason,
            reference,
            followed,
        } => {
            let reference = Escaped(reference);
            info!(target: TARGET, %client, %reason, %reference, followed, "redirected");
        }
        Event::SessionLost => warn!(target: TARGET, %client, "the server has no session any more"),
        Event::Resubscribed { results } => {
            debug!(target: TARGET, %client, results = %Listed(results), "resubscribed");
        }
        Event::ResubscribeFailed { filters, error } => {
            warn!(target: TARGET, %client, ?filters, %error, "resubscribe failed");
        }
        Event::SlowConsumer {
            subscription,
            held,
            dropped,
        } => {
            warn!(target: TARGET, %client, %subscription, held, dropped, "slow consumer");
        }
        Event::ReadingPaused => warn!(target: TARGET, %client, "reading paused"),
        Event::ReadingResumed => info!(target: TARGET, %client, "reading resumed"),
        Event::Unanswered { subscription } => {
            warn!(target: TARGET, %client, %subscription, "message dropped unanswered");
        }
        Event::Stopped => info!(target: TARGET, %client, "stopped"),
        other => debug!(target: TARGET, %client, event = ?other),
    }
}

/// Text that may come from the other side.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_debug().fmt(f)
    }
}

/// Filters, each with its reason code.
struct Listed<'a>(&'a [(String, ReasonCode)]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self
            .0
            .iter()
            .map(|(filter, reason)| (Escaped(filter), reason));
        for (index, (filter, reason)) in pairs.enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{filter}: {reason}")?;
        }
        Ok(())
    }
}

/// The name that filters of subscribers know.
const TARGET: &str = "mqtt5_client";
