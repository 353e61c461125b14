//! The queue of messages that wait for a connection: its bounds, and what happens beyond them.

use super::executor::Task;
use super::{Link, Peer, options, reconnecting, room_for};
use crate::{
    Async, Bound, Client, Congestion, Offline, Options, PublishError, PublishErrorKind, Publishing,
    QoS, QueueFull, TopicAliases,
};
use core::task::Poll;
use core::time::Duration;
use mqtt5_proto::{Packet, Properties, Property};

type Publish<'a> = Task<Publishing<'a>>;

fn offline(options: Options) -> (Client, Link) {
    let (client, mut link) = Link::new::<Async>(options, Peer::Unreachable);
    link.run();
    (client, link)
}

fn begin<'a>(client: &'a Client, payload: &'a str) -> (Publish<'a>, Option<PublishErrorKind>) {
    let mut task = Task::new(client.publish("t", payload).qos(QoS::AtLeastOnce));
    let refused = match task.poll() {
        Poll::Ready(result) => result.err().map(|error| error.kind()),
        Poll::Pending => None,
    };
    (task, refused)
}

fn ended(task: &mut Publish<'_>) -> Option<PublishErrorKind> {
    match task.poll() {
        Poll::Ready(result) => result.map_err(|error: PublishError| error.kind()).err(),
        Poll::Pending => None,
    }
}

/// The payloads of the next PUBLISHes.
fn sent(link: &mut Link, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            link.sent(|packet| match packet {
                Packet::Publish(publish) => String::from_utf8_lossy(publish.payload).into_owned(),
                packet => panic!("{packet:?}"),
            })
        })
        .collect()
}

fn connect(link: &mut Link) {
    link.peer = Peer::Script(Vec::new());
    link.reconnect();
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(super::accepted(false));
}

fn patient() -> Options {
    reconnecting().reconnect(crate::Reconnect::default().retry_first(true))
}

/// D23, S47, S106, S118: wait for room, refuse, or drop the oldest.
#[test]
fn a_full_queue_waits_refuses_or_drops_the_oldest() {
    let bound = room_for(2);
    for (policy, third, first) in [
        (Offline::Wait, None, None),
        (
            Offline::Queue(QueueFull::Refuse),
            Some(PublishErrorKind::QueueFull),
            None,
        ),
        (
            Offline::Queue(QueueFull::DropOldest),
            None,
            Some(PublishErrorKind::Dropped),
        ),
    ] {
        let options = patient().offline_qos12(policy).offline_queue(bound);
        let (client, mut link) = offline(options);
        let (mut one, _) = begin(&client, "1");
        let (_two, _) = begin(&client, "2");
        let (_three, refused) = begin(&client, "3");
        assert_eq!(refused, third, "{policy:?}");
        assert_eq!(ended(&mut one), first, "{policy:?}");
        assert_eq!(client.statistics().waiting_publishes, 2);
        connect(&mut link);
        let expected = match policy {
            Offline::Queue(QueueFull::DropOldest) => ["2", "3"],
            _ => ["1", "2"],
        };
        assert_eq!(sent(&mut link, 2), expected, "{policy:?}");
    }
}

/// D23, S39, S118: only messages that were accepted under `DropOldest` may be dropped for others.
#[test]
fn what_was_accepted_to_wait_is_not_dropped() {
    let bound = room_for(3);
    let options = patient()
        .offline_qos0(Offline::Queue(QueueFull::DropOldest))
        .offline_queue(bound);
    let (client, mut link) = offline(options);
    let (mut kept, _) = begin(&client, "kept");
    let mut flood: Vec<_> = ["1", "2", "3"]
        .map(|payload| Task::new(client.publish("t", payload)))
        .into();
    flood
        .iter_mut()
        .for_each(|task| assert!(task.is_pending() || ended(task).is_none()));
    assert_eq!(ended(&mut kept), None);
    assert_eq!(ended(&mut flood[0]), Some(PublishErrorKind::Dropped));
    connect(&mut link);
    assert_eq!(sent(&mut link, 3), ["kept", "2", "3"]);
}

/// Nothing is dropped for a message that finds no room even so.
#[test]
fn nothing_is_dropped_in_vain() {
    let size = |payload: usize| payload + 65;
    let bound = Bound {
        messages: 100,
        bytes: size(100) + size(0) + size(1),
    };
    let options = patient()
        .offline_qos0(Offline::Queue(QueueFull::DropOldest))
        .offline_queue(bound);
    let (client, _link) = offline(options);
    let large = "x".repeat(100);
    let (mut kept, _) = begin(&client, &large);
    let mut small = Task::new(client.publish("t", ""));
    assert!(small.is_pending());
    let mut vain = Task::new(client.publish("t", &large));
    assert_eq!(ended(&mut vain), Some(PublishErrorKind::QueueFull));
    assert_eq!((ended(&mut kept), ended(&mut small)), (None, None));
}

