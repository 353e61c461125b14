//! What a subscriber of `tracing` hears.

use super::executor::{Task, now};
use super::subscribe::suback;
use super::waking::without_deadlock;
use super::{Link, Peer, connack, options, room_for, scripted};
use crate::{Async, Client, QoS, ReasonCode, Will};
use core::fmt;
use mqtt5_proto::packet::Disconnect;
use mqtt5_proto::{Packet, Properties, Property};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Collects what it hears, and calls the client while it does.
#[derive(Clone, Default)]
struct Collector {
    lines: Arc<Mutex<Vec<(Level, String)>>>,
    client: Arc<Mutex<Option<Client>>>,
    calls: Arc<AtomicU64>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mqtt5_client"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let level = *event.metadata().level();
        self.lines.lock().expect("fine").push((level, line.0));
        if let Some(client) = &*self.client.lock().expect("fine") {
            drop(now(client.publish("log", "x")));
            self.calls
                .fetch_add(client.statistics().connects, Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Collector {
    /// What was heard since the last look, as level and text.
    fn take(&self) -> Vec<(Level, String)> {
        core::mem::take(&mut *self.lines.lock().expect("fine"))
    }

    /// The one thing that was heard.
    fn one(&self) -> (Level, String) {
        let mut lines = self.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }
}

#[test]
fn a_subscriber_hears_what_happens_and_may_call_the_client() {
    without_deadlock(hear_what_happens);
}

fn hear_what_happens() {
    let collector = Collector::default();
    let heard = collector.clone();
    tracing::subscriber::with_default(collector, || {
        let bound = room_for(1);
        let options = options().subscription_queue(bound);
        let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
        *heard.client.lock().expect("fine") = Some(client.clone());
        assert_eq!(link.sent_types(), ["CONNECT"]);
        let (level, text) = heard.one();
        assert_eq!(level, Level::DEBUG);
        assert!(
            text.contains("dialing") && text.contains("client=me"),
            "{text}"
        );
        link.send(connack(Properties::EMPTY));
        let (level, text) = heard.one();
        assert_eq!(level, Level::INFO);
        assert!(
            text.contains("connected") && text.contains("session_present=false"),
            "{text}"
        );
        let mut task = Task::new(client.subscribe("a").and("b").allow_partial());
        assert!(task.is_pending());
        link.run();
        let reasons = [ReasonCode::GRANTED_QOS_0, ReasonCode::NOT_AUTHORIZED];
        suback(&mut link, 1, &reasons);
        let (level, text) = heard.one();
        assert_eq!(level, Level::DEBUG);
        assert!(
            text.contains("subscribed") && text.contains("a: 0x00"),
            "{text}"
        );
        assert!(text.contains("b: 0x87"), "{text}");
        let subscription = task.woken().expect("granted");
        for _ in 0..3 {
            link.send(super::publish("a", QoS::AtMostOnce, 0, b"secret payload"));
        }
        let (level, text) = heard.one();
        assert_eq!(level, Level::WARN);
        assert!(
            text.contains("slow consumer") && text.contains("dropped=1"),
            "{text}"
        );
        drop(subscription);
        link.cut();
        let lines = heard.take();
        assert!(lines[0].1.contains("connection lost") && lines[0].0 == Level::WARN);
        assert!(
            lines.last().expect("some").1.contains("stopped"),
            "{lines:?}"
        );
        assert!(heard.calls.load(Ordering::Relaxed) >= 4, "it has called");
        heard.client.lock().expect("fine").take();
    });
}

#[test]
fn no_secret_is_told_and_text_of_the_server_is_escaped() {
    let collector = Collector::default();
    let heard = collector.clone();
    tracing::subscriber::with_default(collector, || {
        let options = crate::Options::new("mqtt://user:secret1@server")
            .client_id("a\nb")
            .password("secret2")
            .will(Will::new("w", "secret3"))
            .reconnect(crate::Reconnect::never());
        let assigned = [Property::AssignedClientIdentifier("\u{1b}[31mred")];
        let (client, mut link) = scripted(options, Properties::new(&assigned).expect("valid"));
        drop(now(client.publish("t", "secret4")));
        link.run();
        let list = [Property::ReasonString("\u{1b}[2Jgone\r\n")];
        link.send(Packet::Disconnect(Disconnect {
            reason: ReasonCode::SERVER_SHUTTING_DOWN,
            properties: Properties::new(&list).expect("valid"),
        }));
    });
    let lines = heard.take();
    assert!(lines.len() >= 4, "{lines:?}");
    for (_, line) in &lines {
        assert!(!line.contains("secret"), "{line}");
        assert!(!line.contains(char::is_control), "{line}");
    }
    assert!(lines.iter().any(|(_, line)| line.contains("gone")));
}
