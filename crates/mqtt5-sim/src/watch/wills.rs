//! Wills (3.1.2.5, 3.1.3.2): which one a CONNECT carries, and when the broker has to publish it, and when it must not.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use mqtt5_client::{Instant, ReasonCode};
use mqtt5_proto::packet::{Connack, Connect};

use crate::hub::ProcessId;
use crate::ledger::number_of;
use crate::transcript::{Invariant, Transcript};

/// What was promised to each client, as the specification says it, and not as the broker does it.
#[derive(Debug)]
pub(crate) struct Wills {
    transcript: Rc<Transcript>,
    /// The longest Session Expiry Interval that the broker grants.
    longest_expiry: u32,
    /// What the application of each process has set since the last attempt ended, the oldest first.
    set: BTreeMap<ProcessId, Vec<Option<usize>>>,
    /// Processes that end, and whether their wills shall be published.
    farewells: BTreeMap<ProcessId, bool>,
    /// By client: wills that were accepted with a connection and are not settled.
    armed: BTreeMap<usize, Vec<Armed>>,
    /// By client: a CONNECT that the broker has read and not answered.
    asking: BTreeMap<usize, Asking>,
}

/// A will that the broker has.
#[derive(Debug)]
struct Armed {
    message: usize,
    connection: u64,
    delay: u32,
    expiry: u32,
    stage: Stage,
    published: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its connection lives.
    Connected,
    /// Its connection ended; it is published then at the latest, and not before.
    Waiting(Instant),
    /// It is to be published now.
    Due,
    /// Nobody saw whether its session went on.
    Uncertain,
}

#[derive(Debug)]
struct Asking {
    connection: u64,
    at: Instant,
    will: Option<Armed>,
}

impl Armed {
    /// What becomes of it when its connection ends.
    fn after_connection(&self, now: Instant) -> Stage {
        match self.delay.min(self.expiry) {
            0 => Stage::Due,
            time => Stage::Waiting(now + Duration::from_secs(time.into())),
        }
    }

    /// Whether it may be published now, though that may have to be justified before the instant is over.
    fn may_be_published(&self, now: Instant, is_asked: bool) -> bool {
        !self.published
            && match self.stage {
                Stage::Connected | Stage::Due | Stage::Uncertain => true,
                // Who comes back with a clean start ends the session.
                Stage::Waiting(at) => at <= now || is_asked,
            }
    }
}

impl Wills {
    pub(crate) fn new(transcript: Rc<Transcript>) -> Self {
        Self {
            transcript,
            longest_expiry: u32::MAX,
            set: BTreeMap::new(),
            farewells: BTreeMap::new(),
            armed: BTreeMap::new(),
            asking: BTreeMap::new(),
        }
    }

    pub(crate) fn limit_expiry(&mut self, longest: u32) {
        self.longest_expiry = longest;
    }

    /// The application sets its will, for the attempts to come.
    pub(crate) fn set(&mut self, process: ProcessId, message: Option<usize>) {
        self.set.entry(process).or_default().push(message);
    }

    /// An attempt is over: the next one takes what was set last.
    pub(crate) fn attempt_ends(&mut self, process: ProcessId) {
        if let Some(set) = self.set.get_mut(&process) {
            set.drain(..set.len().saturating_sub(1));
        }
    }

    /// The application ends its client.
    pub(crate) fn ends(&mut self, process: ProcessId, with_will: bool) {
        self.farewells.entry(process).or_insert(with_will);
    }

    pub(crate) fn is_ending(&self, process: ProcessId) -> bool {
        self.farewells.contains_key(&process)
    }

    /// A client sends CONNECT.
    pub(crate) fn carried(&self, process: ProcessId, connect: &Connect<'_>) {
        let will = connect
            .will
            .as_ref()
            .and_then(|will| number_of(will.payload));
        let set = self.set.get(&process).map_or(&[None][..], Vec::as_slice);
        self.transcript
            .check(Invariant::Will, set.contains(&will), || {
                format!("{process} connects with the will {will:?}, and {set:?} was set")
            });
    }

    /// A client sends DISCONNECT.
    pub(crate) fn says_farewell(&self, process: ProcessId, reason: ReasonCode) {
        let with_will = self.farewells.get(&process);
        // What goes wrong meanwhile has a reason of its own.
        let right = match reason {
            ReasonCode::NORMAL_DISCONNECTION => with_will != Some(&true),
            ReasonCode::DISCONNECT_WITH_WILL => with_will == Some(&true),
            _ => true,
        };
        self.transcript.check(Invariant::Will, right, || {
            format!("{process} says {reason} and was told, with its will: {with_will:?}")
        });
    }

    /// The broker reads CONNECT.
    pub(crate) fn asked(
        &mut self,
        now: Instant,
        client: usize,
        connection: u64,
        connect: &Connect<'_>,
    ) {
        let expiry = connect.properties.session_expiry_interval().unwrap_or(0);
        let expiry = expiry.min(self.longest_expiry);
        let will = connect.will.as_ref().and_then(|will| {
            Some(Armed {
                message: number_of(will.payload)?,
                connection,
                delay: will.properties.will_delay_interval().unwrap_or(0),
                expiry,
                stage: Stage::Connected,
                published: false,
            })
        });
        let asking = Asking {
            connection,
            at: now,
            will,
        };
        if let Some(before) = self.asking.insert(client, asking) {
            self.accepted_unseen(client, before);
        }
    }

