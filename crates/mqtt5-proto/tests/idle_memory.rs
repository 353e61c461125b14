//! What a machine has allocated is given back when a connection is idle or over.
#![cfg(feature = "alloc")]

mod machine;

use std::alloc::System;

use mqtt5_proto::QoS::{AtLeastOnce, AtMostOnce};
use mqtt5_proto::{Packet, State};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use machine::packets::{encode, publish};
use machine::{Bed, Borrowing, Face};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The smallest receive buffer, and what tables keep for their next entries.
const IDLE: usize = 40 * 1024;

fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

/// One test, since memory is counted for the whole process.
#[test]
fn memory_is_given_back() {
    let region = Region::new(ALLOCATOR);
    let mut bed = Bed::<Borrowing>::connected();
    let message = encode(&publish(AtMostOnce, 0, &"x".repeat(1_000)));

    for _ in 0..3 {
        bed.feed_bytes(&message.repeat(600));
        assert_eq!(bed.events().len(), 600);
        assert!(held(&region) > IDLE, "{} bytes", held(&region));
        bed.elapse(machine::secs(55));
        bed.expect_sent(&[Packet::Pingreq]);
        assert_eq!(bed.tell(&Packet::Pingresp), []);
        assert_eq!(bed.events(), []);
        assert!(held(&region) <= IDLE, "idle: {} bytes", held(&region));
    }

    // A large packet, half received, and messages that wait, when the connection is lost.
    let large = encode(&publish(AtMostOnce, 0, &"x".repeat(15_000)));
    bed.feed_bytes(&large[..10_000]);
    for _ in 0..50 {
        bed.publish(AtLeastOnce, &"y".repeat(2_000)).unwrap();
    }
    assert!(held(&region) > 100_000, "{} bytes", held(&region));
    bed.client.handle_closed(bed.now);
    drop(bed.events());
    assert_eq!(bed.client.state(), State::Disconnected);
    assert!(held(&region) <= IDLE, "over: {} bytes", held(&region));
}
