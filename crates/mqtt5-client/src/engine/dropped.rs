//! What a subscription has lost because there was no room for it.

use core::time::Duration;
use mqtt5_proto::{Instant, Message};
use std::collections::VecDeque;

/// The count of the messages that were dropped, and the last of them, if somebody wants to see them.
#[derive(Debug)]
pub(crate) struct Dropped {
    total: u64,
    told: Option<Instant>,
    kept: VecDeque<(Message, Instant)>,
    limit: usize,
}

impl Dropped {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            total: 0,
            told: None,
            kept: VecDeque::new(),
            limit,
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Counts a message; whether it is time to tell of it.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        self.total += 1;
        self.may_tell(now)
    }

    /// Whether it is time to tell of the subscription, which then counts as told.
    pub(super) fn may_tell(&mut self, now: Instant) -> bool {
        let is_due = self.told.is_none_or(|told| told + BETWEEN_TELLINGS <= now);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    /// Keeps a copy of a message, and forgets the oldest beyond the limit.
    pub(super) fn keep(&mut self, message: &Message, arrived: Instant) {
        if self.limit == 0 {
            return;
        }
        if self.kept.len() == self.limit {
            self.kept.pop_front();
        }
        self.kept.push_back((message.detach(), arrived));
    }

    pub(crate) fn take(&mut self) -> VecDeque<(Message, Instant)> {
        core::mem::take(&mut self.kept)
    }
}

/// The shortest time between two reports of one subscription.
const BETWEEN_TELLINGS: Duration = Duration::from_secs(1);
