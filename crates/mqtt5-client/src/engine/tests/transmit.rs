//! A caller that writes by itself, and what is lent to those who write.

use super::consumers::take;
use super::executor::{Task, now};
use super::session_loss::published;
use super::subscribe::suback;
use super::{accepted, acknowledgement, disconnect, options, publish, reconnecting, scripted};
use crate::driver::Driver;
use crate::{Bound, Overflow, QoS, ReasonCode};
use mqtt5_proto::{Outgoing, Packet, Properties, Property, ProtocolVersion};

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

/// D3: what a DISCONNECT that is looked at in the same turn keeps from leaving was never sent.
#[test]
fn nothing_is_taken_that_cannot_leave_any_more() {
    let (client, mut link) = scripted(
        reconnecting(),
        Properties::new(&[Property::ReceiveMaximum(1)]).expect("valid"),
    );
    let slow = client.subscribe("#").overflow(Overflow::Pause);
    let mut task = Task::new(slow.bound(Bound {
        messages: 1,
        bytes: 100,
    }));
    assert!(task.is_pending());
    link.sent_types();
    suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_0]);
    let mut subscription = task.woken().expect("granted");
    for payload in ["1", "2"] {
        let publish = client.publish("t", payload).qos(QoS::AtLeastOnce);
        drop(now(publish.start()).expect("accepted"));
    }
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    for packet in [
        Packet::Puback(acknowledgement(2, ReasonCode::SUCCESS)),
        publish("a", QoS::AtMostOnce, 0, b"x"),
        disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT),
    ] {
        packet
            .encode_to_vec(ProtocolVersion::V5, &mut link.inbound)
            .expect("valid");
    }
    link.read();
    assert!(
        client.is_connected() && !link.reading,
        "the message fills the queue"
    );
    drop(take(&mut subscription));
    let turn = link.driver.turn_write(&mut link.outgoing, 0, &link.waker);
    link.act(&turn.action.expect("to hang up"));
    link.run();
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(accepted(true));
    let (_, dup, payload) = published(&mut link);
    assert_eq!((dup, &*payload), (false, "2"));
}
