//! The engine behind one short-held lock, and what may not happen under it.
//!
//! Under the lock no waker is woken, cloned or dropped, no value of the user is dropped and no callback is called. [`Guard`] takes
//! care of the first: what is to be woken is collected and woken after unlocking. Payloads that the user shares are wrapped so that
//! their last reference, wherever it goes away, lands in [`Trash`].

use crate::driver::Host;
use crate::engine::Engine;
use crate::options::LocalPolicy;
use bytes::Bytes;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::task::Waker;
use mqtt5_proto::Instant;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What all handles and the driver share.
pub(crate) struct Shared {
    engine: Mutex<Engine>,
    host: Box<dyn Host>,
    /// How many `Client`s and `Subscription`s live; the driver and deliveries do not count.
    handles: AtomicUsize,
    trash: Arc<Trash>,
    policy: LocalPolicy,
    requesters: AtomicU64,
}

impl Shared {
    pub(crate) fn new(engine: Engine, host: impl Host) -> Self {
        Self {
            policy: engine.config().local_policy(),
            engine: Mutex::new(engine),
            host: Box::new(host),
            handles: AtomicUsize::new(0),
            trash: Arc::default(),
            requesters: AtomicU64::new(0),
        }
    }

    pub(crate) fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// What is decided without the lock.
    pub(crate) fn policy(&self) -> &LocalPolicy {
        &self.policy
    }

    pub(crate) fn now(&self) -> Instant {
        self.host.now()
    }

    pub(crate) fn lock(&self) -> Guard<'_> {
        self.lock_for(false)
    }

    /// `quiet` leaves the driver asleep: the caller is about to write by itself, or to call [`notify_driver`](Self::notify_driver).
    pub(crate) fn lock_for(&self, quiet: bool) -> Guard<'_> {
        Guard {
            engine: Some(self.enter()),
            shared: self,
            quiet,
        }
    }

    /// Wakes the driver if there is something for it.
    pub(crate) fn notify_driver(&self) {
        drop(self.lock());
    }

    /// A payload whose last reference may go away under the lock.
    pub(crate) fn share(&self, payload: Bytes) -> Bytes {
        Bytes::from_owner(SharedPayload {
            payload,
            trash: self.trash.clone(),
        })
    }

    /// Drops the payloads of the user that went away; the engine must not be locked.
    pub(crate) fn empty_trash(&self) {
        self.trash.empty();
    }

    /// Tells the requesters of a client apart: 1 for the first.
    pub(crate) fn number_requester(&self) -> u64 {
        self.requesters.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this was the last one.
    pub(crate) fn remove_handle(&self) -> bool {
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// A panic under the lock is a bug of ours and ends one call; the state stays usable, so the lock is entered all the same.
    fn enter(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The locked engine. Dropping it unlocks, then tells what is to be logged and wakes whom the engine wants woken.
pub(crate) struct Guard<'a> {
    engine: Option<MutexGuard<'a, Engine>>,
    shared: &'a Shared,
    quiet: bool,
}

impl Deref for Guard<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.engine.as_ref().expect("locked until dropped")
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("locked until dropped")
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Some(mut engine) = self.engine.take() else {
            return;
        };
        if !self.quiet {
            engine.notify_driver();
        }
        if let Some(log) = engine.log.take() {
            drop(engine);
            log.emit();
            engine = self.shared.enter();
        }
        while !engine.wakes.is_empty() {
            let mut batch = [const { None::<Waker> }; 16];
            let count = engine.wakes.len().min(batch.len());
            for (place, waker) in batch.iter_mut().zip(engine.wakes.drain(..count)) {
                *place = Some(waker);
            }
            drop(engine);
            batch.into_iter().flatten().for_each(Waker::wake);
            engine = self.shared.enter();
        }
        drop(engine);
        self.shared.trash.empty();
    }
}

/// Payloads of the user that are to be dropped when no lock is held.
#[derive(Debug, Default)]
struct Trash {
    filled: AtomicBool,
    payloads: Mutex<Vec<Bytes>>,
}

impl Trash {
    fn empty(&self) {
        if self.filled.load(Ordering::Relaxed) && self.filled.swap(false, Ordering::AcqRel) {
            let payloads =
                core::mem::take(&mut *self.payloads.lock().unwrap_or_else(PoisonError::into_inner));
            drop(payloads);
        }
    }
}

struct SharedPayload {
    payload: Bytes,
    trash: Arc<Trash>,
}

impl AsRef<[u8]> for SharedPayload {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

impl Drop for SharedPayload {
    fn drop(&mut self) {
        let payload = core::mem::take(&mut self.payload);
        self.trash
            .payloads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(payload);
        self.trash.filled.store(true, Ordering::Release);
    }
}
