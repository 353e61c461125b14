//! The settings of a world, chosen by the seed.

use core::num::{NonZeroU16, NonZeroU32};
use core::time::Duration;

use mqtt5_broker::{Access, Config as BrokerConfig, Login};
use mqtt5_client::{
    AckMode, Backoff, Bound, KeepAlive, Offline, OnDrop, OnSessionLost, Options, Overflow, QoS,
    ReasonCode, Reconnect, Redirects, RejectReason, Resubscribe, Resume, TopicAliases, Will,
};

use crate::hub::ProcessId;
use crate::intercepting::intercept;
use crate::ledger::Ledger;
use crate::link::Quality;
use crate::random::Random;

/// Everybody in the world, and for how long they are troubled.
#[derive(Clone, Debug)]
pub(crate) struct WorldOptions {
    pub(crate) clients: Vec<ClientOptions>,
    pub(crate) broker: BrokerOptions,
    /// When the faults end.
    pub(crate) chaos: Duration,
}

/// A client process and its link.
#[derive(Clone, Debug)]
pub(crate) struct ClientOptions {
    pub(crate) starts_at: Duration,
    /// Reading and writing sleep apart, as two threads do.
    pub(crate) two_threads: bool,
    pub(crate) quality: Quality,
    pub(crate) resume: Resume,
    pub(crate) session_expiry: u32,
    /// In seconds; 0 is off.
    pub(crate) keep_alive: u16,
    pub(crate) receive_maximum: u16,
    pub(crate) margin: Option<u16>,
    pub(crate) maximum_packet_size: u32,
    pub(crate) connect_timeout: Duration,
    pub(crate) qos0_waits: bool,
    pub(crate) qos12_waits: bool,
    pub(crate) offline_messages: usize,
    pub(crate) offline_bytes: usize,
    pub(crate) inbound_bytes: usize,
    pub(crate) stall_timeout: Duration,
    pub(crate) overflow: Overflow,
    /// The bound of the queue of a subscription.
    pub(crate) queued_messages: usize,
    pub(crate) reconnects: bool,
    pub(crate) retries_first: bool,
    pub(crate) longest_backoff: Duration,
    pub(crate) stable_after: Duration,
    pub(crate) republishes_qos1: bool,
    pub(crate) republishes_qos2: bool,
    pub(crate) resubscribe: Resubscribe,
    pub(crate) will: Option<Testament>,
    /// In the order in which they are asked; the broker is behind some.
    pub(crate) servers: Vec<&'static str>,
    pub(crate) follows_redirects: bool,
    /// The application prepares each attempt.
    pub(crate) preparing: Option<Preparing>,
    pub(crate) intercepts: bool,
    pub(crate) compacts: bool,
    pub(crate) topic_aliases: TopicAliases,
    /// Its subscriptions have Retain As Published.
    pub(crate) retains_as_published: bool,
}

/// How an application prepares attempts.
#[derive(Clone, Debug)]
pub(crate) struct Preparing {
    /// How long it takes for each, in turn.
    pub(crate) times: [Duration; 4],
    /// It declines every so many; 0 is none.
    pub(crate) declines: usize,
}

/// A will.
#[derive(Clone, Debug)]
pub(crate) struct Testament {
    pub(crate) topic: &'static str,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) size: usize,
    /// In seconds.
    pub(crate) delay: Option<u32>,
}

/// What the broker announces.
#[derive(Clone, Debug)]
pub(crate) struct BrokerOptions {
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: u32,
    pub(crate) maximum_qos: QoS,
    pub(crate) server_keep_alive: Option<u16>,
    pub(crate) maximum_session_expiry: u32,
    pub(crate) identifiers: bool,
    pub(crate) topic_aliases: u16,
}

/// When a consumer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledging {
    OnTake,
    OnArrival,
    /// By hand, so many at once.
    Manual {
        batch: usize,
        backwards: bool,
        rejects: bool,
        on_drop: Dropping,
    },
}

/// What happens to messages that are to be acknowledged by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropping {
    Never,
    /// Some are dropped unanswered, and refused by that.
    Rejects,
    /// Some are dropped unanswered, and stay so until the next connection.
    Holds,
}

