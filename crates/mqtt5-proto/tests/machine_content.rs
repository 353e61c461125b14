//! Content that no publisher may send and servers forward all the same (1.5.4, 3.3.2.3.2, 3.3.2.3.5).

mod machine;

use mqtt5_proto::{Config, ContentPolicy, DisconnectCause, Property, ReasonCode, State, Violation};

use machine::packets::puback;
use machine::{Bed, Face, LIMITS, Told, every_storage};

every_storage!(
    by_default_everything_is_delivered,
    strict_ends_the_connection,
    strict_lets_everything_else_pass,
    what_no_policy_lets_pass,
    strict_looks_at_every_string_of_the_server,
    strict_looks_at_auth,
    strict_says_nothing_to_a_server_that_has_ended_it,
);

/// A QoS 1 PUBLISH with these properties.
fn publish(topic: &[u8], properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let body = [
        &[0, len(topic)],
        topic,
        &[0, 1, len(properties)],
        properties,
        payload,
    ]
    .concat();
    [&[0x32, len(&body)], &body[..]].concat()
}

/// A property with one string.
fn text(identifier: u8, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[identifier, 0, length], text.as_bytes()].concat()
}

/// A User Property.
fn pair(name: &str, value: &str) -> Vec<u8> {
    let mut pair = text(0x26, name);
    pair.extend_from_slice(&text(0, value)[1..]);
    pair
}

const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;

/// The first and last of each range of code points that strings should not include.
const DISCOURAGED: [char; 12] = [
    '\u{1}',
    '\u{1F}',
    '\u{7F}',
    '\u{9F}',
    '\u{FDD0}',
    '\u{FDEF}',
    '\u{FFFE}',
    '\u{FFFF}',
    '\u{1FFFE}',
    '\u{1FFFF}',
    '\u{10FFFE}',
    '\u{10FFFF}',
];

fn faulty() -> Vec<Vec<u8>> {
    let mut faulty = vec![
        publish(b"t", &[0x01, 1], b"\xFF"),
        publish(b"t", &[0x01, 1], b"ends in the middle \xC3"),
        publish(b"t", &[0x01, 1], b"\xED\xA0\x80"),
        publish(b"t", &[0x01, 2], b"x"),
        publish(b"t", &[0x01, 0xFF], b"x"),
    ];
    for topic in ["#", "+", "a/+/b", "a/#"] {
        faulty.push(publish(b"t", &text(RESPONSE_TOPIC, topic), b""));
    }
    for character in DISCOURAGED {
        let word = format!("a{character}");
        faulty.push(publish(word.as_bytes(), &[], b""));
        for properties in [
            text(CONTENT_TYPE, &word),
            text(RESPONSE_TOPIC, &word),
            pair(&word, "value"),
            pair("name", &word),
        ] {
            faulty.push(publish(b"t", &properties, b""));
        }
    }
    faulty
}

fn fine() -> Vec<Vec<u8>> {
    let mut fine = vec![
        publish(b"t", &[], b"\xFF"),
        publish(b"t", &[0x01, 0], b"\xFF"),
        publish(b"t", &[0x01, 1], "ä€😀\0\u{1}".as_bytes()),
        publish(b"t", &[0x01, 1], b""),
        publish("\u{FEFF}ä€😀".as_bytes(), &[], b""),
        // Correlation Data is binary.
        publish(b"t", &[0x09, 0, 2, 0xFF, 0x01], b""),
        // Expired already: only the receiver can know what to make of it.
        publish(b"t", &[0x02, 0, 0, 0, 0], b""),
    ];
    for character in [
        ' ',
        '~',
        '\u{A0}',
        '\u{FDCF}',
        '\u{FDF0}',
        '\u{FFFD}',
        '\u{10FFFD}',
    ] {
        let word = format!("a{character}");
        fine.push(publish(word.as_bytes(), &pair(&word, &word), b""));
    }
    fine
}

fn bed<F: Face>(content: ContentPolicy) -> Bed<F> {
    let mut config = Config::default();
    config.content = content;
    let mut bed = Bed::with(config);
    bed.open();
    bed.accept(&[]);
    bed
}

#[track_caller]
fn delivered<F: Face>(bed: &mut Bed<F>, packet: &[u8]) {
    bed.feed_bytes(packet);
    let told = bed.events();
    assert!(
        matches!(told[..], [Told::Message { .. }]),
        "{packet:02X?}: {told:?}"
    );
    bed.ack(told[0].token());
    bed.expect_sent(&[puback(1)]);
}