/// The bound in bytes holds, too, and a message that can never fit is told so.
#[test]
fn bytes_are_bounded() {
    let bound = Bound {
        messages: 100,
        bytes: 300,
    };
    let policy = Offline::Queue(QueueFull::DropOldest);
    let (client, _link) = offline(patient().offline_qos12(policy).offline_queue(bound));
    let large = "x".repeat(300);
    assert_eq!(begin(&client, &large).1, Some(PublishErrorKind::TooLarge));
    let half = "x".repeat(100);
    let (mut one, _) = begin(&client, &half);
    let (mut two, refused) = begin(&client, &half);
    assert_eq!(
        (refused, ended(&mut one)),
        (None, Some(PublishErrorKind::Dropped))
    );
    assert_eq!(ended(&mut two), None);
}

/// N19: of the retained messages for a topic only the last leaves, in its place in the order.
#[test]
fn retained_messages_of_a_topic_are_compacted_to_the_last() {
    let bound = room_for(3);
    let (client, mut link) = offline(patient().compact_retained(true).offline_queue(bound));
    let retained = |topic: &'static str, payload: &'static str| {
        client
            .publish(topic, payload)
            .qos(QoS::AtLeastOnce)
            .retain(true)
    };
    let mut tasks: Vec<_> = [("a", "a1"), ("b", "b1"), ("a", "a2")]
        .into_iter()
        .map(|(topic, payload)| Task::new(retained(topic, payload)))
        .collect();
    let mut plain = Task::new(client.publish("a", "p").qos(QoS::AtLeastOnce));
    assert!(tasks[1].is_pending() && tasks[0].is_pending() && tasks[2].is_pending());
    assert!(plain.is_pending());
    // The queue is full, and has room for what makes another one needless.
    let mut last = Task::new(retained("b", "b2"));
    assert!(last.is_pending());
    let ended = tasks[1].woken().map_err(|error| error.kind());
    assert_eq!(ended, Err(PublishErrorKind::Superseded));
    assert!(tasks[2].is_pending());
    connect(&mut link);
    assert_eq!(sent(&mut link, 3), ["a2", "p", "b2"]);
}

/// N19: what may be gone before it is sent, or be lost on the way, makes nothing needless that is surer.
#[test]
fn a_message_is_superseded_only_by_one_that_outlasts_it() {
    let second = Duration::from_secs(1);
    type Change = for<'a> fn(crate::Publish<'a>) -> crate::Publish<'a>;
    let plain: Change = |publish| publish;
    let expiring: Change = |publish| publish.message_expiry(Duration::from_secs(60));
    let sooner: Change = |publish| publish.message_expiry(Duration::from_secs(30));
    let timed: Change = |publish| publish.timeout(Duration::from_secs(60));
    let weaker: Change = |publish| publish.qos(QoS::AtMostOnce);
    for (number, (older, newer, supersedes)) in [
        (plain, plain, true),
        (plain, expiring, false),
        (expiring, plain, true),
        (expiring, expiring, true),
        (expiring, sooner, false),
        (plain, timed, false),
        (timed, timed, true),
        (plain, weaker, false),
        (weaker, plain, true),
    ]
    .into_iter()
    .enumerate()
    {
        let options = patient().compact_retained(true).offline_qos0(Offline::Wait);
        let (client, mut link) = offline(options);
        let retained = |payload| {
            client
                .publish("t", payload)
                .qos(QoS::AtLeastOnce)
                .retain(true)
        };
        let mut one = Task::new(older(retained("1")).into_future());
        assert!(one.is_pending());
        link.pass(second);
        let mut two = Task::new(newer(retained("2")).into_future());
        assert!(two.is_pending());
        let expected = supersedes.then_some(PublishErrorKind::Superseded);
        assert_eq!(ended(&mut one), expected, "{number}");
        // A third one that outlasts both makes at least the second needless.
        let mut three = Task::new(retained("3").into_future());
        assert!(three.is_pending());
        assert_eq!(
            ended(&mut two),
            Some(PublishErrorKind::Superseded),
            "{number}"
        );
        connect(&mut link);
        match supersedes {
            true => assert_eq!(sent(&mut link, 1), ["3"], "{number}"),
            false => assert_eq!(sent(&mut link, 2), ["1", "3"], "{number}"),
        }
    }
}

/// N19: one that makes room for others when the queue is full makes none needless that does not.
#[test]
fn what_stays_is_not_superseded_by_what_may_be_dropped() {
    let bound = room_for(2);
    let options = patient()
        .compact_retained(true)
        .offline_queue(bound)
        .offline_qos0(Offline::Wait)
        .offline_qos12(Offline::Queue(QueueFull::DropOldest));
    let (client, mut link) = offline(options);
    let mut stays = Task::new(client.publish("t", "1").retain(true));
    assert!(stays.is_pending());
    let droppable = |topic, payload| client.publish(topic, payload).qos(QoS::AtLeastOnce);
    let mut newer = Task::new(droppable("t", "2").retain(true));
    assert!(newer.is_pending());
    assert_eq!(ended(&mut stays), None);
    let mut other = Task::new(droppable("u", "3"));
    assert!(other.is_pending());
    assert_eq!(ended(&mut newer), Some(PublishErrorKind::Dropped));
    connect(&mut link);
    assert_eq!(sent(&mut link, 2), ["1", "3"]);
}

