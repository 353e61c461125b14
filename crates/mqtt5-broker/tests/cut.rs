//! The link between a client machine and a broker machine, cut at every byte of every script, in each direction: then
//! the client connects again, and what was promised must hold. And the same bytes in pieces of every size, which must
//! change nothing.

#[path = "pair/cut_link.rs"]
mod cut_link;
#[path = "pair/face.rs"]
mod face;
#[path = "pair/script.rs"]
mod script;
#[path = "pair/wire.rs"]
mod wire;

use cut_link::{Broken, Cut, Loss, Manner, Pieces, World};
use face::{Embedded, Fixed};
use mqtt5_proto::{Client, SessionLoss};
use script::{Script, Step, scripts};
use wire::Way;

const WAYS: [Way; 2] = [Way::ToBroker, Way::ToClient];
const REPUBLISH_ALL: SessionLoss = SessionLoss {
    republish_qos1: true,
    republish_qos2: true,
};
const REPUBLISH_NONE: SessionLoss = SessionLoss {
    republish_qos1: false,
    republish_qos2: false,
};

/// What a cut looks like, and whether messages are acknowledged late.
type Break = (Broken, bool);

const ONE_WAY: Break = (Broken::OneWay, false);
const BOTH_WAYS: Break = (Broken::BothWays, true);
const HALF_OPEN: Break = (Broken::HalfOpen, true);

fn manner((broken, late): Break, loss: Loss, policy: SessionLoss) -> Manner {
    Manner {
        broken,
        late,
        loss,
        policy,
        pieces: Pieces::Whole,
    }
}

fn play<'a, C: Embedded>(script: &'a Script, cuts: &[Cut], manner: Manner) -> World<'a, C> {
    let mut world = World::<C>::new(script, cuts, manner);
    world.play();
    world.check();
    world
}

/// Every place in the bytes of a script.
fn places(total: [usize; 2]) -> impl Iterator<Item = Cut> + Clone {
    let place = move |way| (0..total[way as usize]).map(move |at| Cut { way, at });
    WAYS.into_iter().flat_map(place)
}

/// Cuts every script at every byte; gives how many cuts that were.
fn cut_everything<C: Embedded>(loss: Loss, policy: SessionLoss) -> usize {
    let mut cuts = 0;
    let default = policy == SessionLoss::default();
    let breaks = match loss {
        _ if !default => &[BOTH_WAYS][..],
        Loss::Kept => &[ONE_WAY, BOTH_WAYS, HALF_OPEN],
        Loss::CleanStart => &[BOTH_WAYS, HALF_OPEN],
        // The broker forgets a connection with its session, also one that is half open.
        Loss::Forgotten => &[ONE_WAY, BOTH_WAYS],
    };
    for script in scripts().iter().filter(|s| default || s.publishes()) {
        for broken in breaks {
            let manner = manner(*broken, loss, policy);
            let total = play::<C>(script, &[], manner).total();
            for cut in places(total) {
                play::<C>(script, &[cut], manner);
                cuts += 1;
            }
        }
    }
    cuts
}

macro_rules! on_both_storages {
    ($($name:ident: $loss:expr, $policy:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn growable() {
                count::<Client>($loss, $policy);
            }

            #[test]
            fn fixed() {
                count::<Fixed>($loss, $policy);
            }
        })*
    };
}

fn count<C: Embedded>(loss: Loss, policy: SessionLoss) {
    let cuts = cut_everything::<C>(loss, policy);
    println!("{cuts} cuts of {} scripts", scripts().len());
    assert!(cuts > 2_000, "{cuts} cuts");
}

on_both_storages! {
    the_session_is_kept: Loss::Kept, SessionLoss::default();
    the_broker_forgets_it: Loss::Forgotten, SessionLoss::default();
    the_client_starts_clean: Loss::CleanStart, SessionLoss::default();
    all_is_republished: Loss::Forgotten, REPUBLISH_ALL;
    nothing_is_republished: Loss::Forgotten, REPUBLISH_NONE;
}

/// The second connection is cut, too, while it sends again what the first one left open.
fn twice<C: Embedded>() {
    let mut cuts = 0;
    for name in ["both ways at once", "authentication again"] {
        let script = scripts().into_iter().find(|script| script.name == name);
        let script = script.expect("a script of this name");
        for loss in [Loss::Kept, Loss::Forgotten, Loss::CleanStart] {
            for broken in [ONE_WAY, BOTH_WAYS] {
                let manner = manner(broken, loss, SessionLoss::default());
                let total = play::<C>(&script, &[], manner).total();
                for first in places(total).step_by(29) {
                    for second in places(total).step_by(29) {
                        play::<C>(&script, &[first, second], manner);
                        cuts += 2;
                    }
                }
            }
        }
    }
    println!("{cuts} cuts of 2 scripts, two at a time");
    assert!(cuts > 2_000, "{cuts} cuts");
}

#[test]
fn cut_twice_on_growable_storage() {
    twice::<Client>();
}

#[test]
fn cut_twice_on_fixed_storage() {
    twice::<Fixed>();
}

/// The same bytes in single ones, and split in two at every place: the same events.
fn in_pieces<C: Embedded>() {
    let mut runs = 0;
    for script in scripts() {
        let whole = manner(ONE_WAY, Loss::Kept, SessionLoss::default());
        let expected = play::<C>(&script, &[], whole);
        let two = places(expected.total()).map(Pieces::Two);
        for pieces in two.chain([Pieces::Bytes]) {
            let world = play::<C>(&script, &[], Manner { pieces, ..whole });
            assert_eq!(
                world.transcript(),
                expected.transcript(),
                "'{}' in {pieces:?}",
                script.name
            );
            runs += 1;
        }
    }
    println!("{runs} ways to split {} scripts", scripts().len());
    assert!(runs > 2_000, "{runs} ways");
}

#[test]
fn in_pieces_on_growable_storage() {
    in_pieces::<Client>();
}

#[test]
fn in_pieces_on_fixed_storage() {
    in_pieces::<Fixed>();
}

/// The scripts do what they are there for.
#[test]
fn aliases_and_authentication_are_used() {
    for script in scripts() {
        let manner = manner(ONE_WAY, Loss::Kept, SessionLoss::default());
        let world = play::<Client>(&script, &[], manner);
        let by_alias = world.wire.by_alias.map(|count| count > 0);
        assert_eq!(by_alias, [script.setting.has_aliases; 2], "{}", script.name);
        let auths = world.wire.auths.map(|count| count > 1);
        let expected = [script.setting.has_authentication; 2];
        assert_eq!(auths, expected, "{}", script.name);
    }
}

/// More authentications on one connection than one may take rounds.
fn again_and_again<C: Embedded>() {
    let mut script = scripts().into_iter().find(|s| s.setting.has_authentication);
    let script = script.as_mut().expect("a script that authenticates");
    script.steps = vec![Step::Reauthenticate; 12];
    for broken in [ONE_WAY, BOTH_WAYS] {
        let manner = manner(broken, Loss::Kept, SessionLoss::default());
        play::<C>(script, &[], manner);
    }
}

#[test]
fn authentication_again_and_again() {
    again_and_again::<Client>();
    again_and_again::<Fixed>();
}
