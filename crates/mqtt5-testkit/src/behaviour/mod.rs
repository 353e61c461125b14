//! What every adapter must do, written once.
//!
//! An adapter says in a [`Harness`] how it starts a client and how it waits for a future, and [`behaviour_tests!`] makes
//! a test of each behaviour, once against the embedded broker and once against Mosquitto:
//!
//! ```text
//! fn harness() -> Harness {
//!     Harness { start: |options| mqtt5_tokio::start(options), block_on: |future| runtime().block_on(future) }
//! }
//! mqtt5_testkit::behaviour_tests!(crate::harness());
//! ```
//!
//! Behaviours wait for events and never for time to pass. Each runs on a thread of its own and fails when it takes too
//! long.
//!
//! [`behaviour_tests!`]: crate::behaviour_tests

pub mod acknowledging;
mod allocating;
pub mod bytes;
pub mod cancelling;
pub mod connecting;
pub mod ending;
pub mod failing;
pub mod messages;
pub mod reconnecting;
pub mod requesting;
mod server;
pub mod soaking;
mod sockets;
pub mod subscriptions;
pub mod surviving;

use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use mqtt5_client::{
    Async, Backoff, Client, Event, Events, Message, Options, OptionsError, QoS, ReasonCode,
    Reconnect, Retry, Subscription,
};
use mqtt5_transport::Setup;

use crate::Proxy;

pub use allocating::messages_cost_no_allocation;
pub use server::Server;

/// What the suite needs of an adapter.
#[derive(Clone, Copy, Debug)]
pub struct Harness {
    /// Starts a client and what drives it, and returns at once. It is called inside `block_on`.
    pub start: fn(Setup) -> Result<Client, OptionsError>,
    /// Runs a future to its end, as a program of this adapter does.
    pub block_on: fn(Body),
}

/// A behaviour under way.
pub type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Which broker is on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one of this workspace, in this process.
    Embedded,
    /// The real one, in a process of its own.
    Mosquitto,
}

/// What a behaviour is tested with: an adapter, and a server of its own.
#[derive(Debug)]
pub struct Setting {
    harness: Harness,
    kind: Kind,
    /// The server.
    pub server: Server,
}

impl Setting {
    /// Options for a client of the server.
    pub fn options(&self) -> Options {
        self.at(self.server.url())
    }

    /// Options for a client that reaches the server through this link.
    pub fn options_for(&self, proxy: &Proxy) -> Options {
        self.at(proxy.url())
    }

    /// Options for a client that does so however often it fails, without long waits.
    pub fn through(&self, proxy: &Proxy) -> Options {
        self.options_for(proxy)
            .reconnect(quickly().retry_first(true))
    }

    /// Options for a client that receives each QoS 2 message once, over this link if that can be.
    pub fn receiving_through(&self, proxy: &Proxy) -> Options {
        match self.kind {
            Kind::Embedded => self.through(proxy),
            // Version 2.0 begins again with PUBLISH for messages whose PUBREL it had sent when the link broke.
            Kind::Mosquitto => self.options(),
        }
    }

    /// Options for a client of another server.
    pub fn options_at(&self, server: &Server) -> Options {
        self.at(server.url())
    }

    fn at(&self, url: String) -> Options {
        let options = Options::new(url);
        match self.kind {
            // It must keep to the window.
            Kind::Embedded => options.inbound_margin(0),
            // Version 2.0 forgets the window while it works off a queue: of 2,000 messages, 1,071 were in flight.
            Kind::Mosquitto => options.inbound_margin(u16::MAX),
        }
    }

    /// Starts a client.
    ///
    /// # Panics
    ///
    /// When the options are wrong.
    pub fn start(&self, options: impl Into<Setup>) -> Client {
        (self.harness.start)(options.into()).expect("the options are valid")
    }

    /// Starts a client, whatever the options are.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn try_start(&self, options: Options) -> Result<Client, OptionsError> {
        (self.harness.start)(options.into())
    }

    /// Starts a client and waits until it is connected.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub async fn connect_with(&self, options: impl Into<Setup>) -> Client {
        let client = self.start(options);
        client.connected().await.expect("the server accepts");
        client
    }

    /// Connects a client to the server.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn connect(&self) -> Client {
        self.connect_with(self.options()).await
    }

    /// Which broker is on the other side.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// Runs one behaviour; [`behaviour_tests!`](crate::behaviour_tests) calls it.
