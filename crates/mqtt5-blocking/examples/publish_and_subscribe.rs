//! Subscribes, publishes to itself and prints what comes back.
//!
//! `cargo run --example publish_and_subscribe` starts a broker of its own; give the URL of another one as an argument.

use std::env;
use std::error::Error;
use std::thread;
use std::time::Duration;

use mqtt5_blocking::{QoS, connect};

fn main() -> Result<(), Box<dyn Error>> {
    let broker = mqtt5_broker::spawn()?;
    let url = env::args().nth(1).unwrap_or_else(|| broker.url());
    let client = connect(url)?;

    let mut readings = client
        .subscribe("sensors/+/temperature")
        .qos(QoS::AtLeastOnce)
        .wait()?;

    // Handles are cheap to clone and may be used by any thread.
    let publisher = client.clone();
    let publishing = thread::spawn(move || {
        for (sensor, reading) in [("a", "21.9"), ("b", "22.4"), ("c", "22.5")] {
            let topic = format!("sensors/{sensor}/temperature");
            let publish = publisher
                .publish(topic, reading)
                .qos(QoS::ExactlyOnce)
                .content_type("text/plain");
            publish.timeout(Duration::from_secs(5)).wait()?;
        }
        Ok::<_, mqtt5_blocking::PublishError>(())
    });

    for message in readings.by_ref().take(3) {
        println!(
            "{}: {}",
            message.topic(),
            String::from_utf8_lossy(message.payload())
        );
    }
    publishing.join().expect("it does not panic")?;

    client.disconnect().wait()?;
    Ok(())
}
