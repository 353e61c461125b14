//! Nothing is left behind: no thread, no descriptor.

use std::io::Write as _;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use mqtt5_blocking::{Backoff, Client, Options, QoS, Reconnect, State, connect, start};
use mqtt5_testkit::{Direction, Proxy, open_file_descriptors, thread_count, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// One test, since it counts what the whole process holds.
#[test]
fn clients_leave_nothing_behind() {
    let broker = mqtt5_broker::spawn().unwrap();
    let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let held = (thread_count(), open_file_descriptors());
    let assert_clean = |what: &str| {
        settle(&broker);
        let clean = wait_until(PATIENCE, || {
            (thread_count(), open_file_descriptors()) == held
        });
        assert!(
            clean,
            "{what}: {:?} instead of {held:?}",
            (thread_count(), open_file_descriptors())
        );
    };

    for cycle in 0..200 {
        let client = connect(broker.url()).unwrap();
        client
            .publish("a", "x")
            .qos(QoS::AtLeastOnce)
            .wait()
            .unwrap();
        if cycle % 2 == 0 {
            client.disconnect().wait().unwrap();
        }
    }
    assert_clean("200 cycles");

    // The socket is closed when disconnecting is over, not some time later.
    let client = connect(broker.url()).unwrap();
    client.disconnect().wait().unwrap();
    assert!(wait_until(PATIENCE, || broker.statistics().connections == 0));
    drop(client);
    assert_clean("a stopped client");

    for cycle in 0..200_u32 {
        let client = start(broker.url()).unwrap();
        let other = client.clone();
        let disconnecting = thread::spawn(move || other.disconnect().wait());
        (0..cycle * 100).for_each(|_| std::hint::spin_loop());
        let _ = client.connected();
        drop(client);
        disconnecting.join().unwrap().unwrap();
    }
    assert_clean("disconnecting while connecting");

    for cycle in 0..200_u32 {
        let client = start(format!("mqtt://localhost:{}", broker.address().port())).unwrap();
        (0..cycle * 100).for_each(|_| std::hint::spin_loop());
        drop(client);
    }
    assert_clean("dropping while connecting");

    for _ in 0..100 {
        assert!(connect(format!("mqtt://{refused}")).is_err());
        assert!(connect("mqtt://localhost:99999").is_err());
        assert!(connect(Options::new(broker.url()).username("a".repeat(70_000))).is_err());
    }
    assert_clean("failing to connect");

    // T116: connections that are lost and made again end while they are up, while they are down, and while nobody lets them in.
    let proxy = Proxy::start(broker.address());
    let backoff = Backoff::exponential(Duration::from_millis(1), Duration::from_millis(10));
    let stubborn = Reconnect::default().retry_first(true).backoff(backoff);
    let stubborn = Options::new(proxy.url()).reconnect(stubborn);
    for cycle in 0..400_u32 {
        let client = start(stubborn.clone()).unwrap();
        (0..cycle * 50).for_each(|_| std::hint::spin_loop());
        if cycle % 4 == 0 {
            proxy.cut();
        }
        client.disconnect().wait().unwrap();
    }
    for cycle in 0..60 {
        let client = connect(stubborn.clone()).unwrap();
        let messages = client.subscribe("a").wait().unwrap();
        for connects in 2..4 {
            proxy.cut();
            let is_back = || client.statistics().connects >= connects;
            assert!(wait_until(PATIENCE, is_back));
        }
        proxy.refuse(cycle % 3 == 0);
        if cycle % 3 != 1 {
            proxy.cut();
        }
        if cycle % 2 == 0 {
            client.disconnect().wait().unwrap();
        }
        drop((client, messages));
        proxy.refuse(false);
    }
    drop(proxy);
    assert_clean("connections that are made again");

    // Nobody answers: the socket that connects is given up, not only forgotten.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    socket2::SockRef::from(&silent).listen(0).unwrap();
    let queued: Vec<_> = (0..4)
        .map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(50)))
        .collect();
    let hour = Backoff::constant(Duration::from_secs(3600));
    let patient = Reconnect::default().retry_first(true).backoff(hour);
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let client = start(format!("mqtt://{address}")).unwrap();
        drop(client);
        let options =
            Options::new(format!("mqtt://{address}")).connect_timeout(Duration::from_millis(20));
        assert!(connect(options.clone()).is_err());
        waiting.push(start(options.reconnect(patient.clone())).unwrap());
    }
    // Only the thread that keeps the time.
    let is_waiting = |client: &Client| client.state() == State::Waiting;
    assert!(wait_until(PATIENCE, || waiting.iter().all(is_waiting)
        && thread_count() == held.0 + waiting.len()));
    drop(waiting);
    // While it still does not answer.
    assert!(wait_until(PATIENCE, || thread_count() == held.0));
    drop((silent, queued));
    assert_clean("giving up a dial");

    // The server takes nothing, then the link breaks or the client leaves.
    for cut in [false, true] {
        let proxy = Proxy::start(broker.address());
        let client = connect(proxy.url()).unwrap();
        proxy.stall(Direction::ToBroker, true);
        while client
            .publish("a", vec![0; 60_000])
            .timeout(Duration::from_millis(50))
            .start()
            .is_ok()
        {}
        if cut {
            proxy.cut();
        } else {
            let _ = client.disconnect().drain(Duration::ZERO).wait();
        }
        drop(client);
        drop(proxy);
        assert_clean("a link that takes nothing");
    }

    // The server says that it is done and reads nothing more, but keeps the socket.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let options = Options::new(url).client_id("here");
    let client = start(options.reconnect(Reconnect::never())).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(&[0x20, 3, 0, 0, 0]).unwrap();
    client.connected().unwrap();
    while client
        .publish("a", vec![0; 60_000])
        .timeout(Duration::from_millis(50))
        .start()
        .is_ok()
    {}
    server.shutdown(Shutdown::Write).unwrap();
    assert!(client.closed().is_err());
    drop((client, listener));
    let left = || (thread_count(), open_file_descriptors());
    assert!(
        wait_until(PATIENCE, || left() == (held.0, held.1 + 1)),
        "{:?}",
        left()
    );
}

/// The broker forgets connections a little later than clients; its threads would be counted.
fn settle(broker: &mqtt5_broker::Server) {
    assert!(wait_until(PATIENCE, || broker.statistics().connections == 0));
}
