//! Any stream of bytes, cut anywhere.

use mqtt5_proto::packet::Connack;
use mqtt5_proto::{
    Config, DecodeError, Decoding, FixedHeader, Packet, Properties, ReasonCode, State, Statistics,
};

use crate::decode::decodings;
use crate::machine::packets::encode;
use crate::machine::{Bed, Borrowing, Face, LIMITS, Lending, Small, Told};

/// Streams that are longer are cut off: a machine pauses when its answers fill a buffer.
const MAXIMUM: usize = 16_000;

/// The first byte chooses how to read, the second how many bytes follow with the lengths of the chunks; the rest is the
/// stream.
///
/// Any chunks give the same packets and the same error as one, from the decoder and from every machine.
pub fn stream(data: &[u8]) {
    let [how, count, rest @ ..] = data else {
        return;
    };
    let (cuts, stream) = rest.split_at(rest.len().min((*count % 32).into()));
    let stream = &stream[..stream.len().min(MAXIMUM)];
    let cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) + 1).collect();

    let decoding = decodings()[usize::from(how & 3)];
    let whole = frames(stream, &[usize::MAX], &decoding);
    assert_eq!(frames(stream, &cuts, &decoding), whole);

    let accepted = how & 4 == 0;
    let lenient = decoding.lenient;
    let run_all = |most| {
        let expected = run::<Borrowing>(stream, &[usize::MAX], usize::MAX, accepted, lenient);
        assert_eq!(
            run::<Borrowing>(stream, &cuts, most, accepted, lenient),
            expected
        );
        assert_eq!(
            run::<Lending>(stream, &cuts, most, accepted, lenient),
            expected
        );
        let small = run::<Small>(stream, &[usize::MAX], usize::MAX, accepted, lenient);
        assert_eq!(run::<Small>(stream, &cuts, most, accepted, lenient), small);
    };
    run_all(usize::MAX);
    run_all(1);
}

/// How a stream reads: whole packets, and what ended it.
#[derive(Debug, PartialEq)]
struct Read {
    packets: Vec<Vec<u8>>,
    end: Result<usize, DecodeError>,
}

fn frames(stream: &[u8], cuts: &[usize], decoding: &Decoding) -> Read {
    let mut buffer = Vec::new();
    let mut packets = Vec::new();
    for chunk in chunks(stream, cuts) {
        buffer.extend_from_slice(chunk);
        loop {
            let header = match FixedHeader::parse(&buffer, decoding) {
                Ok(Some(header)) if header.total_len() <= buffer.len() => header,
                Ok(_) => break,
                Err(error) => {
                    return Read {
                        packets,
                        end: Err(error),
                    };
                }
            };
            let rest = buffer.split_off(header.total_len());
            let frame = std::mem::replace(&mut buffer, rest);
            if let Err(error) = Packet::decode(&frame, decoding) {
                return Read {
                    packets,
                    end: Err(error),
                };
            }
            packets.push(frame);
        }
    }
    Read {
        packets,
        end: Ok(buffer.len()),
    }
}

/// The stream in pieces of these lengths, over and over again.
fn chunks<'a>(mut stream: &'a [u8], cuts: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut cuts = cuts.iter().copied().cycle();
    std::iter::from_fn(move || {
        let cut = cuts.next().unwrap_or(1).min(stream.len());
        let (chunk, rest) = stream.split_at(cut);
        stream = rest;
        (cut > 0).then_some(chunk)
    })
}

/// What a machine makes of it.
#[derive(Debug, PartialEq)]
struct Made {
    events: Vec<Told>,
    bytes: Vec<u8>,
    state: State,
    wants_close: bool,
    held: usize,
    statistics: Statistics,
}

/// At most so many events are asked for after each chunk, as if more had arrived meanwhile.
fn run<F: Face>(stream: &[u8], cuts: &[usize], most: usize, accepted: bool, lenient: bool) -> Made {
    let mut config = Config::default();
    config.lenient = lenient;
    let mut bed = Bed::<F>::with(config);
    bed.open_with(&LIMITS, 60);
    let mut made = Made {
        events: Vec::new(),
        bytes: Vec::new(),
        state: State::Connecting,
        wants_close: false,
        held: 0,
        statistics: bed.client.statistics(),
    };
    if accepted {
        let connack = encode(&Packet::Connack(Connack {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties: Properties::EMPTY,
        }));
        bed.feed_bytes(&connack);
    }
    for chunk in chunks(stream, cuts) {
        feed(&mut bed, chunk, most, &mut made);
    }
    made.events.extend(bed.events());
    made.bytes.extend(bed.client.transmit(bed.now, usize::MAX));
    made.state = bed.client.state();
    made.wants_close = bed.client.wants_close();
    made.held = bed.client.held();
    // Chunks that come after the end of a connection are not counted.
    made.statistics = bed.client.statistics();
    made.statistics.bytes_received = 0;
    bed.client.handle_closed(bed.now);
    made.events.extend(bed.events());
    bed.expect_idle();
    made
}

/// Writes only when there is no room for more: what a machine answers before it reads a DISCONNECT is lost with it.
fn feed<F: Face>(bed: &mut Bed<F>, mut bytes: &[u8], most: usize, made: &mut Made) {
    loop {
        for _ in 0..most {
            match bed.client.poll_event(bed.now) {
                Some(event) => made.events.push(event),
                None => break,
            }
        }
        if bytes.is_empty() {
            return;
        }
        let mut count = bed.client.receive(bed.now, bytes);
        if count == 0 {
            made.events.extend(bed.events());
            if !bed.client.wants_read() {
                return;
            }
            count = bed.client.receive(bed.now, bytes);
        }
        bytes = &bytes[count..];
        if count == 0 {
            let written = bed.client.transmit(bed.now, usize::MAX);
            assert!(!written.is_empty(), "no room, and nothing to write");
            made.bytes.extend(written);
        }
    }
}
