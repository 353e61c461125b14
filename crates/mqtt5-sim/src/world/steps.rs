//! Carrying out the steps of a plan.

use core::iter;
use core::time::Duration;

use mqtt5_broker::{Mishap, On};
use mqtt5_client::{Instant, QoS};
use mqtt5_proto::PacketType;

use super::World;
use crate::application;
use crate::asking;
use crate::plan::{Act, BrokerFault, Dialing, Draft, Question, Step};

impl World<'_> {
    pub(super) fn step(&mut self, step: &Step) {
        let client = step.client;
        self.hub
            .transcript
            .say(format!("c{client}"), || format!("=== {:?}", step.act));
        match &step.act {
            Act::Dials(dialing) => self.dials(client, *dialing),
            Act::Quality(quality) => self.outside.weather[client].quality = *quality,
            Act::Broker(fault) => {
                let now = self.now();
                if matches!(fault, BrokerFault::Forget | BrokerFault::ForgetUnseen) {
                    self.hub.ledger.borrow_mut().session_begun(client);
                    self.outside.referees.broker_forgets(client);
                }
                if *fault == BrokerFault::ForgetUnseen {
                    self.outside.weather[client].dialing = Dialing::DroppedOnce;
                }
                if let BrokerFault::Rule {
                    mishap: Mishap::Drop | Mishap::Repeat(_),
                    ..
                } = fault
                {
                    self.outside.referees.troubled.insert(client);
                }
                if let BrokerFault::Rule {
                    on: On::Sent(PacketType::Publish),
                    mishap: Mishap::Repeat(_),
                    times,
                } = fault
                {
                    *self.outside.referees.repeats.entry(client).or_default() += *times as usize;
                }
                self.outside.broker.fault(now, client, fault.clone());
            }
            Act::Cut { direction, after } => {
                if let Some((_, connection)) = self.outside.network.of_client(client) {
                    connection.cut_after(*direction, *after);
                }
            }
            Act::Stick { direction, time } => {
                let until = time.map_or(Instant::MAX, |time| self.now() + time);
                if let Some((_, connection)) = self.outside.network.of_client(client) {
                    connection.stick(*direction, until);
                }
            }
            Act::Crash { back_after } => self.crash(client, *back_after),
            _ => self.act(client, &step.act),
        }
    }

    fn dials(&mut self, client: usize, dialing: Dialing) {
        self.outside.weather[client].dialing = dialing;
    }

    fn crash(&mut self, client: usize, back_after: Duration) {
        let now = self.now();
        let slot = &mut self.slots[client];
        if let Some(process) = slot.process.take() {
            slot.starts_at = now + back_after;
            process.crash(&mut self.outside);
        }
    }

    /// What the application does.
    fn act(&mut self, client: usize, act: &Act) {
        let now = self.now();
        let slot = &mut self.slots[client];
        let Some(process) = slot
            .process
            .as_mut()
            .filter(|process| process.ending.is_none())
        else {
            return;
        };
        let Some(place) = process.place.clone() else {
            return;
        };
        match act {
            Act::Publish(draft) => {
                for _ in 0..draft.count {
                    process.spawn(application::publish(place.clone(), draft.clone()));
                }
            }
            Act::Subscribe(wish) => {
                let handles = process.handles.clone();
                process.spawn(application::subscribe(place, wish.clone(), handles));
            }
            Act::Requester => {
                let requesters = process.requesters.clone();
                process.spawn(asking::open(place, requesters));
            }
            Act::Request(question, count) => {
                let last = process.requesters.borrow().last().cloned();
                for requester in last.iter().flat_map(|last| iter::repeat_n(last, *count)) {
                    let requester = requester.clone();
                    process.spawn(asking::ask(place.clone(), requester, *question, false));
                }
            }
            Act::Serve(together) => process.spawn(asking::serve(place, *together)),
            Act::Unsubscribe(filter) => process.spawn(application::unsubscribe(place, filter)),
            Act::Leave(leaving) => process.leave(*leaving),
            Act::Will(will) => application::set_will(&place, will.as_ref()),
            Act::Disconnect {
                back_after,
                with_will,
            } => {
                process.spawn(application::disconnect(place, *with_will));
                process.ending = Some(now + TIME_TO_STOP);
                slot.starts_at = now + TIME_TO_STOP + *back_after;
            }
            Act::Abandon { back_after } => {
                drop(place);
                process.abandon();
                process.ending = Some(now + TIME_TO_STOP);
                slot.starts_at = now + TIME_TO_STOP + *back_after;
            }
            _ => {}
        }
    }

    /// Everybody who can asks once more, now that nothing goes wrong.
    pub(super) fn ask_all(&mut self) {
        let processes = self.slots.iter().filter_map(|slot| slot.process.as_ref());
        let requests = self.hub.watch.requests.borrow();
        let must = processes
            .map(|process| process.id)
            .any(|id| requests.is_serving(id));
        drop(requests);
        let question = Question {
            qos: QoS::AtLeastOnce,
            timeout: Duration::from_secs(30),
        };
        for process in self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.process.as_mut())
        {
            let last = process.requesters.borrow().last().cloned();
            if let (Some(place), Some(requester)) = (process.place.clone(), last) {
                process.spawn(asking::ask(place, requester, question, must));
            }
        }
    }

    /// Publishes as the client that tests the others.
    pub(super) fn publish_as(&mut self, client: usize, draft: Draft) {
        self.act(client, &Act::Publish(draft));
    }
}

/// More than a client needs to stop: its drain time, the farewell, and what its application does then.
const TIME_TO_STOP: Duration = Duration::from_secs(30);
