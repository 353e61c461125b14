//! What the application holds: handles, builders and the futures that they become.

mod attempts;
mod client;
mod delivery;
mod disconnect;
mod events;
mod message;
mod publish;
mod slot;
mod subscribe;
mod subscription;
mod unsubscribe;
mod watching;

pub use attempts::{Attempts, NextAttempt, Preparation};
pub use client::Client;
pub use delivery::{Delivery, Progress};
pub use disconnect::{Disconnect, Disconnecting};
pub use events::{Events, NextEvent};
pub use message::Message;
pub use publish::{Publish, Publishing, Starting};
pub use subscribe::{Subscribe, Subscribing};
pub use subscription::{Ended, Granted, Receive, ReceiveTimeout, Subscription};
pub use unsubscribe::{Unsubscribe, Unsubscribed, Unsubscribing};
pub use watching::Watching;
