//! The loop, opposite sockets and a clock that do as they are told.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use mqtt5_client::driver::Host;
use mqtt5_client::{Async, Backoff, Client, ConnectionErrorKind, Options, Reconnect, State};

use super::*;

/// What the test and the fakes share.
#[derive(Debug, Default)]
struct World {
    micros: AtomicU64,
    armed: Mutex<Vec<Instant>>,
    addresses: Mutex<Vec<SocketAddr>>,
    /// Those that answer; the others keep silent.
    answering: Mutex<Vec<SocketAddr>>,
    dialed: Mutex<Vec<SocketAddr>>,
    reads: Mutex<VecDeque<Vec<u8>>>,
    /// Read again and again when `reads` is empty; without it the stream ends there.
    endless: Mutex<Option<Vec<u8>>>,
    refuses_writes: Mutex<bool>,
    written: Mutex<Vec<u8>>,
    open: AtomicUsize,
}

#[derive(Clone, Default)]
struct Fake(Arc<World>);

impl Host for Fake {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.micros.load(Ordering::Relaxed))
    }
}

struct FakeSocket(Fake);

impl FakeSocket {
    fn open(fake: &Fake) -> Self {
        fake.0.open.fetch_add(1, Ordering::Relaxed);
        Self(fake.clone())
    }
}

impl Drop for FakeSocket {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Runtime for Fake {
    type Socket = FakeSocket;

    fn resolve(&self, _: &str, _: u16) -> Pending<Vec<SocketAddr>> {
        let addresses = self.0.addresses.lock().unwrap().clone();
        Box::pin(async move { Ok(addresses) })
    }

    fn connect(&self, address: SocketAddr, _: &TcpSettings) -> Pending<FakeSocket> {
        self.0.dialed.lock().unwrap().push(address);
        let answers = self.0.answering.lock().unwrap().contains(&address);
        let socket = FakeSocket::open(self);
        Box::pin(async move {
            if !answers {
                core::future::pending::<()>().await;
            }
            Ok(socket)
        })
    }

    fn arm(&mut self, at: Instant) {
        self.0.armed.lock().unwrap().push(at);
    }

