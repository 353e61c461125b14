//! Which messages arrive, and where.

use mqtt5_client::{Client, Filter, QoS, SubscribeErrorKind};

use super::{SOON, Setting, join, receive, receive_until};

/// Publishes, and waits until the server has them.
async fn publish_all(client: &Client, topics: &[&str]) {
    for topic in topics {
        let publish = client.publish(*topic, *topic).qos(QoS::AtLeastOnce);
        publish.await.unwrap();
    }
}

/// One level, all levels, and the topics that belong to the server.
pub async fn wildcards(setting: Setting) {
    let client = setting.connect().await;
    let cases: [(&str, &[&str]); 5] = [
        ("w/+/c", &["w/a/c", "w//c"]),
        ("w/#", &["w", "w/a/c", "w//c", "w/a", "w/a/c/d"]),
        ("+/a", &["w/a"]),
        ("w/+/+/+", &["w/a/c/d"]),
        ("w/a", &["w/a"]),
    ];
    let topics = ["w", "w/a/c", "w//c", "w/a", "w/a/c/d"];
    for (filter, expected) in cases {
        let mut inbox = client
            .subscribe(filter)
            .qos(QoS::AtLeastOnce)
            .await
            .unwrap();
        publish_all(&client, &topics).await;
        let end = filter.replace(['+', '#'], "end");
        client
            .publish(end, "end")
            .qos(QoS::AtLeastOnce)
            .await
            .unwrap();
        assert_eq!(receive_until(&mut inbox, "end").await, expected, "{filter}");
        inbox.unsubscribe().await.unwrap();
    }
    let error = client.subscribe("a/#/b").await.unwrap_err();
    assert_eq!(error.kind(), SubscribeErrorKind::InvalidFilter);
}

/// One packet, one answer for each.
pub async fn several_filters_at_once(setting: Setting) {
    let client = setting.connect().await;
    let subscribe = client.subscribe("f/0").qos(QoS::AtMostOnce);
    let subscribe = subscribe.and("f/1").qos(QoS::AtLeastOnce);
    let subscribe = subscribe.and(Filter::new("f/2").qos(QoS::ExactlyOnce));
    let mut inbox = subscribe.await.unwrap();
    let granted: Vec<_> = inbox
        .granted()
        .map(|(filter, reason)| (filter, reason.value()))
        .collect();
    assert_eq!(granted, [("f/0", 0), ("f/1", 1), ("f/2", 2)]);
    for (at, topic) in ["f/0", "f/1", "f/2"].into_iter().enumerate() {
        client
            .publish(topic, "x")
            .qos(QoS::ExactlyOnce)
            .await
            .unwrap();
        let message = receive(&mut inbox).await;
        assert_eq!((message.topic(), message.qos() as usize), (topic, at));
    }
    assert_eq!(client.statistics().subscribes_sent, 1);
}

/// Two subscriptions of one client want it: both get it.
pub async fn several_subscriptions_get_a_message_each(setting: Setting) {
    let client = setting.connect().await;
    let mut exact = client.subscribe("s/1").qos(QoS::AtLeastOnce).await.unwrap();
    let mut wide = client.subscribe("s/#").qos(QoS::AtLeastOnce).await.unwrap();
    publish_all(&client, &["s/1", "s/2"]).await;
    assert_eq!(receive(&mut exact).await.topic(), "s/1");
    // The broker may send a message that matches two filters twice, and then it is received twice.
    let first = receive(&mut wide).await;
    assert_eq!(first.topic(), "s/1");
    let mut next = receive(&mut wide).await;
    while next.topic() == "s/1" {
        next = receive(&mut wide).await;
    }
    assert_eq!(next.topic(), "s/2");
}

