//! The contract of the machine, checked on a conversation between it and a model of a server.

use std::collections::BTreeMap;

use mqtt5_proto::{Instant, Negotiated, Op, State, TimerReason};

use super::bed::Bed;
#[cfg(feature = "alloc")]
use super::face::{Borrowing, Lending};
use super::face::{Face, Small};
use super::told::Told;
use super::transcript::{Act, Input, Outputs, apply, config, record};

/// Replays a transcript in other pieces; consecutive packets of the server are one stream of bytes.
pub(crate) fn chunked<F: Face>(acts: &[Act], cuts: &[usize], lazy: bool) {
    let (inputs, expected) = record::<F>(acts);
    let mut bed = Bed::<F>::with(config());
    let mut outputs = Outputs::default();
    let mut cuts = cuts.iter().copied().cycle();
    let mut inputs = inputs.iter().peekable();
    while let Some(input) = inputs.next() {
        let mut stream = Vec::new();
        if let Input::Server(bytes) | Input::Answer(bytes) | Input::Garbage(bytes) = input {
            stream.extend_from_slice(bytes);
        }
        while let (Input::Server(_) | Input::Answer(_), Some(Input::Server(more))) =
            (input, inputs.peek())
        {
            stream.extend_from_slice(more);
            inputs.next();
        }
        // What time, an acknowledgement, the end of a connection and a DISCONNECT of the server do depends on what was written.
        if !lazy || !matches!(input, Input::Server(_) | Input::Publish(..) | Input::Ack(_)) {
            write(&mut bed, &mut outputs, &mut cuts);
        }
        apply(&mut bed, input, &mut outputs);
        outputs.events.extend(bed.events());
        let mut rest = &stream[..];
        while !rest.is_empty() && bed.client.state() != State::Closing {
            let (part, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            bed.feed_bytes(part);
            outputs.events.extend(bed.events());
            rest = after;
            if bed.client.unsent() > 500 {
                write(&mut bed, &mut outputs, &mut cuts);
            }
        }
        if bed.client.unsent() > 500 || matches!(input, Input::Wait(_) | Input::Connect) {
            write(&mut bed, &mut outputs, &mut cuts);
        }
    }
    write(&mut bed, &mut outputs, &mut cuts);
    assert_eq!(outputs.events, expected.events);
    assert_eq!(outputs.bytes, expected.bytes);
    assert_eq!(outputs.accepted, expected.accepted);
    assert_eq!(outputs.withdrawn, expected.withdrawn);
}

/// Writes everything, in pieces.
fn write<F: Face>(bed: &mut Bed<F>, outputs: &mut Outputs, cuts: &mut impl Iterator<Item = usize>) {
    while bed.client.unsent() > 0 {
        let count = cuts.next().unwrap();
        outputs.bytes.extend(bed.client.transmit(bed.now, count));
        outputs.events.extend(bed.events());
    }
}

/// What the machine answers when it is asked.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    timer: Option<(Instant, TimerReason)>,
    wants: (bool, bool),
    counts: [usize; 5],
    negotiated: Option<Negotiated>,
}

fn ask<F: Face>(bed: &Bed<F>) -> Asked {
    let client = &bed.client;
    Asked {
        timer: client.poll_timeout(),
        wants: (client.wants_read(), client.wants_close()),
        counts: [
            client.unsent(),
            client.pending(),
            client.in_flight(),
            client.requests(),
            client.held(),
        ],
        negotiated: client.negotiated(),
    }
}

/// Moves the buffers to the driver, as far as the machine lends them.
fn take<F: Face>(bed: &mut Bed<F>) {
    let space = bed.client.receive_space().is_empty();
    assert_eq!(space, !bed.client.wants_read());
    assert!(bed.client.transmit(bed.now, 0).is_empty());
}

/// Replays a transcript, and asks for all outputs after each input: before or after the buffers are taken.
fn replay<F: Face>(inputs: &[Input], take_first: bool) -> (Outputs, Vec<Asked>) {
    let mut bed = Bed::<F>::with(config());
    let mut outputs = Outputs::default();
    let mut asked = Vec::new();
    for input in inputs {
        apply(&mut bed, input, &mut outputs);
        if let Input::Server(bytes) | Input::Answer(bytes) | Input::Garbage(bytes) = input {
            bed.feed_bytes(bytes);
        }
        outputs.events.extend(bed.events());
        if take_first {
            take(&mut bed);
        }
        asked.push(ask(&bed));
        take(&mut bed);
        assert!(bed.events().is_empty());
        outputs.bytes.extend(bed.sent_bytes());
        if !matches!(input, Input::Connect) {
            let client = &bed.client;
            outputs.ends.push((client.state(), client.poll_timeout()));
        }
    }
    (outputs, asked)
}

/// The same transcript gives the same outputs on every storage, in whatever order they are asked for.
pub(crate) fn same_everywhere(acts: &[Act]) {
    let (inputs, outputs) = record::<Small>(acts);
    let expected = replay::<Small>(&inputs, false);
    assert_eq!(&expected.0, &outputs);
    assert_eq!(&replay::<Small>(&inputs, true), &expected);
    #[cfg(feature = "alloc")]
    for take_first in [false, true] {
        assert_eq!(&replay::<Borrowing>(&inputs, take_first), &expected);
        assert_eq!(&replay::<Lending>(&inputs, take_first), &expected);
    }
}

/// Every accepted operation ends once, unless it was withdrawn or is a QoS 0 publish that was encoded at once.
pub(crate) fn ends_once<F: Face>(acts: &[Act]) {
    let (_, outputs) = record::<F>(acts);
    let mut ends: BTreeMap<Op, usize> = BTreeMap::new();
    for op in outputs.events.iter().filter_map(Told::op) {
        *ends.entry(op).or_default() += 1;
    }
    for op in &outputs.accepted {
        let silent = outputs.done.contains(op) || outputs.withdrawn.contains(op);
        let expected = usize::from(!silent);
        assert_eq!(ends.remove(op).unwrap_or(0), expected, "{:?}", op);
    }
    assert!(ends.is_empty(), "of nothing: {:?}", ends);
    let count = outputs.accepted.len();
    let unique: BTreeMap<_, _> = outputs.accepted.iter().map(|op| (op, ())).collect();
    assert_eq!(unique.len(), count);
}
