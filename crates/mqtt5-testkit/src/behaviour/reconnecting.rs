//! Connections that are made again: when, to whom, with which credentials, and until when.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use mqtt5_client::{
    Async, Backoff, Client, ConnectionErrorKind as Kind, Endpoint, Event, Filter, Options, QoS,
    Reconnect, Resume, State, Subscription, Will,
};

use socket2::SockRef;

use super::sockets::{DIALING, sockets};
use super::{
    SOON, Server, Setting, eventually, hear, join, off_thread, quickly, receive, receive_until,
    spin,
};
use crate::{Direction, Script, ScriptedPeer};

/// T81: what the server still has is not asked for again.
pub async fn subscriptions_are_sent_again_when_they_are_lost(setting: Setting) {
    let proxy = setting.server.proxy();
    let client = setting.connect_with(setting.through(&proxy)).await;
    let mut events = client.events();
    let subscribe = client.subscribe("r/+").qos(QoS::ExactlyOnce);
    let mut inbox = subscribe.and("s").qos(QoS::AtLeastOnce).await.unwrap();

    proxy.cut();
    let connected = |event: &Event| matches!(event, Event::Connected(_));
    hear(&mut events, connected).await;
    assert!(client.connection().unwrap().session_present());
    publish(&client, "r/1", "kept").await;
    assert_eq!(receive(&mut inbox).await.payload(), b"kept");
    assert_eq!(client.statistics().subscribes_sent, 1);

    let Setting { server, .. } = setting;
    let server = off_thread(|| server.restart()).await;
    hear(&mut events, |event| *event == Event::SessionLost).await;
    let again = hear(&mut events, |event| {
        matches!(event, Event::Resubscribed { .. })
    })
    .await;
    let Event::Resubscribed { results } = again else {
        unreachable!("it was looked for");
    };
    let granted = results
        .iter()
        .map(|(filter, reason)| (filter.as_str(), reason.value()));
    assert_eq!(granted.collect::<Vec<_>>(), [("r/+", 2), ("s", 1)]);
    assert!(!client.connection().unwrap().session_present());
    for topic in ["r/2", "s"] {
        publish(&client, topic, topic).await;
        assert_eq!(receive(&mut inbox).await.payload(), topic.as_bytes());
    }
    assert_eq!(client.statistics().subscribes_sent, 2);
    off_thread(|| drop(server)).await;
}

/// A server that comes back again and again finds a client that has forgotten nothing.
pub async fn pitfall_14_a_server_that_restarts_again_and_again(setting: Setting) {
    let options = setting.options().reconnect(quickly());
    let client = setting.connect_with(options).await;
    let mut inbox = client.subscribe("a").qos(QoS::ExactlyOnce).await.unwrap();
    let Setting { mut server, .. } = setting;
    for round in 0..5 {
        // While the server is away, and perhaps before the client knows.
        let publish = client.publish("b", "x").qos(QoS::AtLeastOnce);
        let (restarted, published) =
            join(off_thread(|| server.restart()), async { publish.await }).await;
        server = restarted;
        published.unwrap();
        let text = round.to_string();
        // It goes out after the subscription, which went out after CONNACK.
        publish_until_it_comes(&client, &mut inbox, &text).await;
    }
    assert!(client.statistics().connects > 5);
    off_thread(|| drop(server)).await;
}

/// The last server that is gone may take a message with it.
async fn publish_until_it_comes(client: &Client, inbox: &mut Subscription<Async>, text: &str) {
    for _ in 0..10 {
        publish(client, "a", text).await;
        let received = inbox.recv_timeout(Duration::from_secs(3)).await.unwrap();
        if received.is_some_and(|message| message.payload() == text.as_bytes()) {
            return;
        }
    }
    panic!("{text} does not arrive: {:?}", client.statistics());
}

/// T80: one server after the other, and the one that accepts is kept to.
pub async fn servers_take_turns(setting: Setting) {
    let other = Server::start(setting.kind());
    let (first, second) = (setting.server.proxy(), other.proxy());
    first.refuse(true);
    // The first attempt of all asks every server, too.
    let options = setting.options_for(&first).server(second.url());
    let client = setting.connect_with(options.reconnect(quickly())).await;
    assert_eq!(port(&client), second.addr().port());

    let mut events = client.events();
    for (this, next) in [(&second, &first), (&first, &second)] {
        this.refuse(true);
        next.refuse(false);
        this.cut();
        hear(&mut events, |event| matches!(event, Event::Connected(_))).await;
        assert_eq!(port(&client), next.addr().port());
        publish(&client, "a", "1").await;
    }
    client.disconnect().await.unwrap();
    off_thread(|| drop((first, second, other))).await;
}

