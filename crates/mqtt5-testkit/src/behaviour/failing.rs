//! Ends that nobody asked for, to clients that do not connect again: everything ends with an error that says why, and nothing hangs.

use std::time::Duration;

use mqtt5_client::{
    Client, ConnectionError, ConnectionErrorKind, KeepAlive, Options, PublishErrorKind, QoS,
    Reconnect, State, SubscribeErrorKind,
};

use super::{QOS, Setting, join, off_thread, receive};
use crate::Direction;

/// Options of a client for a single connection.
fn once(url: String) -> Options {
    Options::new(url).reconnect(Reconnect::never())
}

/// Nothing works any more, and everything says so.
async fn assert_stopped(client: &Client) -> ConnectionError {
    let error = client.closed().await.unwrap_err();
    assert_eq!(client.state(), State::Stopped);
    assert_eq!(client.connected().await.unwrap_err(), error);
    let publish = client.publish("a", "1").qos(QoS::AtLeastOnce);
    assert_eq!(publish.await.unwrap_err().kind(), PublishErrorKind::Closed);
    let subscribe = client.subscribe("a").await;
    assert_eq!(subscribe.unwrap_err().kind(), SubscribeErrorKind::Closed);
    client.disconnect().await.unwrap();
    error
}

/// The server goes away, politely or not.
pub async fn the_server_closes(setting: Setting) {
    let options = setting.options().reconnect(Reconnect::never());
    let client = setting.connect_with(options).await;
    let mut inbox = client.subscribe("a").await.unwrap();
    let Setting { server, .. } = setting;
    let (ended, ()) = join(inbox.recv(), off_thread(|| server.stop())).await;
    assert!(ended.is_none());
    let error = assert_stopped(&client).await;
    let kinds = [
        ConnectionErrorKind::ByServer,
        ConnectionErrorKind::TransportClosed,
    ];
    assert!(kinds.contains(&error.kind()), "{error:?}");
    if error.kind() == ConnectionErrorKind::ByServer {
        assert!(
            error
                .reason_code()
                .is_some_and(|reason| reason.value() == 0x8b),
            "{error}"
        );
    }
}

/// Nobody answers any more, and then the link is gone.
pub async fn the_link_is_cut(setting: Setting) {
    let proxy = setting.server.proxy();
    let client = setting.connect_with(once(proxy.url())).await;
    let mut inbox = client.subscribe("a").await.unwrap();
    proxy.stall(Direction::ToClient, true);
    let mut deliveries = Vec::new();
    for qos in QOS {
        let delivery = client.publish("b", "1").qos(qos).start().await.unwrap();
        deliveries.push((qos, delivery));
    }
    client.flush().await.unwrap();
    let subscribing = async { client.subscribe("c").await };
    let unsubscribing = async { client.unsubscribe("c").await };
    let cutting = async {
        client.flush().await.unwrap();
        proxy.cut();
    };
    let ((subscribed, unsubscribed), ()) = join(join(subscribing, unsubscribing), cutting).await;
    subscribed.unwrap_err();
    unsubscribed.unwrap_err();
    for (qos, delivery) in deliveries {
        match delivery.await {
            Ok(delivered) => assert!(qos == QoS::AtMostOnce && !delivered.is_acknowledged()),
            Err(error) => assert_eq!(error.kind(), PublishErrorKind::Unknown, "{qos:?}"),
        }
    }
    assert!(inbox.recv().await.is_none());
    let error = assert_stopped(&client).await;
    assert_eq!(error.kind(), ConnectionErrorKind::TransportClosed);
}

/// The link breaks after each number of bytes, in both directions, while messages of each QoS go both ways.
pub async fn the_link_is_cut_at_every_stage(setting: Setting) {
    let proxy = setting.server.proxy();
    for direction in [Direction::ToBroker, Direction::ToClient] {
        let mut survived = 0;
        for bytes in (0..).step_by(3) {
            proxy.cut_after(direction, bytes);
            let client = setting.start(once(proxy.url()));
            let whole = exchange(&client).await;
            drop(client.disconnect().await);
            survived += u32::from(whole);
            if survived == 2 {
                break;
            }
        }
        assert_eq!(survived, 2);
    }
}