    /// A connection was accepted, and the answer lost: what that has done to other wills cannot be known.
    fn accepted_unseen(&mut self, client: usize, asking: Asking) {
        let armed = self.armed.entry(client).or_default();
        armed
            .iter_mut()
            .for_each(|will| will.stage = Stage::Uncertain);
        armed.extend(asking.will);
    }

    /// The broker answers with CONNACK.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        client: usize,
        connection: u64,
        connack: &Connack<'_>,
    ) {
        let asking = self.asking.remove(&client);
        let Some(asking) = asking.filter(|asking| asking.connection == connection) else {
            return;
        };
        if connack.reason.is_error() {
            return;
        }
        for old in self.armed.remove(&client).into_iter().flatten() {
            let must = match old.stage {
                Stage::Uncertain => continue,
                Stage::Due => true,
                // 3.1.4: the other connection is ended before this one is accepted.
                Stage::Connected => {
                    !connack.session_present || old.after_connection(now) == Stage::Due
                }
                // [MQTT-3.1.3-9]
                Stage::Waiting(at) if at == asking.at => continue,
                Stage::Waiting(at) => !connack.session_present || at < asking.at,
            };
            self.transcript.check(Invariant::Will, must == old.published, || {
                format!(
                    "c{client} is back, session present {}, and its will m{} was published: {}, which ought to be {must}",
                    connack.session_present, old.message, old.published
                )
            });
        }
        self.armed.insert(client, asking.will.into_iter().collect());
    }

    /// The broker reads DISCONNECT [MQTT-3.14.4-3].
    pub(crate) fn discharged(&mut self, client: usize, connection: u64, reason: ReasonCode) {
        if reason == ReasonCode::NORMAL_DISCONNECTION {
            let armed = self.armed.entry(client).or_default();
            armed.retain(|will| will.connection != connection);
            // The answer may be late.
            let asking = self.asking.get_mut(&client);
            if let Some(asking) = asking.filter(|asking| asking.connection == connection) {
                asking.will = None;
            }
        }
    }

    /// A connection has ended for the broker.
    pub(crate) fn closed(&mut self, now: Instant, client: usize, connection: u64) {
        let unanswered = self
            .asking
            .get(&client)
            .is_some_and(|asking| asking.connection == connection);
        if unanswered {
            let asking = self.asking.remove(&client);
            asking
                .into_iter()
                .for_each(|asking| self.accepted_unseen(client, asking));
        }
        for will in self.armed.get_mut(&client).into_iter().flatten() {
            if will.connection == connection && will.stage == Stage::Connected {
                will.stage = will.after_connection(now);
            }
        }
    }

    /// The session of a client ends: its will waits no longer [MQTT-3.1.2-8].
    pub(crate) fn session_ends(&mut self, client: usize) {
        if let Some(asking) = self.asking.remove(&client) {
            self.accepted_unseen(client, asking);
        }
        for will in self.armed.get_mut(&client).into_iter().flatten() {
            if will.stage != Stage::Uncertain {
                will.stage = Stage::Due;
            }
        }
    }

    /// The broker publishes a will.
    pub(crate) fn published(&mut self, now: Instant, client: usize, message: usize) {
        let asking = self.asking.get_mut(&client);
        let is_asked = asking.is_some();
        let armed = self.armed.get_mut(&client).into_iter().flatten();
        // An answer that is late is no reason to keep the will of a connection that ended meanwhile.
        let all = armed.chain(asking.and_then(|asking| asking.will.as_mut()));
        let fitting =
            all.filter(|will| will.message == message && will.may_be_published(now, is_asked));
        // The same will may have been left more than once: the one that has to be published is meant.
        let will = fitting.min_by_key(|will| match will.stage {
            Stage::Due => 0,
            Stage::Waiting(at) if at <= now => 0,
            Stage::Waiting(_) => 1,
            Stage::Connected => 2,
            Stage::Uncertain => 3,
        });
        let Some(will) = will else {
            return self.transcript.fail(
                Invariant::Will,
                format!("the will m{message} of c{client} is published for no reason, or too soon"),
            );
        };
        will.published = true;
    }

    /// Nothing more happens now: what was published had to be, and what had to be was.
    pub(crate) fn check(&mut self, now: Instant) {
        for (client, armed) in &mut self.armed {
            // Whether they were right to be is known with the answer.
            if self.asking.contains_key(client) {
                continue;
            }
            for will in armed.iter() {
                let due = match will.stage {
                    Stage::Due => true,
                    Stage::Waiting(at) => at <= now,
                    Stage::Connected => false,
                    Stage::Uncertain => continue,
                };
                self.transcript.check(Invariant::Will, due == will.published, || {
                    format!(
                        "the will m{} of c{client}, {:?}, was published: {}, which ought to be {due}",
                        will.message, will.stage, will.published
                    )
                });
            }
            armed.retain(|will| !will.published);
        }
    }
}
