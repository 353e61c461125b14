//! A link that is cut at chosen bytes, a client that connects again, and a witness on a link of its own that is never
//! cut.

use std::collections::BTreeMap;

use mqtt5_broker::{Action, Broker, Config as BrokerConfig};
use mqtt5_proto::packet::{Connect, SubscribeFilter};
use mqtt5_proto::{
    AckToken, Client, Config, Instant, Op, Outbound, Properties, Property, QoS, SessionLoss,
    TopicFilter, TopicName,
};

use super::link::{Embedded, Told};

/// What the client does, one step when the one before has come to rest.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
}

pub(crate) enum Step {
    Subscribe,
    /// The client publishes at each of these QoS, at once.
    Publish(Vec<QoS>),
    /// The witness publishes to the client, at once.
    Receive(Vec<QoS>),
    /// Both do.
    Both(Vec<QoS>),
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    ToBroker,
    ToClient,
}

/// So many bytes arrive on a connection in this direction, and no more.
#[derive(Clone, Copy, Debug)]
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

/// The link of the witness.
const WITNESS: u64 = 0;
/// How many publishes of the client the broker allows in flight.
const WINDOW: u16 = 3;
/// Guards against sides that talk for ever.
const MOST_STEPS: usize = 10_000;

pub(crate) struct World<C> {
    script: &'static str,
    client: C,
    witness: Client,
    broker: Broker,
    now: Instant,
    cuts: Vec<Cut>,
    broken: Broken,
    /// Messages are acknowledged when nothing else happens any more, not at once.
    late: bool,
    loss: Loss,
    policy: SessionLoss,

    connection: u64,
    /// The transport is there.
    up: bool,
    connected: bool,
    /// Connections that the broker does not yet know to be gone.
    half_open: Vec<u64>,
    /// How many bytes still pass in each direction of this connection.
    left: [usize; 2],
    carried: [usize; 2],
    /// What the script had carried on the first connection when it was over.
    total: [usize; 2],
    is_cut: bool,
    ends: usize,
    /// The session was lost and the client does not know: the CONNACK that was to tell it was lost, too, and the next
    /// one finds the session that the broker has made since. Nothing in the protocol tells the two apart.
    deceived: bool,
    /// How much was published and sent before the session was lost.
    before: Option<(usize, usize)>,

    subscribing: Option<Op>,
    subscribed: bool,
    tokens: Vec<AckToken>,
    /// How often each operation ended, and how.
    ended: BTreeMap<Op, Vec<Told>>,
    published: Vec<(Op, QoS)>,
    /// QoS of what the witness sent.
    sent: Vec<QoS>,
    /// What arrived at the witness and at the client.
    arrived: [Vec<(usize, QoS)>; 2],
}

impl<C> Drop for World<C> {
    /// Says where it failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self {
                script,
                broken,
                late,
                loss,
                connection,
                left,
                cuts,
                ..
            } = self;
            eprintln!("script '{script}', {broken:?}, late {late}, {loss:?}");
            eprintln!("connection {connection}, bytes left {left:?}, cuts to come {cuts:?}");
        }
    }
}

impl<C: Embedded> World<C> {
    pub(crate) fn new(
        script: &Script,
        cuts: &[Cut],
        broken: Broken,
        late: bool,
        loss: Loss,
        policy: SessionLoss,
    ) -> Self {
        let mut config = BrokerConfig::default();
        config.receive_maximum = WINDOW;
        let mut ours = Config::default();
        ours.session_loss = policy;
        let mut world = Self {
            script: script.name,
            client: C::with(ours),
            witness: Client::new(Config::default()),
            broker: Broker::new(config),
            now: Instant::ZERO,
            cuts: cuts.iter().rev().copied().collect(),
            broken,
            late,
            loss,
            policy,
            connection: WITNESS,
            up: false,
            connected: false,
            half_open: Vec::new(),
            left: [usize::MAX; 2],
            carried: [0; 2],
            total: [0; 2],
            is_cut: false,
            ends: 0,
            deceived: false,
            before: None,
            subscribing: None,
            subscribed: false,
            tokens: Vec::new(),
            ended: BTreeMap::new(),
            published: Vec::new(),
            sent: Vec::new(),
            arrived: [Vec::new(), Vec::new()],
        };
        world.call_witness();
        world
    }

