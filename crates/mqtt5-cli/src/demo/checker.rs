//! What arrived, compared with what was sent. It knows no connection and no clock.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use mqtt5_client::QoS;

use super::stamp::Stamp;

/// What one run sends.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) run: u64,
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) messages: u64,
    pub(crate) size: usize,
}

/// Checks the messages of a run as they arrive: number, content and order.
#[derive(Debug)]
pub(crate) struct Checker {
    plan: Plan,
    /// One bit for each sequence number.
    seen: Vec<u64>,
    /// One more than the highest number that has arrived.
    next: u64,
    counts: Counts,
    latency: Histogram<u64>,
    first_sent_at: Option<u64>,
    last_received_at: u64,
}

/// How many messages had which fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// That the client accepted for sending.
    pub(crate) sent: u64,
    /// That arrived, each counted once.
    pub(crate) delivered: u64,
    /// That were sent and did not arrive.
    pub(crate) lost: u64,
    /// Arrivals beyond the first.
    pub(crate) duplicated: u64,
    /// That arrived first after a message which had been sent later.
    pub(crate) reordered: u64,
    /// Arrivals that are not what was sent: content, topic or QoS.
    pub(crate) corrupt: u64,
    /// QoS 1 and 2: that the server did not acknowledge with success.
    pub(crate) unacknowledged: u64,
}

impl Checker {
    pub(crate) fn new(plan: Plan) -> Self {
        let words = usize::try_from(plan.messages.div_ceil(64)).unwrap_or(usize::MAX);
        let latency = Histogram::new_with_bounds(1, LONGEST_LATENCY, SIGNIFICANT_DIGITS);
        Self {
            plan,
            seen: vec![0; words],
            next: 0,
            counts: Counts::default(),
            latency: latency.expect("the bounds are constant and valid"),
            first_sent_at: None,
            last_received_at: 0,
        }
    }

    /// Takes a message that arrived at `now`.
    pub(crate) fn handle_message(&mut self, topic: &str, qos: QoS, payload: &[u8], now: u64) {
        let as_planned =
            topic == self.plan.topic && qos == self.plan.qos && payload.len() == self.plan.size;
        let stamp = Stamp::read(payload).filter(|stamp| {
            as_planned && stamp.run == self.plan.run && stamp.sequence < self.plan.messages
        });
        match stamp {
            Some(stamp) => self.handle_intact(stamp, now),
            None => self.counts.corrupt += 1,
        }
    }

    fn handle_intact(&mut self, stamp: Stamp, now: u64) {
        let bit = 1 << (stamp.sequence % 64);
        let word = &mut self.seen[(stamp.sequence / 64) as usize];
        if *word & bit != 0 {
            self.counts.duplicated += 1;
            return;
        }
        *word |= bit;
        self.counts.delivered += 1;
        if stamp.sequence < self.next {
            self.counts.reordered += 1;
        }
        self.next = self.next.max(stamp.sequence + 1);
        self.latency
            .saturating_record(now.saturating_sub(stamp.sent_at).max(1));
        let first = self.first_sent_at.get_or_insert(stamp.sent_at);
        *first = (*first).min(stamp.sent_at);
        self.last_received_at = now;
    }

    /// How many messages have arrived, each counted once.
    pub(crate) const fn delivered(&self) -> u64 {
        self.counts.delivered
    }

    /// Whether every message of the plan has arrived.
    pub(crate) const fn is_complete(&self) -> bool {
        self.counts.delivered == self.plan.messages
    }

    /// Ends the run: so many messages were sent, and so many of them not acknowledged.
    pub(crate) fn finish(self, sent: u64, unacknowledged: u64) -> Verdict {
        let lost = sent.saturating_sub(self.counts.delivered);
        let elapsed = self
            .last_received_at
            .saturating_sub(self.first_sent_at.unwrap_or(0));
        Verdict {
            qos: self.plan.qos,
            planned: self.plan.messages,
            counts: Counts {
                sent,
                lost,
                unacknowledged,
                ..self.counts
            },
            elapsed: Duration::from_nanos(elapsed),
            latency: self.latency,
        }
    }
}

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) qos: QoS,
    pub(crate) planned: u64,
    pub(crate) counts: Counts,
    /// From the first publish to the last arrival.
    pub(crate) elapsed: Duration,
    /// Nanoseconds from publish to arrival.
    pub(crate) latency: Histogram<u64>,
}