///
/// # Panics
///
/// When it fails, or is not over after two minutes.
pub fn run(kind: Kind, harness: Harness, behaviour: fn(Setting) -> Body) {
    let (done, over) = mpsc::channel();
    let body = thread::spawn(move || {
        let body = AssertUnwindSafe(|| {
            let server = Server::start(kind);
            let setting = Setting {
                harness,
                kind,
                server,
            };
            (harness.block_on)(behaviour(setting));
        });
        // The other end waits for it.
        let _ = done.send(catch_unwind(body));
    });
    match over.recv_timeout(PATIENCE) {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => panic!("it hangs"),
    }
    body.join().expect("its panic is caught");
}

/// Runs a future on this thread, which sleeps while there is nothing to do: for adapters that have no executor.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Calls something that blocks on a thread of its own, so that the executor can go on.
async fn off_thread<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    struct Slot<T>(Mutex<(Option<thread::Result<T>>, Option<Waker>)>);

    impl<T> Slot<T> {
        fn lock(&self) -> MutexGuard<'_, (Option<thread::Result<T>>, Option<Waker>)> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    let slot = Arc::new(Slot(Mutex::new((None, None))));
    let theirs = Arc::clone(&slot);
    thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(call));
        let waker = {
            let mut slot = theirs.lock();
            slot.0 = Some(outcome);
            slot.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    });
    let outcome = poll_fn(|context| {
        let mut slot = slot.lock();
        slot.1 = Some(context.waker().clone());
        slot.0.take().map_or(Poll::Pending, Poll::Ready)
    });
    outcome.await.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Lets everybody else have a turn.
async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until something holds that nobody tells of.
async fn eventually(what: &str, condition: impl FnMut() -> bool + Send + 'static) {
    let held = off_thread(|| crate::wait_until(SOON, condition)).await;
    assert!(held, "it did not happen: {what}");
}

/// Polls a future once, if it is not ready by that.
async fn poll_once<F: Future + Unpin>(future: &mut F) {
    poll_fn(|context| {
        assert!(
            Pin::new(&mut *future).poll(context).is_pending(),
            "too early"
        );
        Poll::Ready(())
    })
    .await;
}

/// Connects again without long waits, so that a test does not take long.
fn quickly() -> Reconnect {
    let (first, longest) = (Duration::from_millis(2), Duration::from_millis(50));
    // A server may read the CONNECT of a connection that was cut after that of the next, which it then ends as taken over.
    Reconnect::default()
        .backoff(Backoff::exponential(first, longest))
        .on_reason(ReasonCode::SESSION_TAKEN_OVER, Retry::Backoff)
}

/// The next event of this kind.
async fn hear(events: &mut Events<Async>, is_wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.recv().await.expect("the client lives");
        if is_wanted(&event) {
            return event;
        }
    }
}

/// Lets others have so many turns.
async fn spin(turns: u32) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// Runs two futures at once, on one task.
async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(context)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(context)
        {
            second = Some(output);
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            halves => {
                (first, second) = halves;
                Poll::Pending
            }
        }
    })
    .await
}