/// Whether all of it succeeded.
async fn exchange(client: &Client) -> bool {
    let Ok(mut inbox) = client.subscribe("c").qos(QoS::ExactlyOnce).await else {
        return false;
    };
    for qos in QOS {
        let publish = client.publish("c", "1").qos(qos);
        let (published, received) = join(async { publish.await }, inbox.recv()).await;
        if published.is_err() || received.is_none() {
            return false;
        }
    }
    inbox.unsubscribe().await.is_ok()
}

/// Silence for longer than the keep alive, after which nothing hangs.
pub async fn a_silent_server_is_noticed(setting: Setting) {
    let proxy = setting.server.proxy();
    let options =
        once(proxy.url()).keep_alive(KeepAlive::try_from(KEEP_ALIVE).expect("whole seconds"));
    let client = setting.connect_with(options).await;
    let mut inbox = client.subscribe("a").await.unwrap();
    proxy.stall(Direction::ToClient, true);
    let publish = client.publish("a", "1").qos(QoS::AtLeastOnce);
    let clone = client.clone();
    let stops = move || crate::wait_until(5 * KEEP_ALIVE, || clone.state() == State::Stopped);
    let work = join(async { publish.await }, inbox.recv());
    let ((published, received), in_time) = join(work, off_thread(stops)).await;
    assert_eq!(published.unwrap_err().kind(), PublishErrorKind::Unknown);
    assert!(received.is_none());
    assert!(in_time, "it is noticed too late");
    let error = assert_stopped(&client).await;
    assert_eq!(error.kind(), ConnectionErrorKind::KeepAliveTimeout);
}

/// A byte at a time, with pauses, in both directions.
pub async fn a_dribbling_link(setting: Setting) {
    let proxy = setting.server.proxy();
    proxy.dribble(true);
    let client = setting.connect_with(Options::new(proxy.url())).await;
    let mut inbox = client.subscribe("d").qos(QoS::ExactlyOnce).await.unwrap();
    for qos in QOS {
        let publish = client.publish("d", vec![7; 500]).qos(qos).content_type("x");
        let (published, message) = join(async { publish.await }, receive(&mut inbox)).await;
        published.unwrap();
        assert_eq!(message.payload(), [7; 500]);
        assert_eq!(message.properties().content_type(), Some("x"));
    }
    client.disconnect().await.unwrap();
}

/// The other side takes nothing: each operation ends when its time is over, and so does the client.
pub async fn a_stalled_link_holds_nobody_for_ever(setting: Setting) {
    let proxy = setting.server.proxy();
    let client = setting.connect_with(Options::new(proxy.url())).await;
    for direction in [Direction::ToBroker, Direction::ToClient] {
        proxy.stall(direction, true);
    }
    let moment = Duration::from_millis(100);
    let error = client.subscribe("a").timeout(moment).await.unwrap_err();
    assert_eq!(error.kind(), SubscribeErrorKind::TimedOut);
    // More than all buffers on the way hold.
    let payload = vec![0; 900_000];
    let error = loop {
        let publish = client.publish("a", &payload).timeout(moment);
        if let Err(error) = publish.await {
            break error;
        }
    };
    assert_eq!(error.kind(), PublishErrorKind::TimedOut);
    let error = client
        .publish("a", "1")
        .qos(QoS::AtLeastOnce)
        .timeout(moment)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::TimedOut);
    // The exchange is open, and its end cannot be waited for.
    client.disconnect().drain(moment).await.unwrap_err();
    assert_eq!(client.state(), State::Stopped);
}

/// The shortest there is.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
