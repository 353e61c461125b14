//! What every adapter must do, without an executor: a thread drives each client.

use mqtt5_testkit::behaviour::{Harness, block_on};

fn harness() -> Harness {
    Harness {
        start: |options| mqtt5_async_std::start(options),
        block_on,
    }
}

mqtt5_testkit::behaviour_tests!(crate::harness());