/// S42, D35: what waits can be taken back, whatever its place.
#[test]
fn what_waits_can_be_withdrawn() {
    let (client, mut link) = offline(patient());
    let mut deliveries: Vec<_> = ["1", "2", "3"]
        .into_iter()
        .map(|payload| {
            super::executor::now(client.publish("t", payload).qos(QoS::AtLeastOnce).start())
                .expect("accepted")
        })
        .collect();
    assert!(deliveries.remove(1).withdraw().is_ok());
    assert_eq!(client.statistics().waiting_publishes, 2);
    connect(&mut link);
    assert_eq!(sent(&mut link, 2), ["1", "3"]);
    let first = deliveries.remove(0);
    assert!(first.withdraw().is_err(), "it is on its way");
}

/// S39: a QoS 0 publish on a congested connection waits, or fails at once.
#[test]
fn congestion_can_fail_qos_0() {
    for (congestion, expected) in [
        (Congestion::Wait, None),
        (Congestion::Fail, Some(PublishErrorKind::WouldBlock)),
    ] {
        let options = options().congestion_qos0(congestion);
        let (client, _link) = super::scripted(options, Properties::EMPTY);
        let large = vec![0; 70_000];
        super::executor::now(client.publish("t", large)).expect("accepted");
        let mut next = Task::new(client.publish("t", "x"));
        let refused = match next.poll() {
            Poll::Ready(result) => result.map_err(|error| error.kind()).err(),
            Poll::Pending => None,
        };
        assert_eq!(refused, expected);
    }
}

/// S37, S39: with `Congestion::Fail` no QoS 0 publish waits on a connection, whatever stands before it.
#[test]
fn a_qos_0_publish_that_must_not_wait_does_not() {
    let one = [Property::ReceiveMaximum(1)];
    let one = Properties::new(&one).expect("valid");
    let would_block = Some(PublishErrorKind::WouldBlock);
    let failing = || options().congestion_qos0(Congestion::Fail);
    let qos_0 = |client: &Client| ended(&mut Task::new(client.publish("t", "x").into_future()));

    // Much is unsent, and something waits behind it.
    let (client, _link) = super::scripted(failing(), Properties::EMPTY);
    super::executor::now(client.publish("t", vec![0; 70_000])).expect("accepted");
    let _behind = begin(&client, "behind");
    assert_eq!(qos_0(&client), would_block);

    // The window of the server is full, and something waits for it; then more than the machine takes.
    let (client, mut link) = super::scripted(failing(), one);
    let window = begin(&client, "window");
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    let mut task = Task::new(client.publish("t", "x").into_future());
    assert!(
        matches!(task.poll(), Poll::Ready(Ok(_))),
        "it can be encoded"
    );
    let mut behind: Vec<_> = (0..1100).map(|_| begin(&client, "behind")).collect();
    assert_eq!(qos_0(&client), would_block);
    behind.truncate(1);
    assert_eq!(qos_0(&client), would_block);
    drop(window);

    // What is sent again comes first.
    let early = reconnecting()
        .congestion_qos0(Congestion::Fail)
        .publish_early(true);
    let (client, mut link) = super::scripted(early, Properties::EMPTY);
    let _again = begin(&client, "again");
    assert_eq!(link.sent_types(), ["PUBLISH"]);
    link.cut();
    link.reconnect();
    assert_eq!(client.state(), crate::State::Handshaking);
    let accepted = client.statistics().publishes_accepted;
    assert_eq!(qos_0(&client), would_block);
    assert_eq!(client.statistics().publishes_accepted, accepted);
    link.send(super::accepted(true));
    assert_eq!(link.sent_types(), ["CONNECT", "PUBLISH"]);
}

/// S52, D20, T135, pitfall 29: aliases on request or always, also for what waited, and none of an earlier connection.
#[test]
fn pitfall_29_aliases_die_with_their_connection() {
    let maximum = [Property::TopicAliasMaximum(5)];
    let maximum = Properties::new(&maximum).expect("valid");
    let options = reconnecting().topic_aliases(TopicAliases::Auto(5));
    let (client, mut link) = super::scripted(options, maximum);
    let alias = |link: &mut Link| {
        link.sent(|packet| match packet {
            Packet::Publish(publish) => (publish.topic.is_some(), publish.properties.topic_alias()),
            packet => panic!("{packet:?}"),
        })
    };
    let publish = || {
        super::executor::now(
            client
                .publish("a/long/topic", "x")
                .qos(QoS::AtLeastOnce)
                .start(),
        )
        .expect("accepted")
    };
    let _first = publish();
    let _second = publish();
    assert_eq!(alias(&mut link), (true, Some(1)));
    assert_eq!(alias(&mut link), (false, Some(1)));
    link.cut();
    let _offline = publish();
    link.pass(Duration::from_secs(1));
    assert_eq!(link.sent_types(), ["CONNECT"]);
    // This server knows no aliases.
    link.send(super::accepted(true));
    for _ in 0..3 {
        assert_eq!(alias(&mut link), (true, None));
    }
}
