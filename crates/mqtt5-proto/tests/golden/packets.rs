//! What the bytes of `vectors.txt` stand for.

use Property::{
    AssignedClientIdentifier, AuthenticationData, AuthenticationMethod, ContentType,
    CorrelationData, MaximumPacketSize, MaximumQoS, MessageExpiryInterval, PayloadFormatIndicator,
    ReasonString, ReceiveMaximum, RequestProblemInformation, RequestResponseInformation,
    ResponseInformation, ResponseTopic, RetainAvailable, ServerKeepAlive, ServerReference,
    SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifier,
    SubscriptionIdentifierAvailable, TopicAlias, TopicAliasMaximum, UserProperty,
    WildcardSubscriptionAvailable, WillDelayInterval,
};
use mqtt5_proto::packet::{
    Acknowledgement, Auth, Connack, Connect, Delivery, Disconnect, List, Publish, Subscribe,
    SubscribeAcknowledgement, SubscribeFilter, Unsubscribe, Will,
};
use mqtt5_proto::{
    Packet, PacketId, Properties, Property, QoS, ReasonCode, RetainHandling, TopicFilter, TopicName,
};

type Named = (&'static str, Packet<'static>);
type PropertyList = &'static [Property<'static>];

/// Every packet with the name of its bytes.
pub(super) fn packets() -> Vec<Named> {
    [
        connect(),
        connack(),
        publish(),
        publish_lengths(),
        acknowledgements(),
        subscribe(),
        unsubscribe(),
        others(),
    ]
    .concat()
}

const TWO_USERS: PropertyList = &[UserProperty("k", "1"), UserProperty("k", "2")];
const WHY: PropertyList = &[
    ReasonString("why"),
    UserProperty("k", "1"),
    UserProperty("k", "2"),
];
const METHOD: PropertyList = &[AuthenticationMethod("m")];

fn connect() -> Vec<Named> {
    let base = Connect {
        clean_start: true,
        keep_alive: 60,
        client_id: "c",
        will: None,
        username: None,
        password: None,
        properties: Properties::EMPTY,
    };
    let will = Will {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: topic("w"),
        payload: b"",
        properties: Properties::EMPTY,
    };
    let all = [
        (
            "connect-minimal",
            Connect {
                keep_alive: 0,
                client_id: "",
                ..base
            },
        ),
        (
            "connect-resume",
            Connect {
                clean_start: false,
                keep_alive: 65_535,
                ..base
            },
        ),
        (
            "connect-figure-3-6",
            Connect {
                keep_alive: 10,
                client_id: "c1",
                will: Some(Will {
                    qos: QoS::AtLeastOnce,
                    payload: b"bye",
                    ..will
                }),
                username: Some("u"),
                password: Some(b"p"),
                properties: properties(&[SessionExpiryInterval(10)]),
                ..base
            },
        ),
        (
            "connect-user-name-only",
            Connect {
                username: Some(""),
                ..base
            },
        ),
        (
            "connect-password-only",
            Connect {
                password: Some(b"\x00\xFF\xFE\x00"),
                ..base
            },
        ),
        (
            "connect-will-minimal",
            Connect {
                clean_start: false,
                will: Some(will),
                ..base
            },
        ),
        (
            "connect-will-qos2-retain",
            Connect {
                will: Some(Will {
                    qos: QoS::ExactlyOnce,
                    retain: true,
                    topic: topic("a/b"),
                    payload: b"\x00\xFF",
                    properties: properties(&[WillDelayInterval(u32::MAX)]),
                }),
                ..base
            },
        ),
        (
            "connect-utf8",
            Connect {
                keep_alive: 0,
                client_id: "A\u{2A6D4}",
                username: Some("\u{FEFF}"),
                properties: properties(&[UserProperty("\u{FEFF}k", "\u{1}\u{7F}\u{85}\u{FFFF}")]),
                ..base
            },
        ),
        (
            "connect-maximal",
            Connect {
                keep_alive: 30,
                client_id: "client-1",
                will: Some(Will {
                    qos: QoS::ExactlyOnce,
                    retain: true,
                    topic: topic("will/topic"),
                    payload: b"gone",
                    properties: properties(&[
                        PayloadFormatIndicator(1),
                        MessageExpiryInterval(60),
                        ContentType("text/plain"),
                        ResponseTopic("reply/to"),
                        CorrelationData(b"\xC3\x28"),
                        WillDelayInterval(5),
                        UserProperty("w", "1"),
                        UserProperty("w", "1"),
                    ]),
                }),
                username: Some("user"),
                password: Some(b"pass"),
                properties: properties(&[
                    SessionExpiryInterval(u32::MAX),
                    AuthenticationMethod("SCRAM-SHA-1"),
                    AuthenticationData(b"\x01\x02\xFF"),
                    RequestProblemInformation(false),
                    RequestResponseInformation(true),
                    ReceiveMaximum(65_535),
                    TopicAliasMaximum(10),
                    UserProperty("k", "1"),
                    UserProperty("k", "2"),
                    UserProperty("", ""),
                    MaximumPacketSize(u32::MAX),
                ]),
                ..base
            },
        ),
    ];
    all.map(|(name, packet)| (name, Packet::Connect(packet)))
        .to_vec()
}

