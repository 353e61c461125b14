//! What happens in a run: everything that chance decides is written down before it begins, so that it can be made smaller.

use core::fmt;
use core::time::Duration;

use mqtt5_broker::{Farewell, Mishap, On};
use mqtt5_client::{QoS, ReasonCode};

use crate::link::{Direction, Quality};
use crate::options::{Acknowledging, Testament, WorldOptions};

/// A run: the world, and what is done to it and in it, in order.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) options: WorldOptions,
    pub(crate) steps: Vec<Step>,
}

/// Something that happens at its time.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at: Duration,
    /// Whom it concerns: the number of a client.
    pub(crate) client: usize,
    pub(crate) act: Act,
}

/// What can happen to a client, or to its link, or to its session.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Publish(Draft),
    Subscribe(Wish),
    /// `Client::unsubscribe`, whoever holds the filter.
    Unsubscribe(&'static str),
    /// Something is done with the subscription that this client has had for longest.
    Leave(Leaving),
    /// A graceful end; the process comes back after a while.
    Disconnect {
        back_after: Duration,
        /// The server is to publish its will.
        with_will: bool,
    },
    /// Makes a requester.
    Requester,
    /// Asks with the last requester, so many times at once.
    Request(Question, usize),
    /// Answers requests, so many together.
    Serve(usize),
    /// `Client::set_will`, for the connections to come.
    Will(Option<Testament>),
    /// Every handle is dropped; the process comes back after a while.
    Abandon {
        back_after: Duration,
    },
    /// The process dies without a word and comes back after a while.
    Crash {
        back_after: Duration,
    },
    /// The connection breaks once so many more bytes have gone in this direction.
    Cut {
        direction: Direction,
        after: usize,
    },
    /// Nothing arrives for a while; `None` is for ever, without either end being told.
    Stick {
        direction: Direction,
        time: Option<Duration>,
    },
    /// What the next dials meet.
    Dials(Dialing),
    /// How the next connections treat bytes.
    Quality(Quality),
    Broker(BrokerFault),
}

/// A message to publish.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) topic: &'static str,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Bytes of payload, at least.
    pub(crate) size: usize,
    pub(crate) expiry: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) how: How,
    /// How many of this kind, one after the other.
    pub(crate) count: usize,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) qos: QoS,
    pub(crate) timeout: Duration,
}

impl Question {
    /// How it is published.
    pub(crate) const fn draft(&self, topic: &'static str) -> Draft {
        Draft {
            topic,
            qos: self.qos,
            retain: false,
            size: 0,
            expiry: None,
            timeout: Some(self.timeout),
            how: How::Await,
            count: 1,
        }
    }
}

/// How the application treats the handle of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Await,
    Start,
    TryPublish,
    /// It is accepted and then forgotten.
    Detach,
    /// The future is dropped after a while.
    Cancel(Duration),
    /// It is taken back after a while, if that is still possible.
    Withdraw(Duration),
}

/// A subscription to make.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) filters: Vec<(&'static str, QoS)>,
    /// What the broker refuses may be missing.
    pub(crate) allow_partial: bool,
    pub(crate) acknowledging: Acknowledging,
    /// How long the consumer takes for each message.
    pub(crate) pace: Duration,
    pub(crate) timeout: Option<Duration>,
}

/// What becomes of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    Drop,
    Unsubscribe,
}

/// What dials meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialing {
    Open,
    Refused,
    /// They are never answered.
    Silent,
    /// They succeed, and so soon after CONNACK the connection breaks.
    Dropped(Duration),
    /// So does the next one: CONNACK never arrives.
    DroppedOnce,
}

/// What the broker does to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BrokerFault {
    Disconnect(ReasonCode),
    /// It is sent to another server.
    Redirect(Farewell),
    Cut,
    Forget,
    /// The session ends, and the CONNACK that says so is lost.
    ForgetUnseen,
    /// What happens to the next packets of a kind.
    Rule {
        on: On,
        mishap: Mishap,
        times: u32,
    },
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chaos = self.options.chaos.as_secs_f64();
        writeln!(f, "seed {}, with faults for {chaos} s", self.seed)?;
        writeln!(f, "broker {:?}", self.options.broker)?;
        for (number, client) in self.options.clients.iter().enumerate() {
            writeln!(f, "c{number} {client:?}")?;
        }
        for step in &self.steps {
            writeln!(
                f,
                "{:>10.3} s  c{}  {:?}",
                step.at.as_secs_f64(),
                step.client,
                step.act
            )?;
        }
        Ok(())
    }
}