    fn poll_timer(&mut self, _: &mut Context<'_>) -> Poll<()> {
        let armed = self.0.armed.lock().unwrap();
        if armed.last().is_some_and(|at| *at <= self.now()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Socket for FakeSocket {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let world = &self.0.0;
        if world.written.lock().unwrap().is_empty() && !*world.refuses_writes.lock().unwrap() {
            return Poll::Pending;
        }
        let next = world.reads.lock().unwrap().pop_front();
        let bytes = next
            .or_else(|| world.endless.lock().unwrap().clone())
            .unwrap_or_default();
        space[..bytes.len()].copy_from_slice(&bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write(
        &mut self,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if *self.0.0.refuses_writes.lock().unwrap() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        // A byte at a time.
        self.0.0.written.lock().unwrap().push(slices[0][0]);
        Poll::Ready(Ok(1))
    }

    fn shut_down(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bench {
    world: Arc<World>,
    wakes: Arc<Wakes>,
    client: Client<Async>,
    driver: AsyncDriver<Fake>,
}

impl Bench {
    fn new(url: &str, prepare: impl FnOnce(&World)) -> Self {
        Self::with(Options::new(url), prepare)
    }

    /// Connects again after a second, and for the first time, too.
    fn stubborn(prepare: impl FnOnce(&World)) -> Self {
        let reconnect = Reconnect::default().retry_first(true);
        let reconnect = reconnect.backoff(Backoff::constant(Duration::from_secs(1)));
        let options = Options::new("mqtt://192.0.2.1").reconnect(reconnect);
        Self::with(options, prepare)
    }

    fn with(options: Options, prepare: impl FnOnce(&World)) -> Self {
        let fake = Fake::default();
        prepare(&fake.0);
        let options = options.client_id("c");
        let (client, driver) = Driver::new(options, fake.clone()).unwrap();
        let world = fake.0.clone();
        Self {
            world,
            wakes: Arc::default(),
            client,
            driver: AsyncDriver::new(driver, fake, Settings::default()),
        }
    }

    /// Polls once; tells whether it has ended, and whether it asked to be polled again.
    fn poll(&mut self) -> (bool, bool) {
        let before = self.wakes.0.load(Ordering::Relaxed);
        let waker = Waker::from(self.wakes.clone());
        let ended = Pin::new(&mut self.driver)
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        (ended, self.wakes.0.load(Ordering::Relaxed) > before)
    }

    fn run(&mut self) -> bool {
        (0..1_000).any(|_| match self.poll() {
            (true, _) => true,
            (false, again) => !again,
        })
    }

    fn advance(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap();
        self.world.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

fn address(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 1883).into()
}

fn one_that_answers(world: &World) {
    world.answering.lock().unwrap().push(address(1));
}

#[test]
fn a_poll_is_bounded_and_asks_for_another() {
    let mut bench = Bench::new("mqtt://192.0.2.1", |world| {
        one_that_answers(world);
        world
            .reads
            .lock()
            .unwrap()
            .push_back(b"\x20\x03\0\0\0".to_vec());
        // PINGRESP.
        *world.endless.lock().unwrap() = Some(b"\xd0\0".to_vec());
    });
    for _ in 0..100 {
        assert_eq!(bench.poll(), (false, true));
    }
    assert_eq!(bench.client.state(), State::Online);
}

#[test]
fn what_came_before_the_other_side_closed_is_read_though_nothing_can_be_written() {
    let mut bench = Bench::new("mqtt://192.0.2.1", |world| {
        one_that_answers(world);
        // CONNACK: server busy.
        world
            .reads
            .lock()
            .unwrap()
            .push_back(b"\x20\x03\0\x89\0".to_vec());
        *world.refuses_writes.lock().unwrap() = true;
    });
    assert!(bench.run());
    let waker = Waker::noop();
    let closed = Pin::new(&mut bench.client.closed()).poll(&mut Context::from_waker(waker));
    let Poll::Ready(Err(error)) = closed else {
        panic!("{closed:?}")
    };
    assert_eq!(error.kind(), ConnectionErrorKind::Refused);
    assert_eq!(bench.world.open.load(Ordering::Relaxed), 0);
}

#[test]
fn a_silent_address_gets_company_and_the_loser_is_closed() {
    let mut bench = Bench::new("mqtt://host", |world| {
        world
            .addresses
            .lock()
            .unwrap()
            .extend([address(9), address(1)]);
        one_that_answers(world);
        *world.endless.lock().unwrap() = Some(b"\xd0\0".to_vec());
        world
            .reads
            .lock()
            .unwrap()
            .push_back(b"\x20\x03\0\0\0".to_vec());
    });
    assert!(bench.run());
    assert_eq!(*bench.world.dialed.lock().unwrap(), [address(9)]);
    let quarter = Duration::from_millis(250);
    assert_eq!(
        bench.world.armed.lock().unwrap().last(),
        Some(&(Instant::ZERO + quarter))
    );

    bench.advance(quarter);
    for _ in 0..10 {
        bench.poll();
    }
    assert_eq!(
        *bench.world.dialed.lock().unwrap(),
        [address(9), address(1)]
    );
    assert_eq!(bench.client.state(), State::Online);
    assert_eq!(bench.world.open.load(Ordering::Relaxed), 1);
}

#[test]
fn deadlines_that_move_away_leave_the_timer_alone() {
    let mut bench = Bench::new("mqtt://192.0.2.1", |world| {
        one_that_answers(world);
        world
            .reads
            .lock()
            .unwrap()
            .push_back(b"\x20\x03\0\0\0".to_vec());
        *world.endless.lock().unwrap() = Some(b"\xd0\0".to_vec());
    });
    for _ in 0..50 {
        bench.advance(Duration::from_millis(1));
        bench.poll();
    }
    assert_eq!(bench.client.state(), State::Online);
    let armed = bench.world.armed.lock().unwrap().len();
    assert!(armed <= 3, "{armed}");
}

#[test]
fn an_attempt_that_is_called_off_leaves_no_socket() {
    let mut bench = Bench::new("mqtt://192.0.2.9", |_| {});
    assert!(bench.run());
    assert_eq!(bench.world.open.load(Ordering::Relaxed), 1);
    let Bench { client, .. } = &bench;
    drop(client.clone());
    let world = bench.world.clone();
    let mut driver = bench.driver;
    drop(bench.client);
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut driver).poll(&mut context).is_ready());
    assert_eq!(world.open.load(Ordering::Relaxed), 0);
}

/// There will be another attempt, so that nothing else closes the socket.
#[test]
fn a_dial_that_takes_too_long_is_cancelled() {
    let mut bench = Bench::stubborn(|_| {});
    for _ in 0..3 {
        assert!(bench.run());
        assert_eq!(bench.client.state(), State::Dialing);
        assert_eq!(bench.world.open.load(Ordering::Relaxed), 1);
        bench.advance(Duration::from_secs(10));
        assert!(bench.run());
        assert_eq!(bench.client.state(), State::Waiting);
        assert_eq!(bench.world.open.load(Ordering::Relaxed), 0);
        bench.advance(Duration::from_secs(1));
    }
    assert_eq!(*bench.world.dialed.lock().unwrap(), [address(1); 3]);
}

/// The other side closes when a part of CONNECT is written, and half a packet is read: the next connection begins at its beginning.
#[test]
fn a_connection_inherits_no_byte_of_the_one_before() {
    let mut bench = Bench::stubborn(|world| {
        one_that_answers(world);
        // Half a CONNACK, and the end.
        let mut reads = world.reads.lock().unwrap();
        reads.extend([b"\x20\x03\0".to_vec(), Vec::new()]);
    });
    assert!(bench.run());
    assert_eq!(bench.client.state(), State::Waiting);
    assert_eq!(bench.world.open.load(Ordering::Relaxed), 0);
    let part = mem::take(&mut *bench.world.written.lock().unwrap());

    let connack = b"\x20\x03\0\0\0".to_vec();
    bench.world.reads.lock().unwrap().push_back(connack);
    *bench.world.endless.lock().unwrap() = Some(b"\xd0\0".to_vec());
    bench.advance(Duration::from_secs(1));
    for _ in 0..20 {
        bench.poll();
    }
    assert_eq!(bench.client.state(), State::Online);
    let whole = bench.world.written.lock().unwrap();
    assert_eq!(whole.len(), 2 + usize::from(whole[1]));
    assert!(!part.is_empty() && part.len() < whole.len());
    assert_eq!(whole[..part.len()], part);
}
