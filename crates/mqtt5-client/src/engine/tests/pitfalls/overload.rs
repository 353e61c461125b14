//! More messages than anybody takes.

use super::super::consumers::{subscribed, take};
use super::super::{options, publish, reconnecting};
use crate::{Bound, Client, Event, Options, Overflow, QoS, Subscription};
use core::num::NonZeroU16;
use mqtt5_proto::ProtocolVersion;

/// The bound of the queue in these tests.
const ROOM: Bound = Bound {
    messages: 1_000,
    bytes: 64 * 1_024,
};

/// Takes everything that is queued now.
fn take_all(subscription: &mut Subscription) -> u64 {
    let mut taken = 0;
    while let Ok(Some(message)) = subscription.try_recv() {
        drop(message);
        taken += 1;
    }
    taken
}

fn bounded(overflow: Overflow) -> Options {
    reconnecting().subscription_queue(ROOM).overflow(overflow)
}

/// What is not taken is dropped and counted, or waits unread; the sum is always right. E1, S71.
#[test]
fn pitfall_35_no_message_is_lost_without_a_word() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Pause] {
        let (client, mut subscription, mut link) = subscribed(bounded(overflow));
        let mut events = client.events();
        let mut taken = 0;
        for round in 0..20_u64 {
            for number in 0..500_u64 {
                let payload = (round * 500 + number).to_be_bytes();
                publish("a", QoS::AtMostOnce, 0, &payload)
                    .encode_to_vec(ProtocolVersion::V5, &mut link.inbound)
                    .expect("valid");
            }
            link.run();
            if round % 5 == 4 {
                taken += take_all(&mut subscription);
                link.run();
            }
        }
        for _ in 0..20 {
            taken += take_all(&mut subscription);
            link.run();
        }
        let statistics = client.statistics();
        assert_eq!(statistics.messages_received, 10_000);
        assert_eq!(statistics.messages_dropped, subscription.dropped());
        assert_eq!(taken + subscription.dropped(), 10_000, "{overflow:?}");
        let told = core::iter::from_fn(|| events.try_recv()).any(|event| match overflow {
            Overflow::Pause => event == Event::ReadingPaused,
            _ => matches!(event, Event::SlowConsumer { .. }),
        });
        assert!(told && (overflow == Overflow::Pause) == (subscription.dropped() == 0));
    }
}

/// A million tiny messages for an application that takes one in a thousand: QoS 0 is dropped and counted, or not read; above it nothing
/// is acknowledged that was not taken, and the server holds back. T138.
#[test]
fn hb_49_a_flood_of_tiny_messages() {
    const CHUNK: usize = 1_000;
    let mut chunk = Vec::new();
    for _ in 0..CHUNK {
        publish("a", QoS::AtMostOnce, 0, b"")
            .encode_to_vec(ProtocolVersion::V5, &mut chunk)
            .expect("valid");
    }
    for (overflow, flood) in [
        (Overflow::DropNewest, 1_000_000),
        (Overflow::DropOldest, 100_000),
        (Overflow::Pause, 100_000),
    ] {
        let (client, mut subscription, mut link) = subscribed(bounded(overflow));
        let mut taken = 0_usize;
        let mut sent = 0;
        while sent < flood {
            // The transport takes no more while nobody reads: the server waits.
            if link.inbound.is_empty() {
                link.inbound.extend_from_slice(&chunk);
                sent += CHUNK;
            }
            link.run();
            let queued = queued(&client, &subscription, taken);
            assert!(queued <= ROOM.messages, "{queued}");
            if overflow == Overflow::Pause {
                taken += usize::try_from(take_all(&mut subscription)).expect("small");
            } else {
                drop(take(&mut subscription));
                taken += 1;
            }
        }
        link.run();
        taken += usize::try_from(take_all(&mut subscription)).expect("small");
        link.run();
        taken += usize::try_from(take_all(&mut subscription)).expect("small");
        let dropped = usize::try_from(subscription.dropped()).expect("small");
        assert_eq!(taken + dropped, flood, "{overflow:?}");
        assert_eq!(dropped == 0, overflow == Overflow::Pause);
        assert!(client.is_connected());
    }
}

/// What was received and neither taken nor dropped, as counted from outside.
fn queued(client: &Client, subscription: &Subscription, taken: usize) -> usize {
    let received = usize::try_from(client.statistics().messages_received).expect("small");
    let dropped = usize::try_from(subscription.dropped()).expect("small");
    received - dropped - taken
}

/// As above, over QoS 0: what is not taken is not acknowledged, so that never more than the window is there.
#[test]
fn hb_49_a_flood_above_qos_0_is_held_back() {
    const WINDOW: u16 = 100;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let options = options()
            .receive_maximum(NonZeroU16::new(WINDOW).expect("not zero"))
            .inbound_margin(0);
        let (client, mut subscription, mut link) = subscribed(options);
        let (mut sent, mut open, mut taken) = (0_u32, std::collections::VecDeque::new(), 0);
        let mut free: Vec<u16> = (1..=WINDOW).collect();
        while taken < 20_000 {
            while let Some(id) = free.pop() {
                publish("a", qos, id, &sent.to_be_bytes())
                    .encode_to_vec(ProtocolVersion::V5, &mut link.inbound)
                    .expect("valid");
                sent += 1;
                open.push_back(id);
            }
            link.run();
            assert!(link.sent_types().is_empty(), "nothing that was not taken");
            let held = client.statistics().held_messages;
            assert_eq!(held, usize::from(WINDOW));
            for _ in 0..30 {
                let message = take(&mut subscription);
                assert_eq!(message.payload(), u32::to_be_bytes(taken));
                taken += 1;
            }
            for (_, id, _) in super::super::consumers::answers(&mut link) {
                assert_eq!(open.pop_front(), Some(id), "in their order");
                if qos == QoS::ExactlyOnce {
                    link.send(mqtt5_proto::Packet::Pubrel(super::success(id)));
                }
                free.push(id);
            }
            link.sent_types();
            assert_eq!(free.len(), 30);
        }
        assert!(client.is_connected());
        assert_eq!(subscription.dropped(), 0);
    }
}
