//! What happens in a certain order, which chance alone would hardly find.

use core::time::Duration;

use mqtt5_broker::{Mishap, On};
use mqtt5_client::{Overflow, QoS};
use mqtt5_proto::PacketType;

use crate::link::Direction;
use crate::options::{Acknowledging, ClientOptions, QUEUED_MESSAGES, WorldOptions};
use crate::plan::{Act, BrokerFault, Draft, How, Leaving, Step, Wish};
use crate::random::Random;

/// More is published than the queue of a subscription takes. Where that stops the reading, the subscription is left.
pub(crate) fn overfill(options: &WorldOptions, random: &mut Random) -> Vec<Step> {
    let is_small = |client: &ClientOptions| client.queued_messages < QUEUED_MESSAGES;
    let Some(holder) = options.clients.iter().position(is_small) else {
        return Vec::new();
    };
    let begin = random.between(3_000, 6_000);
    let leaving = random.pick(&[Leaving::Drop, Leaving::Unsubscribe]);
    let acts = [
        (0, subscribe(QoS::AtMostOnce)),
        (1_000, publish(QoS::AtMostOnce, 15)),
        (2_000, Act::Leave(leaving)),
        (2_000, Act::Leave(leaving)),
    ];
    let pauses = options.clients[holder].overflow == Overflow::Pause;
    acts.into_iter()
        .take(if pauses { 4 } else { 2 })
        .map(|(after, act)| step(begin + after, holder, act))
        .collect()
}

/// PUBRECs come in another order than the PUBLISHes went, since one of them is lost; its PUBLISH is sent again, and then all PUBRELs are.
pub(crate) fn overtake(options: &WorldOptions, random: &mut Random) -> Vec<Step> {
    if !random.chance(20) {
        return Vec::new();
    }
    let publisher = random.below(options.clients.len());
    let end = options.chaos.as_millis() as usize;
    let begin = random.between(500, (end - 18_500).min(10_000));
    let lose = |kind, times| {
        Act::Broker(BrokerFault::Rule {
            on: On::Sent(kind),
            mishap: Mishap::Drop,
            times,
        })
    };
    let cut = Act::Cut {
        direction: Direction::Up,
        after: 0,
    };
    let acts = [
        (0, lose(PacketType::Pubrec, 1)),
        (0, lose(PacketType::Pubcomp, 12)),
        (1, publish(QoS::ExactlyOnce, 4)),
        (4_000, cut.clone()),
        (10_000, cut.clone()),
        (18_000, cut),
    ];
    acts.map(|(after, act)| step(begin + after, publisher, act))
        .into()
}

/// Messages are held when their session is lost unseen; messages of the next session have the same identifiers.
pub(crate) fn reuse(random: &mut Random, clients: usize, end: usize) -> [Step; 4] {
    let (holder, publisher) = (random.below(clients), random.below(clients));
    let begin = random.below(end / 2);
    let acts = [
        (0, holder, subscribe(QoS::AtLeastOnce)),
        (2_000, publisher, publish(QoS::AtLeastOnce, 4)),
        (4_000, holder, Act::Broker(BrokerFault::ForgetUnseen)),
        (9_000, publisher, publish(QoS::AtLeastOnce, 15)),
    ];
    acts.map(|(after, client, act)| step(begin + after, client, act))
}

fn step(at: usize, client: usize, act: Act) -> Step {
    Step {
        at: Duration::from_millis(at as u64),
        client,
        act,
    }
}

/// To messages that [`publish`] publishes, which are taken slowly.
fn subscribe(qos: QoS) -> Act {
    Act::Subscribe(Wish {
        filters: vec![("b/y", qos)],
        allow_partial: false,
        acknowledging: Acknowledging::OnTake,
        pace: Duration::from_secs(4),
        timeout: None,
    })
}

fn publish(qos: QoS, count: usize) -> Act {
    Act::Publish(Draft {
        topic: "b/y",
        qos,
        retain: false,
        size: 10,
        expiry: None,
        timeout: None,
        how: How::Start,
        count,
    })
}
