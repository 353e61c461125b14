//! Interceptors that come and go, and what they are told of how a publish ends.

use super::consumers::{OK, subscribed, take};
use super::executor::{Task, now};
use super::requests::{answer, asked, requesting};
use super::waking::without_deadlock;
use super::{Link, Peer, acknowledgement, options, publish, reconnecting, scripted};
use crate::{
    Blocking, Client, Interception, Interceptor, Progress, PublishDraft, PublishErrorKind, QoS,
    ReasonCode,
};
use core::time::Duration;
use mqtt5_proto::{Packet, Properties};
use std::sync::{Arc, Mutex};

type Log = Arc<Mutex<Vec<String>>>;

fn taken(log: &Log) -> Vec<String> {
    core::mem::take(&mut *log.lock().expect("fine"))
}

fn note(log: &Log, text: impl Into<String>) {
    log.lock().expect("fine").push(text.into());
}

fn topic(link: &mut Link) -> String {
    link.sent(|packet| match packet {
        Packet::Publish(publish) => publish
            .topic
            .map(|topic| topic.to_string())
            .expect("a topic"),
        packet => panic!("{packet:?}"),
    })
}

fn append(text: &'static str) -> impl Fn(&mut PublishDraft<'_>) -> Result<(), crate::Refusal> {
    move |message| {
        let topic = format!("{}{text}", message.topic());
        message.set_topic(topic);
        Ok(())
    }
}

/// Tells the log how each publish ends.
fn observe(log: &Log) -> impl Fn(&mut PublishDraft<'_>) -> Result<(), crate::Refusal> + use<> {
    let log = log.clone();
    move |message| {
        let (log, topic) = (log.clone(), message.topic().to_owned());
        message.on_outcome(move |outcome| {
            let outcome = match outcome {
                Ok(delivered) if delivered.is_acknowledged() => format!("{topic} acknowledged"),
                Ok(_) => format!("{topic} accepted"),
                Err(error) => format!("{topic} {:?}", error.kind()),
            };
            note(&log, outcome);
        });
        Ok(())
    }
}

/// Behind those of the options, in the order in which they come, over connections, until they are dropped.
#[test]
fn publish_interceptors_come_and_go() {
    let options = reconnecting().intercept_publish(append("/options"));
    let (client, mut link) = scripted(options.clone(), Properties::EMPTY);
    let first = client.intercept_publish(append("/1"));
    let second = client.intercept_publish(append("/2"));
    client.intercept_publish(append("/3")).detach();
    now(client.publish("t", "")).expect("accepted");
    assert_eq!(topic(&mut link), "t/options/1/2/3");
    drop(first);
    link.resume(false);
    now(client.publish("t", "")).expect("accepted");
    assert_eq!(topic(&mut link), "t/options/2/3");
    drop(second);
    now(client.publish("t", "")).expect("accepted");
    assert_eq!(topic(&mut link), "t/options/3");
    // The options have none of these: another client has its own.
    let (other, mut link) = scripted(options, Properties::EMPTY);
    now(other.publish("t", "")).expect("accepted");
    assert_eq!(topic(&mut link), "t/options");
}

#[test]
fn message_interceptors_come_and_go() {
    let (client, mut subscription, mut link) = subscribed(options());
    let log = Log::default();
    let add = |name: &'static str| {
        let log = log.clone();
        client.intercept_message(move |_| {
            note(&log, name);
            Interception::Pass
        })
    };
    let (first, _second) = (add("1"), add("2"));
    let mut receive = || {
        link.send(publish("a", QoS::AtLeastOnce, 1, b"x"));
        let _message = take(&mut subscription);
        taken(&log)
    };
    assert_eq!(receive(), ["1", "2"]);
    drop(first);
    assert_eq!(receive(), ["2"]);
    drop(_second);
    assert!(receive().is_empty());
    add("3").detach();
    assert_eq!(receive(), ["3"]);
}

#[test]
fn what_no_subscription_matches_is_intercepted() {
    let (client, mut link) = scripted(options().keep_unmatched(true), Properties::EMPTY);
    let mut unmatched = client.unmatched().expect("kept");
    let _interceptor = client.intercept_message(|message| match message.payload() {
        b"x" => Interception::Discard,
        _ => Interception::Pass,
    });
    for (id, payload) in [(1, b"x"), (2, b"y")] {
        link.send(publish("a", QoS::AtLeastOnce, id, payload));
    }
    assert_eq!(take(&mut unmatched).payload(), b"y");
    assert!(matches!(unmatched.try_recv(), Ok(None)));
}

/// Nothing is locked while one is called or dropped.
#[test]
fn interceptors_take_themselves_and_the_client_away() {
    without_deadlock(|| {
        let (client, mut link) = scripted(options(), Properties::EMPTY);
        let own: Arc<Mutex<Option<Interceptor>>> = Arc::default();
        let (inside, held) = (own.clone(), client.clone());
        let interceptor = client.intercept_publish(move |message| {
            let interceptor = inside.lock().expect("fine").take();
            drop(interceptor);
            let client = held.clone();
            message.on_outcome(move |_| drop(client.intercept_publish(|_| Ok(()))));
            append("/once")(message)
        });
        *own.lock().expect("fine") = Some(interceptor);
        for expected in ["t/once", "t"] {
            now(client.publish("t", "")).expect("accepted");
            assert_eq!(topic(&mut link), expected);
        }
        let last = client.clone();
        let interceptor = client.intercept_publish(move |_| {
            let _last = &last;
            Ok(())
        });
        drop(client);
        assert_eq!(link.sent_types(), Vec::<&str>::new());
        drop(interceptor);
        assert_eq!(link.sent_types(), ["DISCONNECT"]);
    });
}

