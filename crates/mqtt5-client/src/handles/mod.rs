//! What the application holds: handles, builders and the futures that they become.

mod attempts;
mod batch;
mod client;
mod delivery;
mod disconnect;
mod draft;
mod events;
mod handling;
mod inbox;
mod interceptor;
mod message;
mod publish;
mod requester;
mod slot;
mod states;
mod subscribe;
mod subscription;
mod unsubscribe;
mod watching;

pub use attempts::{Attempts, NextAttempt, Preparation};
pub use batch::ReceiveMany;
pub use client::Client;
pub use delivery::{Delivery, Progress};
pub use disconnect::{Disconnect, Disconnecting};
pub use draft::{MessageDraft, PublishDraft};
pub use events::{Events, NextEvent};
pub use handling::{Handling, Verdict};
pub use interceptor::Interceptor;
pub use message::Message;
pub use publish::{Publish, Publishing, Starting};
pub use requester::{OpenRequester, OpeningRequester, Request, Requester, Requesting};
pub use states::{NextState, States};
pub use subscribe::{Subscribe, Subscribing};
pub use subscription::{Ended, Granted, Receive, ReceiveTimeout, Subscription};
pub use unsubscribe::{Unsubscribe, Unsubscribed, Unsubscribing};
pub use watching::Watching;