    fn call_witness(&mut self) {
        self.broker.handle_open(self.now, WITNESS);
        self.witness
            .connect(self.now, &Connect::new("witness"))
            .unwrap();
        self.drive();
        let filter = TopicFilter::new("out").unwrap();
        let filter = SubscribeFilter::new(filter, QoS::ExactlyOnce);
        self.witness
            .subscribe(self.now, &[filter], Properties::EMPTY)
            .unwrap();
        self.drive();
    }

    /// How many bytes the script carries in each direction.
    pub(crate) const fn total(&self) -> [usize; 2] {
        self.total
    }

    pub(crate) fn play(&mut self, script: &Script) {
        self.settle();
        script.steps.iter().for_each(|step| self.step(step));
        self.total = self.carried;
        if self.deceived {
            return;
        }
        // Nothing that is left of the past stands in the way of the future.
        self.step(&Step::Both(vec![QoS::ExactlyOnce, QoS::AtLeastOnce]));
        self.step(&Step::Receive(vec![QoS::ExactlyOnce]));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Subscribe => self.subscribe(),
            Step::Publish(list) => self.publish(list),
            Step::Receive(list) => {
                self.subscribe();
                self.send(list);
            }
            Step::Both(list) => {
                self.subscribe();
                self.publish(list);
                self.send(list);
            }
        }
        self.settle();
    }

    /// Subscribes, as often as it takes.
    fn subscribe(&mut self) {
        while !self.subscribed {
            self.settle();
            let filter = TopicFilter::new("in").unwrap();
            let filter = SubscribeFilter::new(filter, QoS::ExactlyOnce);
            self.subscribing = Some(self.client.subscribe(self.now, filter));
            self.settle();
        }
    }

    fn publish(&mut self, list: &[QoS]) {
        for qos in list {
            let payload = [u8::try_from(self.published.len()).unwrap()];
            let message = Outbound::new(TopicName::new("out").unwrap(), *qos, &payload[..]);
            let op = self.client.publish(self.now, &message);
            self.published.push((op, *qos));
        }
    }

    fn send(&mut self, list: &[QoS]) {
        for qos in list {
            let payload = [u8::try_from(self.sent.len()).unwrap()];
            let message = Outbound::new(TopicName::new("in").unwrap(), *qos, &payload[..]);
            self.witness.publish(self.now, &message).unwrap();
            self.sent.push(*qos);
        }
    }

    /// Lets everything come to rest, with a connection.
    fn settle(&mut self) {
        for _ in 0..10 {
            if !self.up {
                self.connect();
            }
            self.drive();
            if self.up {
                assert!(self.connected, "neither a CONNACK nor a cut");
                return;
            }
        }
        panic!("no connection lasts");
    }

    fn connect(&mut self) {
        if self.ends == 1 {
            if self.loss == Loss::Forgotten {
                // What the broker holds of the connection ends with the session.
                self.broker.forget(self.now, "pair");
            }
            self.subscribed &= self.loss == Loss::Kept;
            self.before = Some((self.published.len(), self.sent.len()));
        }
        let clean_start =
            !self.client.has_session() || (self.ends == 1 && self.loss == Loss::CleanStart);
        self.subscribed &= !clean_start;
        self.connection += 1;
        self.up = true;
        self.is_cut = false;
        self.left = [usize::MAX; 2];
        self.carried = [0; 2];
        if let Some(cut) = self.cuts.pop() {
            self.left[cut.way as usize] = cut.at;
        }
        self.broker.handle_open(self.now, self.connection);
        let list = [
            Property::SessionExpiryInterval(1_000),
            Property::ReceiveMaximum(4),
            Property::MaximumPacketSize(1024),
        ];
        let connect = Connect {
            clean_start,
            properties: Properties::new(&list).unwrap(),
            ..Connect::new("pair")
        };
        self.client.connect(self.now, &connect);
    }

    /// The transport is gone, for the client at least.
    fn end(&mut self) {
        self.up = false;
        let lost = self.ends == 1 && self.loss == Loss::Forgotten;
        self.deceived |= lost && !self.connected;
        self.connected = false;
        self.ends += 1;
        self.client.handle_closed(self.now);
        if self.broken == Broken::HalfOpen {
            self.half_open.push(self.connection);
        } else {
            self.broker.handle_closed(self.now, self.connection);
        }
    }

    fn drive(&mut self) {
        for _ in 0..MOST_STEPS {
            self.poll();
            let mut moved = self.client_to_broker();
            moved |= self.witness_to_broker();
            moved |= self.broker_to_others();
            self.poll();
            assert!(!self.client.wants_close(), "the client wants to leave");
            if moved {
                continue;
            }
            if self.is_cut && self.up {
                self.end();
            } else if !self.tokens.is_empty() {
                for token in std::mem::take(&mut self.tokens) {
                    self.client.ack(self.now, token);
                }
            } else if self.up && !self.half_open.is_empty() {
                for connection in std::mem::take(&mut self.half_open) {
                    self.broker.handle_closed(self.now, connection);
                }
            } else {
                return;
            }
        }
        panic!("the sides never stop talking");
    }

    /// How much of `count` bytes may pass.
    fn pass(&mut self, way: Way, count: usize) -> usize {
        let left = &mut self.left[way as usize];
        let passed = count.min(*left);
        *left -= passed;
        self.carried[way as usize] += passed;
        self.is_cut |= passed < count;
        passed
    }

    fn client_to_broker(&mut self) -> bool {
        let bytes = self.client.outgoing().to_vec();
        if bytes.is_empty() || !self.up {
            return false;
        }
        let passed = self.pass(Way::ToBroker, bytes.len());
        self.broker
            .handle_received(self.now, self.connection, &bytes[..passed]);
        if self.is_cut && self.broken != Broken::OneWay {
            self.client.handle_transmitted(self.now, passed);
            self.end();
        } else {
            self.client.handle_transmitted(self.now, bytes.len());
        }
        true
    }

    fn witness_to_broker(&mut self) -> bool {
        let bytes = self.witness.outgoing();
        let count = bytes.len();
        self.broker.handle_received(self.now, WITNESS, bytes);
        self.witness.handle_transmitted(self.now, count);
        count > 0
    }

    fn broker_to_others(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.broker.poll_action() {
            moved = true;
            let (Action::Write(to) | Action::Close(to) | Action::Abort(to)) = action;
            let bytes = self.broker.outgoing(self.now, to);
            if to == WITNESS {
                assert_eq!(action, Action::Write(WITNESS), "the witness is sent away");
                self.give_witness(&bytes);
            } else if to == self.connection && self.up {
                self.give_client(&bytes);
                assert!(
                    action == Action::Write(to) || !self.up,
                    "the broker ends the connection: {bytes:02X?}"
                );
            }
            if action != Action::Write(to) {
                self.half_open.retain(|connection| *connection != to);
                self.broker.handle_closed(self.now, to);
            }
        }
        moved
    }

    fn give_witness(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.witness.receive_space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.witness.handle_received(self.now, count);
            bytes = &bytes[count..];
            self.poll_witness();
        }
    }

    fn give_client(&mut self, bytes: &[u8]) {
        let passed = self.pass(Way::ToClient, bytes.len());
        let mut rest = &bytes[..passed];
        while !rest.is_empty() {
            let space = self.client.receive_space();
            let count = rest.len().min(space.len());
            assert!(count > 0, "no space though a packet is incomplete");
            space[..count].copy_from_slice(&rest[..count]);
            self.client.handle_received(self.now, count);
            rest = &rest[count..];
            self.poll();
        }
        if self.is_cut && self.broken != Broken::OneWay {
            self.end();
        }
    }

    fn poll_witness(&mut self) {
        while let Some((told, token)) = Embedded::poll(&mut self.witness, self.now) {
            if let Told::Message(_, payload, qos) = told {
                self.arrived[Way::ToBroker as usize].push((payload[0].into(), qos));
            }
            if let Some(token) = token {
                self.witness.ack(self.now, token);
            }
        }
    }

    fn poll(&mut self) {
        self.poll_witness();
        while let Some((told, token)) = self.client.poll(self.now) {
            match &told {
                Told::Connected => self.connected = true,
                Told::Message(_, payload, qos) => {
                    self.arrived[Way::ToClient as usize].push((payload[0].into(), *qos));
                }
                Told::Disconnected(cause) => assert_eq!(cause, "the transport closed"),
                Told::Delivered(op, _)
                | Told::Answered(op, _)
                | Told::Lost(op)
                | Told::Accepted(op) => {
                    self.subscribed |=
                        self.subscribing == Some(*op) && matches!(told, Told::Answered(..));
                    self.ended.entry(*op).or_default().push(told.clone());
                }
                Told::Other(other) => panic!("{other}"),
            }
            match token {
                Some(token) if self.late => self.tokens.push(token),
                Some(token) => self.client.ack(self.now, token),
                None => {}
            }
        }
        assert!(
            self.client.in_flight() <= usize::from(WINDOW),
            "Receive Maximum exceeded"
        );
    }

    /// Everything that was promised holds.
    pub(crate) fn check(&self) {
        let kept = self.loss == Loss::Kept || self.ends == 0;
        let after = self.before.filter(|_| !self.deceived);
        for (number, (op, qos)) in self.published.iter().enumerate() {
            let lives = kept || after.is_some_and(|(published, _)| number >= published);
            let copies = copies(&self.arrived[Way::ToBroker as usize], number);
            let ends = self.ended.get(op).map_or(&[][..], Vec::as_slice);
            if *qos == QoS::AtMostOnce {
                assert!(ends.len() <= 1 && copies <= 1, "{ends:?}, {copies} copies");
                continue;
            }
            let [end] = ends else {
                panic!("publish {number} at {qos:?} ended so: {ends:?}");
            };
            let delivered = matches!(end, Told::Delivered(..));
            let again = match qos {
                QoS::ExactlyOnce => self.policy.republish_qos2,
                _ => self.policy.republish_qos1,
            };
            assert!(
                delivered || (!lives && (!again || *qos == QoS::ExactlyOnce)),
                "publish {number} at {qos:?} ended so: {end:?}"
            );
            assert!(copies > 0 || !delivered, "{number} at {qos:?} never came");
            let once = *qos == QoS::ExactlyOnce && (lives || !again) && !self.deceived;
            assert!(copies <= 1 || !once, "{number} at {qos:?}: {copies} copies");
        }
        for (number, qos) in self.sent.iter().enumerate() {
            let lives = kept || after.is_some_and(|(_, sent)| number >= sent);
            let copies = copies(&self.arrived[Way::ToClient as usize], number);
            let wanted = lives && *qos > QoS::AtMostOnce;
            assert!(copies > 0 || !wanted, "{number} at {qos:?} never came");
            let once = *qos != QoS::AtLeastOnce;
            assert!(copies <= 1 || !once, "{number} at {qos:?}: {copies} copies");
        }
        for op in self.ended.keys() {
            assert_eq!(self.ended[op].len(), 1, "{:?}", self.ended[op]);
        }
        self.arrived.iter().for_each(|arrived| check_order(arrived));
        assert_eq!(self.client.open(), [0; 5]);
        let statistics = self.broker.statistics();
        assert_eq!(statistics.waiting, 0, "{statistics:?}");
        assert_eq!(statistics.connections, 2, "{statistics:?}");
        assert_eq!(statistics.sessions, 2, "{statistics:?}");
    }
}

fn copies(arrived: &[(usize, QoS)], number: usize) -> usize {
    arrived.iter().filter(|(n, _)| *n == number).count()
}

/// At each QoS, what comes for the first time comes in order.
fn check_order(arrived: &[(usize, QoS)]) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut latest = None;
        for (index, (number, _)) in arrived.iter().enumerate().filter(|(_, (_, q))| *q == qos) {
            let again = arrived[..index].iter().any(|(n, _)| n == number);
            assert!(again || latest < Some(*number), "out of order: {arrived:?}");
            latest = latest.max(Some(*number));
        }
    }
}
