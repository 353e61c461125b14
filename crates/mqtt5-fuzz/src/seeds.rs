//! Where fuzzing begins: inputs made of the golden vectors.

use mqtt5_proto::packet::{Subscribe, Unsubscribe};
use mqtt5_proto::{Packet, Role, TopicFilter, TopicName};

use crate::golden::{accepted, invalid, vectors};

/// An input and the name of its file.
pub type Seed = (String, Vec<u8>);

/// Longer vectors only slow a fuzzer down.
const MAXIMUM: usize = 1_024;

/// What a target starts with; nothing for a name that is no target.
pub fn seeds(target: &str) -> Vec<Seed> {
    let mut seeds = match target {
        "decode" => packets(),
        "stream" => streams(),
        "round_trip" => ingredients(),
        "machine" => happenings(),
        "topic" => topics(),
        "differential" => bodies(),
        _ => Vec::new(),
    };
    seeds.retain(|(_, bytes)| bytes.len() <= MAXIMUM);
    seeds
}

/// Every vector, what else is accepted, and what is refused.
fn packets() -> Vec<Seed> {
    let canonical = vectors().iter().map(|v| ("canonical", v.name, &v.bytes));
    let accepted = accepted().iter().map(|v| ("accepted", v.name, &v.bytes));
    let invalid = invalid().iter().map(|v| ("invalid", v.name, &v.bytes));
    let all = canonical.chain(accepted).chain(invalid);
    all.map(|(kind, name, bytes)| (file_name(&format!("{kind} {name}")), bytes.clone()))
        .collect()
}

/// The same without the Remaining Length.
fn bodies() -> Vec<Seed> {
    let mut seeds = packets();
    seeds.retain_mut(|(_, bytes)| {
        let length = bytes.iter().skip(1).position(|byte| *byte < 0x80);
        length.is_some_and(|last| bytes.drain(1..last + 2).count() > 0)
    });
    seeds
}

/// Each packet behind a chunk list, read as from the side that sends it; and all of them together.
fn streams() -> Vec<Seed> {
    const CUTS: [u8; 4] = [3, 0, 1, 6];

    let mut seeds = Vec::new();
    for (role, how) in [(Role::Client, 0_u8), (Role::Server, 1)] {
        let sent = vectors().iter().filter(|v| {
            let mut decodings = v.sender.decodings();
            decodings.any(|decoding| decoding.from == role)
        });
        let sent: Vec<_> = sent.map(|v| (v.name, &v.bytes[..])).collect();
        let mut groups: Vec<_> = sent
            .iter()
            .map(|(name, bytes)| (file_name(name), bytes.to_vec()))
            .collect();
        for (n, group) in sent.chunks(6).enumerate() {
            let bytes: Vec<_> = group.iter().map(|(_, bytes)| *bytes).collect();
            groups.push((format!("group-{n}"), bytes.concat()));
        }
        for (name, bytes) in groups {
            // A CONNACK is what a machine that is connecting waits for.
            let connecting = u8::from(name.contains("connack")) << 2;
            let seed = [&[how | connecting], &CUTS[..], &bytes].concat();
            seeds.push((format!("{name}-{role:?}").to_lowercase(), seed));
        }
    }
    seeds
}

/// Bytes of vectors as what packets are made of: any bytes will do.
fn ingredients() -> Vec<Seed> {
    let some = vectors().iter().step_by(3);
    some.map(|v| (file_name(v.name), v.bytes.repeat(64 / v.bytes.len() + 1)))
        .collect()
}

/// Bytes of vectors as what happens to a machine, of each kind.
fn happenings() -> Vec<Seed> {
    let some = vectors().iter().step_by(11);
    let kinds = some.flat_map(|v| (0..9).map(move |kind| (v, kind)));
    kinds
        .map(|(v, kind)| {
            let bytes = v.bytes.repeat(96 / v.bytes.len() + 1);
            let seed = [&[kind], &bytes[..]].concat();
            (format!("{}-{kind}", file_name(v.name)), seed)
        })
        .collect()
}

/// Every filter and every topic of the vectors, and the examples of section 4.7.
fn topics() -> Vec<Seed> {
    let mut names = vec![
        "sport/tennis/player1",
        "/finance",
        "$SYS/monitor/Clients",
        "a//b",
    ];
    let mut filters = vec![
        "sport/tennis/player1/#",
        "sport/+",
        "+/+",
        "#",
        "$SYS/#",
        "+/monitor/+",
    ];
    for vector in vectors() {
        match &vector.packet {
            Packet::Publish(publish) => names.extend(publish.topic.map(TopicName::as_str)),
            Packet::Subscribe(Subscribe { filters: list, .. }) => {
                filters.extend(list.iter().map(|filter| filter.filter.as_str()));
            }
            Packet::Unsubscribe(Unsubscribe { filters: list, .. }) => {
                filters.extend(list.iter().map(TopicFilter::as_str));
            }
            _ => {}
        }
    }
    let both = names.iter().cycle().zip(&filters);
    let rest = names.iter().map(|name| (name, name));
    let pairs = both
        .chain(rest)
        .map(|(name, filter)| format!("{filter}\n{name}"));
    let seed = |(n, text): (usize, String)| (format!("pair-{n}"), text.into_bytes());
    pairs.enumerate().map(seed).collect()
}

fn file_name(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}