/// T91: other servers, from the next attempt on.
pub async fn servers_can_be_replaced(setting: Setting) {
    let other = Server::start(setting.kind());
    let (proxy, new) = (setting.server.proxy(), other.proxy());
    let client = setting.connect_with(setting.through(&proxy)).await;
    let mut events = client.events();
    client.set_servers([new.url()]).unwrap();
    publish(&client, "a", "1").await;
    assert_eq!(port(&client), proxy.addr().port());
    proxy.cut();
    hear(&mut events, |event| matches!(event, Event::Connected(_))).await;
    assert_eq!(port(&client), new.addr().port());
    assert_eq!(proxy.connections(), 1);
    client.set_servers::<String>([]).unwrap_err();
    client.disconnect().await.unwrap();
    off_thread(|| drop((proxy, new, other))).await;
}

/// T85: each failure is told with its attempt, also before the first success.
pub async fn failures_are_told_each_time(setting: Setting) {
    let proxy = setting.server.proxy();
    proxy.refuse(true);
    let client = setting.start(setting.through(&proxy));
    let mut events = client.events();
    let mut last = 0;
    for _ in 0..3 {
        let failed = hear(&mut events, |event| {
            matches!(event, Event::ConnectFailed(_))
        })
        .await;
        let Event::ConnectFailed(error) = failed else {
            unreachable!("it was looked for");
        };
        assert_eq!(error.kind(), Kind::TransportClosed);
        let Event::Waiting { attempt, .. } = hear(&mut events, |_| true).await else {
            panic!("what comes next is told");
        };
        assert!(attempt.number() > last);
        last = attempt.number();
    }
    proxy.refuse(false);
    hear(&mut events, |event| matches!(event, Event::Connected(_))).await;
    let statistics = client.statistics();
    assert_eq!(statistics.connects, 1);
    assert!(statistics.connect_failures >= 3);
}

/// A limit ends it with the last failure, after a success, too.
pub async fn attempts_can_be_limited(setting: Setting) {
    let proxy = setting.server.proxy();
    let options = setting.options_for(&proxy);
    let options = options.reconnect(quickly().maximum_attempts(3));
    let client = setting.connect_with(options).await;
    let mut inbox = client.subscribe("a").await.unwrap();
    proxy.refuse(true);
    proxy.cut();
    let error = client.closed().await.unwrap_err();
    assert_eq!(error.kind(), Kind::TransportClosed);
    assert_eq!(proxy.connections(), 3);
    assert!(inbox.recv().await.is_none());
}

/// T89: the end is an end, and the next client of the same name goes on with its session.
pub async fn a_new_client_after_the_end(setting: Setting) {
    let options = setting.options().client_id("again");
    let first = setting.connect_with(options.clone()).await;
    let subscribe = first.subscribe("c").qos(QoS::AtLeastOnce).durable();
    subscribe.await.unwrap().detach();
    first.disconnect().await.unwrap();
    for round in 0..20 {
        publish(&setting.connect().await, "c", &round.to_string()).await;
        let options = options.clone().resume(Resume::AssumeSession);
        let filter = Filter::new("c").qos(QoS::AtLeastOnce);
        let client = setting.start(options.declare(filter));
        let mut inbox = client.declared("c").unwrap();
        assert!(client.connected().await.unwrap().session_present());
        let message = receive(&mut inbox).await;
        assert_eq!(message.payload(), round.to_string().as_bytes());
        message.ack();
        client.disconnect().await.unwrap();
        assert_eq!(client.state(), State::Stopped);
        client.connected().await.unwrap_err();
    }
}

