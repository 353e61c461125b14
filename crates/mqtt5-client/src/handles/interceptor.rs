//! Interceptors that come and go while a client lives.

use super::client::Client;
use super::draft::{MessageDraft, PublishDraft};
use crate::mode::Mode;
use crate::options::{Interception, MessageInterceptor, PublishInterceptor, Refusal};
use crate::shared::Shared;
use core::fmt;
use std::sync::Arc;

impl<M: Mode> Client<M> {
    /// Adds a function that sees each message before it is published, behind those that are there already; see
    /// [`Options::intercept_publish`](crate::Options::intercept_publish). It sees what is published until the handle is dropped.
    ///
    /// ```
    /// # fn example(client: mqtt5_client::Client) {
    /// let tracing = client.intercept_publish(|message| {
    ///     let topic = message.topic().to_owned();
    ///     message.on_outcome(move |outcome| match outcome {
    ///         Ok(_) => println!("{topic}: delivered"),
    ///         Err(error) => println!("{topic}: {error}"),
    ///     });
    ///     Ok(())
    /// });
    /// // …
    /// drop(tracing); // from here on it sees nothing
    /// # }
    /// ```
    pub fn intercept_publish(
        &self,
        interceptor: impl Fn(&mut PublishDraft<'_>) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Interceptor {
        let interceptor: Arc<PublishInterceptor> = Arc::new(interceptor);
        let chains = &self.shared().policy().interceptors;
        chains.publish.add(interceptor.clone());
        Interceptor::new(self.shared(), Link::Publish(interceptor))
    }

    /// Adds a function that sees each received message before the application gets it, behind those that are there already; see
    /// [`Options::intercept_message`](crate::Options::intercept_message). It sees what is taken until the handle is dropped.
    pub fn intercept_message(
        &self,
        interceptor: impl Fn(&mut MessageDraft<'_>) -> Interception + Send + Sync + 'static,
    ) -> Interceptor {
        let interceptor: Arc<MessageInterceptor> = Arc::new(interceptor);
        let chains = &self.shared().policy().interceptors;
        chains.message.add(interceptor.clone());
        Interceptor::new(self.shared(), Link::Message(interceptor))
    }
}

/// An interceptor that was added to a client: dropping this takes it out.
///
/// A call that has begun by then on another thread goes to its end. Connections come and go without it. It does not keep the client
/// alive, but a function that holds a [`Client`] does.
#[must_use = "an interceptor is taken out when this is dropped"]
pub struct Interceptor {
    shared: Arc<Shared>,
    link: Option<Link>,
}

enum Link {
    Publish(Arc<PublishInterceptor>),
    Message(Arc<MessageInterceptor>),
}

impl Interceptor {
    fn new(shared: &Arc<Shared>, link: Link) -> Self {
        Self {
            shared: shared.clone(),
            link: Some(link),
        }
    }

    /// Leaves it in its place for as long as the client lives.
    pub fn detach(mut self) {
        self.link = None;
    }
}

impl Drop for Interceptor {
    fn drop(&mut self) {
        let chains = &self.shared.policy().interceptors;
        match &self.link {
            Some(Link::Publish(interceptor)) => chains.publish.remove(interceptor),
            Some(Link::Message(interceptor)) => chains.message.remove(interceptor),
            None => {}
        }
    }
}

impl fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interceptor").finish_non_exhaustive()
    }
}
