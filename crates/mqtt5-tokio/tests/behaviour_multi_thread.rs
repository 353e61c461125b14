//! What every adapter must do, on a multi-thread runtime.

use mqtt5_testkit::behaviour::Harness;

fn harness() -> Harness {
    Harness {
        start: |options| mqtt5_tokio::start(options),
        block_on: |body| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime");
            // In a task, as programs on this runtime should do it.
            let task = runtime.spawn(body);
            runtime.block_on(task).expect("the behaviour succeeds");
        },
    }
}

mqtt5_testkit::behaviour_tests!(crate::harness());
