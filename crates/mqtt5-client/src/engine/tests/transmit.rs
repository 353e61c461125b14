//! A caller that writes by itself.

use super::executor::{Task, now};
use super::{options, scripted};
use crate::driver::Driver;
use mqtt5_proto::{Outgoing, Properties};

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