impl Acknowledging {
    pub(crate) fn mode(self) -> AckMode {
        match self {
            Self::OnTake => AckMode::OnTake,
            Self::OnArrival => AckMode::OnArrival,
            Self::Manual {
                on_drop: Dropping::Holds,
                ..
            } => AckMode::Manual {
                on_drop: OnDrop::Hold,
            },
            Self::Manual { .. } => AckMode::Manual {
                on_drop: OnDrop::Reject(RejectReason::UnspecifiedError),
            },
        }
    }
}

impl WorldOptions {
    pub(crate) fn choose(random: &mut Random) -> Self {
        let count = random.weigh(&[(2, 1), (4, 2), (3, 3), (1, 4)]);
        Self {
            clients: (0..count)
                .map(|number| ClientOptions::choose(number, random))
                .collect(),
            broker: BrokerOptions::choose(random),
            chaos: Duration::from_secs(random.pick(&[20, 60, 120, 240])),
        }
    }

    /// Chooses what was added later, and leaves what was there before as it is.
    pub(crate) fn widen(&mut self, random: &mut Random) {
        let maximum_qos = self.broker.maximum_qos;
        for client in &mut self.clients {
            client.will = random
                .chance(60)
                .then(|| Testament::choose(random, maximum_qos));
            client.servers = choose_servers(random);
            client.follows_redirects = random.chance(50);
            client.preparing = random.chance(25).then(|| Preparing::choose(random));
            client.intercepts = random.chance(25);
            client.compacts = random.chance(30);
            client.topic_aliases = random.pick(&[
                TopicAliases::Off,
                TopicAliases::Auto(2),
                TopicAliases::Auto(20),
            ]);
            client.retains_as_published = random.chance(15);
            client.queued_messages = random.pick(&[1, 2, 5, QUEUED_MESSAGES]);
            client.offline_bytes = random.pick(&[1_500, 1 << 20]);
            // Otherwise one packet alone is more than the bound of what is received.
            if client.inbound_bytes < MAXIMUM_PACKET_SIZE && random.chance(70) {
                client.maximum_packet_size = 600;
            }
        }
    }
}

impl ClientOptions {
    fn choose(number: usize, random: &mut Random) -> Self {
        let receive_maximum = random.pick(&[1, 2, 3, 5, 20, 256]);
        Self {
            starts_at: if number == 0 {
                Duration::ZERO
            } else {
                random.millis(0, 2_000)
            },
            two_threads: random.chance(50),
            quality: choose_quality(random),
            resume: random.weigh(&[
                (6, Resume::WhenKnown),
                (3, Resume::AssumeSession),
                (1, Resume::Never),
            ]),
            session_expiry: random.weigh(&[(1, 0), (2, 10), (5, 3_600), (2, u32::MAX)]),
            keep_alive: random.weigh(&[(1, 0), (2, 2), (3, 10), (3, 60)]),
            receive_maximum,
            margin: random.pick(&[Some(0), None]),
            maximum_packet_size: random.weigh(&[(1, 600), (4, MAXIMUM_PACKET_SIZE as u32)]),
            connect_timeout: random.millis(2_000, 10_000),
            qos0_waits: random.chance(50),
            qos12_waits: random.chance(85),
            offline_messages: random.pick(&[3, 10, 10_000]),
            inbound_bytes: random.pick(&[1_000, 16 << 20]),
            stall_timeout: Duration::from_secs(random.pick(&[3, 30])),
            overflow: random.pick(&[Overflow::DropNewest, Overflow::DropOldest, Overflow::Pause]),
            reconnects: random.chance(95),
            retries_first: random.chance(80),
            longest_backoff: Duration::from_secs(random.pick(&[2, 30, 60])),
            stable_after: Duration::from_secs(random.pick(&[1, 30])),
            republishes_qos1: random.chance(70),
            republishes_qos2: random.chance(20),
            resubscribe: random
                .weigh(&[(8, Resubscribe::WhenSessionLost), (1, Resubscribe::Always)]),
            ..Self::prober()
        }
    }

