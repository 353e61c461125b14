//! What every adapter must do, with handles that are futures and on an executor that can do nothing else.

use mqtt5_testkit::behaviour::{Harness, block_on};

fn harness() -> Harness {
    Harness {
        start: |options| mqtt5_blocking::start_async(options),
        block_on: |body| block_on(body),
    }
}

mqtt5_testkit::behaviour_tests!(crate::harness());
