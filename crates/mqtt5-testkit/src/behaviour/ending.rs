//! Ends that were asked for.

use mqtt5_client::{PublishErrorKind, QoS, State, SubscribeErrorKind, UnsubscribeErrorKind, Will};

use super::{Server, Setting, eventually, receive_until};

/// What was accepted is delivered first, whatever that takes.
pub async fn a_disconnect_drains(setting: Setting) {
    let (client, other) = (setting.connect().await, setting.connect().await);
    let mut inbox = other.subscribe("d").qos(QoS::ExactlyOnce).await.unwrap();
    let mut deliveries = Vec::new();
    for number in 0..300 {
        let publish = client
            .publish("d", number.to_string())
            .qos(QoS::ExactlyOnce);
        deliveries.push(publish.start().await.unwrap());
    }
    client.disconnect().await.unwrap();
    for delivery in &mut deliveries {
        let outcome = delivery.try_outcome().expect("it has ended");
        assert!(outcome.unwrap().is_acknowledged());
    }
    client.closed().await.unwrap();
    assert_eq!(client.state(), State::Stopped);

    other
        .publish("d", "end")
        .qos(QoS::ExactlyOnce)
        .await
        .unwrap();
    let expected: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    assert_eq!(receive_until(&mut inbox, "end").await, expected);
}

/// It is what was asked for.
pub async fn a_second_disconnect_is_no_error(setting: Setting) {
    let client = setting.connect().await;
    let clone = client.clone();
    let (first, second) = super::join(async { client.disconnect().await }, async {
        clone.disconnect().await
    })
    .await;
    first.unwrap();
    second.unwrap();
    client.disconnect().await.unwrap();
}

/// Messages that were accepted still leave, then the client says goodbye.
pub async fn the_last_handle_ends_it(setting: Setting) {
    let other = setting.connect().await;
    let subscribe = other.subscribe("l").qos(QoS::AtLeastOnce);
    let mut inbox = subscribe.and("will").qos(QoS::AtLeastOnce).await.unwrap();
    let options = setting.options().will(Will::new("will", "gone"));
    let client = setting.connect_with(options).await;
    let mut events = client.events();
    let clone = client.clone();
    let subscription = client.subscribe("x").await.unwrap();
    for number in 0..10 {
        let publish = client
            .publish("l", number.to_string())
            .qos(QoS::AtLeastOnce);
        drop(publish.start().await.unwrap());
    }
    drop((client, clone, subscription));
    // Events do not keep it alive.
    while events.recv().await.is_some() {}

    other
        .publish("will", "end")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    let expected: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(receive_until(&mut inbox, "end").await, expected);
    if let Server::Embedded(broker) = setting.server {
        // It closes a socket before it forgets the connection.
        let is_forgotten = move || broker.statistics().connections == 1;
        eventually("the broker has one connection", is_forgotten).await;
    }
}

/// Messages keep arriving while the client says goodbye, and do not make the system destroy what it says: the server
/// would publish the will.
pub async fn a_disconnect_amid_a_flood_arrives(setting: Setting) {
    let (witness, publisher) = (setting.connect().await, setting.connect().await);
    let mut wills = witness
        .subscribe("will")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    for _ in 0..20 {
        let client = setting
            .connect_with(setting.options().will(Will::new("will", "gone")))
            .await;
        let inbox = client.subscribe("flood").await.unwrap();
        for _ in 0..200 {
            publisher.publish("flood", vec![0; 4_000]).await.unwrap();
        }
        client.disconnect().await.unwrap();
        drop(inbox);
    }
    publisher
        .publish("will", "end")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    assert!(receive_until(&mut wills, "end").await.is_empty());
    drop(wills);
    eventually("all are acknowledged", move || {
        publisher.statistics().waiting_publishes == 0
    })
    .await;
}

/// They say that the client has stopped.
pub async fn operations_after_the_end_fail(setting: Setting) {
    let client = setting.connect().await;
    let mut inbox = client.subscribe("a").await.unwrap();
    client.disconnect().await.unwrap();
    for qos in super::QOS {
        let error = client.publish("a", "1").qos(qos).await.unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::Closed);
    }
    let error = client.subscribe("a").await.unwrap_err();
    assert_eq!(error.kind(), SubscribeErrorKind::Closed);
    let error = client.unsubscribe("a").await.unwrap_err();
    assert_eq!(error.kind(), UnsubscribeErrorKind::Closed);
    assert!(inbox.recv().await.is_none());
    assert!(inbox.try_recv().is_err());
    client.connected().await.unwrap_err();
    client.flush().await.unwrap_err();
    assert!(client.events().recv().await.is_none());
}
