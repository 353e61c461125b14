//! Waiting for a time only: every wait of a thread can be bounded.

use std::time::Duration;

use mqtt5_blocking::{Ended, Event, Options, QoS, State, connect, start};
use mqtt5_testkit::{Direction, Proxy, Script, ScriptedPeer};

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(20);

/// S5: a server that never accepts.
#[test]
fn a_connection_that_does_not_come() {
    let silent = ScriptedPeer::start(Script::new().skip_packet().until_closed());
    let options = Options::new(silent.url()).prepare_attempts(true);
    let client = start(options).unwrap();
    let mut attempts = client.attempts();
    let preparation = attempts.recv_timeout(LONG).unwrap().expect("the first");
    assert!(matches!(attempts.recv_timeout(SHORT), Ok(None)));
    assert!(client.connected_timeout(SHORT).is_none());
    assert!(client.closed_timeout(SHORT).is_none());
    drop(preparation);
    assert!(client.connected_timeout(LONG).expect("declined").is_err());
    assert!(client.closed_timeout(LONG).expect("declined").is_err());
    assert!(matches!(attempts.recv_timeout(LONG), Err(Ended { .. })));
}

/// S36: an acknowledgement that comes late, waited for twice.
#[test]
fn an_answer_that_is_late() {
    let broker = mqtt5_broker::spawn().unwrap();
    let proxy = Proxy::start(broker.address());
    let client = connect(format!("mqtt://{}", proxy.addr())).unwrap();
    let mut events = client.events();
    let mut states = client.states();
    assert_eq!(states.recv_timeout(LONG), Ok(Some(State::Online)));
    assert_eq!(states.recv_timeout(SHORT), Ok(None));
    proxy.stall(Direction::ToClient, true);
    let publish = client.publish("a", "1").qos(QoS::ExactlyOnce);
    let mut delivery = publish.start().unwrap();
    let first = client.subscribe("a").start().unwrap();
    let second = client.subscribe("b").start().unwrap();
    assert!(delivery.wait_timeout(SHORT).is_none());
    assert!(client.drain_timeout(SHORT).is_none());
    assert!(matches!(events.recv_timeout(SHORT), Ok(None)));
    assert_eq!(client.flush_timeout(LONG), Some(Ok(())), "it was written");
    proxy.stall(Direction::ToClient, false);
    assert!(delivery.wait_timeout(LONG).expect("in time").is_ok());
    assert!(second.wait().is_ok() && first.wait().is_ok());
    assert_eq!(client.drain_timeout(LONG), Some(Ok(())));
    client.disconnect().wait().unwrap();
    assert_eq!(client.closed_timeout(LONG), Some(Ok(())));
    let told = core::iter::from_fn(|| events.recv_timeout(LONG).ok().flatten());
    assert!(matches!(told.last(), Some(Event::Stopped)));
    assert!(matches!(events.recv_timeout(LONG), Err(Ended { .. })));
}
