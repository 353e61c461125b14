//! A filter with the options of its subscription.

use crate::error::{Detail, SubscribeError, SubscribeErrorKind};
use mqtt5_proto::{QoS, RetainHandling, TopicFilter};

/// A topic filter and how it is to be subscribed (3.8.3.1): QoS 0, everything else as the protocol's zero, unless told otherwise.
///
/// Whether it is valid is told when it is subscribed. `$share/name/filter` makes a shared subscription (4.8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a filter does nothing until it is given to `Client::subscribe`"]
pub struct Filter {
    pub(crate) name: String,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retain_handling: RetainHandling,
}

impl Filter {
    /// Starts with the filter itself.
    pub fn new(filter: impl Into<String>) -> Self {
        Self {
            name: filter.into(),
            qos: QoS::AtMostOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    /// Sets the highest Quality of Service that the server may send with.
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Sets whether messages that this client published are left out; not allowed on a shared subscription [MQTT-3.8.3-4].
    pub fn no_local(mut self, no_local: bool) -> Self {
        self.no_local = no_local;
        self
    }

    /// Sets whether forwarded messages keep the RETAIN flag that they were published with.
    pub fn retain_as_published(mut self, retain_as_published: bool) -> Self {
        self.retain_as_published = retain_as_published;
        self
    }

    /// Sets which retained messages are sent when the subscription is made.
    pub fn retain_handling(mut self, retain_handling: RetainHandling) -> Self {
        self.retain_handling = retain_handling;
        self
    }

    /// Whether both cannot be one subscription at the server.
    pub(crate) fn conflicts_with(&self, other: &Self) -> bool {
        self.name == other.name
            && (self.no_local != other.no_local
                || self.retain_as_published != other.retain_as_published)
    }

    /// Looks for what no server accepts.
    pub(crate) fn check(&self) -> Result<(), SubscribeError> {
        let name = TopicFilter::new(&self.name).map_err(|error| {
            SubscribeError::new(SubscribeErrorKind::InvalidFilter, Detail::Topic(error))
        })?;
        if self.no_local && name.is_shared() {
            return Err(SubscribeErrorKind::NoLocalOnSharedSubscription.into());
        }
        Ok(())
    }
}

impl From<&str> for Filter {
    fn from(filter: &str) -> Self {
        Self::new(filter)
    }
}

impl From<String> for Filter {
    fn from(filter: String) -> Self {
        Self::new(filter)
    }
}

impl From<&String> for Filter {
    fn from(filter: &String) -> Self {
        Self::new(filter.as_str())
    }
}