fn connack() -> Vec<Named> {
    let all: [(_, _, _, PropertyList); 6] = [
        ("connack-accepted", false, 0x00, &[]),
        ("connack-session-present", true, 0x00, &[]),
        ("connack-refused", false, 0x87, &[ReasonString("no")]),
        (
            "connack-redirect",
            false,
            0x9D,
            &[ServerReference("a.example:1883 [::1]:1883")],
        ),
        (
            "connack-limits",
            false,
            0x00,
            &[
                SessionExpiryInterval(0),
                ServerKeepAlive(0),
                ReceiveMaximum(1),
                TopicAliasMaximum(0),
                MaximumQoS(0),
                MaximumPacketSize(1),
            ],
        ),
        (
            "connack-maximal",
            true,
            0x00,
            &[
                SessionExpiryInterval(3_600),
                AssignedClientIdentifier("assigned"),
                ServerKeepAlive(60),
                AuthenticationMethod("SCRAM-SHA-1"),
                AuthenticationData(b"\x00\xFF"),
                ResponseInformation("resp/"),
                ServerReference("b.example"),
                ReasonString("fine"),
                ReceiveMaximum(20),
                TopicAliasMaximum(8),
                MaximumQoS(1),
                RetainAvailable(true),
                UserProperty("k", "1"),
                UserProperty("k", "2"),
                MaximumPacketSize(65_536),
                WildcardSubscriptionAvailable(true),
                SubscriptionIdentifierAvailable(false),
                SharedSubscriptionAvailable(false),
            ],
        ),
    ];
    all.map(|(name, session_present, reason, list)| {
        let connack = Connack {
            session_present,
            reason: ReasonCode::from(reason),
            properties: properties(list),
        };
        (name, Packet::Connack(connack))
    })
    .to_vec()
}

