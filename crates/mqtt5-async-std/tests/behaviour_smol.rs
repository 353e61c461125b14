//! What every adapter must do, on smol.

use mqtt5_testkit::behaviour::Harness;

fn harness() -> Harness {
    Harness {
        start: |options| {
            let (client, driver) = mqtt5_async_std::driver(options)?;
            smol::spawn(driver).detach();
            Ok(client)
        },
        block_on: smol::block_on,
    }
}

mqtt5_testkit::behaviour_tests!(crate::harness());
