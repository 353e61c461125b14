//! Whose a copy is that the server sends for a filter that was left, and perhaps is wanted again.

use super::executor::Task;
use super::resubscribe::{asked, grant, granted};
use super::subscribe::topics;
use super::{Link, reconnecting, scripted};
use mqtt5_proto::{Packet, Properties, Property};

/// A message on `a/b` under this identifier.
fn copy(link: &mut Link, identifier: u32, retain: bool) {
    let identifier = [Property::SubscriptionIdentifier(identifier)];
    link.send(Packet::Publish(mqtt5_proto::packet::Publish {
        delivery: mqtt5_proto::packet::Delivery::AtMostOnce,
        retain,
        topic: Some(mqtt5_proto::TopicName::new("a/b").expect("valid")),
        properties: Properties::new(&identifier).expect("valid"),
        payload: b"x",
    }));
}

/// D12: the copy that the server sends for a filter that was left with it is not handed to an overlapping one.
#[test]
fn copies_for_a_detached_filter_are_nobodys() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut wide = granted(&mut link, client.subscribe("a/#"), "a/#");
    granted(&mut link, client.subscribe("a/b"), "a/b").detach();
    for identifier in [1, 2] {
        copy(&mut link, identifier, false);
    }
    assert_eq!(topics(&mut wide), ["a/b"]);
    assert_eq!(client.statistics().messages_unmatched, 1);
}

/// D12: what the session has queued for a filter goes to who wants that filter now, before SUBACK and after, and to nobody twice.
#[test]
fn what_was_queued_for_a_filter_is_its_next_subscriptions() {
    for is_durable in [false, true] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let mut wide = granted(&mut link, client.subscribe("a/#"), "a/#");
        let old = granted(&mut link, client.subscribe("a/b"), "a/b");
        link.cut();
        match is_durable {
            true => old.detach(),
            false => drop(old),
        }
        let mut task = Task::new(client.subscribe("a/b"));
        assert!(task.is_pending());
        link.resume(true);
        if !is_durable {
            assert_eq!(asked(&mut link).1, "-a/b");
        }
        for identifier in [1, 2] {
            copy(&mut link, identifier, false);
        }
        grant(&mut link, "a/b");
        let mut new = task.woken().expect("granted");
        for identifier in [1, 2, 1, 3] {
            copy(&mut link, identifier, false);
        }
        assert_eq!((topics(&mut wide).len(), topics(&mut new).len()), (3, 3));
        copy(&mut link, 2, true);
        assert_eq!(topics(&mut new).len(), 0, "it answers the old SUBSCRIBE");
    }
}

/// D12: what the server queued while somebody else's SUBSCRIBE was in force is a copy for that filter, also when they are gone and others
/// have asked since.
#[test]
fn identifiers_outlive_those_who_asked_under_them() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let mut wide = granted(&mut link, client.subscribe("a/#"), "a/#");
    let mut kept = granted(&mut link, client.subscribe("a/b"), "a/b");
    drop(granted(&mut link, client.subscribe("a/b"), "a/b"));
    for _ in 0..2 {
        drop(granted(&mut link, client.subscribe("a/b"), "a/b"));
    }
    for identifier in [3, 5] {
        copy(&mut link, identifier, false);
    }
    assert_eq!((topics(&mut wide).len(), topics(&mut kept).len()), (0, 2));
}
