//! Subscriptions against a model: a set of filters for each handle that lives.

use super::executor::Task;
use super::feeder::Feeder;
use super::subscribe::topics;
use super::{Link, online, reconnecting};
use crate::{Client, Filter, QoS, RetainHandling, Subscribing, Subscription};
use core::task::Poll;
use core::time::Duration;
use mqtt5_broker::{Fault, Mishap, On};
use mqtt5_proto::PacketType;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Two of them overlap.
const FILTERS: [&str; 5] = ["a", "b", "c/#", "w/+", "w/1"];
const TOPICS: [&str; 6] = ["a", "b", "c", "c/d", "w/1", "w/2"];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Of a set of filters, as bits; whoever waits for the answer goes away at once, soon or not at all.
    Subscribe {
        filters: u8,
        qos: u8,
        retained: bool,
        patience: u8,
    },
    /// A handle, or the future that waits for it, is dropped.
    Drop(usize),
    /// A handle unsubscribes, and whoever waits for that may go away.
    End(usize, bool),
    /// Everybody's filter is given up.
    Unsubscribe(usize, bool),
    Run,
    /// The connection is lost, perhaps with the session.
    Cut(bool),
    Reconnect,
    /// The connection is lost in place of the next SUBACK or UNSUBACK.
    CutAtAnswer(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let subscribe = (1..32_u8, 0..3_u8, any::<bool>(), 0..6_u8);
    let step = prop_oneof![
        4 => subscribe.prop_map(|(filters, qos, retained, patience)| Step::Subscribe {
            filters, qos, retained, patience
        }),
        2 => (0..6_usize).prop_map(Step::Drop),
        1 => ((0..6_usize), any::<bool>()).prop_map(|(at, waits)| Step::End(at, waits)),
        1 => ((0..5_usize), any::<bool>()).prop_map(|(at, waits)| Step::Unsubscribe(at, waits)),
        3 => Just(Step::Run),
        1 => any::<bool>().prop_map(Step::Cut),
        2 => Just(Step::Reconnect),
        1 => any::<bool>().prop_map(Step::CutAtAnswer),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Somebody who wants filters, and has them or waits for them.
struct Holder {
    wants: BTreeSet<&'static str>,
    waiting: Option<Task<Subscribing>>,
    has: Option<Subscription>,
}

impl Holder {
    fn look(&mut self) {
        let Some(task) = &mut self.waiting else {
            return;
        };
        if let Poll::Ready(result) = task.poll() {
            self.has = Some(result.expect("every filter is granted"));
            self.waiting = None;
        }
    }
}

struct Model<'a> {
    client: &'a Client,
    link: Link,
    holders: Vec<Holder>,
    /// Those who go away at the next opportunity.
    impatient: Vec<Task<Subscribing>>,
}

impl<'a> Model<'a> {
    fn take(&mut self, step: Step) {
        match step {
            Step::Subscribe {
                filters,
                qos,
                retained,
                patience,
            } => self.subscribe(filters, qos, retained, patience),
            Step::Drop(at) if at < self.holders.len() => drop(self.holders.remove(at)),
            Step::End(at, waits) if at < self.holders.len() => self.end(at, waits),
            Step::Drop(_) | Step::End(..) => {}
            Step::Unsubscribe(at, waits) => {
                let mut task = Task::new(self.client.unsubscribe(FILTERS[at]));
                let _ = task.poll();
                if waits {
                    self.link.run();
                }
                for holder in &mut self.holders {
                    holder.wants.remove(FILTERS[at]);
                }
            }
            Step::Run => {
                self.link.run();
                self.impatient.clear();
            }
            Step::Cut(is_lost) => {
                let now = self.link.now();
                if is_lost {
                    self.link.broker().forget(now, "me");
                }
                self.link.cut();
            }
            Step::Reconnect => {
                // It may be lost again before it is seen.
                for _ in 0..600 {
                    if self.link.attempt.is_some() {
                        break;
                    }
                    self.link.pass(Duration::from_millis(100));
                }
            }
            Step::CutAtAnswer(subscribing) => {
                let at = match subscribing {
                    true => PacketType::Suback,
                    false => PacketType::Unsuback,
                };
                let fault = Fault::new(On::Sent(at), Mishap::Cut);
                self.link.broker().inject(fault);
            }
        }
        self.holders.iter_mut().for_each(Holder::look);
    }

    fn subscribe(&mut self, filters: u8, qos: u8, retained: bool, patience: u8) {
        let wants: BTreeSet<_> = FILTERS
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| filters >> bit & 1 == 1)
            .map(|(_, filter)| filter)
            .collect();
        let handling = match retained {
            true => RetainHandling::SendAtSubscribe,
            false => RetainHandling::DoNotSend,
        };
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)];
        let filters = wants
            .iter()
            .map(|name| Filter::new(*name).qos(qos).retain_handling(handling));
        let mut task = Task::new(self.client.subscribe_all(filters));
        let has = match task.poll() {
            Poll::Ready(result) => Some(result.expect("granted already")),
            Poll::Pending => None,
        };
        match patience {
            0 => {}
            1 if has.is_none() => self.impatient.push(task),
            _ => self.holders.push(Holder {
                wants,
                waiting: has.is_none().then_some(task),
                has,
            }),
        }
    }

    fn end(&mut self, at: usize, waits: bool) {
        let Some(subscription) = self.holders.remove(at).has else {
            return;
        };
        let mut task = Task::new(subscription.unsubscribe());
        let _ = task.poll();
        if waits {
            self.link.run();
        }
    }

    /// No more faults, and time.
    fn heal(&mut self) {
        self.impatient.clear();
        self.link.broker().clear_faults();
        for _ in 0..70 {
            self.link.pass(Duration::from_secs(1));
        }
        self.holders.iter_mut().for_each(Holder::look);
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    match filter {
        "c/#" => topic.starts_with('c'),
        "w/+" => topic.starts_with("w/"),
        filter => filter == topic,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// T45, T29, T153: whatever is asked for, given up, abandoned and lost, in the end the server has the filters that somebody wants and
    /// no other, and everybody gets what matches, once.
    #[test]
    fn the_server_has_what_is_wanted_in_the_end(steps in steps()) {
        let (client, link) = online(reconnecting());
        let mut model = Model { client: &client, link, holders: Vec::new(), impatient: Vec::new() };
        for step in steps {
            model.take(step);
        }
        model.heal();
        let Model { mut link, mut holders, .. } = model;
        prop_assert!(client.is_connected());
        let wanted: BTreeSet<_> = holders.iter().flat_map(|holder| &holder.wants).collect();
        prop_assert_eq!(client.statistics().filters, wanted.len());
        prop_assert_eq!(client.statistics().subscriptions, holders.len());
        prop_assert_eq!(link.broker().statistics().subscriptions, wanted.len());
        let mut feeder = Feeder::new(&mut link);
        for topic in TOPICS {
            feeder.publish(&mut link, topic, QoS::AtMostOnce, b"x");
        }
        link.run();
        for Holder { wants, has, .. } in &mut holders {
            let has = has.as_mut().expect("it was answered");
            let is_wanted = |topic: &&str| wants.iter().any(|filter| matches(filter, topic));
            let expected: Vec<_> = TOPICS.into_iter().filter(is_wanted).collect();
            prop_assert_eq!(topics(has), expected, "{:?}", wants);
        }
    }
}
