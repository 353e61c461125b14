//! A caller that writes by itself.

use super::executor::{Task, now};
use super::{Clock, connack, options, scripted};
use crate::driver::{Action, Driver, Host};
use crate::{Blocking, Client, KeepAlive, PublishErrorKind, QoS};
use core::task::Waker;
use core::time::Duration;
use mqtt5_proto::{Incoming, Instant, Outgoing, Properties, ProtocolVersion};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Wake;

/// Writes everything as such a caller does.
fn transmit_all(driver: &Driver, outgoing: &mut Outgoing) {
    driver.transmit(outgoing, 0);
    while !outgoing.is_empty() {
        let written = outgoing.first().len();
        driver.transmit(outgoing, written);
    }
}

#[test]
fn what_it_writes_is_told_to_those_that_wait_for_it() {
    let (client, mut link) = scripted(options(), Properties::EMPTY);
    now(client.publish("t", vec![0; 70_000])).expect("accepted");
    let mut no_room = Task::new(client.publish("t", "x"));
    let mut flush = Task::new(client.flush());
    assert!(no_room.is_pending() && flush.is_pending());
    transmit_all(&link.driver, &mut link.outgoing);
    assert_eq!(flush.woken(), Ok(()));
    assert!(no_room.woken().is_ok());
}

/// Takes bytes before a wait and never gets one written.
#[derive(Clone, Default)]
struct Stuck {
    clock: Clock,
    driver: Arc<OnceLock<Weak<Driver>>>,
    outgoing: Arc<Mutex<Outgoing>>,
}

impl Host for Stuck {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn before_wait(&self) {
        if let Some(driver) = self.driver.get().and_then(Weak::upgrade) {
            driver.transmit(&mut self.outgoing.lock().expect("not poisoned"), 0);
        }
    }
}

/// A waker that another thread can wait for.
struct Bell(Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

/// Connects; the writing side sleeps afterwards, without a deadline.
fn connected(host: &Stuck, waker: &Waker) -> (Client<Blocking>, Arc<Driver>) {
    let options = options().keep_alive(KeepAlive::Off);
    let (client, driver) = Driver::new::<Blocking>(options, host.clone()).expect("valid");
    let driver = Arc::new(driver);
    host.driver
        .set(Arc::downgrade(&driver))
        .expect("set only once");
    let outgoing = &mut *host.outgoing.lock().expect("not poisoned");
    let dial = driver.turn_write(outgoing, 0, waker).action;
    let Some(Action::Dial { attempt, .. }) = dial else {
        panic!("{dial:?}")
    };
    assert!(driver.handle_dialed(attempt));
    transmit_all(&driver, outgoing);
    let (mut incoming, mut bytes) = (Incoming::new(), Vec::new());
    connack(Properties::EMPTY)
        .encode_to_vec(ProtocolVersion::V5, &mut bytes)
        .expect("valid");
    assert!(driver.turn_read(&mut incoming, waker));
    incoming.space()[..bytes.len()].copy_from_slice(&bytes);
    incoming.filled(bytes.len());
    assert!(driver.turn_read(&mut incoming, waker) && client.is_connected());
    let turn = driver.turn_write(outgoing, 0, waker);
    assert_eq!((turn.action, turn.deadline), (None, None));
    (client, driver)
}

#[test]
fn the_driver_learns_when_the_bytes_that_it_took_must_be_gone() {
    let (bell, rings) = channel();
    let waker = Waker::from(Arc::new(Bell(bell)));
    let host = Stuck::default();
    let (client, driver) = connected(&host, &waker);
    while rings.try_recv().is_ok() {}
    let thread = std::thread::spawn(move || client.publish("t", "x").qos(QoS::AtLeastOnce).wait());
    assert_eq!(rings.recv_timeout(Duration::from_secs(20)), Ok(()));
    let outgoing = &mut *host.outgoing.lock().expect("not poisoned");
    assert!(!outgoing.is_empty(), "it is the caller that writes");
    assert!(driver.turn_write(outgoing, 0, &waker).deadline.is_some());
    drop(driver);
    let result = thread.join().expect("no panic");
    assert_eq!(
        result.map_err(|error| error.kind()),
        Err(PublishErrorKind::Unknown)
    );
}