impl Verdict {
    /// The guarantees that were broken.
    pub(crate) fn broken(&self) -> Vec<Broken> {
        GUARANTEES
            .iter()
            .filter(|guarantee| guarantee.holds_for.contains(&self.qos))
            .map(|guarantee| Broken {
                count: (guarantee.violations)(self),
                what: guarantee.violation,
            })
            .filter(|broken| broken.count > 0)
            .collect()
    }

    pub(crate) fn messages_per_second(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        self.counts.delivered as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this part of the messages did not exceed.
    pub(crate) fn latency_at(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(quantile))
    }
}

/// A guarantee that did not hold, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) count: u64,
    pub(crate) what: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.what)
    }
}

struct Guarantee {
    holds_for: &'static [QoS],
    violation: &'static str,
    violations: fn(&Verdict) -> u64,
}

/// What MQTT promises on one connection: sections 4.3 (delivery) and 4.6 (order).
const GUARANTEES: [Guarantee; 6] = [
    Guarantee {
        holds_for: &[QoS::AtLeastOnce, QoS::ExactlyOnce],
        violation: "lost",
        violations: |verdict| verdict.counts.lost,
    },
    Guarantee {
        holds_for: &[QoS::AtMostOnce, QoS::ExactlyOnce],
        violation: "duplicated",
        violations: |verdict| verdict.counts.duplicated,
    },
    Guarantee {
        holds_for: EVERY_QOS,
        violation: "out of order",
        violations: |verdict| verdict.counts.reordered,
    },
    Guarantee {
        holds_for: EVERY_QOS,
        violation: "not as they were sent",
        violations: |verdict| verdict.counts.corrupt,
    },
    Guarantee {
        holds_for: &[QoS::AtLeastOnce, QoS::ExactlyOnce],
        violation: "not acknowledged",
        violations: |verdict| verdict.counts.unacknowledged,
    },
    Guarantee {
        holds_for: EVERY_QOS,
        violation: "not sent",
        violations: |verdict| verdict.planned - verdict.counts.sent,
    },
];

