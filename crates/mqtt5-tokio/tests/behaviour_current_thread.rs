//! What every adapter must do, on a current-thread runtime.

use mqtt5_testkit::behaviour::Harness;

fn harness() -> Harness {
    Harness {
        start: |options| mqtt5_tokio::start(options),
        block_on: |body| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(body);
        },
    }
}

mqtt5_testkit::behaviour_tests!(crate::harness());
