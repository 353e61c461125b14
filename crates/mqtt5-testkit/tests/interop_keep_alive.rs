//! Keep Alive, watched by a real broker (3.1.2.10).

mod interop;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use interop::{Peer, Stopwatch, filter, texts, will};
use mqtt5_proto::QoS;
use mqtt5_proto::packet::Connect;
use mqtt5_testkit::Mosquitto;

/// How long a client with Keep Alive 2 lived that sent nothing after CONNECT.
///
/// A client with the same Keep Alive that sends something now and then, and one without, are still served at the end.
fn lifetime_of_a_silent_client(address: SocketAddr) -> Duration {
    let connect = |client_id, keep_alive| Connect {
        keep_alive,
        will: Some(will("will/x", client_id)),
        ..Connect::new(client_id)
    };
    let mut unlimited = Peer::new(address);
    unlimited.connect(&connect("unlimited", 0));
    let mut talking = Peer::new(address);
    talking.connect(&connect("talking", 2));
    talking.subscribe(&[filter("will/+", QoS::AtLeastOnce)]);

    let silent = thread::spawn(move || {
        let stopwatch = Stopwatch::start();
        let mut silent = Peer::new(address);
        silent.connect(&connect("silent", 2));
        silent.be_silent();
        stopwatch.elapsed()
    });
    let mut wills = Vec::new();
    while wills.is_empty() {
        Stopwatch::start().wait_for(Duration::from_millis(200));
        wills = talking.settled();
    }
    // As if the network had failed: its will is published.
    assert_eq!(texts(&wills), ["silent"]);
    let lifetime = silent.join().expect("the broker closes");
    unlimited.say("t", QoS::AtLeastOnce, "as silent, and still there");
    lifetime
}

#[test]
fn silence_is_closed_after_one_and_a_half_times() {
    let broker = Mosquitto::start();
    let lifetime = lifetime_of_a_silent_client(broker.addr());
    // One and a half times is 3 s. Mosquitto counts whole seconds, and looks every five.
    assert!(lifetime >= Duration::from_secs(2), "{lifetime:?}");
    assert!(lifetime < Duration::from_secs(15), "{lifetime:?}");
}

#[test]
fn silence_is_closed_after_one_and_a_half_times_embedded() {
    let broker = mqtt5_broker::spawn().expect("a broker");
    let lifetime = lifetime_of_a_silent_client(broker.address());
    assert!(lifetime >= Duration::from_secs(3), "{lifetime:?}");
    assert!(lifetime < Duration::from_secs(6), "{lifetime:?}");
}
