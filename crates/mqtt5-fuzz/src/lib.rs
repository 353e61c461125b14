//! What the fuzzers of this workspace check, as functions of bytes.
//!
//! Each target is a function that panics when an invariant does not hold. `fuzz/` gives them to libFuzzer; the tests of
//! this crate give them every file of the corpora, on a stable toolchain. `fuzz/README.md` tells how to run them.

#![forbid(unsafe_code)]

#[path = "../../mqtt5-proto/tests/golden/mod.rs"]
mod golden;
#[path = "../../mqtt5-proto/tests/machine/mod.rs"]
mod machine;

mod client;
mod decode;
mod differential;
mod disagreements;
mod memory;
mod records;
mod round_trip;
mod seeds;
mod stream;
mod topic;

pub use client::machine;
pub use decode::decode;
pub use differential::{differential, disagreements};
pub use round_trip::round_trip;
pub use seeds::{Seed, seeds};
pub use stream::stream;
pub use topic::topic;

/// A target: its name, which is that of its corpus, and what it does with an input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of the target and of its folders.
    pub name: &'static str,
    /// Panics when an invariant does not hold.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 6] = [
    target("decode", decode),
    target("stream", stream),
    target("round_trip", round_trip),
    target("machine", machine),
    target("topic", topic),
    target("differential", differential),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}
