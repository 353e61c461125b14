//! Nothing is left behind: no thread, no descriptor.

use std::io::Write as _;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use mqtt5_blocking::{Options, QoS, Reconnect, connect, start};
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

    // Nobody answers: the socket that connects is given up, not only forgotten.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    socket2::SockRef::from(&silent).listen(0).unwrap();
    let queued: Vec<_> = (0..4)
        .map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(50)))
        .collect();
    for _ in 0..20 {
        let client = start(format!("mqtt://{address}")).unwrap();
        drop(client);
        let options =
            Options::new(format!("mqtt://{address}")).connect_timeout(Duration::from_millis(20));
        assert!(connect(options).is_err());
    }
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
