//! What a message costs the allocator. One test in this file, since the whole process counts.

use std::alloc::System;

use mqtt5_testkit::behaviour::{self, Harness, messages_cost_no_allocation};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn messages_cost_nothing() {
    let allocations = || {
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations
    };
    let thread = Harness {
        start: |options| mqtt5_async_std::start(options),
        block_on: behaviour::block_on,
    };
    let smol = Harness {
        start: |options| {
            let (client, driver) = mqtt5_async_std::driver(options)?;
            smol::spawn(driver).detach();
            Ok(client)
        },
        block_on: smol::block_on,
    };
    let async_std = Harness {
        start: |options| {
            let (client, driver) = mqtt5_async_std::driver(options)?;
            drop(async_std::task::spawn(driver));
            Ok(client)
        },
        block_on: async_std::task::block_on,
    };
    for harness in [thread, smol, async_std] {
        messages_cost_no_allocation(harness, allocations, WAKE_UPS);
    }
}

/// The reactor of async-io makes a list of wakers each time that sockets are ready. One for each message would be 10,000.
const WAKE_UPS: u64 = 5_000;
