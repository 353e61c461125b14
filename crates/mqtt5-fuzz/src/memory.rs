//! How many bytes are allocated.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts what is allocated from now on and not freed, by all threads.
pub(crate) struct Held(Region<'static, System>);

impl Held {
    pub(crate) fn start() -> Self {
        Self(Region::new(ALLOCATOR))
    }

    pub(crate) fn bytes(&self) -> usize {
        let change = self.0.change();
        change
            .bytes_allocated
            .saturating_sub(change.bytes_deallocated)
    }
}
