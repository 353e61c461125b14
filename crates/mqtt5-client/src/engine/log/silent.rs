//! Without the feature `tracing` nothing is noted, and nothing costs anything.

use crate::engine::Event;
use crate::error::{SubscribeError, UnsubscribeError};
use mqtt5_proto::ReasonCode;

#[derive(Debug)]
pub(crate) struct Log;

impl Log {
    pub(in crate::engine) fn new(_client_id: &str) -> Self {
        Self
    }

    pub(in crate::engine) fn event(&mut self, _event: &Event) {}

    pub(in crate::engine) fn subscribed(
        &mut self,
        _result: &Result<Vec<(String, ReasonCode)>, SubscribeError>,
    ) {
    }

    pub(in crate::engine) fn unsubscribed(
        &mut self,
        _result: &Result<Vec<(String, ReasonCode)>, UnsubscribeError>,
    ) {
    }

    pub(crate) fn take(&mut self) -> Option<Self> {
        None
    }

    pub(crate) fn emit(self) {}
}
