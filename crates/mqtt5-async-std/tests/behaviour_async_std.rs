//! What every adapter must do, on async-std.

use mqtt5_testkit::behaviour::Harness;

fn harness() -> Harness {
    Harness {
        start: |options| {
            let (client, driver) = mqtt5_async_std::driver(options)?;
            drop(async_std::task::spawn(driver));
            Ok(client)
        },
        block_on: async_std::task::block_on,
    }
}

mqtt5_testkit::behaviour_tests!(crate::harness());