fn by_default_everything_is_delivered<F: Face>() {
    assert_eq!(Config::default().content, ContentPolicy::Deliver);
    let mut bed = Bed::<F>::connected();
    for packet in faulty().iter().chain(&fine()) {
        delivered(&mut bed, packet);
    }
}

fn strict_ends_the_connection<F: Face>() {
    for packet in faulty() {
        let mut bed = bed::<F>(ContentPolicy::Strict);
        bed.feed_bytes(&packet);
        let events = bed.events();
        assert!(events.is_empty(), "{packet:02X?}: {events:?}");
        bed.expect_end(Some(0x82), DisconnectCause::Violation(Violation::Content));
    }
}

fn strict_lets_everything_else_pass<F: Face>() {
    let mut bed = bed::<F>(ContentPolicy::Strict);
    for packet in fine() {
        delivered(&mut bed, &packet);
    }
}

/// The first byte of a packet, and what stands before its properties.
const CONNACK: (&[u8], &[u8]) = (b"\x20", b"\x00\x00");
const AUTH: (&[u8], &[u8]) = (b"\xF0", b"\x18");
const ANSWERS: [(&[u8], &[u8]); 4] = [
    (b"\x40", b"\x00\x07\x00"),
    (b"\x50", b"\x00\x07\x97"),
    (b"\x62", b"\x00\x07\x00"),
    (b"\x70", b"\x00\x07\x00"),
];
const SUBSCRIPTIONS: [(&[u8], &[u8]); 2] = [(b"\x90", b"\x00\x01"), (b"\xB0", b"\x00\x02")];

const REASON_STRING: u8 = 0x1F;
const SERVER_REFERENCE: u8 = 0x1C;

fn packet((first, head): (&[u8], &[u8]), properties: &[u8], tail: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    let body = [head, &[length], properties, tail].concat();
    [first, &[u8::try_from(body.len()).unwrap()], &body].concat()
}

/// The reason string and the user properties that every packet may have.
fn explanations(word: &str) -> Vec<Vec<u8>> {
    vec![
        text(REASON_STRING, word),
        pair(word, "value"),
        pair("name", word),
    ]
}

/// What a server sends, and whether it comes in answer to CONNECT.
fn with_texts(word: &str) -> Vec<(bool, Vec<u8>)> {
    let mut packets = Vec::new();
    let own = [0x12, 0x1A, SERVER_REFERENCE].map(|identifier| text(identifier, word));
    for properties in explanations(word).into_iter().chain(own) {
        packets.push((true, packet(CONNACK, &properties, b"")));
    }
    for properties in explanations(word) {
        for answer in ANSWERS {
            packets.push((false, packet(answer, &properties, b"")));
        }
        for answer in SUBSCRIPTIONS {
            packets.push((false, packet(answer, &properties, b"\x00")));
        }
    }
    packets
}

/// A bed that is connecting or connected, with a SUBSCRIBE and an UNSUBSCRIBE to be answered.
fn waiting<F: Face>(content: ContentPolicy, connecting: bool) -> Bed<F> {
    let mut config = Config::default();
    config.content = content;
    let mut bed = Bed::with(config);
    bed.open();
    if !connecting {
        bed.accept(&[]);
        bed.subscribe(&["a"]).unwrap();
        bed.unsubscribe(&["a"]).unwrap();
        bed.sent_bytes();
    }
    bed
}

/// 1.5.4, HB-12: control characters and non-characters end it only if that is asked for.
fn strict_looks_at_every_string_of_the_server<F: Face>() {
    for character in DISCOURAGED {
        for (connecting, bytes) in with_texts(&format!("a{character}")) {
            let mut bed = waiting::<F>(ContentPolicy::Deliver, connecting);
            bed.feed_bytes(&bytes);
            bed.events();
            assert_eq!(bed.client.state(), State::Connected, "{bytes:02X?}");

            let mut bed = waiting::<F>(ContentPolicy::Strict, connecting);
            bed.feed_bytes(&bytes);
            assert_eq!(bed.events(), [], "{bytes:02X?}");
            assert_eq!(bed.sent_bytes(), [0xE0, 1, 0x82], "{bytes:02X?}");
            bed.client.handle_closed(bed.now);
            let cause = DisconnectCause::Violation(Violation::Content);
            assert_eq!(bed.events()[0], Told::Disconnected(cause, "[]".into()));
        }
    }
    for (connecting, bytes) in with_texts("\u{FEFF}ä€😀\u{A0}") {
        let mut bed = waiting::<F>(ContentPolicy::Strict, connecting);
        bed.feed_bytes(&bytes);
        bed.events();
        assert_eq!(bed.client.state(), State::Connected, "{bytes:02X?}");
    }
}

