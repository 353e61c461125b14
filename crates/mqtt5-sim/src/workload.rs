//! From a seed to a plan.

use core::time::Duration;

use mqtt5_broker::{Farewell, Mishap, On};
use mqtt5_client::{QoS, ReasonCode};
use mqtt5_proto::PacketType;

use crate::link::Direction;
use crate::options::{
    Acknowledging, BROKERS, CLOSED, Dropping, FORBIDDEN, SILENT, Testament, WorldOptions,
    choose_quality,
};
use crate::plan::{Act, BrokerFault, Dialing, Draft, How, Leaving, Plan, Question, Step, Wish};
use crate::random::Random;
use crate::scenes;

/// What is published to. One is [forbidden](crate::options::FORBIDDEN). The last two are for shared subscriptions alone, since a session gets one copy for each of those.
const TOPICS: [&str; 9] = [
    FORBIDDEN, "a", "a/x", "a/y", "a/z/x", "b/x", "b/y", "job/1", "job/2",
];
const FILTERS: [&str; 8] = [
    "a/x",
    "a/y",
    "a/+",
    "a/#",
    "+/x",
    "b/y",
    "b/#",
    "$share/g/job/+",
];
/// All of them need a topic that the last part of a run can publish to.
pub(crate) const PROBES: [(&str, &str); 8] = [
    ("a/x", "a/x"),
    ("a/y", "a/y"),
    ("a/+", "a/y"),
    ("a/#", "a"),
    ("+/x", "b/x"),
    ("b/y", "b/y"),
    ("b/#", "b/y"),
    ("$share/g/job/+", "job/1"),
];
const EVERY_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

impl Plan {
    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut options = WorldOptions::choose(&mut Random::fork(seed, 1));
        options.widen(&mut Random::fork(seed, 4));
        let mut random = Random::fork(seed, 2);
        let clients = options.clients.len();
        let end = options.chaos.as_millis() as usize;
        // Some seeds are peaceful: what breaks there needs no fault.
        let faults = random.pick(&[0, 10, 30, 50]);
        let count = random.between(10, 50);
        let mut steps: Vec<Step> = (0..clients)
            .map(|client| Step {
                at: Duration::from_millis(1),
                client,
                act: subscribe(&mut random),
            })
            .collect();
        for _ in 0..count {
            let act = if random.chance(faults) {
                fault(&mut random)
            } else {
                work(&mut random)
            };
            steps.push(Step {
                at: random.millis(0, end),
                client: random.below(clients),
                act,
            });
        }
        if random.chance(12) {
            steps.extend(scenes::reuse(&mut random, clients, end));
        }
        steps.extend(further(&options, &mut Random::fork(seed, 5)));
        steps.extend(scenes::overfill(&options, &mut Random::fork(seed, 6)));
        steps.extend(scenes::overtake(&options, &mut Random::fork(seed, 7)));
        steps.sort_by_key(|step| step.at);
        Self {
            seed,
            options,
            steps,
        }
    }
}

/// What was added later, so that the rest of a seed stays as it is.
fn further(options: &WorldOptions, random: &mut Random) -> Vec<Step> {
    let end = options.chaos.as_millis() as usize;
    let count = random.between(0, 10);
    let steps = (0..count).map(|_| Step {
        at: random.millis(0, end),
        client: random.below(options.clients.len()),
        act: match random.below(15) {
            0 => Act::Disconnect {
                back_after: random.millis(0, 20_000),
                with_will: true,
            },
            1 => Act::Will(None),
            2 | 3 => Act::Will(Some(Testament::choose(random, options.broker.maximum_qos))),
            4 | 5 => Act::Broker(redirect(random)),
            6 | 7 => Act::Broker(trouble(random)),
            8 => Act::Requester,
            9 => Act::Serve(random.between(1, 3)),
            10 | 11 => request(random),
            _ => retained(random),
        },
    });
    let mut steps: Vec<Step> = steps.collect();
    if random.chance(30) {
        steps.extend(service(options, random));
    }
    steps
}

/// One asks and one or two answer, all the time.
fn service(options: &WorldOptions, random: &mut Random) -> Vec<Step> {
    let end = options.chaos.as_millis() as usize;
    let mut step = |at, act| Step {
        at: Duration::from_millis(at as u64),
        client: random.below(options.clients.len()),
        act,
    };
    let asks = step(1, Act::Requester);
    let asker = asks.client;
    let mut steps = vec![asks, step(1, Act::Serve(1)), step(2, Act::Serve(3))];
    for _ in 0..random.between(2, 8) {
        steps.push(Step {
            at: random.millis(3_000, end),
            client: asker,
            act: request(random),
        });
    }
    steps
}

