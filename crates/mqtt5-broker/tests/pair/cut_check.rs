//! What must hold at the end.

use mqtt5_proto::QoS;

use super::{Embedded, Loss, PAUSE, Published, Told, Way, World};

impl<C: Embedded> World<'_, C> {
    /// Everything that was promised holds.
    pub(crate) fn check(&self) {
        for number in 0..self.published[Way::ToBroker as usize].len() {
            self.check_published(number);
        }
        for number in 0..self.published[Way::ToClient as usize].len() {
            self.check_sent(number);
        }
        for op in &self.requests {
            assert!(self.ended.contains_key(op), "{op:?} has not ended");
        }
        for (op, ends) in &self.ended {
            assert_eq!(ends.len(), 1, "{op:?} ended so: {ends:?}");
        }
        for way in [Way::ToBroker, Way::ToClient] {
            check_order(&self.arrived[way as usize]);
        }
        assert_eq!(self.wills, self.due_wills());
        self.check_nothing_left();
    }

    fn due_wills(&self) -> usize {
        if self.script.setting.has_will {
            self.wire.wills
        } else {
            0
        }
    }

    /// Whether this message was published in a session that is not lost.
    fn lives(&self, way: Way, number: usize) -> bool {
        let kept = self.manner.loss == Loss::Kept || self.ends == 0;
        let before = self.before.filter(|_| !self.deceived);
        kept || before.is_some_and(|before| number >= before[way as usize])
    }

    fn copies(&self, way: Way, number: usize) -> usize {
        let arrived = &self.arrived[way as usize];
        arrived.iter().filter(|(n, _)| *n == number).count()
    }

    /// Whether this message may have expired before it was sent.
    fn may_expire(&self, published: &Published) -> bool {
        let age = self.now.saturating_duration_since(published.at);
        let expiry = self.script.setting.expiry;
        expiry.is_some_and(|expiry| u64::from(expiry) <= age.as_secs()) && age >= PAUSE
    }

    fn check_published(&self, number: usize) {
        let published = &self.published[Way::ToBroker as usize][number];
        let qos = published.qos;
        let lives = self.lives(Way::ToBroker, number);
        let copies = self.copies(Way::ToBroker, number);
        let op = published.op.unwrap();
        let ends = self.ended.get(&op).map_or(&[][..], Vec::as_slice);
        if qos == QoS::AtMostOnce {
            assert!(copies <= 1, "{copies} copies of {number}");
            let encoded = matches!(ends, [] | [Told::Accepted(_)]);
            assert!(encoded || copies == 0, "{number} ended so: {ends:?}");
            assert!(!self.client.is_pending(op), "{number} has not ended");
            return;
        }
        let [end] = ends else {
            panic!("publish {number} at {qos:?} ended so: {ends:?}");
        };
        let again = match qos {
            QoS::ExactlyOnce => self.manner.policy.republish_qos2,
            _ => self.manner.policy.republish_qos1,
        };
        let is_allowed = match end {
            Told::Delivered(..) => copies > 0,
            Told::Expired(_) => self.may_expire(published) && (copies == 0 || !lives),
            // One that was to be published again may have expired before that.
            _ => !lives && (!again || qos == QoS::ExactlyOnce || self.may_expire(published)),
        };
        assert!(
            is_allowed,
            "publish {number} at {qos:?}: {copies} copies, {end:?}"
        );
        let once = qos == QoS::ExactlyOnce && (lives || !again) && !self.deceived;
        assert!(copies <= 1 || !once, "{number} at {qos:?}: {copies} copies");
    }

    fn check_sent(&self, number: usize) {
        let sent = &self.published[Way::ToClient as usize][number];
        let qos = sent.qos;
        let copies = self.copies(Way::ToClient, number);
        let must_come = sent.wanted
            && qos > QoS::AtMostOnce
            && self.lives(Way::ToClient, number)
            && !self.may_expire(sent);
        assert!(copies > 0 || !must_come, "{number} at {qos:?} never came");
        assert!(copies == 0 || sent.wanted, "{number} came unwanted");
        let once = qos != QoS::AtLeastOnce;
        assert!(copies <= 1 || !once, "{number} at {qos:?}: {copies} copies");
    }

    fn check_nothing_left(&self) {
        assert_eq!(self.client.open(), [0; 5]);
        let statistics = self.broker.statistics();
        assert_eq!(statistics.waiting, 0, "{statistics:?}");
        assert_eq!(statistics.connections, 2, "{statistics:?}");
        assert_eq!(statistics.sessions, 2, "{statistics:?}");
        if !self.deceived {
            self.wire.check();
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
