//! Events, and who hears them.

use super::executor::Task;
use super::{reconnecting, scripted};
use crate::{Event, Events};
use mqtt5_proto::Properties;

/// What there is to hear, and how much was missed before it.
fn heard(events: &mut Events) -> (u64, Vec<Event>) {
    let mut missed = 0;
    let events = core::iter::from_fn(|| events.try_recv())
        .filter(|event| match event {
            Event::Lagged(count) => {
                missed += count;
                false
            }
            _ => true,
        })
        .collect();
    (missed, events)
}

/// T158, N18: each listener hears everything from its beginning on, whatever the others do; one that is slow loses what is old, is told
/// how much, and holds up nobody; who waits is woken, and all hear the end.
#[test]
fn each_listener_hears_everything_or_how_much_it_missed() {
    let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
    let (mut quick, mut slow, gone) = (client.events(), client.events(), client.events());
    let mut all = Vec::new();
    for round in 0..100 {
        link.resume(true);
        let (missed, events) = heard(&mut quick);
        assert_eq!(missed, 0, "{round}");
        assert!(matches!(events.last(), Some(Event::Connected(_))));
        all.extend(events);
    }
    drop(gone);
    let mut late = client.events();
    let mut waiting = Task::new(quick.recv());
    assert!(waiting.is_pending());
    let (missed, kept) = heard(&mut slow);
    assert!(missed > 0 && !kept.is_empty(), "{missed}");
    let first = usize::try_from(missed).expect("small");
    assert_eq!(kept, all[first..], "the last ones, and none of them twice");
    assert_eq!(heard(&mut late), (0, Vec::new()), "that was before it");

    link.cut();
    assert!(matches!(waiting.woken(), Some(Event::Disconnected(_))));
    drop(waiting);
    let mut done = Task::new(client.disconnect());
    let _ = done.poll();
    link.run();
    for events in [&mut quick, &mut slow, &mut late] {
        let (missed, told) = heard(events);
        assert_eq!((missed, told.last()), (0, Some(&Event::Stopped)));
        assert_eq!(Task::new(events.recv()).done(), None);
    }
}
