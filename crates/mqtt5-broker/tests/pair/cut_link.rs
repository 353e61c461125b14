//! A link that is cut at chosen bytes, a client that connects again, and a witness on a link of its own that is never
//! cut.

mod cut_bytes;
mod cut_check;

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt5_broker::{Access, AuthenticationStep, Broker, Config as BrokerConfig, Login, Verdict};
use mqtt5_proto::packet::{Connect, SubscribeFilter, Will};
use mqtt5_proto::{
    AckToken, Authenticate, Client, Config, Instant, Op, Outbound, Properties, Property, QoS,
    ReasonCode, SessionLoss, TopicAliases, TopicFilter, TopicName,
};

use super::face::{Embedded, Told};
use super::script::{Script, Setting, Step};
use super::wire::{Way, Wire};

/// So many bytes arrive on a connection in this direction, and no more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cut {
    pub(crate) way: Way,
    pub(crate) at: usize,
}

/// What a cut looks like to the two sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Broken {
    /// The transport still takes bytes and loses them; the other direction works until both sides are at rest.
    OneWay,
    /// Nothing passes any more in either direction, and the transport takes nothing more.
    BothWays,
    /// The same, and the broker learns of it only when the client is there again.
    HalfOpen,
}

/// What becomes of the session at the first cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    Kept,
    Forgotten,
    CleanStart,
}

/// In what pieces bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pieces {
    Whole,
    Bytes,
    /// In two, with this many in the first; what does not lie across that place is whole.
    Two(Cut),
}

/// How a script is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) broken: Broken,
    /// Messages are acknowledged when nothing else happens any more, the last one first, and challenges answered then,
    /// not at once.
    pub(crate) late: bool,
    pub(crate) loss: Loss,
    pub(crate) policy: SessionLoss,
    pub(crate) pieces: Pieces,
}

/// The link of the witness.
const WITNESS: u64 = 0;
/// How many publishes of the client the broker allows in flight.
const WINDOW: u16 = 3;
/// How many publishes the client allows in flight.
const CLIENT_WINDOW: u16 = 4;
/// How many Topic Aliases each side allows: fewer than there are topics.
const ALIASES: u16 = 2;
const TOPICS: [&str; 5] = ["north", "north", "south", "north", "west"];
/// How much time passes between two connections.
const PAUSE: Duration = Duration::from_secs(5);
const METHOD: &str = "quiz";

/// A message that was published at one end.
struct Published {
    /// The operation of the client; none of the witness.
    op: Option<Op>,
    qos: QoS,
    at: Instant,
    /// The other end has subscribed to it.
    wanted: bool,
}

pub(crate) struct World<'a, C> {
    script: &'a Script,
    manner: Manner,
    client: C,
    witness: Client,
    broker: Broker,
    pub(crate) wire: Wire,
    now: Instant,
    /// Those to come, the next one last.
    cuts: Vec<Cut>,

    connection: u64,
    /// The transport is there.
    up: bool,
    connected: bool,
    /// Connections that the broker does not yet know to be gone.
    half_open: Vec<u64>,
    /// How many bytes still pass in each direction of this connection.
    left: [usize; 2],
    carried: [usize; 2],
    /// What the script has carried on the first connection.
    total: Option<[usize; 2]>,
    is_cut: bool,
    /// The client says goodbye.
    leaving: bool,
    /// How many connections were cut.
    ends: usize,
    /// The session was lost and the client does not know: the CONNACK that was to tell it was lost, too, and the next
    /// one finds the session that the broker has made since. Nothing in the protocol tells the two apart.
    deceived: bool,
    /// How much the client and the witness had published before the session was lost.
    before: Option<[usize; 2]>,

    subscribing: Option<Op>,
    unsubscribing: Option<Op>,
    subscribed: bool,
    /// What has arrived at the client and is not read.
    inbox: Vec<u8>,
    /// A step of the server in an authentication that is not answered.
    challenge: Option<(ReasonCode, Vec<u8>)>,
    tokens: Vec<AckToken>,
    /// Operations that are not publishes.
    requests: Vec<Op>,
    /// How often each operation ended, and how.
    ended: BTreeMap<Op, Vec<Told>>,
    /// What the client and the witness published; payloads are its numbers.
    published: [Vec<Published>; 2],
    /// What arrived at the witness and at the client.
    arrived: [Vec<(usize, QoS)>; 2],
    /// How many wills arrived at the witness.
    wills: usize,
    /// Everything that the client told.
    told: Vec<Told>,
}

