//! Random publishes, acknowledgements, losses and resumptions, with a broker that sends everything back: what must hold of sessions in
//! both directions.

use super::executor::Task;
use super::many::{Seen, Witness};
use super::subscribe::subscribe;
use super::{Link, Peer, reconnecting};
use crate::{AckMode, Async, Client, Delivery, Message, OnDrop, Options, QoS, State, Subscription};
use core::num::NonZeroU16;
use mqtt5_broker::{Broker, Config};
use proptest::prelude::*;

/// Receive Maximum of the broker, and ours.
const WINDOWS: (u16, u16) = (3, 4);

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(QoS),
    /// So many steps of driver and broker.
    Run(u8),
    /// The application takes a message and keeps it.
    Take,
    /// It answers one of those.
    Answer(usize),
    Cut,
    Reconnect,
    /// The broker forgets the session.
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let qos = prop_oneof![Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    let step = prop_oneof![
        8 => qos.prop_map(Step::Publish),
        8 => (1..6_u8).prop_map(Step::Run),
        6 => Just(Step::Take),
        5 => (0..8_usize).prop_map(Step::Answer),
        1 => Just(Step::Cut),
        3 => Just(Step::Reconnect),
    ];
    prop::collection::vec(step, 0..120)
}

struct Model {
    client: Client,
    link: Link,
    subscription: Subscription,
    publishes: Vec<(QoS, Task<Delivery>)>,
    /// What the broker has taken on.
    seen: Seen,
    /// Taken and not answered.
    held: Vec<Message>,
    /// What was handed over, in order.
    received: Vec<(QoS, usize)>,
    /// How often the session was lost, in which case what was held of it may be held on.
    losses: usize,
}

impl Model {
    fn new() -> Self {
        let on_drop = OnDrop::Hold;
        let options: Options = reconnecting()
            .ack_mode(AckMode::Manual { on_drop })
            .receive_maximum(NonZeroU16::new(WINDOWS.1).expect("not zero"))
            .inbound_margin(0);
        let mut config = Config::default();
        let seen = Seen::default();
        config.receive_maximum = WINDOWS.0;
        config.access = Box::new(Witness(seen.clone()));
        let peer = Peer::Broker(Box::new(Broker::new(config)));
        let (client, mut link) = Link::new::<Async>(options, peer);
        link.run();
        let subscription = client.subscribe("m/+").qos(QoS::ExactlyOnce);
        let subscription = subscribe(&mut link, subscription);
        Self {
            client,
            link,
            subscription,
            publishes: Vec::new(),
            seen,
            held: Vec::new(),
            received: Vec::new(),
            losses: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish(qos) => {
                let number = self.publishes.len().to_string();
                let publish = self.client.publish(format!("m/{number}"), number).qos(qos);
                if let Ok(delivery) = publish.try_publish() {
                    self.publishes.push((qos, Task::new(delivery)));
                }
            }
            Step::Run(steps) => {
                let _ = (0..steps).all(|_| self.link.step());
            }
            Step::Take => {
                let _ = self.take();
            }
            Step::Answer(at) if at < self.held.len() => self.held.remove(at).ack(),
            Step::Answer(_) => {}
            Step::Cut => self.link.cut(),
            Step::Reconnect if self.link.attempt.is_none() => self.link.reconnect(),
            Step::Reconnect => {}
            Step::Forget => {
                let now = self.link.now();
                self.losses += usize::from(self.link.broker().forget(now, "me"));
                self.link.cut();
            }
        }
        let statistics = self.client.statistics();
        assert!(statistics.unacknowledged_publishes <= usize::from(WINDOWS.0));
        assert!(statistics.held_messages <= usize::from(WINDOWS.1) * (1 + self.losses));
        assert_eq!(statistics.protocol_errors, 0);
        // The broker has everything that the application has not answered.
        let waiting = self.link.broker().statistics().waiting;
        assert!(self.losses > 0 || waiting >= self.held.len());
    }

    fn take(&mut self) -> bool {
        let Ok(Some(message)) = self.subscription.try_recv() else {
            return false;
        };
        let number = String::from_utf8_lossy(message.payload()).parse();
        let number = number.expect("a number");
        self.received.push((message.qos(), number));
        self.held.push(message);
        true
    }

    /// The faults are over: all is taken and answered until nothing comes any more.
    fn heal(&mut self) {
        if self.link.attempt.is_none() {
            self.link.reconnect();
        }
        for _ in 0..200 {
            self.link.run();
            while self.take() {}
            self.held.drain(..).for_each(Message::ack);
        }
        assert_eq!(self.client.state(), State::Online);
    }

    /// The numbers of what was handed over at this QoS, the first time.
    fn first_times(&self, qos: QoS) -> Vec<usize> {
        let mut numbers = Vec::new();
        for (_, number) in self.received.iter().filter(|(of, _)| *of == qos) {
            if !numbers.contains(number) {
                numbers.push(*number);
            }
        }
        numbers
    }
}

fn check(steps: &[Step]) {
    let mut model = Model::new();
    steps.iter().for_each(|step| model.step(*step));
    model.heal();
    let is_kept = model.losses == 0;
    let statistics = model.client.statistics();
    assert_eq!(statistics.unacknowledged_publishes, 0);
    assert_eq!(
        (statistics.held_messages, statistics.waiting_publishes),
        (0, 0)
    );
    for (number, (qos, publish)) in model.publishes.iter_mut().enumerate() {
        let outcome = publish.done();
        assert!(
            outcome.is_ok() || (!is_kept && *qos == QoS::ExactlyOnce),
            "{number}"
        );
    }
    let seen = model.seen.lock().expect("not poisoned");
    for (number, (qos, _)) in model.publishes.iter().enumerate() {
        let times = seen.get(&format!("m/{number}")).copied().unwrap_or(0);
        assert!(*qos == QoS::AtLeastOnce || times <= 1, "{number} twice");
    }
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let first = model.first_times(qos);
        assert!(first.is_sorted(), "{qos:?}: {first:?}");
        if is_kept {
            let published = model.publishes.iter().enumerate();
            let published = published.filter(|(_, (of, _))| *of == qos);
            let published: Vec<_> = published.map(|(number, _)| number).collect();
            assert_eq!(first, published, "{qos:?}");
        }
        let times = model.received.iter().filter(|(of, _)| *of == qos).count();
        assert!(qos == QoS::AtLeastOnce || times == first.len(), "twice");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// T44: as long as the session is kept everything arrives, in order, at QoS 2 once, within both windows, and all ends.
    #[test]
    fn a_kept_session_delivers_everything_in_order(steps in steps()) {
        check(&steps);
    }

    /// T44: a session that is lost costs messages at most; none comes twice at QoS 2, none overtakes, and all ends.
    #[test]
    fn a_lost_session_delivers_nothing_twice(mut steps in steps(), at in any::<prop::sample::Index>(), times in 1..3_usize) {
        for _ in 0..times {
            steps.insert(at.index(steps.len() + 1), Step::Forget);
        }
        check(&steps);
    }
}
