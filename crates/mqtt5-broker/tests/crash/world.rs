//! A client process that is killed at a chosen step, its store, a broker, and a witness that outlives everything.

use std::collections::BTreeMap;

use mqtt5_broker::{Broker, Config as BrokerConfig};
use mqtt5_proto::packet::{Connect, SubscribeFilter};
use mqtt5_proto::{
    AckToken, Client, Config, Instant, Op, Outbound, Properties, Property, QoS, Record,
    TopicFilter, TopicName,
};

use super::process::{End, Process, Told, parse};
use super::store::{Fault, Store, Sync};

/// What the application does, one step when the one before has come to rest.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The client publishes at each of these QoS, at once.
    Publish(Vec<QoS>),
    /// It publishes them, and takes back what was not sent.
    Withdraw(Vec<QoS>),
    /// The witness publishes to the client, at once.
    Receive(Vec<QoS>),
    /// Both do.
    Both(Vec<QoS>),
}

/// How a run goes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) sync: Sync,
    /// Messages are acknowledged when nothing else happens any more, not at once.
    pub(crate) late: bool,
    /// The broker forgets the session at the first crash.
    pub(crate) lost: bool,
    /// The first process takes over the session of one that has left nothing but messages without their PUBRELs at the broker.
    pub(crate) assumed: bool,
    pub(crate) fault: Fault,
    /// After how many moves of the first process its connection is cut.
    pub(crate) cut: Option<usize>,
    /// After how many moves each process is killed, and how many records that are not durable survive.
    pub(crate) crashes: Vec<(usize, usize)>,
}

/// A publish of the client.
pub(crate) struct Published {
    pub(crate) op: Op,
    pub(crate) qos: QoS,
    /// It was accepted by a process that is gone, and whether it was in what that left.
    pub(crate) survived: Option<bool>,
    /// It was taken back, and every later process knows.
    pub(crate) withdrawn: bool,
    /// Its record could not be written.
    pub(crate) failed: bool,
    /// How it ended in each process that had it.
    pub(crate) ends: Vec<(usize, End)>,
}

/// A message for the client.
pub(crate) struct Sent {
    pub(crate) qos: QoS,
    /// The processes to which it was handed over.
    pub(crate) handed: Vec<usize>,
    /// The first process that knew from its records that it was handed over.
    pub(crate) known: Option<usize>,
    /// It was sent when the session lived in which it was to arrive.
    pub(crate) lives: bool,
}

pub(super) const WITNESS: u64 = 0;
/// How many publishes of the client the broker allows in flight.
pub(super) const WINDOW: u16 = 3;
/// Guards against sides that talk for ever.
const MOST_MOVES: usize = 10_000;

pub(crate) struct World<C> {
    pub(super) plan: Plan,
    pub(super) client: C,
    pub(super) witness: Client,
    pub(super) broker: Broker,
    pub(super) store: Store,
    pub(super) now: Instant,
    /// Counts processes from 0, and the moves of the current one.
    pub(super) life: usize,
    pub(super) moves: usize,
    /// How many records were not durable when the first process ended.
    pub(super) unsynced: Option<usize>,
    pub(super) connection: u64,
    pub(super) up: bool,
    pub(super) connected: bool,
    pub(super) stopped: bool,
    pub(super) subscribing: Option<Op>,
    pub(super) subscribed: bool,
    pub(super) tokens: Vec<AckToken>,
    /// Messages that were acknowledged, by identifier, and how many of those records this process has begun with.
    pub(super) acknowledged: BTreeMap<u16, Vec<usize>>,
    /// The identifiers and numbers of QoS 2 messages that are not acknowledged.
    pub(super) identifiers: Vec<(AckToken, u16, usize)>,
    pub(crate) published: Vec<Published>,
    pub(crate) sent: Vec<Sent>,
    /// What arrived at the witness, in order.
    pub(crate) arrived: Vec<(usize, QoS)>,
    pub(crate) handed: Vec<(usize, QoS)>,
}

fn config(assumed: bool) -> Config {
    let mut config = Config::default();
    config.write_ahead = true;
    config.assume_session = assumed;
    config
}