impl<C> Drop for World<'_, C> {
    /// Says where it failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("script '{}', {:?}", self.script.name, self.manner);
            let (connection, left, cuts) = (self.connection, self.left, &self.cuts);
            eprintln!("connection {connection}, bytes left {left:?}, cuts to come {cuts:?}");
        }
    }
}

/// Asks twice before CONNACK and once afterwards.
struct Quiz;

impl Access for Quiz {
    fn login(&mut self, _: &Login<'_>) -> Result<(), ReasonCode> {
        Ok(())
    }

    fn authenticate(&mut self, step: &AuthenticationStep<'_>) -> Verdict {
        assert_eq!(step.method, METHOD);
        match (step.is_again, step.round, step.data) {
            (false, 0, Some(b"hello")) => Verdict::Continue(b"one".to_vec()),
            (false, 1, Some(b"ONE")) => Verdict::Continue(b"two".to_vec()),
            (false, 2, Some(b"TWO")) => Verdict::Success(b"welcome".to_vec()),
            (true, 0, Some(b"again")) => Verdict::Continue(b"three".to_vec()),
            (true, 0, Some(b"meanwhile")) => Verdict::Continue(b"four".to_vec()),
            (true, 1, Some(b"THREE")) => Verdict::Success(Vec::new()),
            (true, 1, Some(b"FOUR")) => Verdict::Success(b"welcome".to_vec()),
            step => panic!("{step:?}"),
        }
    }
}

fn broker_config(setting: Setting) -> BrokerConfig {
    let mut config = BrokerConfig::default();
    config.receive_maximum = WINDOW;
    config.topic_alias_maximum = ALIASES;
    if setting.has_authentication {
        config.access = Box::new(Quiz);
    }
    config
}

fn client_config(setting: Setting, policy: SessionLoss) -> Config {
    let mut config = Config::default();
    config.session_loss = policy;
    if setting.has_aliases {
        config.topic_aliases = TopicAliases::Auto(16);
    }
    config
}

impl<'a, C: Embedded> World<'a, C> {
    pub(crate) fn new(script: &'a Script, cuts: &[Cut], manner: Manner) -> Self {
        let mut world = Self {
            client: C::with(client_config(script.setting, manner.policy)),
            witness: Client::new(Config::default()),
            broker: Broker::new(broker_config(script.setting)),
            script,
            manner,
            wire: Wire::new([WINDOW, CLIENT_WINDOW]),
            now: Instant::ZERO,
            cuts: cuts.iter().rev().copied().collect(),
            connection: WITNESS,
            up: false,
            connected: false,
            half_open: Vec::new(),
            left: [usize::MAX; 2],
            carried: [0; 2],
            total: None,
            is_cut: false,
            leaving: false,
            ends: 0,
            deceived: false,
            before: None,
            subscribing: None,
            unsubscribing: None,
            subscribed: false,
            inbox: Vec::new(),
            challenge: None,
            tokens: Vec::new(),
            requests: Vec::new(),
            ended: BTreeMap::new(),
            published: Default::default(),
            arrived: Default::default(),
            wills: 0,
            told: Vec::new(),
        };
        world.call_witness();
        world
    }

