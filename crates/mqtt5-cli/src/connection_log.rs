//! What happens to the connection of a command that goes on without one.

use mqtt5_client::{ConnectionError, Event};
use mqtt5_tokio::Events;

use crate::escape::escape;
use crate::json::Object;
use crate::output::Output;

/// Tells on standard error when the connection is lost, and what becomes of it.
pub(crate) struct ConnectionLog {
    events: Events,
    server: String,
    output: Output,
    /// Why there is no connection, until there is one again.
    lost: Option<ConnectionError>,
}

impl ConnectionLog {
    /// Begins with what happens from now on.
    pub(crate) fn new(events: Events, server: &str, output: Output) -> Self {
        Self {
            events,
            server: server.to_owned(),
            output,
            lost: None,
        }
    }

    /// Tells until the client has stopped, and then waits for ever.
    pub(crate) async fn run<T>(mut self) -> T {
        while let Some(event) = self.events.recv().await {
            self.tell(event);
        }
        std::future::pending().await
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::ConnectFailed(error) | Event::Disconnected(error) => self.lost = Some(error),
            Event::Waiting { attempt, delay } => {
                let error = self.lost.as_ref().map(ToString::to_string);
                let error = error.unwrap_or_default();
                let seconds = delay.as_secs_f64();
                let text = || {
                    let (server, error) = (&self.server, escape(&error));
                    format!("no connection to {server}: {error}; next attempt in {seconds:.1} s")
                };
                let json = || {
                    Object::new()
                        .with("event", "waiting")
                        .with("error", error.as_str())
                        .with("attempt", attempt.number())
                        .with("seconds", (seconds * 1000.0).round() / 1000.0)
                };
                self.output.error(text, json);
            }
            Event::Connected(info) if self.lost.take().is_some() => {
                let is_resumed = info.session_present();
                let session = if is_resumed { "resumed" } else { "new" };
                let text = || format!("connected to {}, the session is {session}", self.server);
                let json = || {
                    Object::new()
                        .with("event", "connected")
                        .with("session_present", is_resumed)
                };
                self.output.error(text, json);
            }
            Event::ResubscribeFailed { filters, error } => {
                let text = || {
                    let filters = filters.iter().map(|filter| format!("`{}`", escape(filter)));
                    let filters = filters.collect::<Vec<_>>().join(", ");
                    format!("lost the subscription to {filters}: {error}")
                };
                let json = || {
                    Object::new()
                        .with("event", "unsubscribed")
                        .with("filters", filters.clone())
                        .with("error", error.to_string())
                };
                self.output.error(text, json);
            }
            _ => {}
        }
    }
}