#[test]
fn whoever_waits_for_a_publish_tells_the_observers() {
    let log = Log::default();
    let options = options().intercept_publish(observe(&log));
    let (client, mut link) = scripted(options, Properties::EMPTY);
    now(client.publish("0", "")).expect("accepted");
    assert_eq!(taken(&log), ["0 accepted"]);
    let mut task = Task::new(client.publish("1", "").qos(QoS::AtLeastOnce));
    assert!(task.is_pending());
    let started = client.publish("2", "").qos(QoS::AtLeastOnce).start();
    let mut started = Task::new(now(started).expect("room"));
    let mut tried = client
        .publish("3", "")
        .qos(QoS::AtLeastOnce)
        .try_publish()
        .expect("room");
    assert!(started.is_pending());
    link.sent_types();
    let refused = ReasonCode::NOT_AUTHORIZED;
    for (id, reason) in [(1, OK), (2, refused), (3, OK)] {
        link.send(Packet::Puback(acknowledgement(id, reason)));
    }
    assert!(taken(&log).is_empty(), "the driver tells nobody");
    started.woken().expect_err("refused");
    assert_eq!(taken(&log), ["2 Rejected"]);
    task.woken().expect("delivered");
    assert_eq!(taken(&log), ["1 acknowledged"]);
    tried.try_outcome().expect("complete").expect("delivered");
    assert_eq!(taken(&log), ["3 acknowledged"]);
    assert_eq!(
        (tried.try_outcome(), tried.progress()),
        (None, Progress::Complete)
    );
    assert!(taken(&log).is_empty(), "once");
}

#[test]
fn observers_hear_why_a_publish_was_not_accepted() {
    let log = Log::default();
    let options = options().intercept_publish(observe(&log));
    let (client, _link) = Link::new::<crate::Async>(options, Peer::Unreachable);
    let waiting = client.publish("w", "").qos(QoS::AtLeastOnce).try_publish();
    waiting.expect("room").withdraw().expect("not encoded");
    assert_eq!(taken(&log), ["w Withdrawn"]);
    now(client.publish("a/#", "")).expect_err("invalid");
    assert_eq!(taken(&log), ["a/# InvalidTopic"]);
    let refusing = client.intercept_publish(|_| Err("no".into()));
    let started = now(client.publish("t", "").start());
    assert_eq!(
        started.expect_err("refused").kind(),
        PublishErrorKind::Intercepted
    );
    let tried = client.publish("t", "").try_publish();
    assert_eq!(
        tried.expect_err("refused").kind(),
        PublishErrorKind::Intercepted
    );
    assert_eq!(taken(&log), ["t Intercepted", "t Intercepted"]);
    drop(refusing);
    // Nobody hears how these end.
    drop(client.publish("d", "").qos(QoS::AtLeastOnce).try_publish());
    assert!(Task::new(client.publish("d", "").qos(QoS::AtLeastOnce)).is_pending());
    assert!(taken(&log).is_empty());
}

#[test]
fn blocking_publishes_tell_on_the_thread_that_waits() {
    let log = Log::default();
    let options = options().intercept_publish(observe(&log));
    let (client, mut link): (Client<Blocking>, _) = Link::new(options, Peer::Script(Vec::new()));
    link.sent_types();
    link.send(super::connack(Properties::EMPTY));
    client.publish("0", "").wait().expect("accepted");
    assert_eq!(taken(&log), ["0 accepted"]);
    let started = client.publish("1", "").qos(QoS::AtLeastOnce).start();
    link.sent_types();
    link.send(Packet::Puback(acknowledgement(1, OK)));
    assert!(taken(&log).is_empty());
    started.expect("room").wait().expect("delivered");
    assert_eq!(taken(&log), ["1 acknowledged"]);
}

/// A request whose acknowledgement and answer arrive together, and one that is not sent before its time is over.
#[test]
fn the_publish_of_a_request_is_told_of_too() {
    let log = Log::default();
    let options = reconnecting().intercept_publish(observe(&log));
    let (client, requester, mut link) = requesting(options);
    let mut task = Task::new(requester.request("t", "?").qos(QoS::AtLeastOnce));
    assert!(task.is_pending());
    let request = asked(&mut link);
    link.send(Packet::Puback(acknowledgement(2, OK)));
    answer(&mut link, &request, b"!");
    assert_eq!(task.woken().expect("answered").payload(), b"!");
    assert_eq!(taken(&log), ["t acknowledged"]);
    link.cut();
    let second = Duration::from_secs(1);
    let late = requester.request("t", "?").qos(QoS::AtLeastOnce);
    let mut task = Task::new(late.timeout(second));
    assert!(task.is_pending());
    link.pass(second);
    assert!(task.woken().is_err());
    assert_eq!(taken(&log).len(), 1);
    assert_eq!(client.statistics().waiting_publishes, 0);
}