fn publish() -> Vec<Named> {
    let qos0 = Delivery::AtMostOnce;
    let qos1 = |number, dup| Delivery::AtLeastOnce {
        id: id(number),
        dup,
    };
    let qos2 = |number, dup| Delivery::ExactlyOnce {
        id: id(number),
        dup,
    };
    let all: [(_, _, _, _, PropertyList, &'static [u8]); 14] = [
        ("publish-minimal", qos0, false, "a", &[], b""),
        (
            "publish-figure-3-9",
            qos1(10, false),
            false,
            "a/b",
            &[],
            b"",
        ),
        ("publish-retain", qos0, true, "a/b", &[], b"22.5"),
        (
            "publish-qos1-dup",
            qos1(65_535, true),
            false,
            "a/b",
            &[],
            b"\0",
        ),
        ("publish-qos2", qos2(1, false), false, "a/b", &[], b"x"),
        (
            "publish-qos2-dup-retain",
            qos2(0x1234, true),
            true,
            "a/b",
            &[],
            b"x",
        ),
        (
            "publish-alias-set",
            qos0,
            false,
            "/",
            &[TopicAlias(1)],
            b"x",
        ),
        (
            "publish-alias-only",
            qos1(2, false),
            false,
            "",
            &[TopicAlias(65_535)],
            b"",
        ),
        (
            "publish-system-topic",
            qos0,
            false,
            "$SYS/broker/é",
            &[],
            b"",
        ),
        ("publish-share-topic", qos0, false, "$share/g/t", &[], b""),
        (
            "publish-no-text",
            qos0,
            false,
            "a",
            leak(vec![
                CorrelationData(b"\xC3"),
                UserProperty("é€", "\u{1F680}"),
                ContentType(repeat("a", 128)),
            ]),
            b"",
        ),
        (
            "publish-subscription-identifiers",
            qos0,
            false,
            "a",
            &[
                SubscriptionIdentifier(1),
                SubscriptionIdentifier(127),
                SubscriptionIdentifier(128),
                SubscriptionIdentifier(16_383),
                SubscriptionIdentifier(16_384),
                SubscriptionIdentifier(2_097_151),
                SubscriptionIdentifier(2_097_152),
                SubscriptionIdentifier(268_435_455),
                SubscriptionIdentifier(1),
            ],
            b"",
        ),
        (
            "publish-maximal-client",
            qos2(7, true),
            true,
            "sensors/1",
            &[
                PayloadFormatIndicator(1),
                MessageExpiryInterval(10),
                ContentType("text/plain"),
                ResponseTopic("reply"),
                CorrelationData(b"\x01\xFF\x00"),
                TopicAlias(3),
                UserProperty("k", "1"),
                UserProperty("k", "1"),
                UserProperty("a", ""),
            ],
            b"22.5",
        ),
        (
            "publish-maximal-server",
            qos1(7, false),
            true,
            "sensors/1",
            &[
                UserProperty("k", "2"),
                TopicAlias(3),
                SubscriptionIdentifier(42),
                CorrelationData(b""),
                ResponseTopic("r"),
                UserProperty("k", "1"),
                ContentType(""),
                MessageExpiryInterval(u32::MAX),
                SubscriptionIdentifier(256),
                PayloadFormatIndicator(0),
            ],
            b"22.5",
        ),
    ];
    all.map(|(name, delivery, retain, topic_name, list, payload)| {
        let publish = Publish {
            delivery,
            retain,
            topic: (!topic_name.is_empty()).then(|| topic(topic_name)),
            properties: properties(list),
            payload,
        };
        (name, Packet::Publish(publish))
    })
    .to_vec()
}

/// PUBLISH around the limits of lengths.
fn publish_lengths() -> Vec<Named> {
    let longest = repeat("/", 65_535);
    let pair = UserProperty(repeat("k", 65_535), repeat("v", 65_535));
    let correlation = CorrelationData(leak(vec![0; 125]));
    let all: [(_, _, PropertyList, _); 7] = [
        ("publish-length-127", "a", &[], 123),
        ("publish-length-128", "a", &[], 124),
        ("publish-length-16383", "a", &[], 16_379),
        ("publish-length-16384", "a", &[], 16_380),
        ("publish-longest-topic", longest, &[], 0),
        ("publish-longest-user-property", "a", leak(vec![pair]), 0),
        (
            "publish-property-length-128",
            "a",
            leak(vec![correlation]),
            0,
        ),
    ];
    all.map(|(name, topic_name, list, length)| {
        let publish = Publish {
            delivery: Delivery::AtMostOnce,
            retain: false,
            topic: Some(topic(topic_name)),
            properties: properties(list),
            payload: repeat("a", length).as_bytes(),
        };
        (name, Packet::Publish(publish))
    })
    .to_vec()
}

fn acknowledgements() -> Vec<Named> {
    type Wrap = fn(Acknowledgement<'static>) -> Packet<'static>;
    let all: [(_, Wrap, _, _, PropertyList); 13] = [
        ("puback-minimal", Packet::Puback, 10, 0x00, &[]),
        ("puback-reason", Packet::Puback, 10, 0x10, &[]),
        ("puback-maximal", Packet::Puback, 65_535, 0x99, WHY),
        (
            "puback-success-with-property",
            Packet::Puback,
            1,
            0x00,
            &[UserProperty("k", "")],
        ),
        ("pubrec-minimal", Packet::Pubrec, 1, 0x00, &[]),
        ("pubrec-reason", Packet::Pubrec, 1, 0x97, &[]),
        (
            "pubrec-maximal",
            Packet::Pubrec,
            1,
            0x83,
            &[
                UserProperty("k", "1"),
                ReasonString(""),
                UserProperty("k", "1"),
            ],
        ),
        ("pubrel-minimal", Packet::Pubrel, 1, 0x00, &[]),
        ("pubrel-reason", Packet::Pubrel, 1, 0x92, &[]),
        ("pubrel-maximal", Packet::Pubrel, 1, 0x92, WHY),
        ("pubcomp-minimal", Packet::Pubcomp, 1, 0x00, &[]),
        ("pubcomp-reason", Packet::Pubcomp, 1, 0x92, &[]),
        ("pubcomp-maximal", Packet::Pubcomp, 1, 0x00, WHY),
    ];
    all.map(|(name, wrap, number, reason, list)| {
        let body = Acknowledgement {
            packet_id: id(number),
            reason: ReasonCode::from(reason),
            properties: properties(list),
        };
        (name, wrap(body))
    })
    .to_vec()
}

fn subscribe() -> Vec<Named> {
    use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
    use RetainHandling::{DoNotSend, SendAtSubscribe, SendAtSubscribeIfNew};
    let plain = |text, qos| option(text, qos, false, false, SendAtSubscribe);
    let all: [(_, _, PropertyList, _); 4] = [
        ("subscribe-minimal", 1, &[], vec![plain("#", AtMostOnce)]),
        (
            "subscribe-figure-3-21",
            10,
            &[],
            vec![plain("a/b", AtLeastOnce), plain("c/d", ExactlyOnce)],
        ),
        (
            "subscribe-options",
            2,
            &[],
            vec![
                option("+/tennis/#", AtMostOnce, true, false, SendAtSubscribe),
                option("/", AtLeastOnce, false, true, SendAtSubscribe),
                option(
                    "$share/group/+",
                    ExactlyOnce,
                    false,
                    false,
                    SendAtSubscribeIfNew,
                ),
                option("$share/g//finance", AtMostOnce, false, true, DoNotSend),
                option("$SYS/#", ExactlyOnce, true, true, DoNotSend),
            ],
        ),
        (
            "subscribe-maximal",
            65_535,
            &[
                SubscriptionIdentifier(268_435_455),
                UserProperty("k", "1"),
                UserProperty("k", "2"),
            ],
            vec![option("a/+/€/#", ExactlyOnce, true, true, DoNotSend)],
        ),
    ];
    let acknowledged: [(_, _, PropertyList, &[u8]); 3] = [
        ("suback-minimal", 1, &[], &[0x00]),
        (
            "suback-all-reasons",
            2,
            &[],
            &[
                0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
            ],
        ),
        (
            "suback-maximal",
            2,
            &[
                ReasonString("why"),
                UserProperty("k", "1"),
                UserProperty("k", "1"),
            ],
            &[0x02, 0x80],
        ),
    ];
    let subscribes = all.map(|(name, number, list, filters)| {
        let subscribe = Subscribe {
            packet_id: id(number),
            properties: properties(list),
            filters: List::from(leak(filters)),
        };
        (name, Packet::Subscribe(subscribe))
    });
    let subacks = acknowledged.map(|(name, number, list, reasons)| {
        (name, Packet::Suback(reasons_for(number, list, reasons)))
    });
    [subscribes.to_vec(), subacks.to_vec()].concat()
}

fn unsubscribe() -> Vec<Named> {
    let all: [(_, _, PropertyList, &[&'static str]); 3] = [
        ("unsubscribe-minimal", 1, &[], &["a"]),
        ("unsubscribe-figure-3-30", 10, &[], &["a/b", "c/d"]),
        (
            "unsubscribe-maximal",
            65_535,
            TWO_USERS,
            &["$share/g/a/#", "+"],
        ),
    ];
    let acknowledged: [(_, _, PropertyList, &[u8]); 3] = [
        ("unsuback-minimal", 1, &[], &[0x00]),
        (
            "unsuback-all-reasons",
            2,
            &[],
            &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
        ),
        ("unsuback-maximal", 2, WHY, &[0x11]),
    ];
    let unsubscribes = all.map(|(name, number, list, filters)| {
        let unsubscribe = Unsubscribe {
            packet_id: id(number),
            properties: properties(list),
            filters: List::from(leak(filters.iter().copied().map(filter).collect())),
        };
        (name, Packet::Unsubscribe(unsubscribe))
    });
    let unsubacks = acknowledged.map(|(name, number, list, reasons)| {
        (name, Packet::Unsuback(reasons_for(number, list, reasons)))
    });
    [unsubscribes.to_vec(), unsubacks.to_vec()].concat()
}

fn others() -> Vec<Named> {
    let disconnects: [(_, _, PropertyList); 6] = [
        ("disconnect-minimal", 0x00, &[]),
        ("disconnect-with-will", 0x04, &[]),
        ("disconnect-reason", 0x8B, &[]),
        ("disconnect-figure-3-24", 0x00, &[SessionExpiryInterval(0)]),
        (
            "disconnect-maximal-client",
            0x04,
            &[
                SessionExpiryInterval(3_600),
                ReasonString("bye"),
                UserProperty("k", "1"),
                UserProperty("k", "2"),
            ],
        ),
        (
            "disconnect-maximal-server",
            0x9C,
            &[
                ServerReference("c.example"),
                ReasonString("why"),
                UserProperty("k", "1"),
                UserProperty("k", "2"),
            ],
        ),
    ];
    let auths: [(_, _, PropertyList); 5] = [
        ("auth-bare-success", 0x00, &[]),
        ("auth-continue", 0x18, METHOD),
        (
            "auth-reauthenticate",
            0x19,
            &[AuthenticationMethod("m"), AuthenticationData(b"")],
        ),
        ("auth-success", 0x00, METHOD),
        (
            "auth-maximal",
            0x18,
            &[
                AuthenticationMethod("SCRAM-SHA-1"),
                AuthenticationData(b"\xDE\xAD\xBE\xEF"),
                ReasonString("step 2"),
                UserProperty("k", "1"),
                UserProperty("k", "2"),
            ],
        ),
    ];
    let disconnects = disconnects.map(|(name, reason, list)| {
        let reason = ReasonCode::from(reason);
        let properties = properties(list);
        (name, Packet::Disconnect(Disconnect { reason, properties }))
    });
    let auths = auths.map(|(name, reason, list)| {
        let reason = ReasonCode::from(reason);
        let properties = properties(list);
        (name, Packet::Auth(Auth { reason, properties }))
    });
    let pings = vec![("pingreq", Packet::Pingreq), ("pingresp", Packet::Pingresp)];
    [disconnects.to_vec(), auths.to_vec(), pings].concat()
}

fn reasons_for(
    number: u16,
    list: PropertyList,
    reasons: &[u8],
) -> SubscribeAcknowledgement<'static> {
    SubscribeAcknowledgement {
        packet_id: id(number),
        properties: properties(list),
        reasons: List::from(leak(
            reasons.iter().copied().map(ReasonCode::from).collect(),
        )),
    }
}

fn option(
    text: &'static str,
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: RetainHandling,
) -> SubscribeFilter<'static> {
    SubscribeFilter {
        filter: filter(text),
        qos,
        no_local,
        retain_as_published,
        retain_handling,
    }
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

fn topic(text: &'static str) -> TopicName<'static> {
    TopicName::new(text).expect("a topic name")
}

fn filter(text: &'static str) -> TopicFilter<'static> {
    TopicFilter::new(text).expect("a topic filter")
}

fn properties(list: PropertyList) -> Properties<'static> {
    Properties::new(list).expect("properties that may be sent")
}

fn repeat(text: &str, count: usize) -> &'static str {
    Box::leak(text.repeat(count).into_boxed_str())
}

fn leak<T>(list: Vec<T>) -> &'static [T] {
    Box::leak(list.into_boxed_slice())
}