/// Each message goes to one of the group.
pub async fn shared_subscriptions_share(setting: Setting) {
    let (one, other) = (setting.connect().await, setting.connect().await);
    let member = async |client: &Client| {
        let subscribe = client.subscribe("$share/group/t/+").qos(QoS::AtLeastOnce);
        subscribe.and("end").qos(QoS::AtLeastOnce).await
    };
    let (mut first, mut second) = (member(&one).await.unwrap(), member(&other).await.unwrap());
    let publisher = setting.connect().await;
    for number in 0..SHARED {
        let publish = publisher
            .publish("t/1", number.to_string())
            .qos(QoS::AtLeastOnce);
        publish.await.unwrap();
    }
    publisher
        .publish("end", "end")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    let first = receive_until(&mut first, "end").await;
    let second = receive_until(&mut second, "end").await;
    assert!(!first.is_empty() && !second.is_empty());
    let mut numbers: Vec<usize> = first
        .iter()
        .chain(&second)
        .map(|number| number.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..SHARED).collect::<Vec<_>>());
}

/// Its own messages do not come back.
pub async fn no_local(setting: Setting) {
    let (client, other) = (setting.connect().await, setting.connect().await);
    let subscribe = client.subscribe("n").qos(QoS::AtLeastOnce).no_local(true);
    let mut inbox = subscribe.await.unwrap();
    publish_all(&client, &["n"]).await;
    other
        .publish("n", "end")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    assert!(receive_until(&mut inbox, "end").await.is_empty());
}

/// The flag tells how it was published.
pub async fn retain_as_published(setting: Setting) {
    let client = setting.connect().await;
    for keeps in [false, true] {
        let topic = format!("rap/{keeps}");
        let subscribe = client.subscribe(topic.as_str()).qos(QoS::AtLeastOnce);
        let mut inbox = subscribe.retain_as_published(keeps).await.unwrap();
        let publish = client.publish(topic.as_str(), "x").qos(QoS::AtLeastOnce);
        publish.retain(true).await.unwrap();
        assert_eq!(receive(&mut inbox).await.retain(), keeps);
    }
}

/// Nothing more comes, and the subscription is over.
pub async fn unsubscribing_ends_it(setting: Setting) {
    let client = setting.connect().await;
    let mut all = client.subscribe("u/#").qos(QoS::AtLeastOnce).await.unwrap();
    let inbox = client.subscribe("u/1").qos(QoS::AtLeastOnce).await.unwrap();
    let unsubscribed = inbox.unsubscribe().await.unwrap();
    let results = unsubscribed.results();
    assert_eq!(results.len(), 1);
    assert_eq!((results[0].0.as_str(), results[0].1.value()), ("u/1", 0));
    publish_all(&client, &["u/1"]).await;
    assert_eq!(receive(&mut all).await.topic(), "u/1");
    assert_eq!(client.statistics().filters, 1);
}

/// Whoever waits for messages is told that none will come.
pub async fn unsubscribing_a_filter_ends_whoever_has_it(setting: Setting) {
    let client = setting.connect().await;
    let mut inbox = client.subscribe("e").qos(QoS::AtLeastOnce).await.unwrap();
    publish_all(&client, &["e"]).await;
    let received = receive(&mut inbox).await;
    assert_eq!(received.topic(), "e");
    let (ended, unsubscribed) = join(inbox.recv_timeout(SOON), async {
        client.unsubscribe("e").await
    })
    .await;
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(unsubscribed.unwrap().results()[0].1.value(), 0);
    assert!(inbox.recv().await.is_none());
}

/// The server says that there was nothing.
pub async fn unsubscribing_what_nobody_has(setting: Setting) {
    let client = setting.connect().await;
    let unsubscribed = client.unsubscribe("x").and("y/#").await.unwrap();
    let results: Vec<_> = unsubscribed
        .results()
        .iter()
        .map(|(_, reason)| reason.value())
        .collect();
    // No subscription existed.
    assert_eq!(results, [0x11, 0x11]);
}

/// Nobody has to say it.
pub async fn dropping_a_subscription_unsubscribes(setting: Setting) {
    let client = setting.connect().await;
    let inbox = client.subscribe("d").qos(QoS::AtLeastOnce).await.unwrap();
    drop(inbox);
    // Operations keep their order, so the server has seen the end of the first when it answers this.
    let unsubscribed = client.unsubscribe("d").await.unwrap();
    assert_eq!(unsubscribed.results()[0].1.value(), 0x11);
}

const SHARED: usize = 200;