fn request(random: &mut Random) -> Act {
    let question = Question {
        qos: random.pick(&EVERY_QOS),
        timeout: random.millis(500, 15_000),
    };
    Act::Request(question, random.between(1, 5))
}

/// Retained messages, of which the newer take the place of the older while there is no connection.
fn retained(random: &mut Random) -> Act {
    Act::Publish(Draft {
        topic: random.pick(&["a/x", "b/y"]),
        qos: random.pick(&EVERY_QOS),
        retain: true,
        size: 10,
        expiry: None,
        timeout: None,
        how: How::Start,
        count: 4,
    })
}

/// The broker sends a client elsewhere, now or when it connects next.
fn redirect(random: &mut Random) -> BrokerFault {
    let (one, other) = (BROKERS[0], BROKERS[1]);
    // One that has moved for good must be found again.
    let (reason, reference) = random.pick(&[
        (ReasonCode::USE_ANOTHER_SERVER, CLOSED.to_owned()),
        (ReasonCode::USE_ANOTHER_SERVER, SILENT.to_owned()),
        (ReasonCode::USE_ANOTHER_SERVER, other.to_owned()),
        (ReasonCode::SERVER_MOVED, other.to_owned()),
        (ReasonCode::SERVER_MOVED, format!("{CLOSED} {one}")),
    ]);
    let farewell = Farewell::from(reason).server_reference(reference);
    if random.chance(40) {
        return BrokerFault::Redirect(farewell);
    }
    BrokerFault::Rule {
        on: random.pick(&[
            On::Received(PacketType::Connect),
            On::Received(PacketType::Connect),
            On::Sent(PacketType::Puback),
            On::Sent(PacketType::Pingresp),
        ]),
        mishap: Mishap::Refuse(farewell),
        times: random.between(1, 5) as u32,
    }
}

/// The broker loses or repeats an answer.
fn trouble(random: &mut Random) -> BrokerFault {
    use PacketType::{Pingresp, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback, Unsuback};
    let answer = random.pick(&[Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Pingresp]);
    let (kind, mishap) = match random.chance(50) {
        true => (answer, Mishap::Drop),
        false => {
            let again = Mishap::Repeat(random.millis(0, 3_000));
            (random.weigh(&[(2, answer), (1, Publish)]), again)
        }
    };
    BrokerFault::Rule {
        on: On::Sent(kind),
        mishap,
        times: random.between(1, 3) as u32,
    }
}

type Choice = fn(&mut Random) -> Act;

fn work(random: &mut Random) -> Act {
    random.weigh::<Choice>(&[
        (70, publish),
        (16, subscribe),
        (3, |random| Act::Unsubscribe(random.pick(&FILTERS))),
        (4, |random| {
            Act::Leave(random.pick(&[Leaving::Drop, Leaving::Unsubscribe]))
        }),
        (2, |random| Act::Disconnect {
            back_after: random.millis(0, 20_000),
            with_will: false,
        }),
        (1, |random| Act::Abandon {
            back_after: random.millis(0, 20_000),
        }),
    ])(random)
}

fn fault(random: &mut Random) -> Act {
    random.weigh::<Choice>(&[
        (4, |random| Act::Crash {
            back_after: random.millis(0, 30_000),
        }),
        (16, |random| Act::Cut {
            direction: direction(random),
            after: random.pick(&[0, 1, 2, 5, 20, 100, 500]),
        }),
        (4, |random| Act::Stick {
            direction: direction(random),
            time: Some(random.millis(10, 40_000)),
        }),
        (3, |random| Act::Stick {
            direction: direction(random),
            time: None,
        }),
        (5, |random| Act::Dials(dialing(random))),
        (2, |random| Act::Quality(choose_quality(random))),
        (6, |random| Act::Broker(broker_fault(random))),
    ])(random)
}

fn direction(random: &mut Random) -> Direction {
    random.pick(&[Direction::Up, Direction::Down])
}

fn dialing(random: &mut Random) -> Dialing {
    let soon = Dialing::Dropped(random.millis(0, 2_000));
    random.weigh(&[
        (4, Dialing::Open),
        (2, Dialing::Refused),
        (1, Dialing::Silent),
        (2, soon),
    ])
}

