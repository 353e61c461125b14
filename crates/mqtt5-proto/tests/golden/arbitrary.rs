//! Strategies for packets.

use mqtt5_proto::{Place, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::golden::recipe::{
    LEVELS, PREFIXES, filter_of, identifiers, packet_types, sent_by, together, topic_of,
};
pub(crate) use crate::golden::recipe::{OwnedProperty, Recipe};

/// Any packet from any side.
pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    select(vec![Role::Client, Role::Server]).prop_flat_map(recipe_from)
}

/// Some packets from one side.
pub(crate) fn packets_from() -> impl Strategy<Value = Vec<Recipe>> {
    select(vec![Role::Client, Role::Server]).prop_flat_map(|from| vec(recipe_from(from), 1..8))
}

fn recipe_from(from: Role) -> impl Strategy<Value = Recipe> {
    select(packet_types(from)).prop_flat_map(move |packet_type| {
        let words = (texts(), texts(), topic(), data(), data());
        let lists = (
            properties(Place::Packet(packet_type)),
            properties(Place::Will),
            vec((filter(), any::<u8>()), 1..5),
            vec(any::<u16>(), 1..9),
        );
        (any::<u32>(), [1..=u16::MAX, 0..=u16::MAX], words, lists).prop_map(
            move |(bits, numbers, (a, b, topic, c, d), (list, will, filters, reasons))| Recipe {
                from,
                packet_type,
                bits,
                numbers,
                texts: [a, b],
                topic,
                data: [c, d],
                properties: sent_by(from, packet_type, list),
                will_properties: will,
                filters,
                reasons,
            },
        )
    })
}

/// Properties that `place` may carry together.
pub(crate) fn properties(place: Place) -> impl Strategy<Value = Vec<OwnedProperty>> {
    let mut identifiers = identifiers(place);
    if identifiers.is_empty() {
        identifiers.push(0); // a ping; taken out below
    }
    let numbers = prop_oneof![
        select(vec![
            1,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            268_435_455,
            u32::MAX
        ]),
        any::<u32>(),
    ];
    let one = (select(identifiers), numbers, texts(), texts(), data()).prop_map(
        |(identifier, number, name, text, data)| OwnedProperty {
            identifier,
            number,
            name,
            text,
            data,
        },
    );
    vec(one, 0..8).prop_map(move |list| together(place, list))
}

/// Text of any characters but U+0000, sometimes long.
fn texts() -> impl Strategy<Value = String> {
    let character = any::<char>().prop_map(|c| if c == '\0' { '\u{FEFF}' } else { c });
    let short = vec(character.clone(), 0..6).prop_map(String::from_iter);
    let long = (
        character,
        select(vec![31_usize, 32, 63, 64, 127, 128, 255, 4_096]),
    );
    prop_oneof![
        9 => short,
        1 => long.prop_map(|(character, count)| character.to_string().repeat(count)),
    ]
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..8),
        1 => (any::<u8>(), 120..140_usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn topic() -> impl Strategy<Value = String> {
    texts().prop_map(|text| topic_of(&text))
}

fn filter() -> impl Strategy<Value = String> {
    let levels = vec(select(&LEVELS[..]), 1..4);
    let prefix = select(&PREFIXES[..]);
    (prefix, levels, any::<bool>()).prop_map(|(prefix, levels, all)| filter_of(prefix, levels, all))
}