const EVERY_QOS: &[QoS] = &[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
/// Ten minutes.
const LONGEST_LATENCY: u64 = 600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 40;

    /// A run whose messages arrive as `arrivals` says, by sequence number.
    struct Run {
        checker: Checker,
        sent: u64,
    }

    impl Run {
        fn new(qos: QoS, messages: u64, arrivals: impl IntoIterator<Item = u64>) -> Self {
            let plan = Plan {
                run: 9,
                topic: "demo".into(),
                qos,
                messages,
                size: SIZE,
            };
            let mut run = Self {
                checker: Checker::new(plan),
                sent: messages,
            };
            arrivals
                .into_iter()
                .for_each(|sequence| run.arrive("demo", qos, &payload(sequence)));
            run
        }

        fn arrive(&mut self, topic: &str, qos: QoS, payload: &[u8]) {
            self.checker.handle_message(topic, qos, payload, 3_000);
        }

        fn broken(self) -> Vec<String> {
            let verdict = self.checker.finish(self.sent, 0);
            verdict.broken().iter().map(Broken::to_string).collect()
        }
    }

    fn payload(sequence: u64) -> Vec<u8> {
        let mut payload = vec![0; SIZE];
        let stamp = Stamp {
            run: 9,
            sequence,
            sent_at: 1_000 + sequence,
        };
        stamp.write(&mut payload);
        payload
    }

    #[test]
    fn nothing_is_broken_when_everything_arrives_in_order() {
        for &qos in EVERY_QOS {
            let run = Run::new(qos, 200, 0..200);
            assert!(run.checker.is_complete());
            let verdict = run.checker.finish(200, 0);
            assert!(verdict.broken().is_empty());
            let expected = Counts {
                sent: 200,
                delivered: 200,
                ..Counts::default()
            };
            assert_eq!(verdict.counts, expected);
            assert_eq!(verdict.elapsed, Duration::from_nanos(2_000));
            assert_eq!(verdict.messages_per_second(), 1e8);
            assert_eq!(verdict.latency_at(1.0), Duration::from_nanos(2_000));
        }
    }

    #[test]
    fn a_loss_breaks_qos_1_and_2() {
        for (qos, expected) in [
            (QoS::AtMostOnce, &[][..]),
            (QoS::AtLeastOnce, &["2 lost"]),
            (QoS::ExactlyOnce, &["2 lost"]),
        ] {
            let run = Run::new(qos, 10, [0, 1, 2, 4, 5, 6, 7, 8]);
            assert!(!run.checker.is_complete());
            assert_eq!(run.broken(), expected, "{qos:?}");
        }
    }

    #[test]
    fn a_duplicate_breaks_qos_0_and_2() {
        for (qos, expected) in [
            (QoS::AtMostOnce, &["2 duplicated"][..]),
            (QoS::AtLeastOnce, &[]),
            (QoS::ExactlyOnce, &["2 duplicated"]),
        ] {
            // Sent again from 1 on, as after a lost connection: each arrives first in order.
            let run = Run::new(qos, 4, [0, 1, 2, 1, 2, 3]);
            assert_eq!(run.broken(), expected, "{qos:?}");
        }
    }

    #[test]
    fn a_wrong_order_breaks_every_qos() {
        for &qos in EVERY_QOS {
            assert_eq!(
                Run::new(qos, 4, [0, 2, 1, 3]).broken(),
                ["1 out of order"],
                "{qos:?}"
            );
            assert_eq!(
                Run::new(qos, 4, [3, 0, 1, 2]).broken(),
                ["3 out of order"],
                "{qos:?}"
            );
        }
    }

    #[test]
    fn other_content_breaks_every_qos_and_is_no_delivery() {
        let mut flipped = payload(1);
        flipped[SIZE - 1] ^= 0x80;
        let mut longer = payload(1);
        longer.push(0);
        let of_another_run = {
            let mut payload = vec![0; SIZE];
            let stamp = Stamp {
                run: 8,
                sequence: 1,
                sent_at: 0,
            };
            stamp.write(&mut payload);
            payload
        };
        for &qos in EVERY_QOS {
            for wrong in [&flipped, &longer, &of_another_run, &payload(2), &Vec::new()] {
                let mut run = Run::new(qos, 2, [0]);
                run.arrive("demo", qos, wrong);
                assert_eq!(run.checker.delivered(), 1);
                let broken = run.broken();
                let last = broken.last().map(String::as_str);
                assert_eq!(last, Some("1 not as they were sent"), "{qos:?}");
            }
        }
    }

    #[test]
    fn another_topic_or_qos_is_not_what_was_sent() {
        let mut run = Run::new(QoS::ExactlyOnce, 3, [0]);
        run.arrive("other", QoS::ExactlyOnce, &payload(1));
        run.arrive("demo", QoS::AtLeastOnce, &payload(2));
        assert_eq!(run.broken(), ["2 lost", "2 not as they were sent"]);
    }

    #[test]
    fn what_was_not_sent_is_not_lost() {
        let mut run = Run::new(QoS::AtLeastOnce, 4, [0, 1]);
        run.sent = 3;
        assert_eq!(run.broken(), ["1 lost", "1 not sent"]);
    }

    #[test]
    fn missing_acknowledgements_break_qos_1_and_2() {
        let verdict = Run::new(QoS::AtLeastOnce, 2, [0, 1]).checker.finish(2, 1);
        assert_eq!(verdict.broken()[0].to_string(), "1 not acknowledged");
    }
}
