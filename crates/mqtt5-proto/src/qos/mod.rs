//! The two sides of a QoS 1 or 2 exchange (section 4.3), written once.
//!
//! [`Sender`] is the side that sends PUBLISH, [`Receiver`] the side that receives it. A client uses both towards its
//! server, and a server both towards each client. Neither encodes anything: they say what is to be sent.

mod exchange;
mod held;
mod receiver;
mod sender;

pub use exchange::{Exchange, Phase, SenderStep};
pub use held::{Answer, Arrival, Held, Release};
pub use receiver::Receiver;
pub use sender::Sender;