fn broker_fault(random: &mut Random) -> BrokerFault {
    let reason = random.pick(&[
        ReasonCode::SERVER_BUSY,
        ReasonCode::SERVER_SHUTTING_DOWN,
        ReasonCode::ADMINISTRATIVE_ACTION,
        ReasonCode::KEEP_ALIVE_TIMEOUT,
        ReasonCode::NOT_AUTHORIZED,
    ]);
    match random.below(12) {
        0 | 1 => BrokerFault::Disconnect(reason),
        2 => BrokerFault::Cut,
        3 | 4 => BrokerFault::Forget,
        5 => BrokerFault::ForgetUnseen,
        _ => rule(random),
    }
}

/// What the broker does when it next receives or sends a certain packet.
fn rule(random: &mut Random) -> BrokerFault {
    use PacketType::{
        Connack, Connect, Pingresp, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback, Subscribe,
        Unsuback,
    };
    let late = Mishap::Delay(random.millis(10, 8_000));
    let busy = random.pick(&[
        ReasonCode::SERVER_BUSY,
        ReasonCode::SERVER_UNAVAILABLE,
        ReasonCode::QUOTA_EXCEEDED,
    ]);
    let busy = Mishap::Refuse(busy.into());
    let answer = random.pick(&[Puback, Pubrec, Pubcomp, Suback, Unsuback, Pubrel]);
    let rules = [
        (
            8,
            (
                On::Sent(
                    random.pick(&[Puback, Pubrec, Pubcomp, Suback, Unsuback, Pingresp, Connack]),
                ),
                late,
            ),
        ),
        (3, (On::Sent(answer), Mishap::Cut)),
        (3, (On::Sent(answer), Mishap::CutAfter)),
        (
            2,
            (
                On::Received(random.pick(&[Publish, Subscribe, Pubrec])),
                Mishap::CutAfter,
            ),
        ),
        (2, (On::Received(Subscribe), Mishap::Cut)),
        (2, (On::Received(Connect), Mishap::LoseSession)),
        (4, (On::Received(Connect), busy)),
    ];
    let (on, mishap) = random.weigh(&rules);
    BrokerFault::Rule {
        on,
        mishap,
        times: random.between(1, 3) as u32,
    }
}

fn publish(random: &mut Random) -> Act {
    let after = random.millis(0, 3_000);
    let expiry = random
        .chance(8)
        .then(|| Duration::from_secs(random.between(1, 20) as u64));
    let timeout = random.chance(10).then(|| random.millis(1, 10_000));
    Act::Publish(Draft {
        topic: random.pick(&TOPICS),
        qos: random.weigh(&[(2, EVERY_QOS[0]), (4, EVERY_QOS[1]), (4, EVERY_QOS[2])]),
        retain: random.chance(5),
        size: random.weigh(&[(8, 10), (3, 300), (1, 5_000)]),
        expiry,
        timeout,
        how: random.weigh(&[
            (6, How::Start),
            (3, How::Await),
            (1, How::TryPublish),
            (1, How::Detach),
            (1, How::Cancel(after)),
            (2, How::Withdraw(after)),
        ]),
        count: random.weigh(&[(5, 1), (3, 4), (2, 15)]),
    })
}

fn subscribe(random: &mut Random) -> Act {
    let count = random.weigh(&[(6, 1), (3, 2), (1, 3)]);
    let by_hand = Acknowledging::Manual {
        batch: random.between(1, 5),
        backwards: random.chance(50),
        rejects: random.chance(20),
        on_drop: random.weigh(&[
            (5, Dropping::Never),
            (1, Dropping::Rejects),
            (1, Dropping::Holds),
        ]),
    };
    let mut filters: Vec<_> = (0..count)
        .map(|_| {
            (
                random.pick(&FILTERS),
                random.weigh(&[(1, EVERY_QOS[0]), (3, EVERY_QOS[1]), (4, EVERY_QOS[2])]),
            )
        })
        .collect();
    if random.chance(10) {
        filters.insert(random.below(count + 1), (FORBIDDEN, QoS::AtLeastOnce));
    }
    Act::Subscribe(Wish {
        filters,
        allow_partial: random.chance(70),
        acknowledging: random.weigh(&[
            (5, Acknowledging::OnTake),
            (1, Acknowledging::OnArrival),
            (5, by_hand),
        ]),
        pace: random.weigh(&[
            (6, Duration::ZERO),
            (2, Duration::from_millis(200)),
            (1, Duration::from_secs(4)),
        ]),
        timeout: random.chance(15).then(|| random.millis(1, 8_000)),
    })
}
