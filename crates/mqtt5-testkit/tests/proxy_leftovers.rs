//! One test in a process of its own: nothing else opens sockets or starts threads meanwhile.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use mqtt5_testkit::{Proxy, open_file_descriptors, thread_count, wait_until};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_proxy_leaves_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (threads, files) = (thread_count(), open_file_descriptors());
    for _ in 0..50 {
        let proxy = Proxy::start(listener.local_addr().unwrap());
        let connect = || {
            (
                TcpStream::connect(proxy.addr()).unwrap(),
                listener.accept().unwrap(),
            )
        };
        let ended = connect();
        let open = connect();
        drop(ended);
        assert!(wait_until(SOON, || proxy.open_connections() == 1));
        drop(proxy);
        drop(open);
        assert_eq!(open_file_descriptors(), files);
        assert!(wait_until(SOON, || thread_count() == threads));
    }
}
