//! What an application puts between itself and the client.

use super::Options;
use crate::handles::{MessageDraft, PublishDraft};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use mqtt5_proto::RejectReason;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Looks at each message before it is published; see [`Options::intercept_publish`].
pub(crate) type PublishInterceptor =
    dyn Fn(&mut PublishDraft<'_>) -> Result<(), Refusal> + Send + Sync;
/// Looks at each message before the application gets it; see [`Options::intercept_message`].
pub(crate) type MessageInterceptor = dyn Fn(&mut MessageDraft<'_>) -> Interception + Send + Sync;

/// Those that a client has.
#[derive(Clone, Default)]
pub(crate) struct Interceptors {
    pub(crate) publish: Chain<PublishInterceptor>,
    pub(crate) message: Chain<MessageInterceptor>,
}

/// Interceptors of one kind, in the order in which they were added. None is called or dropped while the list is locked.
pub(crate) struct Chain<F: ?Sized> {
    is_empty: AtomicBool,
    list: Mutex<Arc<Vec<Arc<F>>>>,
}

impl<F: ?Sized> Chain<F> {
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty.load(Ordering::Relaxed)
    }

    /// Those that are there now; `None` when there is none.
    pub(crate) fn snapshot(&self) -> Option<Arc<Vec<Arc<F>>>> {
        (!self.is_empty()).then(|| self.enter().clone())
    }

    pub(crate) fn add(&self, interceptor: Arc<F>) {
        let mut list = self.enter();
        Arc::make_mut(&mut list).push(interceptor);
        self.is_empty.store(false, Ordering::Relaxed);
    }

    /// The caller holds it too, so that this drops nothing of the user's.
    pub(crate) fn remove(&self, interceptor: &Arc<F>) {
        let mut list = self.enter();
        Arc::make_mut(&mut list).retain(|own| !Arc::ptr_eq(own, interceptor));
        self.is_empty.store(list.is_empty(), Ordering::Relaxed);
    }

    fn enter(&self) -> MutexGuard<'_, Arc<Vec<Arc<F>>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Options {
    /// Adds a function that sees each message before it is published, and may change or refuse it.
    ///
    /// Interceptors are called in the order in which they were added, once for each publish, on the task or thread that publishes, when
    /// the publish begins. They see requests and replies as well, and the will never. The first that refuses ends the publish with
    /// [`PublishErrorKind::Intercepted`](crate::PublishErrorKind::Intercepted). Nothing is locked, but the caller waits for them.
    /// [`PublishDraft::on_outcome`] tells them how the publish ends; [`Client::intercept_publish`](crate::Client::intercept_publish) adds
    /// one that can be taken out again.
    ///
    /// ```
    /// use mqtt5_client::Options;
    ///
    /// let options = Options::new("mqtt://localhost").intercept_publish(|message| {
    ///     if message.topic().starts_with('$') {
    ///         return Err("topics of the server are not ours".into());
    ///     }
    ///     let topic = format!("site-7/{}", message.topic());
    ///     message.set_topic(topic);
    ///     Ok(())
    /// });
    /// ```
    pub fn intercept_publish(
        self,
        interceptor: impl Fn(&mut PublishDraft<'_>) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.interceptors.publish.add(Arc::new(interceptor));
        self
    }

    /// Adds a function that sees each received message before the application gets it, and may change, discard or refuse it.
    ///
    /// Interceptors are called in the order in which they were added, on the task or thread that takes the message from its subscription,
    /// once for each subscription that has it. Routing is done by then: another topic changes only what the application sees. When one
    /// of them panics, the message does what [`AckMode::Manual`](crate::AckMode::Manual) says of an unanswered one, and is refused with
    /// 0x80 in the other modes. [`Client::intercept_message`](crate::Client::intercept_message) adds one that can be taken out again.
    ///
    /// ```
    /// use mqtt5_client::{Interception, Options, RejectReason};
    ///
    /// let options = Options::new("mqtt://localhost").intercept_message(|message| {
    ///     if message.payload().is_empty() {
    ///         return Interception::Discard;
    ///     }
    ///     let payload: Vec<u8> = message.payload().iter().rev().copied().collect();
    ///     match message.set_payload(&payload) {
    ///         Ok(()) => Interception::Pass,
    ///         Err(_) => Interception::Refuse(RejectReason::ImplementationSpecificError),
    ///     }
    /// });
    /// ```
    pub fn intercept_message(
        self,
        interceptor: impl Fn(&mut MessageDraft<'_>) -> Interception + Send + Sync + 'static,
    ) -> Self {
        self.interceptors.message.add(Arc::new(interceptor));
        self
    }
}

/// What an interceptor says about a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Interception {
    /// The next interceptor gets it, and then the application.
    Pass,
    /// Nobody gets it; it is acknowledged in its turn.
    Discard,
    /// Nobody gets it; it is refused with this reason (3.4.2.1, 3.5.2.1). In [`AckMode::OnArrival`](crate::AckMode::OnArrival), at
    /// QoS 0 and for the answer to a request, which is acknowledged before, that is the same as `Discard`.
    Refuse(RejectReason),
}

/// Why an interceptor refused a message: words for a person.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(Cow<'static, str>);

impl Refusal {
    /// The words.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({:?})", self.0)
    }
}

impl From<&'static str> for Refusal {
    fn from(reason: &'static str) -> Self {
        Self(Cow::Borrowed(reason))
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self(Cow::Owned(reason))
    }
}

impl<F: ?Sized> Default for Chain<F> {
    fn default() -> Self {
        Self {
            is_empty: AtomicBool::new(true),
            list: Mutex::default(),
        }
    }
}

/// The copy goes its own way.
impl<F: ?Sized> Clone for Chain<F> {
    fn clone(&self) -> Self {
        let list = self.enter().clone();
        Self {
            is_empty: AtomicBool::new(list.is_empty()),
            list: Mutex::new(list),
        }
    }
}

impl fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interceptors")
            .field("publish", &self.publish.enter().len())
            .field("message", &self.message.enter().len())
            .finish()
    }
}
