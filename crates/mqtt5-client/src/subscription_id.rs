//! The name of a subscription in events.

use crate::slab::Key;
use core::fmt;

/// Tells the subscriptions of one client apart, in events and logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(Key);

impl SubscriptionId {
    pub(crate) fn new(key: Key) -> Self {
        Self(key)
    }
}

impl fmt::Debug for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubscriptionId({})", self.0.number())
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.number().fmt(f)
    }
}