/// Runs futures at once, on one task.
async fn join_all<'a, T>(futures: impl IntoIterator<Item = BoxFuture<'a, T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(Ok).collect();
    poll_fn(|context| {
        let mut is_over = true;
        for slot in &mut running {
            if let Ok(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Err(output),
                    Poll::Pending => is_over = false,
                }
            }
        }
        if is_over {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    running.into_iter().filter_map(Result::err).collect()
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs `work` to its end, unless `alarm` panics first.
async fn watched<T>(work: impl Future<Output = T>, alarm: impl Future<Output = ()>) -> T {
    let (mut work, mut alarm) = (pin!(work), pin!(alarm));
    poll_fn(|context| {
        // Once it has ended without a panic, it must not be polled again; but then the work has ended, too.
        let _ = alarm.as_mut().poll(context);
        work.as_mut().poll(context)
    })
    .await
}

/// The next message; there must be one.
async fn receive(subscription: &mut Subscription<Async>) -> Message {
    let received = subscription.recv_timeout(SOON).await;
    let message = received.expect("the subscription lives");
    message.expect("a message arrives")
}

/// The payloads of all messages up to the one that says `end`, which is not included.
async fn receive_until(subscription: &mut Subscription<Async>, end: &str) -> Vec<String> {
    let mut payloads = Vec::new();
    loop {
        let message = receive(subscription).await;
        let payload = String::from_utf8_lossy(message.payload()).into_owned();
        message.ack();
        if payload == end {
            return payloads;
        }
        payloads.push(payload);
    }
}

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
/// How long something may take that usually takes a moment.
const SOON: Duration = Duration::from_secs(30);
/// How long a behaviour may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes a test of every behaviour, against every broker; see [`behaviour`](crate::behaviour).
///
/// The argument gives the [`Harness`](crate::behaviour::Harness); it is evaluated in modules of its own, so its path must
/// begin with `crate`.
#[macro_export]
macro_rules! behaviour_tests {
    ($harness:expr) => {
        mod embedded {
            $crate::behaviour_tests!(@all Embedded, $harness);
        }
        mod mosquitto {
            $crate::behaviour_tests!(@all Mosquitto, $harness);
        }
    };
    (@all $kind:ident, $harness:expr) => {
        $crate::behaviour_tests! { @tests $kind, $harness;
            connecting {
                the_server_accepts
                the_server_assigns_a_client_id
                the_server_refuses
                nobody_listens
                a_wrong_url_is_told_at_once
                a_host_name_is_resolved
                a_host_name_that_does_not_exist
                a_transport_that_is_not_built_in
                a_server_that_does_not_answer
                an_attempt_that_is_given_up_closes_its_socket
                the_settings_reach_the_socket
                operations_wait_for_the_connection
            }
            messages {
                every_qos_arrives
                every_property_arrives
                retained_messages
                a_will_is_published_when_the_client_is_lost
                a_will_is_not_published_after_a_disconnect
                a_will_on_request
                payloads_of_every_size
                ten_thousand_at_most_once
                ten_thousand_at_least_once
                ten_thousand_exactly_once
                a_flood_is_read_to_its_end
                events_tell_what_happens
            }
            bytes {
                a_publish_with_every_property_out
                a_publish_with_every_property_in
                every_end_closes_the_socket
            }
            subscriptions {
                wildcards
                several_filters_at_once
                several_subscriptions_get_a_message_each
                shared_subscriptions_share
                no_local
                retain_as_published
                unsubscribing_ends_it
                unsubscribing_a_filter_ends_whoever_has_it
                unsubscribing_what_nobody_has
                dropping_a_subscription_unsubscribes
            }
            acknowledging {
                taking_acknowledges
                arriving_acknowledges
                by_hand
                dropping_unanswered_is_told
                handling_acknowledges
            }
            requesting {
                each_request_gets_its_answer
                a_request_that_is_given_up
                a_request_without_an_answer
            }
            cancelling {
                a_publish_at_every_poll
                a_start_at_every_poll
                a_receive_at_every_poll
                a_subscribe_at_every_poll
            }
            ending {
                a_disconnect_drains
                a_second_disconnect_is_no_error
                the_last_handle_ends_it
                a_disconnect_amid_a_flood_arrives
                operations_after_the_end_fail
            }
            failing {
                the_server_closes
                the_link_is_cut
                the_link_is_cut_at_every_stage
                a_silent_server_is_noticed
                a_dribbling_link
                a_stalled_link_holds_nobody_for_ever
            }
            reconnecting {
                subscriptions_are_sent_again_when_they_are_lost
                pitfall_14_a_server_that_restarts_again_and_again
                servers_take_turns
                servers_can_be_replaced
                failures_are_told_each_time
                attempts_can_be_limited
                attempts_are_prepared
                a_new_client_after_the_end
                a_disconnect_ends_the_wait
                disconnecting_at_any_moment
                a_dial_that_hangs_is_cancelled
                a_link_that_was_left_does_not_disturb_the_next
                a_silent_server_is_left
                a_will_that_is_delayed
            }
            surviving {
                a_publish_waits_for_the_next_connection
                what_goes_over_the_wire_at_least_once
                what_goes_over_the_wire_exactly_once
                a_cut_after_the_server_has_a_message
                a_cut_at_every_stage
                a_queue_of_before_and_after_connecting
                a_hundred_at_once_and_the_session_lives
                a_hundred_at_once_and_the_session_is_lost
                the_window_of_the_server_is_kept
                pitfall_19_a_consumer_that_publishes_is_never_stuck
                pitfall_25_cancelled_futures_lose_nothing
            }
            soaking {
                a_link_that_breaks_all_the_time
            }
        }
    };
    (@tests $kind:ident, $harness:expr; $($module:ident { $($name:ident)+ })+) => {
        $(mod $module {
            $(#[test]
            fn $name() {
                use $crate::behaviour::{Kind, run, $module::$name};
                run(Kind::$kind, $harness, |setting| ::std::boxed::Box::pin($name(setting)));
            })+
        })+
    };
}