impl<C: Process> World<C> {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut offered = BrokerConfig::default();
        offered.receive_maximum = WINDOW;
        let mut world = Self {
            plan: plan.clone(),
            client: C::with(config(plan.assumed)),
            witness: Client::new(Config::default()),
            broker: Broker::new(offered),
            store: Store::new(plan.fault),
            now: Instant::ZERO,
            life: 0,
            moves: 0,
            unsynced: None,
            connection: WITNESS,
            up: false,
            connected: false,
            stopped: false,
            subscribing: None,
            subscribed: false,
            tokens: Vec::new(),
            acknowledged: BTreeMap::new(),
            identifiers: Vec::new(),
            published: Vec::new(),
            sent: Vec::new(),
            arrived: Vec::new(),
            handed: Vec::new(),
        };
        world.plan.crashes.reverse();
        world.call_witness();
        if plan.assumed {
            world.leave_unreleased();
        }
        world
    }

    fn call_witness(&mut self) {
        self.broker.handle_open(self.now, WITNESS);
        let connect = Connect::new("witness");
        self.witness.connect(self.now, &connect).unwrap();
        while self.move_witness() || self.move_broker() {}
        let filter = TopicFilter::new("out").unwrap();
        let filter = SubscribeFilter::new(filter, QoS::ExactlyOnce);
        let list = [filter];
        self.witness
            .subscribe(self.now, &list, Properties::EMPTY)
            .unwrap();
        while self.move_witness() || self.move_broker() {}
    }

    pub(crate) const fn life(&self) -> usize {
        self.life
    }

    pub(crate) const fn unsynced(&self) -> Option<usize> {
        self.unsynced
    }

    pub(crate) const fn writes(&self) -> usize {
        self.store.writes()
    }

    pub(crate) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Plays the script, through all crashes, and then a little more.
    pub(crate) fn play(&mut self) {
        for step in self.plan.steps.clone() {
            if self.life == 0 {
                self.step(&step);
            }
        }
        if self.life > 0 {
            self.rest();
        }
        // Nothing that is left of the past stands in the way of the future.
        use QoS::{AtLeastOnce, ExactlyOnce};
        self.step(&Step::Both(vec![ExactlyOnce, AtLeastOnce]));
        self.step(&Step::Receive(vec![ExactlyOnce, AtLeastOnce]));
    }

    fn step(&mut self, step: &Step) {
        self.rest();
        match step {
            Step::Publish(list) => self.publish(list),
            Step::Withdraw(list) => self.withdraw(list),
            Step::Receive(list) => self.send(list),
            Step::Both(list) => {
                self.publish(list);
                self.send(list);
            }
        }
        self.rest();
    }

    fn publish(&mut self, list: &[QoS]) {
        for qos in list {
            let payload = [u8::try_from(self.published.len()).unwrap()];
            let message = Outbound::new(TopicName::new("out").unwrap(), *qos, &payload[..]);
            let op = self.client.publish(self.now, &message).unwrap();
            self.published.push(Published {
                op,
                qos: *qos,
                survived: None,
                withdrawn: false,
                failed: false,
                ends: Vec::new(),
            });
        }
    }

    fn withdraw(&mut self, list: &[QoS]) {
        let first = self.published.len();
        self.publish(list);
        // One record is written before, the others never are.
        if let Some((token, record)) = self.client.poll_persist() {
            self.write(token, record);
        }
        for published in &mut self.published[first..] {
            published.withdrawn = self.client.withdraw(published.op);
        }
    }

    fn send(&mut self, list: &[QoS]) {
        for qos in list {
            let payload = [u8::try_from(self.sent.len()).unwrap()];
            let message = Outbound::new(TopicName::new("in").unwrap(), *qos, &payload[..]);
            self.witness.publish(self.now, &message).unwrap();
            self.sent.push(Sent {
                qos: *qos,
                handed: Vec::new(),
                known: None,
                lives: true,
            });
        }
    }

    /// Lets everything come to rest, with a connection and a subscription.
    fn rest(&mut self) {
        for _ in 0..MOST_MOVES {
            if self
                .plan
                .crashes
                .last()
                .is_some_and(|(at, _)| self.moves >= *at)
            {
                let (_, surviving) = self.plan.crashes.pop().unwrap_or_default();
                self.crash(surviving);
            }
            if self.up && self.plan.cut.take_if(|at| self.moves >= *at).is_some() {
                self.hang_up();
            }
            self.moves += 1;
            if !self.next_move() {
                return;
            }
        }
        panic!("the sides never stop talking");
    }

    /// Does the next thing that there is to do; false when there is none.
    fn next_move(&mut self) -> bool {
        if let Some(told) = self.client.poll(self.now) {
            self.told(&told);
            return true;
        }
        if let Some((token, record)) = self.client.poll_persist() {
            self.write(token, record);
            return true;
        }
        if self.plan.sync == Sync::Each && self.store.unsynced() > 0 {
            return self.sync(1);
        }
        if self.client.wants_close() {
            self.hang_up();
            return true;
        }
        if self.move_client() || self.move_witness() || self.move_broker() {
            return true;
        }
        if self.stopped {
            self.revive();
            return true;
        }
        if !self.up {
            self.connect();
            return true;
        }
        if let Some(token) = self.tokens.pop() {
            self.ack(token);
            return true;
        }
        if self.store.unsynced() > 0 {
            let all = self.plan.sync == Sync::Rest;
            return self.sync(if all { self.store.unsynced() } else { 1 });
        }
        if !self.subscribed && self.subscribing.is_none() {
            let filter = TopicFilter::new("in").unwrap();
            let filter = SubscribeFilter::new(filter, QoS::ExactlyOnce);
            self.subscribing = Some(self.client.subscribe(self.now, filter).unwrap());
            return true;
        }
        false
    }

    fn write(&mut self, token: mqtt5_proto::RecordToken, record: Vec<u8>) {
        let publish = match Record::decode(&record).unwrap() {
            (Record::Publish { op, .. }, _) => Some(op),
            _ => None,
        };
        if let Some(failed) = self.store.write(token, record) {
            let mut all = self.published.iter_mut().rev();
            if let Some(published) = all.find(|p| Some(p.op) == publish) {
                published.failed = true;
            }
            self.client.handle_persisted(self.now, failed);
        }
    }

    fn sync(&mut self, count: usize) -> bool {
        let persisted = self.store.sync(count);
        self.client.handle_persisted(self.now, persisted);
        true
    }

    fn ack(&mut self, token: AckToken) {
        let place = self.identifiers.iter().position(|(t, ..)| *t == token);
        if let Some(place) = place {
            let (_, id, number) = self.identifiers.remove(place);
            self.acknowledged.entry(id).or_default().push(number);
        }
        self.client.ack(self.now, token);
    }

    pub(super) fn told(&mut self, told: &Told) {
        match *told {
            Told::Connected => self.connected = true,
            Told::Disconnected(by_store) => self.stopped |= by_store,
            Told::Message {
                number,
                qos,
                id,
                token,
            } => {
                self.sent[number].handed.push(self.life);
                self.handed.push((number, qos));
                let Some(token) = token else { return };
                if let Some(id) = id.filter(|_| qos == QoS::ExactlyOnce) {
                    self.identifiers.push((token, id.value(), number));
                }
                if self.plan.late {
                    self.tokens.push(token);
                } else {
                    self.ack(token);
                }
            }
            Told::Ended(op, end) if self.subscribing == Some(op) => {
                self.subscribing = None;
                self.subscribed = end == End::Answered;
            }
            Told::Ended(op, end) => {
                let life = self.life;
                // What no record remembers, its operation does not outlive either.
                let mut all = self.published.iter_mut().rev();
                let published = all.find(|p| p.op == op && p.survived != Some(false));
                let published = published.expect("an operation that nobody began ends");
                published.ends.push((life, end));
            }
        }
    }

    fn connect(&mut self) {
        self.connection += 1;
        self.up = true;
        self.broker.handle_open(self.now, self.connection);
        let list = [
            Property::SessionExpiryInterval(1_000),
            Property::ReceiveMaximum(4),
            Property::MaximumPacketSize(1024),
        ];
        let connect = Connect {
            clean_start: !self.plan.assumed && !self.client.has_session(),
            properties: Properties::new(&list).unwrap(),
            ..Connect::new("pair")
        };
        self.subscribed &= !connect.clean_start;
        self.client.connect(self.now, &connect).unwrap();
    }

    /// The connection ends, and with it what was under way.
    fn hang_up(&mut self) {
        self.up = false;
        self.connected = false;
        self.client.handle_closed(self.now);
        self.broker.handle_closed(self.now, self.connection);
    }

    /// The process is killed: what it had not sent and what it had not handled is gone, and its connection.
    fn crash(&mut self, surviving: usize) {
        if self.up {
            self.up = false;
            self.connected = false;
            self.broker.handle_closed(self.now, self.connection);
        }
        if self.plan.lost && self.life == 0 {
            self.broker.forget(self.now, "pair");
            self.subscribed = false;
            self.sent.iter_mut().for_each(|sent| sent.lives = false);
        }
        self.client = C::with(config(self.plan.assumed));
        let unsynced = self.store.unsynced();
        self.unsynced.get_or_insert(unsynced);
        self.begin(surviving);
    }

    /// The store has failed, and works again: the same machine goes on with what is in it.
    fn revive(&mut self) {
        let all = self.store.unsynced();
        self.stopped = false;
        self.begin(all);
    }

    fn begin(&mut self, surviving: usize) {
        let records = self.store.crash(surviving);
        self.client.restore(self.now, records);
        self.life += 1;
        self.moves = 0;
        self.plan.cut = None;
        self.stopped = false;
        self.subscribing = None;
        self.tokens.clear();
        self.identifiers.clear();
        let records = parse(records);
        for published in self.published.iter_mut().filter(|p| p.survived.is_none()) {
            let op = published.op;
            let begun =
                |record: &Record<'_>| matches!(record, Record::Publish { op: o, .. } if *o == op);
            let over =
                |record: &Record<'_>| matches!(record, Record::Ended { op: o, .. } if *o == op);
            published.survived = Some(records.iter().any(begun));
            published.withdrawn &= records.iter().any(over);
        }
        for (id, numbers) in &mut self.acknowledged {
            let same = |record: &&Record<'_>| matches!(record, Record::Received { id: i } if i.value() == *id);
            numbers.truncate(records.iter().filter(same).count());
            for number in numbers {
                self.sent[*number].known.get_or_insert(self.life);
            }
        }
    }

    /// Nothing is left of anything, neither here nor there nor in the store.
    pub(crate) fn check_empty(&mut self) {
        assert!(self.connected);
        assert_eq!(self.client.open(), [0; 5]);
        let statistics = self.broker.statistics();
        assert_eq!(statistics.waiting, 0, "{statistics:?}");
        assert_eq!((statistics.connections, statistics.sessions), (2, 2));
        let mut next = C::with(config(false));
        next.restore(self.now, self.store.crash(0));
        let session = 1 + usize::from(self.plan.assumed);
        assert!(
            next.records() <= session,
            "more than the session is left in the store"
        );
    }
}