    /// The client that tests the others.
    pub(crate) fn prober() -> Self {
        Self {
            starts_at: Duration::ZERO,
            two_threads: false,
            quality: Quality {
                latency: Duration::ZERO,
                piece: 65_536,
                capacity: 1 << 20,
            },
            resume: Resume::Never,
            session_expiry: 0,
            keep_alive: 0,
            receive_maximum: 10,
            margin: None,
            maximum_packet_size: 1 << 20,
            connect_timeout: Duration::from_secs(10),
            qos0_waits: true,
            qos12_waits: true,
            offline_messages: 100,
            offline_bytes: 1 << 20,
            inbound_bytes: 1 << 20,
            stall_timeout: Duration::from_secs(30),
            overflow: Overflow::DropNewest,
            queued_messages: QUEUED_MESSAGES,
            reconnects: true,
            retries_first: true,
            longest_backoff: Duration::from_secs(1),
            stable_after: Duration::from_secs(1),
            republishes_qos1: true,
            republishes_qos2: false,
            resubscribe: Resubscribe::default(),
            will: None,
            servers: vec![BROKERS[0]],
            follows_redirects: false,
            preparing: None,
            intercepts: false,
            compacts: false,
            topic_aliases: TopicAliases::Off,
            retains_as_published: false,
        }
    }

    /// What the client is built from.
    pub(crate) fn build(&self, number: usize) -> Options {
        let lost = OnSessionLost::default()
            .republish_qos1(self.republishes_qos1)
            .republish_qos2(self.republishes_qos2);
        let policy = |waits| if waits { Offline::Wait } else { Offline::Fail };
        let mut urls = self.servers.iter().map(|host| format!("mqtt://{host}"));
        let options = Options::new(urls.next().unwrap_or_default());
        let options = urls
            .fold(options, Options::server)
            .username("user")
            .client_id(client_id(number))
            .resume(self.resume)
            .session_expiry_interval(self.session_expiry)
            .keep_alive(KeepAlive::seconds(self.keep_alive).unwrap_or(KeepAlive::Off))
            .receive_maximum(NonZeroU16::new(self.receive_maximum).unwrap_or(NonZeroU16::MIN))
            .maximum_packet_size(
                NonZeroU32::new(self.maximum_packet_size).unwrap_or(NonZeroU32::MIN),
            )
            .connect_timeout(self.connect_timeout)
            .offline_qos0(policy(self.qos0_waits))
            .offline_qos12(policy(self.qos12_waits))
            .offline_queue(Bound {
                messages: self.offline_messages,
                bytes: self.offline_bytes,
            })
            .inbound_bytes(self.inbound_bytes)
            .stall_timeout(self.stall_timeout)
            .subscription_queue(Bound {
                messages: self.queued_messages,
                bytes: 16 << 20,
            })
            .overflow(self.overflow)
            .reconnect(self.reconnect())
            .on_session_lost(lost)
            .resubscribe(self.resubscribe)
            .prepare_attempts(self.preparing.is_some())
            .compact_retained(self.compacts)
            .topic_aliases(self.topic_aliases);
        let options = match self.intercepts {
            true => intercept(options),
            false => options,
        };
        match self.margin {
            Some(margin) => options.inbound_margin(margin),
            None => options,
        }
    }

    fn reconnect(&self) -> Reconnect {
        let policy = if self.reconnects {
            Reconnect::default()
        } else {
            Reconnect::never()
        };
        policy
            .retry_first(self.retries_first)
            .backoff(Backoff::exponential(FIRST_BACKOFF, self.longest_backoff))
            .stable_after(self.stable_after)
            .redirects(match self.follows_redirects {
                true => Redirects::follow(),
                false => Redirects::default(),
            })
    }

    /// How many messages beyond its Receive Maximum it puts up with.
    pub(crate) fn tolerated(&self) -> usize {
        let default = (self.receive_maximum / 4).max(8);
        usize::from(self.receive_maximum) + usize::from(self.margin.unwrap_or(default))
    }
}

impl Preparing {
    fn choose(random: &mut Random) -> Self {
        let mut time = || Duration::from_millis(random.pick(&[0, 0, 50, 1_000, 5_000]));
        Self {
            times: [time(), time(), time(), time()],
            declines: random.pick(&[0, 2, 3]),
        }
    }
}

/// All of these are the same broker.
pub(crate) const BROKERS: [&str; 2] = ["broker", "broker-2"];
/// Nobody listens there.
pub(crate) const CLOSED: &str = "closed";
/// Nothing answers there.
pub(crate) const SILENT: &str = "silent";

