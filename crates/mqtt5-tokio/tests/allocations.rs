//! What a message costs the allocator. One test in this file, since the whole process counts.

use std::alloc::System;

use mqtt5_testkit::behaviour::{Harness, messages_cost_no_allocation};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn messages_cost_nothing() {
    let allocations = || {
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations
    };
    let current_thread = Harness {
        start: |options| mqtt5_tokio::start(options),
        block_on: |body| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(body);
        },
    };
    let multi_thread = Harness {
        block_on: |body| {
            let mut runtime = Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(runtime.spawn(body)).unwrap();
        },
        ..current_thread
    };
    for harness in [current_thread, multi_thread] {
        messages_cost_no_allocation(harness, allocations, 0);
    }
}
