//! What is held of earlier connections when one is accepted: only now is known whether the server will send it again.

use super::Engine;
use mqtt5_proto::Instant;

impl Engine {
    /// Lets go what its redelivery hands over. A session that `is_resumed` is the one in which all of it was received.
    pub(super) fn resume_held(&mut self, now: Instant, is_resumed: bool) {
        let has_stalled = core::mem::take(&mut self.pause.has_stalled);
        if is_resumed && (has_stalled || self.held.is_any_abandoned()) {
            self.discard_untaken();
        }
        self.release_awaited(now, is_resumed);
        self.discard_abandoned(now, is_resumed);
    }

    /// There will be no other connection. What nobody has taken since a stall is left to whoever resumes the session.
    pub(super) fn leave_untaken(&mut self) {
        if core::mem::take(&mut self.pause.has_stalled) && self.resumes() {
            self.discard_untaken();
        }
    }

    /// After a stall, what nobody has taken is discarded; what will not be redelivered stays. The same where something else is discarded,
    /// which would otherwise come again behind it.
    fn discard_untaken(&mut self) {
        let machine = &mut self.machine;
        self.held.discard_untouched(|token| machine.forget(token));
        let held = &self.held;
        for (_, local) in self.registry.locals_mut() {
            local.take_held(|hold| !held.contains(hold));
        }
    }

    /// Lets go what arrived for subscriptions that the application does not have yet: nobody can take it, and it might keep their SUBACK
    /// from being read again. What nobody else has comes again. Where nothing does, as much stays as leaves room for another message before
    /// SUBACK; what does not is lost to them.
    fn release_awaited(&mut self, now: Instant, is_resumed: bool) {
        let (registry, machine) = (&self.registry, &mut self.machine);
        let is_awaited = |key| registry.local(key).is_some_and(|local| local.awaited);
        self.held
            .discard_awaited(is_awaited, |token| is_resumed && machine.forget(token));
        let bound = self.config.inbound_bytes;
        let surplus = self.held.surplus(is_awaited, is_resumed, bound);
        let held = &self.held;
        let locals = self.registry.locals_mut();
        let released: Vec<_> = locals
            .filter(|(_, local)| local.awaited)
            .flat_map(|(key, local)| {
                let taken = local.take_held(|hold| surplus.contains(&hold) || !held.contains(hold));
                taken.into_iter().map(move |taken| (key, taken))
            })
            .collect();
        for (subscription, (hold, entry)) in released {
            if self.take_and_answer(now, subscription, hold) {
                self.count_dropped(now, subscription, &entry.message, entry.arrived);
            }
        }
    }

    /// What was dropped unanswered is held no more: its redelivery hands it over again. Where there is none, or perhaps none, it is for the
    /// others who have it.
    fn discard_abandoned(&mut self, now: Instant, is_resumed: bool) {
        let machine = &mut self.machine;
        let comes_again = |token| machine.forget(token) && is_resumed;
        let left = self.held.discard_abandoned(comes_again);
        for (hold, subscription) in left {
            self.answer(now, subscription, hold, None);
        }
    }
}
