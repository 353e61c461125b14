//! Polling by hand, and an executor that polls inline in `wake`.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::task::Wake;

/// A waker that counts.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicUsize);

impl Flag {
    pub(super) fn new() -> (Arc<Self>, Waker) {
        let flag = Arc::new(Self::default());
        (flag.clone(), flag.into())
    }

    /// How often it was woken since the last look.
    pub(super) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future that the test polls.
pub(super) struct Task<F> {
    future: Option<F>,
    pub(super) flag: Arc<Flag>,
    waker: Waker,
}

impl<F: Future + Unpin> Task<F> {
    pub(super) fn new(future: impl IntoFuture<IntoFuture = F, Output = F::Output>) -> Self {
        let (flag, waker) = Flag::new();
        Self {
            future: Some(future.into_future()),
            flag,
            waker,
        }
    }

    pub(super) fn poll(&mut self) -> Poll<F::Output> {
        let future = self.future.as_mut().expect("not dropped");
        Pin::new(future).poll(&mut Context::from_waker(&self.waker))
    }

    pub(super) fn is_pending(&mut self) -> bool {
        self.poll().is_pending()
    }

    /// The output, which must be there.
    pub(super) fn done(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("still pending"),
        }
    }

    /// What is polled.
    pub(super) fn into_inner(mut self) -> F {
        self.future.take().expect("not dropped")
    }

    /// The output, which must be there because the task was woken.
    pub(super) fn woken(&mut self) -> F::Output {
        assert!(self.flag.take() > 0, "nobody woke it");
        self.done()
    }
}

/// Polls once, and has the output.
pub(super) fn now<F: IntoFuture>(future: F) -> F::Output
where
    F::IntoFuture: Unpin,
{
    Task::new(future).done()
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task that is polled inside `wake`, by whoever wakes it.
pub(super) struct Inline {
    job: Mutex<Option<Job>>,
    again: AtomicUsize,
}

impl Inline {
    pub(super) fn spawn(job: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        let task = Arc::new(Self {
            job: Mutex::new(Some(Box::pin(job))),
            again: AtomicUsize::new(0),
        });
        task.clone().wake();
        task
    }

    pub(super) fn is_done(&self) -> bool {
        self.job.lock().expect("not poisoned").is_none()
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        if self.again.fetch_add(1, Ordering::SeqCst) > 0 {
            return;
        }
        let waker = Waker::from(self.clone());
        loop {
            let before = self.again.load(Ordering::SeqCst);
            let mut job = self.job.lock().expect("not poisoned");
            if let Some(future) = job.as_mut() {
                if future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_ready()
                {
                    *job = None;
                }
            }
            drop(job);
            if self
                .again
                .compare_exchange(before, 0, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                return;
            }
        }
    }
}