/// AUTH, and an Authentication Method that is ours and that we should not have chosen.
fn strict_looks_at_auth<F: Face>() {
    let explained = [text(0x15, "m"), text(REASON_STRING, "a\u{1}")].concat();
    let method = text(0x15, "m\u{1}");
    for (ours, bytes) in [
        ("m", packet(AUTH, &explained, b"")),
        ("m\u{1}", packet(AUTH, &method, b"")),
        ("m\u{1}", packet(CONNACK, &method, b"")),
    ] {
        for content in [ContentPolicy::Deliver, ContentPolicy::Strict] {
            let mut config = Config::default();
            config.content = content;
            let mut bed = Bed::<F>::with(config);
            let list = [LIMITS[0], LIMITS[1], Property::AuthenticationMethod(ours)];
            bed.open_with(&list, 60);
            bed.feed_bytes(&bytes);
            if content == ContentPolicy::Strict {
                bed.expect_end(Some(0x82), DisconnectCause::Violation(Violation::Content));
            } else {
                assert_eq!(bed.events().len(), 1);
            }
        }
    }
}

/// D29: nothing is written; the server's code is quoted, its words are not.
fn strict_says_nothing_to_a_server_that_has_ended_it<F: Face>() {
    let own = text(SERVER_REFERENCE, "a\u{7F}");
    // In DISCONNECT the server may not send that either.
    let with_expiry = [&own[..], &[0x11, 0, 0, 0, 9]].concat();
    let blocks = explanations("a\u{7F}").into_iter();
    for properties in blocks.chain([own, with_expiry]) {
        for (connecting, head, code) in [
            (true, (&b"\x20"[..], &b"\x00\x9D"[..]), 0x9D),
            (true, (b"\xE0", b"\x8E"), 0x8E),
            (false, (b"\xE0", b"\x8E"), 0x8E),
        ] {
            let bytes = packet(head, &properties, b"");
            let mut bed = waiting::<F>(ContentPolicy::Strict, connecting);
            bed.feed_bytes(&bytes);
            assert_eq!(bed.events(), []);
            bed.expect_sent(&[]);
            assert!(bed.client.wants_close());
            bed.client.handle_closed(bed.now);
            let violation = Violation::ContentFromServer(ReasonCode::from(code));
            assert_eq!(violation.reason_code(), ReasonCode::PROTOCOL_ERROR);
            let cause = DisconnectCause::Violation(violation);
            assert_eq!(bed.events()[0], Told::Disconnected(cause, "[]".into()));
        }
    }
}

/// Strings that are no UTF-8, or contain U+0000 [MQTT-1.5.4-1], [MQTT-1.5.4-2], and topics with wildcards.
fn what_no_policy_lets_pass<F: Face>() {
    for content in [ContentPolicy::Deliver, ContentPolicy::Strict] {
        for bad in [
            &b"\xC0\xAF"[..],
            b"\xED\xA0\x80",
            b"\xF4\x90\x80\x80",
            b"\xE2\x82",
            b"\0",
        ] {
            let property = |identifier: u8| {
                let length = u8::try_from(bad.len()).unwrap();
                [&[identifier, 0, length], bad].concat()
            };
            let name = [&property(0x26)[..], &[0, 0]].concat();
            for packet in [
                publish(bad, &[], b""),
                publish(b"t", &property(CONTENT_TYPE), b""),
                publish(b"t", &property(RESPONSE_TOPIC), b""),
                publish(b"t", &name, b""),
            ] {
                let mut bed = bed::<F>(content);
                bed.feed_bytes(&packet);
                assert_eq!(bed.events(), [], "{packet:02X?}");
                assert_eq!(bed.sent_bytes(), [0xE0, 1, 0x81], "{packet:02X?}");
            }
        }
    }
}