    fn call_witness(&mut self) {
        self.broker.handle_open(self.now, WITNESS);
        let connect = Connect {
            keep_alive: 0,
            ..Connect::new("witness")
        };
        self.witness.connect(self.now, &connect).unwrap();
        self.drive();
        let filters = [self.filter(Way::ToBroker), "will"].map(|filter| {
            let filter = TopicFilter::new(filter).unwrap();
            SubscribeFilter::new(filter, QoS::ExactlyOnce)
        });
        self.witness
            .subscribe(self.now, &filters, Properties::EMPTY)
            .unwrap();
        self.drive();
    }

    /// How many bytes the script carries in each direction of the first connection.
    pub(crate) fn total(&self) -> [usize; 2] {
        self.total.unwrap()
    }

    /// Everything that the client told, and what arrived at the witness.
    pub(crate) fn transcript(&self) -> (&[Told], &[(usize, QoS)]) {
        (&self.told, &self.arrived[Way::ToBroker as usize])
    }

    pub(crate) fn play(&mut self) {
        self.settle();
        self.script.steps.iter().for_each(|step| self.step(step));
        self.total.get_or_insert(self.carried);
        if self.deceived {
            return;
        }
        // Nothing that is left of the past stands in the way of the future.
        self.step(&Step::Both(vec![QoS::ExactlyOnce]));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Subscribe => self.subscribe(),
            Step::Unsubscribe => self.unsubscribe(),
            Step::Reauthenticate => while !self.reauthenticate() {},
            Step::Leave => {
                self.leaving = true;
                self.client.disconnect(self.now);
            }
            Step::Publish(list) => self.publish(list),
            Step::Unwanted(list) => self.send(list, false),
            Step::Receive(list) => {
                self.subscribe();
                self.send(list, true);
            }
            Step::Both(list) => {
                self.subscribe();
                self.publish(list);
                self.send(list, true);
            }
            Step::BothMeanwhile(list) => {
                self.subscribe();
                let op = self.client.reauthenticate(self.now, b"meanwhile");
                self.requests.push(op);
                self.publish(list);
                self.send(list, true);
            }
        }
        self.settle();
        if let Step::Leave = step {
            self.settle();
        }
    }

    /// The filter for what goes in this direction.
    fn filter(&self, way: Way) -> &'static str {
        match (way, self.script.setting.has_aliases) {
            (Way::ToBroker, false) => "out",
            (Way::ToClient, false) => "in",
            (Way::ToBroker, true) => "out/#",
            (Way::ToClient, true) => "in/#",
        }
    }

    /// The topic of a message that goes in this direction.
    fn topic(&self, way: Way, number: usize) -> String {
        let filter = self.filter(way);
        match filter.strip_suffix('#') {
            Some(parent) => format!("{parent}{}", TOPICS[number % TOPICS.len()]),
            None => filter.into(),
        }
    }

    /// Subscribes, as often as it takes.
    fn subscribe(&mut self) {
        while !self.subscribed {
            self.settle();
            let filter = TopicFilter::new(self.filter(Way::ToClient)).unwrap();
            let filter = SubscribeFilter::new(filter, QoS::ExactlyOnce);
            let op = self.client.subscribe(self.now, filter);
            self.subscribing = Some(op);
            self.requests.push(op);
            self.settle();
        }
    }

    fn unsubscribe(&mut self) {
        while self.subscribed {
            let filter = TopicFilter::new(self.filter(Way::ToClient)).unwrap();
            let op = self.client.unsubscribe(self.now, filter);
            self.unsubscribing = Some(op);
            self.requests.push(op);
            self.settle();
        }
    }

    /// Authenticates again; false when the connection was lost meanwhile.
    fn reauthenticate(&mut self) -> bool {
        let op = self.client.reauthenticate(self.now, b"again");
        self.requests.push(op);
        self.settle();
        self.ended[&op] == [Told::Authenticated(op)]
    }

    fn publish(&mut self, list: &[QoS]) {
        for qos in list {
            let message = self.next_message(Way::ToBroker, *qos, true);
            let op = message.publish(|outbound| self.client.publish(self.now, outbound));
            self.published[Way::ToBroker as usize]
                .last_mut()
                .unwrap()
                .op = Some(op);
        }
    }

    fn send(&mut self, list: &[QoS], wanted: bool) {
        for qos in list {
            let message = self.next_message(Way::ToClient, *qos, wanted);
            message.publish(|outbound| self.witness.publish(self.now, outbound).unwrap());
        }
    }

    fn next_message(&mut self, way: Way, qos: QoS, wanted: bool) -> Message {
        let number = self.published[way as usize].len();
        self.published[way as usize].push(Published {
            op: None,
            qos,
            at: self.now,
            wanted,
        });
        Message {
            topic: self.topic(way, number),
            payload: [u8::try_from(number).unwrap()],
            qos,
            expiry: self.script.setting.expiry,
        }
    }

    fn connect(&mut self) {
        if self.script.setting.expiry.is_some() && self.connection > 0 {
            self.now = self.now + PAUSE;
            self.broker.handle_timeout(self.now);
        }
        let loses = self.ends == 1 && self.before.is_none();
        if loses {
            if self.manner.loss == Loss::Forgotten {
                // What the broker holds of the connection ends with the session.
                self.broker.forget(self.now, "pair");
            }
            self.subscribed &= self.manner.loss == Loss::Kept;
            self.before = Some([0, 1].map(|way| self.published[way].len()));
        }
        let clean_start =
            !self.client.has_session() || (loses && self.manner.loss == Loss::CleanStart);
        self.subscribed &= !clean_start;
        self.connection += 1;
        self.up = true;
        self.is_cut = false;
        self.leaving = false;
        self.left = [usize::MAX; 2];
        self.carried = [0; 2];
        if let Some(cut) = self.cuts.pop() {
            self.left[cut.way as usize] = cut.at;
        }
        self.wire.open();
        self.broker.handle_open(self.now, self.connection);
        self.send_connect(clean_start);
    }

    fn send_connect(&mut self, clean_start: bool) {
        let setting = self.script.setting;
        let mut list = vec![
            Property::SessionExpiryInterval(1_000),
            Property::ReceiveMaximum(CLIENT_WINDOW),
            Property::MaximumPacketSize(1024),
        ];
        if setting.has_aliases {
            list.push(Property::TopicAliasMaximum(ALIASES));
        }
        if setting.has_authentication {
            list.push(Property::AuthenticationMethod(METHOD));
            list.push(Property::AuthenticationData(b"hello"));
        }
        let will = setting.has_will.then(|| Will {
            qos: QoS::AtLeastOnce,
            ..Will::new(TopicName::new("will").unwrap(), b"gone")
        });
        let connect = Connect {
            clean_start,
            will,
            properties: Properties::new(&list).unwrap(),
            ..Connect::new("pair")
        };
        self.client.connect(self.now, &connect);
    }

    /// The client answers a step of the server in an authentication.
    fn answer(&mut self, reason: ReasonCode, data: &[u8]) {
        let answer = data.to_ascii_uppercase();
        let step = if reason == ReasonCode::CONTINUE_AUTHENTICATION {
            Authenticate::Continue(&answer)
        } else {
            assert_eq!(data, b"welcome");
            Authenticate::Accept
        };
        self.client.authenticate(self.now, step);
    }
}

/// What is needed to publish a message.
struct Message {
    topic: String,
    payload: [u8; 1],
    qos: QoS,
    expiry: Option<u32>,
}

impl Message {
    fn publish<T>(&self, publish: impl FnOnce(&Outbound<'_>) -> T) -> T {
        let topic = TopicName::new(&self.topic).unwrap();
        let list = self.expiry.map(Property::MessageExpiryInterval);
        publish(&Outbound {
            properties: Properties::new(list.as_slice()).unwrap(),
            ..Outbound::new(topic, self.qos, &self.payload[..])
        })
    }
}
