//! Virtual time, and who is to be polled: nothing is, unless it was woken.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Wake;

use mqtt5_client::Instant;
use mqtt5_client::driver::Host;

/// Time that stands still until the world moves it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, now: Instant) {
        self.0.store(now.as_micros(), Ordering::Relaxed);
    }
}

/// What one client process knows of the world: the time, and a number of its own.
#[derive(Debug)]
pub(crate) struct ProcessHost {
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
}

impl Host for ProcessHost {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

/// Those that were woken and not yet polled, in the order of their wake-ups.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Vec<usize>>);

impl Ready {
    fn push(&self, sleeper: usize) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sleeper);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Takes the one that `choose` names by its place.
    pub(crate) fn pop(&self, choose: impl FnOnce(usize) -> usize) -> Option<usize> {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = ready.len();
        (count > 0).then(|| ready.remove(choose(count)))
    }
}

/// The waker of one sleeper.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleeper: usize,
    ready: Arc<Ready>,
    rung: AtomicBool,
}

impl Alarm {
    pub(crate) fn new(sleeper: usize, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Self {
            sleeper,
            ready: ready.clone(),
            rung: AtomicBool::new(false),
        })
    }

    /// It is about to be polled: the next wake-up counts again.
    pub(crate) fn reset(&self) {
        self.rung.store(false, Ordering::Relaxed);
    }

    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            self.ready.push(self.sleeper);
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// What a process does, as a future. It belongs to one thread, as everything here.
pub(crate) type Job = Pin<Box<dyn Future<Output = ()>>>;

/// A job and its waker.
pub(crate) struct Task {
    job: Job,
    alarm: Arc<Alarm>,
}

impl Task {
    /// A task that will be polled for the first time soon.
    pub(crate) fn new(sleeper: usize, ready: &Arc<Ready>, job: Job) -> Self {
        let alarm = Alarm::new(sleeper, ready);
        alarm.ring();
        Self { job, alarm }
    }

    pub(crate) fn alarm(&self) -> Weak<Alarm> {
        Arc::downgrade(&self.alarm)
    }

    pub(crate) fn poll(&mut self) -> Poll<()> {
        self.alarm.reset();
        let waker = Waker::from(self.alarm.clone());
        self.job.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Wake-ups at points in time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: RefCell<BTreeMap<(Instant, u64), Waker>>,
    count: Cell<u64>,
}

impl Timers {
    pub(crate) fn set(&self, at: Instant, waker: Waker) {
        let count = self.count.get();
        self.count.set(count + 1);
        self.set.borrow_mut().insert((at, count), waker);
    }

    pub(crate) fn clear(&self) {
        self.set.borrow_mut().clear();
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.set.borrow().keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn fire(&self, now: Instant) {
        while self.next().is_some_and(|at| at <= now) {
            let due = self.set.borrow_mut().pop_first();
            if let Some((_, waker)) = due {
                waker.wake();
            }
        }
    }

    /// Ready when so much time has passed.
    pub(crate) async fn sleep(&self, clock: &Clock, time: Duration) {
        let at = clock.now() + time;
        poll_fn(|context| {
            if at <= clock.now() {
                return Poll::Ready(());
            }
            self.set(at, context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What is ready first; the left one when both are.
pub(crate) enum Either<A, B> {
    Left(A),
    Right(B),
}

pub(crate) async fn either<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        if let Poll::Ready(output) = a.as_mut().poll(context) {
            return Poll::Ready(Either::Left(output));
        }
        b.as_mut().poll(context).map(Either::Right)
    })
    .await
}

/// A value that one task leaves for another.
#[derive(Debug)]
pub(crate) struct Letter<T> {
    value: RefCell<Option<T>>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Letter<T> {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            value: RefCell::new(None),
            waker: RefCell::new(None),
        })
    }

    pub(crate) fn leave(&self, value: T) {
        self.value.replace(Some(value));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether it was left and not taken.
    pub(crate) fn lies(&self) -> bool {
        self.value.borrow().is_some()
    }

    pub(crate) async fn take(&self) -> T {
        poll_fn(|context| match self.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                self.waker.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}