/// T116: at any moment of connecting and reconnecting.
pub async fn disconnecting_at_any_moment(setting: Setting) {
    let proxy = setting.server.proxy();
    for round in 0..400_u32 {
        let client = setting.start(setting.through(&proxy));
        let connected = async {
            spin(round % 97).await;
            if round % 3 == 0 {
                let _ = client.connected().await;
                proxy.cut();
                spin(round % 31).await;
            }
        };
        connected.await;
        let disconnect = client.disconnect().drain(Duration::ZERO);
        let (_, closed) = join(async { disconnect.await }, client.closed()).await;
        // A connection that was lost at the same time is told.
        if let Err(error) = closed {
            assert_eq!(error.kind(), Kind::TransportClosed, "{round}: {error}");
        }
    }
    eventually("all sockets are closed", move || {
        proxy.open_connections() == 0
    })
    .await;
}

/// Waiting for the next attempt is no reason to wait for the end.
pub async fn a_disconnect_ends_the_wait(setting: Setting) {
    let proxy = setting.server.proxy();
    let hour = Reconnect::default().backoff(Backoff::constant(Duration::from_secs(3600)));
    let options = setting.options_for(&proxy).reconnect(hour);
    let client = setting.connect_with(options).await;
    let mut events = client.events();
    proxy.cut();
    hear(&mut events, |event| matches!(event, Event::Waiting { .. })).await;
    let delivery = client.publish("a", "1").qos(QoS::AtLeastOnce).start();
    let delivery = delivery.await.unwrap();
    client.disconnect().await.unwrap_err();
    assert_eq!(client.state(), State::Stopped);
    delivery.await.unwrap_err();
}

/// Nobody takes the connection, and the time of the attempt is over, or the client does not want it any more.
pub async fn a_dial_that_hangs_is_cancelled(setting: Setting) {
    let listener = FullListener::start();
    let moment = Duration::from_millis(200);
    let hour = Backoff::constant(Duration::from_secs(3600));
    let reconnect = Reconnect::default().retry_first(true).backoff(hour);
    let options = Options::new(listener.url())
        .connect_timeout(moment)
        .reconnect(reconnect);
    let client = setting.start(options);
    let mut events = client.events();
    hear(&mut events, |event| matches!(event, Event::Waiting { .. })).await;
    let address = listener.address;
    eventually("the socket is closed", move || dials(address) == 0).await;
    client.disconnect().await.unwrap();

    let client = setting.start(Options::new(listener.url()).connect_timeout(SOON));
    eventually("it dials", move || dials(address) == 1).await;
    assert_eq!(client.state(), State::Dialing);
    client.disconnect().drain(Duration::ZERO).await.unwrap();
    eventually("the socket is closed", move || dials(address) == 0).await;
}

/// The server breaks the protocol and is left; that it may take its time to close is no matter of the next connection.
pub async fn a_link_that_was_left_does_not_disturb_the_next(setting: Setting) {
    let connack = b"\x20\x03\0\0\0";
    let script = Script::new()
        .skip_packet()
        .send([*connack, *connack].concat())
        // DISCONNECT: protocol error.
        .skip_packet()
        .next_connection()
        .skip_packet()
        .send(*connack)
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let at_once = Reconnect::default().backoff(Backoff::schedule([]));
    let options = Options::new(peer.url()).client_id("c").reconnect(at_once);
    let client = setting.start(options);
    let watched = client.clone();
    eventually("it connects again", move || {
        watched.statistics().connects == 2
    })
    .await;
    let watched = client.clone();
    let longer_than_a_link_is_left = Duration::from_millis(800);
    let is_lost = move || watched.statistics().disconnects > 1;
    let is_lost = off_thread(move || crate::wait_until(longer_than_a_link_is_left, is_lost)).await;
    assert!(!is_lost && client.is_connected());
    client.disconnect().await.unwrap();
    off_thread(|| peer.join()).await.unwrap();
}

