//! The client machine on every storage, under commands, bytes, time, losses and partial writes.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use mqtt5_proto::{Config, ContentPolicy, QoS, TopicAliases};

use crate::golden::vectors;
use crate::machine::chaos::{Chaos, Storm};
use crate::machine::contract::{chunked, ends_once, same_everywhere};
use crate::machine::sessions::{Model, Step};
use crate::machine::transcript::Act;
use crate::machine::window::{Move, Window};
use crate::machine::{Borrowing, Face, Lending, Small};
use crate::memory::Held;

/// The first byte chooses the server and the storage, the second how they behave, the rest is what happens.
///
/// * A server of which nothing is known, bytes included: nothing panics; what is sent is what a server may expect;
///   every operation ends once; what is held is bounded.
/// * One that keeps sessions over lost connections: identifiers, DUP, order and Receive Maximum are right.
/// * One that keeps the protocol but for our Receive Maximum: it is told so when it does not keep that.
/// * One that keeps the protocol until it does not, both ways: the storages give the same, however bytes are cut.
pub fn machine(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok([which, how]) = input.arbitrary::<[u8; 2]>() else {
        return;
    };
    if let Some(which) = which.checked_sub(WINDOWS) {
        return window(which, &mut input);
    }
    match which % 9 {
        0 => storm::<Borrowing>(how, &mut input),
        1 => storm::<Lending>(how, &mut input),
        2 => storm::<Small>(how, &mut input),
        3 => sessions::<Borrowing>(how, &mut input),
        4 => sessions::<Lending>(how, &mut input),
        5 => sessions::<Small>(how, &mut input),
        6 => same_everywhere(&steps(&mut input, act)),
        7 => conversation::<Lending>(how, &mut input),
        _ => conversation::<Small>(how, &mut input),
    }
}

/// First bytes from this one on are for servers that do not keep our Receive Maximum.
const WINDOWS: u8 = 0xE8;

/// Longer ones find nothing that shorter ones do not.
const MAXIMUM_STEPS: usize = 300;

/// What a machine may hold while its limits are those of a storm: a receive buffer of at most 256 KiB, since at most 64
/// KiB and a packet are handed in unseen and a buffer that is too small is doubled; two marks of 64 KiB to send; 60,000
/// bytes of messages that wait or are in flight; a little for their tables and for the test bed. The store comes on top.
const MAXIMUM_HELD: usize = (256 + 2 * 64) * 1024 + 60_000 + 64 * 1024;

/// What is left of it when all has ended.
const MAXIMUM_IDLE: usize = 64 * 1024;

fn storm<F: Face>(choice: u8, input: &mut Unstructured<'_>) {
    static VECTORS: LazyLock<Vec<&[u8]>> =
        LazyLock::new(|| vectors().iter().map(|v| &v.bytes[..]).collect());

    let mut config = Config::default();
    config.lenient = choice & 1 != 0;
    config.assume_session = choice & 2 != 0;
    let sessions = choice & 4 != 0;
    if choice & 8 != 0 {
        config.topic_aliases = TopicAliases::Auto(3);
    }
    if choice & 16 != 0 {
        config.content = ContentPolicy::Strict;
    }
    config.write_ahead = choice & 32 != 0;
    config.publish_before_connack = choice & 64 != 0;
    let steps = steps(input, chaos);

    let vectors = &*VECTORS;
    let held = Held::start();
    let mut storm = Storm::<F>::new(config, sessions, vectors);
    let new = held.bytes();
    for step in &steps {
        storm.step(step);
        let bytes = held.bytes().saturating_sub(storm.stored());
        assert!(bytes <= MAXIMUM_HELD, "{bytes} bytes");
    }
    storm.finish();
    let grown = held.bytes().saturating_sub(new);
    assert!(grown <= MAXIMUM_IDLE, "{grown} bytes are left");
}

fn sessions<F: Face>(choice: u8, input: &mut Unstructured<'_>) {
    let (qos1, qos2) = (choice & 1 != 0, choice & 2 != 0);
    let steps = steps(input, session_step);
    Model::<F>::new(qos1, qos2).run(&steps);
}

fn conversation<F: Face>(choice: u8, input: &mut Unstructured<'_>) {
    let cuts = [[1, 2, 3], [50, 1, 7], [5_000, 1, 200], [17, 4_999, 1]];
    let cuts = cuts[usize::from(choice) % cuts.len()];
    let lazy = choice & 4 != 0;
    let acts = steps(input, act);
    chunked::<F>(&acts, &cuts, lazy);
    ends_once::<F>(&acts);
}

fn window(which: u8, input: &mut Unstructured<'_>) {
    let moves = steps(input, window_move);
    match which % 3 {
        0 => Window::<Borrowing>::new().run(&moves),
        1 => Window::<Lending>::new().run(&moves),
        _ => Window::<Small>::new().run(&moves),
    }
}

