//! What was promised.

use mqtt5_proto::QoS;

use super::process::{End, Process};
use super::world::{Published, Sent, World};

impl<C: Process> World<C> {
    pub(crate) fn check(&mut self) {
        for (number, published) in self.published.iter().enumerate() {
            let mut arrived = self.arrived.iter();
            let copies = arrived.by_ref().filter(|(n, _)| *n == number).count();
            self.check_published(number, published, copies);
        }
        for (number, sent) in self.sent.iter().enumerate() {
            check_sent(number, sent);
        }
        check_order(&self.arrived);
        check_order(&self.handed);
        self.check_empty();
    }

    fn check_published(&self, number: usize, published: &Published, copies: usize) {
        let what = || {
            let Published {
                qos,
                survived,
                withdrawn,
                ends,
                ..
            } = published;
            format!(
                "publish {number}, {qos:?}, survived {survived:?}, withdrawn {withdrawn}: {copies} copies, ends {ends:?}"
            )
        };
        let ends = &published.ends;
        for life in 0..=self.life() {
            let here = ends.iter().filter(|(l, _)| *l == life).count();
            assert!(here <= 1, "two ends: {}", what());
        }
        if published.qos == QoS::AtMostOnce {
            assert!(copies <= 1, "{}", what());
            return;
        }
        let never = published.withdrawn || published.failed || published.survived == Some(false);
        if never {
            let allowed = [End::NotStored, End::Lost];
            let ended = ends.iter().all(|(_, end)| allowed.contains(end));
            assert!(copies == 0 && ended, "{}", what());
            let told = ends.iter().any(|(_, end)| *end == End::NotStored);
            assert!(
                told || !published.failed || published.withdrawn || self.life() > 0,
                "{}",
                what()
            );
            return;
        }
        let old = published.survived.is_some();
        let forgotten = self.plan().lost && old;
        let delivered = ends.iter().any(|(_, end)| *end == End::Delivered);
        if published.qos == QoS::ExactlyOnce {
            assert!(copies <= 1, "{}", what());
            assert!(copies == 1 || forgotten, "{}", what());
        } else {
            assert!(copies >= 1, "{}", what());
        }
        assert!(delivered || forgotten, "{}", what());
        // The last process in which it was open said how it ended.
        assert!(!ends.is_empty(), "{}", what());
    }
}

fn check_sent(number: usize, sent: &Sent) {
    let Sent {
        qos,
        handed,
        known,
        lives,
    } = sent;
    let what =
        || format!("message {number}, {qos:?}, handed over in {handed:?}, known since {known:?}");
    let once = |life: &usize| handed.iter().filter(|l| *l == life).count() <= 1;
    match qos {
        QoS::AtMostOnce => assert!(handed.len() <= 1, "{}", what()),
        QoS::AtLeastOnce => assert!(!handed.is_empty() || !lives, "{}", what()),
        QoS::ExactlyOnce => {
            assert!(!handed.is_empty() || !lives, "{}", what());
            assert!(handed.iter().all(once), "{}", what());
            let again = handed
                .iter()
                .any(|life| known.is_some_and(|known| *life >= known));
            assert!(!again, "{}", what());
        }
    }
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