/// The application has a say in each attempt, for example with a password that was fetched for it.
pub async fn attempts_are_prepared(setting: Setting) {
    let script = Script::new()
        .skip_packet()
        .send(*b"\x20\x03\0\0\0")
        .next_connection()
        .skip_packet()
        .send(*b"\x20\x03\0\0\0")
        .until_closed();
    let peer = ScriptedPeer::start(script);
    let options = Options::new("mqtt://nobody.invalid").client_id("c");
    let reconnect = quickly().retry_first(true);
    let client = setting.start(options.prepare_attempts(true).reconnect(reconnect));
    let mut attempts = client.attempts();
    let mut events = client.events();

    attempts.recv().await.unwrap().decline();
    let failed = hear(&mut events, |event| {
        matches!(event, Event::ConnectFailed(_))
    });
    let Event::ConnectFailed(error) = failed.await else {
        unreachable!("it was looked for");
    };
    assert_eq!(error.kind(), Kind::Declined);
    for (number, token) in [(2, "token two"), (3, "token three")] {
        let mut attempt = attempts.recv().await.unwrap();
        assert_eq!(attempt.attempt().number(), number);
        assert_eq!(attempt.endpoint().host(), "nobody.invalid");
        attempt.set_endpoint(peer.url().parse::<Endpoint>().unwrap());
        attempt.set_username(Some("me".into()));
        attempt.set_password(token);
        attempt.accept().unwrap();
        hear(&mut events, |event| matches!(event, Event::Connected(_))).await;
    }
    client.disconnect().await.unwrap();
    assert!(attempts.recv().await.is_none());
    let received = off_thread(|| peer.join()).await.unwrap();
    let connects = String::from_utf8_lossy(&received);
    let at = |text| connects.find(text).expect("it was sent");
    assert!(at("\0\x02me\0\x09token two") < at("\0\x02me\0\x0btoken three"));

    let options = setting.options().prepare_attempts(true);
    let client = setting.start(options);
    client.attempts().recv().await.unwrap().stop();
    let error = client.closed().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Declined);
}

/// T43: a client that is back in time needs nobody to speak for it.
pub async fn a_will_that_is_delayed(setting: Setting) {
    let listener = setting.connect().await;
    let mut inbox = listener
        .subscribe("will")
        .qos(QoS::AtLeastOnce)
        .await
        .unwrap();
    let proxy = setting.server.proxy();
    let will = Will::new("will", "gone").delay(Duration::from_secs(1));
    let client = setting
        .connect_with(setting.through(&proxy).will(will))
        .await;
    let mut events = client.events();
    proxy.cut();
    hear(&mut events, |event| matches!(event, Event::Connected(_))).await;
    let early = inbox.recv_timeout(Duration::from_millis(2_500)).await;
    assert!(early.unwrap().is_none(), "it was back in time");

    proxy.refuse(true);
    proxy.cut();
    assert_eq!(receive(&mut inbox).await.payload(), b"gone");
    client.disconnect().await.unwrap();
    publish(&listener, "will", "end").await;
    assert!(receive_until(&mut inbox, "end").await.is_empty());
}

/// T129: silence for longer than the keep alive, and the next connection completes what waits.
pub async fn a_silent_server_is_left(setting: Setting) {
    let proxy = setting.server.proxy();
    let second = Duration::from_secs(1);
    let options = setting
        .through(&proxy)
        .keep_alive(second.try_into().unwrap());
    let client = setting.connect_with(options).await;
    let mut events = client.events();
    proxy.stall(Direction::ToClient, true);
    let publish = client.publish("a", "1").qos(QoS::ExactlyOnce);
    let healing = async {
        let lost = hear(&mut events, |event| matches!(event, Event::Disconnected(_)));
        let Event::Disconnected(error) = lost.await else {
            unreachable!("it was looked for");
        };
        proxy.stall(Direction::ToClient, false);
        error
    };
    let (published, error) = join(async { publish.await }, healing).await;
    assert_eq!(error.kind(), Kind::KeepAliveTimeout);
    assert!(published.unwrap().is_acknowledged());
}

async fn publish(client: &Client, topic: &str, payload: &str) {
    let publish = client.publish(topic, payload).qos(QoS::AtLeastOnce);
    publish.await.unwrap();
}

fn port(client: &Client) -> u16 {
    client.connection().unwrap().endpoint().port()
}

/// Listens on a port whose queue is full: the system leaves whoever wants to connect without an answer.
struct FullListener {
    address: SocketAddr,
    _held: (TcpListener, Vec<TcpStream>),
}

impl FullListener {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        SockRef::from(&listener).listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(50));
        let queued = std::iter::from_fn(|| connect().ok()).collect();
        Self {
            address,
            _held: (listener, queued),
        }
    }

    fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }
}

/// How many sockets of this system wait for an answer from there.
fn dials(to: SocketAddr) -> usize {
    sockets(to, DIALING).len()
}
