//! How a publish succeeded.

use core::fmt;
use mqtt5_proto::{Properties, PropertyBuffer, ReasonCode};

/// A publish that succeeded: accepted for sending (QoS 0), or acknowledged by the server (QoS 1 and 2).
#[derive(Clone, PartialEq, Eq)]
pub struct Delivered {
    acknowledged: bool,
    reason: ReasonCode,
    /// Servers seldom send any, so that a delivery usually allocates nothing.
    properties: Option<Box<PropertyBuffer>>,
}

impl Delivered {
    pub(crate) fn accepted() -> Self {
        Self {
            acknowledged: false,
            reason: ReasonCode::SUCCESS,
            properties: None,
        }
    }

    pub(crate) fn acknowledged(reason: ReasonCode, properties: Properties<'_>) -> Self {
        let properties =
            (!properties.is_empty()).then(|| Box::new(PropertyBuffer::from(properties)));
        Self {
            acknowledged: true,
            reason,
            properties,
        }
    }

    /// Whether the server has taken responsibility for the message: always for QoS 1 and 2, never for QoS 0.
    pub fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// The reason code of the acknowledgement, below 0x80; success for QoS 0, which has none.
    ///
    /// [`ReasonCode::NO_MATCHING_SUBSCRIBERS`] says that nobody was there to receive it (3.4.2.1).
    pub fn reason(&self) -> ReasonCode {
        self.reason
    }

    /// The Reason String of the acknowledgement. It comes from the peer: escape it before it meets a terminal.
    pub fn reason_string(&self) -> Option<&str> {
        self.properties().reason_string()
    }

    /// The User Properties of the acknowledgement, in order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties().user_properties()
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
            .as_ref()
            .map_or(Properties::EMPTY, |properties| properties.as_properties())
    }
}

impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivered")
            .field("acknowledged", &self.acknowledged)
            .field("reason", &self.reason)
            .finish()
    }
}