/// As many steps as there are bytes for.
fn steps<T>(
    input: &mut Unstructured<'_>,
    one: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Vec<T> {
    let mut steps = Vec::new();
    while !input.is_empty() && steps.len() < MAXIMUM_STEPS {
        steps.extend(one(input));
    }
    steps
}

fn chaos(input: &mut Unstructured<'_>) -> Result<Chaos> {
    Ok(match input.arbitrary::<u8>()? % 32 {
        0 | 1 => Chaos::Connect(input.arbitrary()?),
        2 | 3 => Chaos::Accept(input.arbitrary()?, input.arbitrary()?),
        4 => {
            let count = usize::from(input.arbitrary::<u8>()? % 40);
            Chaos::Bytes(input.bytes(count.min(input.len()))?.to_vec())
        }
        5 | 6 => Chaos::Golden(input.arbitrary::<u8>()?.into()),
        7 => Chaos::Damaged(
            input.arbitrary::<u8>()?.into(),
            input.arbitrary::<u8>()?.into(),
            input.arbitrary()?,
        ),
        8..=11 => {
            let kind = input.arbitrary::<u8>()?;
            let reason = if kind < 200 { 0 } else { input.arbitrary()? };
            Chaos::Acknowledge(
                4 + kind % 8,
                u16::from(input.arbitrary::<u8>()?) % 34,
                reason,
            )
        }
        12..=16 => Chaos::Publish(qos(input)?, length(input, 3_000)?),
        17 => Chaos::Subscribe(input.arbitrary()?, length(input, 400)?),
        18 | 19 => Chaos::Ack(input.arbitrary::<u8>()?.into(), input.arbitrary()?),
        20 => Chaos::Forget(input.arbitrary::<u8>()?.into()),
        21 => Chaos::Withdraw(input.arbitrary::<u8>()?.into()),
        22 => Chaos::Authenticate(input.arbitrary()?),
        23 => match input.arbitrary::<u8>()? % 4 {
            0 => Chaos::Disconnect,
            1 => Chaos::Abandon,
            2 => Chaos::Reauthenticate,
            _ => Chaos::Sent(length(input, 60)?),
        },
        24 => Chaos::Reading(input.arbitrary()?),
        25 => Chaos::Time(match input.arbitrary::<u8>()? % 8 {
            0 => u64::MAX / 1_000,
            1 => input.arbitrary::<u32>()?.into(),
            _ => input.arbitrary::<u16>()?.into(),
        }),
        26 | 27 => Chaos::Write(length(input, 3_000)?),
        28 => Chaos::Received(match length(input, 60)? {
            59 => usize::MAX,
            count => count,
        }),
        29 => Chaos::Poll(usize::from(input.arbitrary::<u8>()? % 20)),
        30 => store(input)?,
        _ => Chaos::Close,
    })
}

/// What the store or the process does.
fn store(input: &mut Unstructured<'_>) -> Result<Chaos> {
    Ok(match input.arbitrary::<u8>()? % 16 {
        0..=4 => Chaos::Record(match length(input, 8)? {
            7 => usize::MAX,
            count => count,
        }),
        5..=8 => Chaos::Durable(input.arbitrary()?),
        9 | 10 => Chaos::Restart(input.arbitrary()?),
        11 => Chaos::Failed(input.arbitrary()?),
        12 => Chaos::Shuffled(input.arbitrary()?, input.arbitrary()?),
        13 => Chaos::Snapshot,
        14 => Chaos::Restore,
        _ => Chaos::Stale(input.arbitrary()?, input.arbitrary()?),
    })
}

fn window_move(input: &mut Unstructured<'_>) -> Result<Move> {
    let which = input.arbitrary::<u8>()?;
    let n = usize::from(which >> 4);
    Ok(match which % 8 {
        0 | 1 => Move::Send(which & 8 != 0),
        2..=4 => Move::Answer(n, which & 8 == 0),
        5 => Move::Release(n),
        _ => Move::Write(n),
    })
}

fn session_step(input: &mut Unstructured<'_>) -> Result<Step> {
    Ok(match input.arbitrary::<u8>()? % 16 {
        0..=3 => Step::Publish(qos(input)?),
        4 | 5 => Step::Write(length(input, 60)?),
        6 => Step::Write(usize::MAX),
        7..=10 => {
            let how = input.arbitrary::<u8>()?;
            Step::Answer(length(input, 10)?, how.is_multiple_of(8), how % 7 == 1)
        }
        11 => Step::Lose,
        12 | 13 => {
            let present = input.arbitrary::<u8>()? % 5 != 1;
            Step::Resume(present, 1 + u16::from(input.arbitrary::<u8>()? % 10))
        }
        14 => Step::Fail,
        _ => Step::Withdraw(length(input, 10)?),
    })
}

fn act(input: &mut Unstructured<'_>) -> Result<Act> {
    Ok(match input.arbitrary::<u8>()? % 32 {
        0..=4 => Act::Publish(qos(input)?, length(input, 400)?),
        5 => Act::Subscribe(1 + length(input, 3)?),
        6 => Act::Unsubscribe(1 + length(input, 2)?),
        7..=10 => Act::Ack(length(input, 20)?),
        11 => Act::Reject(length(input, 20)?),
        12 => Act::Withdraw(length(input, 50)?),
        13 => Act::Reading(input.arbitrary()?),
        14 | 15 => Act::Wait(u32::from(input.arbitrary::<u16>()?)),
        16..=21 => {
            let choice = input.arbitrary::<u8>()?;
            Act::Answer(usize::from(choice % 20), choice >= 220)
        }
        22..=25 => Act::Message(qos(input)?, length(input, 400)?),
        26 => Act::Repeat(length(input, 20)?),
        27 | 28 => Act::Release(length(input, 20)?),
        29 => Act::Pong,
        30 => match input.arbitrary::<u8>()? % 3 {
            0 => Act::ServerDisconnect(input.arbitrary()?),
            1 => Act::Disconnect,
            _ => {
                let count = 1 + length(input, 20)?;
                Act::Garbage(input.bytes(count.min(input.len()))?.to_vec())
            }
        },
        _ => Act::Close,
    })
}

fn qos(input: &mut Unstructured<'_>) -> Result<QoS> {
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    input.choose(&qos).copied()
}

/// A number below `limit`.
fn length(input: &mut Unstructured<'_>, limit: usize) -> Result<usize> {
    let number = if limit <= 256 {
        input.arbitrary::<u8>()?.into()
    } else {
        input.arbitrary::<u16>()?
    };
    Ok(usize::from(number) % limit)
}
