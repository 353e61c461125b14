//! Filters that are given up while requests cannot leave.

use super::executor::Task;
use super::subscribe::suback;
use super::{options, scripted};
use crate::{ReasonCode, Subscription};
use mqtt5_proto::{Packet, Properties, Property};

#[test]
fn what_one_packet_cannot_hold_is_unsubscribed_with_several() {
    let limits = [Property::MaximumPacketSize(200_000)];
    let (client, mut link) = scripted(options(), Properties::new(&limits).expect("valid"));
    let filter = |number: u16| format!("{number:05}{}", "x".repeat(60_000));
    let subscriptions: Vec<Subscription> = (1..=7)
        .map(|number| {
            let mut task = Task::new(client.subscribe(filter(number)));
            assert!(task.is_pending());
            assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
            suback(&mut link, number, &[ReasonCode::GRANTED_QOS_0]);
            task.woken().expect("granted")
        })
        .collect();
    // More requests than may wait to be written.
    let mut before: Vec<_> = (100..180)
        .map(|number| Task::new(client.unsubscribe(filter(number))))
        .collect();
    assert!(before.iter_mut().all(Task::is_pending));
    drop(subscriptions);
    let (mut packets, mut names) = (0, Vec::new());
    while names.len() < before.len() + 7 {
        link.sent(|packet| {
            let Packet::Unsubscribe(packet) = packet else {
                panic!("{packet:?}")
            };
            packets += 1;
            names.extend(
                packet
                    .filters
                    .iter()
                    .map(|filter| filter.as_str()[..5].to_owned()),
            );
        });
    }
    assert_eq!(packets, before.len() + 3, "3, and 4 in two halves");
    let given_up: Vec<_> = (1..=7).map(|number| format!("{number:05}")).collect();
    assert_eq!(names[before.len()..], given_up);
}