/// One to three servers, among them the broker.
fn choose_servers(random: &mut Random) -> Vec<&'static str> {
    let mut servers = vec![random.pick(&BROKERS)];
    for _ in 0..random.weigh(&[(5, 0), (3, 1), (2, 2)]) {
        let other = random.weigh(&[(3, CLOSED), (1, SILENT), (1, BROKERS[0]), (1, BROKERS[1])]);
        if !servers.contains(&other) {
            servers.insert(random.below(servers.len() + 1), other);
        }
    }
    servers
}

impl Testament {
    /// The broker refuses a CONNECT whose will has more than its Maximum QoS [MQTT-3.2.2-12].
    pub(crate) fn choose(random: &mut Random, maximum_qos: QoS) -> Self {
        let qos = random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
        Self {
            topic: random.pick(&WILL_TOPICS),
            qos: qos.min(maximum_qos),
            retain: random.chance(10),
            size: random.pick(&[10, 100]),
            delay: random.pick(&[None, None, Some(1), Some(10), Some(3_600)]),
        }
    }

    /// The will, as message `number` of the ledger.
    pub(crate) fn draft(&self, ledger: &mut Ledger, process: ProcessId) -> (usize, Will) {
        let number = ledger.draft(process, self.topic, self.qos, self.size);
        let note = &mut ledger.messages[number];
        note.retain = self.retain;
        let will = Will::new(self.topic, &note.payload[..])
            .qos(self.qos)
            .retain(self.retain);
        let will = match self.delay {
            Some(delay) => will.delay(Duration::from_secs(delay.into())),
            None => will,
        };
        (number, will)
    }
}

/// Where wills are published, and nothing else is.
pub(crate) const WILL_TOPICS: [&str; 2] = ["a/z/w", "b/w"];

/// The Client Identifier of a client, which all its processes have in common.
pub(crate) fn client_id(number: usize) -> String {
    format!("c{number}")
}

/// The topic that nobody may publish to, nor subscribe to.
pub(crate) const FORBIDDEN: &str = "no/way";

/// Everybody may do everything but publish or subscribe to one topic.
struct Guarded;

impl Access for Guarded {
    fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
        Ok(())
    }

    fn publish(&mut self, _: &str, topic: &str) -> Result<(), ReasonCode> {
        allow(topic)
    }

    fn subscribe(&mut self, _: &str, filter: &str) -> Result<(), ReasonCode> {
        allow(filter)
    }
}

fn allow(topic: &str) -> Result<(), ReasonCode> {
    match topic {
        FORBIDDEN => Err(ReasonCode::NOT_AUTHORIZED),
        _ => Ok(()),
    }
}

pub(crate) fn choose_quality(random: &mut Random) -> Quality {
    Quality {
        latency: Duration::from_micros(random.pick(&[0, 500, 20_000, 300_000])),
        piece: random.pick(&[1, 7, 100, 65_536]),
        capacity: random.pick(&[500, 65_536, 1 << 20]),
    }
}

impl BrokerOptions {
    fn choose(random: &mut Random) -> Self {
        Self {
            receive_maximum: random.pick(&[1, 2, 5, 1_024]),
            maximum_packet_size: random.weigh(&[(1, 400), (5, 1 << 20)]),
            maximum_qos: random.weigh(&[(9, QoS::ExactlyOnce), (1, QoS::AtLeastOnce)]),
            server_keep_alive: random.weigh(&[(8, None), (1, Some(5)), (1, Some(0))]),
            maximum_session_expiry: random.weigh(&[(8, u32::MAX), (1, 20), (1, 0)]),
            identifiers: random.chance(80),
            topic_aliases: random.pick(&[0, 2, 16]),
        }
    }

    pub(crate) fn build(&self) -> BrokerConfig {
        let mut config = BrokerConfig::default();
        config.receive_maximum = self.receive_maximum;
        config.maximum_packet_size = self.maximum_packet_size;
        config.maximum_qos = self.maximum_qos;
        config.server_keep_alive = self.server_keep_alive;
        config.maximum_session_expiry = self.maximum_session_expiry;
        config.subscription_identifier_available = self.identifiers;
        config.topic_alias_maximum = self.topic_aliases;
        config.access = Box::new(Guarded);
        config
    }
}

/// What a client accepts unless it is to be little.
const MAXIMUM_PACKET_SIZE: usize = 1 << 20;
/// The longest first wait before another attempt.
pub(crate) const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// How many messages a subscription queues unless it is to be full soon.
pub(crate) const QUEUED_MESSAGES: usize = 65_536;
