//! The link between a client machine and a broker machine, cut at every byte of every script, in each direction: then
//! the client connects again, and what was promised must hold.

#[path = "pair/cut_link.rs"]
mod cut_link;
#[path = "pair/link.rs"]
mod link;

use cut_link::{Broken, Cut, Loss, Script, Step, Way, World};
use link::{Embedded, Fixed};
use mqtt5_proto::{QoS, SessionLoss};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

const REPUBLISH_ALL: SessionLoss = SessionLoss {
    republish_qos1: true,
    republish_qos2: true,
};
const REPUBLISH_NONE: SessionLoss = SessionLoss {
    republish_qos1: false,
    republish_qos2: false,
};

/// What is said between the two sides when nothing is cut.
fn scripts() -> Vec<Script> {
    let all = [AtMostOnce, AtLeastOnce, ExactlyOnce];
    let mut scripts = vec![("connect", vec![]), ("subscribe", vec![Step::Subscribe])];
    for qos in all {
        scripts.push(("publish", vec![Step::Publish(vec![qos])]));
        scripts.push(("receive", vec![Step::Receive(vec![qos])]));
    }
    for qos in [AtLeastOnce, ExactlyOnce] {
        // Three may be in flight.
        scripts.push(("several in flight", vec![Step::Publish(vec![qos; 5])]));
        scripts.push(("several to receive", vec![Step::Receive(vec![qos; 5])]));
    }
    let mixed = vec![
        AtLeastOnce,
        ExactlyOnce,
        AtMostOnce,
        ExactlyOnce,
        AtLeastOnce,
    ];
    scripts.push((
        "one after the other",
        vec![
            Step::Publish(vec![ExactlyOnce, AtLeastOnce]),
            Step::Receive(vec![ExactlyOnce]),
            Step::Publish(vec![AtLeastOnce, ExactlyOnce]),
        ],
    ));
    scripts.push(("both ways at once", vec![Step::Both(mixed)]));
    scripts
        .into_iter()
        .map(|(name, steps)| Script { name, steps })
        .collect()
}

/// Cuts every script at every byte; gives how many cuts that were.
fn cut_everything<C: Embedded>(loss: Loss, policy: SessionLoss) -> usize {
    let mut cuts = 0;
    for script in scripts() {
        for (broken, late) in [
            (Broken::OneWay, false),
            (Broken::BothWays, true),
            (Broken::HalfOpen, true),
        ] {
            if broken == Broken::HalfOpen && loss == Loss::Forgotten {
                // The broker forgets the connection with the session.
                continue;
            }
            let uncut = run::<C>(&script, &[], broken, late, loss, policy);
            for way in [Way::ToBroker, Way::ToClient] {
                for at in 0..uncut[way as usize] {
                    let cut = Cut { way, at };
                    run::<C>(&script, &[cut], broken, late, loss, policy);
                    cuts += 1;
                }
            }
        }
    }
    cuts
}

fn run<C: Embedded>(
    script: &Script,
    cuts: &[Cut],
    broken: Broken,
    late: bool,
    loss: Loss,
    policy: SessionLoss,
) -> [usize; 2] {
    let mut world = World::<C>::new(script, cuts, broken, late, loss, policy);
    world.play(script);
    world.check();
    world.total()
}

fn count<C: Embedded>(cases: &[(Loss, SessionLoss)]) {
    let cuts: usize = cases
        .iter()
        .map(|(loss, policy)| cut_everything::<C>(*loss, *policy))
        .sum();
    let scripts = scripts().len();
    println!("{cuts} cuts of {scripts} scripts");
    assert!(cuts > 3_000, "{cuts} cuts");
}

macro_rules! on_both_storages {
    ($($name:ident: $cases:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn growable() {
                count::<mqtt5_proto::Client>(&$cases);
            }

            #[test]
            fn fixed() {
                count::<Fixed>(&$cases);
            }
        })*
    };
}

on_both_storages! {
    the_session_is_kept: [(Loss::Kept, SessionLoss::default())];
    the_broker_forgets_it: [(Loss::Forgotten, SessionLoss::default())];
    the_client_starts_clean: [(Loss::CleanStart, SessionLoss::default())];
    all_is_republished: [(Loss::Forgotten, REPUBLISH_ALL)];
    nothing_is_republished: [(Loss::Forgotten, REPUBLISH_NONE)];
}

/// The second connection is cut, too, while it sends again what the first one left open.
fn twice<C: Embedded>(loss: Loss) {
    let mixed = vec![AtLeastOnce, ExactlyOnce, AtLeastOnce, ExactlyOnce];
    let script = Script {
        name: "twice",
        steps: vec![Step::Both(mixed)],
    };
    let policy = SessionLoss::default();
    let mut cuts = 0;
    for broken in [Broken::OneWay, Broken::BothWays] {
        let late = broken == Broken::BothWays;
        let uncut = run::<C>(&script, &[], broken, late, loss, policy);
        for way in [Way::ToBroker, Way::ToClient] {
            for at in (0..uncut[way as usize]).step_by(17) {
                let first = Cut { way, at };
                for way in [Way::ToBroker, Way::ToClient] {
                    for at in (0..uncut[way as usize]).step_by(17) {
                        let second = Cut { way, at };
                        run::<C>(&script, &[first, second], broken, late, loss, policy);
                        cuts += 2;
                    }
                }
            }
        }
    }
    println!("{cuts} cuts, two at a time");
    assert!(cuts > 600, "{cuts} cuts");
}

#[test]
fn cut_twice_on_growable_storage() {
    twice::<mqtt5_proto::Client>(Loss::Kept);
    twice::<mqtt5_proto::Client>(Loss::Forgotten);
    twice::<mqtt5_proto::Client>(Loss::CleanStart);
}

#[test]
fn cut_twice_on_fixed_storage() {
    twice::<Fixed>(Loss::Kept);
    twice::<Fixed>(Loss::Forgotten);
    twice::<Fixed>(Loss::CleanStart);
}
