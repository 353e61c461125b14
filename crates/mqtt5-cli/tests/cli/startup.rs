//! It starts at once.

use std::time::Duration;

/// The shortest of some times, which says what the command needs and not what else the machine does.
#[expect(clippy::disallowed_methods, reason = "this measures time")]
fn shortest(arguments: &[&str]) -> Duration {
    let times = (0..10).map(|_| {
        let start = std::time::Instant::now();
        let status = crate::common::command(arguments)
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.expect("it runs").success());
        start.elapsed()
    });
    times.min().unwrap_or(Duration::MAX)
}

#[test]
fn start_and_exchange_take_less_than_50_ms() {
    let broker = crate::common::Broker::embedded();
    let url = broker.url();
    for arguments in [&["--version"][..], &["pub", &url, "a", "x", "--qos", "2"]] {
        let time = shortest(arguments);
        assert!(
            time < Duration::from_millis(50),
            "{arguments:?} took {time:?}"
        );
    }
}
