//! A subscription as it is asked for, and how it behaves.

use super::{AckMode, Bound, Overflow};
use crate::engine::Behaviour;
use crate::error::{Detail, SubscribeError, SubscribeErrorKind};
use crate::filter::Filter;
use crate::properties::PropertyList;
use mqtt5_proto::{Property, TopicError};
use std::collections::HashMap;

/// A subscription that is there before the first connection; see [`Options::declare`](crate::Options::declare). A filter alone is one.
///
/// ```
/// use mqtt5_client::{AckMode, Declared, Filter, OnDrop, Options, QoS};
///
/// let jobs = Declared::new(Filter::new("jobs/#").qos(QoS::AtLeastOnce)).ack_mode(AckMode::Manual { on_drop: OnDrop::Hold });
/// let options = Options::new("mqtt://localhost").client_id("worker-1").declare(jobs).declare("news");
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone, Debug)]
#[must_use = "a declared subscription does nothing until it is given to `Options::declare`"]
pub struct Declared {
    pub(crate) filters: Vec<Filter>,
    pub(crate) properties: PropertyList,
    bound: Option<Bound>,
    overflow: Option<Overflow>,
    ack_mode: Option<AckMode>,
    observed_drops: usize,
}

impl Declared {
    /// Starts with one filter.
    pub fn new(filter: impl Into<Filter>) -> Self {
        Self::of(vec![filter.into()])
    }

    pub(crate) fn of(filters: Vec<Filter>) -> Self {
        Self {
            filters,
            properties: PropertyList::default(),
            bound: None,
            overflow: None,
            ack_mode: None,
            observed_drops: 0,
        }
    }

    /// Adds another filter to the same packet; one subscription receives for all of them.
    pub fn and(mut self, filter: impl Into<Filter>) -> Self {
        self.filters.push(filter.into());
        self
    }

    /// Adds a User Property to SUBSCRIBE; names may repeat, the order is kept (3.8.2.1.3).
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        self.properties.push(Property::UserProperty(name, value));
        self
    }

    /// Bounds the messages that wait here without an acknowledgement waiting for them; the client's option by default. A zero counts
    /// as one.
    pub fn bound(mut self, bound: Bound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Sets what happens beyond that bound; the client's option by default.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// Sets when messages are acknowledged; the client's option by default.
    pub fn ack_mode(mut self, ack_mode: AckMode) -> Self {
        self.ack_mode = Some(ack_mode);
        self
    }

    /// Keeps the last `messages` of those that are dropped beyond that bound, for
    /// [`Subscription::take_dropped`](crate::Subscription::take_dropped); none by default.
    ///
    /// They are copied, so that they keep nothing else alive; their size is bounded only by
    /// [`Options::maximum_packet_size`](crate::Options::maximum_packet_size).
    pub fn observe_drops(mut self, messages: usize) -> Self {
        self.observed_drops = messages;
        self
    }

    /// How it behaves where it says nothing itself.
    pub(crate) fn behaviour(&self, default: Behaviour) -> Behaviour {
        let bound = self.bound.unwrap_or(default.bound);
        Behaviour {
            bound: Bound {
                messages: bound.messages.max(1),
                bytes: bound.bytes.max(1),
            },
            overflow: self.overflow.unwrap_or(default.overflow),
            ack_mode: self.ack_mode.unwrap_or(default.ack_mode),
            observed_drops: self.observed_drops,
        }
    }
}

impl<F: Into<Filter>> From<F> for Declared {
    fn from(filter: F) -> Self {
        Self::new(filter)
    }
}

/// Looks for what no server accepts, and for what is longer than our own bound.
pub(crate) fn check(
    filters: &[Filter],
    properties: &PropertyList,
    longest: usize,
) -> Result<(), SubscribeError> {
    if filters.is_empty() {
        return Err(SubscribeErrorKind::NoFilters.into());
    }
    for filter in filters {
        filter.check()?;
        if filter.name.len() > longest {
            let detail = Detail::Topic(TopicError::TooLong);
            return Err(SubscribeError::new(
                SubscribeErrorKind::InvalidFilter,
                detail,
            ));
        }
    }
    check_conflicts(filters)?;
    let properties = properties.checked().map(drop);
    properties.map_err(|error| {
        SubscribeError::new(SubscribeErrorKind::InvalidProperty, Detail::Encode(error))
    })
}

/// Looks for filters that cannot be one subscription at the server.
pub(super) fn check_conflicts<'a>(
    filters: impl IntoIterator<Item = &'a Filter>,
) -> Result<(), SubscribeError> {
    let mut known = HashMap::new();
    for filter in filters {
        if known
            .entry(&filter.name)
            .or_insert(filter)
            .conflicts_with(filter)
        {
            return Err(SubscribeErrorKind::ConflictingOptions.into());
        }
    }
    Ok(())
}
