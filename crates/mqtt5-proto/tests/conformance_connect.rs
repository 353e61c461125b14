//! CONNECT: what its flags promise is in its payload, and nothing else is; and whose session it asks for (3.1).

mod machine;

use mqtt5_proto::packet::{Auth, Connect, Will};
use mqtt5_proto::{
    Authenticate, DisconnectCause, DisconnectReason, EncodeError, Packet, Properties, Property,
    QoS, ReasonCode, Refused, State, TopicError, TopicName, Violation,
};

use machine::packets::{again, connack, disconnect, encode, publish, pubrec};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, secs};

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

every_storage!(
    the_payload_is_what_the_flags_say,
    strings_without_nul,
    a_client_identifier_may_be_long,
    a_will_that_is_said_to_be_text_is_text,
    data_needs_a_method,
    clean_start_discards_the_session,
    another_client_identifier_is_another_session,
    an_assigned_identifier_names_the_session,
    a_refused_client_leaves_the_session_of_the_other,
    nothing_but_auth_before_connack,
    nothing_but_disconnect_before_connack,
    information_that_was_not_asked_for_is_told,
);

/// Reads the fields of a packet, whoever wrote it.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// What a length of two bytes stands before.
    fn prefixed(&mut self) -> &'a [u8] {
        let length = self.take(2);
        self.take(usize::from(u16::from_be_bytes([length[0], length[1]])))
    }
}

fn connects() -> impl Iterator<Item = Connect<'static>> {
    let wills = [AtMostOnce, AtLeastOnce, ExactlyOnce]
        .into_iter()
        .flat_map(|qos| {
            [false, true].map(|retain| {
                Some(Will {
                    qos,
                    retain,
                    ..Will::new(TopicName::new("w/t").unwrap(), b"gone")
                })
            })
        });
    let wills: Vec<_> = wills.chain([None]).collect();
    wills.into_iter().flat_map(|will| {
        [None, Some("user")].into_iter().flat_map(move |username| {
            [None, Some(&b"pass"[..])]
                .into_iter()
                .flat_map(move |password| {
                    [false, true].map(|clean_start| Connect {
                        clean_start,
                        will,
                        username,
                        password,
                        ..Connect::new("me")
                    })
                })
        })
    })
}

/// [MQTT-3.1.2-1], [MQTT-3.1.2-3], [MQTT-3.1.2-9], [MQTT-3.1.2-11] to [MQTT-3.1.2-13], [MQTT-3.1.2-16] to
/// [MQTT-3.1.2-19], [MQTT-3.1.3-1], [MQTT-3.1.3-3]: for every combination of flags, in the order of 3.1.3.
fn the_payload_is_what_the_flags_say<F: Face>() {
    let mut count = 0;
    for template in connects() {
        let connect = Connect {
            properties: Properties::new(&LIMITS).unwrap(),
            ..template
        };
        let mut bed = Bed::<F>::new();
        bed.client.connect(bed.now, &connect).unwrap();
        let bytes = bed.sent_bytes();
        let mut fields = Fields(&bytes);
        assert_eq!(fields.byte(), 0x10);
        assert_eq!(usize::from(fields.byte()), bytes.len() - 2);
        assert_eq!(fields.take(7), b"\x00\x04MQTT\x05");
        let flags = fields.byte();
        let will_flags = connect.will.map_or(0, |will| {
            0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5
        });
        let expected = u8::from(connect.clean_start) << 1
            | will_flags
            | u8::from(connect.password.is_some()) << 6
            | u8::from(connect.username.is_some()) << 7;
        assert_eq!(flags, expected, "{connect:?}");
        fields.take(2);
        let properties = usize::from(fields.byte());
        fields.take(properties);

        assert_eq!(fields.prefixed(), b"me");
        if flags & 0x04 != 0 {
            assert_eq!(fields.byte(), 0, "the length of the will's properties");
            assert_eq!(fields.prefixed(), b"w/t");
            assert_eq!(fields.prefixed(), b"gone");
        }
        if flags & 0x80 != 0 {
            assert_eq!(fields.prefixed(), b"user");
        }
        if flags & 0x40 != 0 {
            assert_eq!(fields.prefixed(), b"pass");
        }
        assert!(fields.0.is_empty(), "{connect:?}: {:02X?}", fields.0);
        count += 1;
    }
    assert_eq!(count, 7 * 2 * 2 * 2);
}

/// [MQTT-1.5.4-2], [MQTT-3.1.3-4], [MQTT-3.1.3-11], [MQTT-3.1.3-12]: no string leaves with U+0000 in it. That it is UTF-8
/// is its type's doing.
fn strings_without_nul<F: Face>() {
    let base = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    for bad in ["\0", "a\0", "\0a"] {
        for connect in [
            Connect {
                client_id: bad,
                ..base
            },
            Connect {
                username: Some(bad),
                ..base
            },
        ] {
            let mut bed = Bed::<F>::new();
            let refused = bed.client.connect(bed.now, &connect);
            assert_eq!(refused, Err(Refused::Encode(EncodeError::NulCharacter)));
            bed.expect_idle();
        }
        assert_eq!(TopicName::new(bad), Err(TopicError::NulCharacter));
        let list = [LIMITS[0], LIMITS[1], Property::AuthenticationMethod(bad)];
        assert_eq!(Properties::new(&list), Err(EncodeError::NulCharacter));
    }
}

/// [MQTT-3.1.3-5] is about servers; this client sends whatever it is given.
fn a_client_identifier_may_be_long<F: Face>() {
    for length in [1, 23, 24, 200] {
        let client_id = "é".repeat(length);
        let connect = Connect {
            properties: Properties::new(&LIMITS).unwrap(),
            ..Connect::new(&client_id)
        };
        let mut bed = Bed::<F>::new();
        bed.client.connect(bed.now, &connect).unwrap();
        bed.expect_sent(&[Packet::Connect(connect)]);
    }
}

/// 3.1.3.2.3: nothing is sent when it is not.
fn a_will_that_is_said_to_be_text_is_text<F: Face>() {
    for (indicator, payload, refused) in [
        (Some(1), &b"\xFF"[..], true),
        (Some(1), b"cut off \xC3", true),
        (Some(1), b"\xED\xA0\x80", true),
        (Some(1), "é\u{FEFF}".as_bytes(), false),
        (Some(1), b"", false),
        (Some(0), b"\xFF", false),
        (None, b"\xFF", false),
    ] {
        let list = indicator.map(Property::PayloadFormatIndicator);
        let connect = Connect {
            will: Some(Will {
                properties: Properties::new(list.as_slice()).unwrap(),
                ..Will::new(TopicName::new("w").unwrap(), payload)
            }),
            properties: Properties::new(&LIMITS).unwrap(),
            ..Connect::new("me")
        };
        let mut bed = Bed::<F>::new();
        let result = bed.client.connect(bed.now, &connect);
        if refused {
            assert_eq!(result, Err(Refused::Encode(EncodeError::PayloadNotText)));
            bed.expect_idle();
        } else {
            assert_eq!(result, Ok(()));
            bed.expect_sent(&[Packet::Connect(connect)]);
        }
    }
}

/// 3.1.2.11.10. T117.
fn data_needs_a_method<F: Face>() {
    let list = [LIMITS[0], LIMITS[1], Property::AuthenticationData(b"x")];
    let mut bed = Bed::<F>::new();
    let connect = Connect {
        properties: Properties::new(&list).unwrap(),
        ..Connect::new("me")
    };
    let refused = bed.client.connect(bed.now, &connect);
    let error = EncodeError::AuthenticationDataWithoutMethod;
    assert_eq!(refused, Err(Refused::Encode(error)));
    bed.expect_idle();
}

/// [MQTT-3.1.2-4]: what both sides knew of the session is gone, the identifiers of messages included.
fn clean_start_discards_the_session<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let released = bed.publish(ExactlyOnce, "released").unwrap();
    let sent = bed.publish(ExactlyOnce, "sent").unwrap();
    bed.sent_bytes();
    bed.tell(&pubrec(1));
    let token = bed.token(&publish(ExactlyOnce, 7, "held"));
    bed.ack(token);
    bed.sent_bytes();
    assert_eq!(bed.lose(), []);

    bed.reopen_with(true, 3_600);
    bed.connack(false, &[]);
    let events = bed.events();
    let ends = [released, sent].map(|op| Told::Completed(op, End::Unknown));
    for end in &ends {
        assert!(events.contains(end), "{events:?}");
    }
    bed.expect_sent(&[]);
    bed.expect_empty();
    // Known by its identifier before, this is a new message now, whatever DUP says.
    let new = bed.token(&again(ExactlyOnce, 7, "new"));
    assert_ne!(new, token);
}

/// A CONNECT that asks for the session of a Client Identifier.
fn connect_as<F: Face>(bed: &mut Bed<F>, client_id: &str) {
    let list = [LIMITS[0], LIMITS[1], Property::SessionExpiryInterval(100)];
    let connect = Connect {
        clean_start: false,
        properties: Properties::new(&list).unwrap(),
        ..Connect::new(client_id)
    };
    bed.client.connect(bed.now, &connect).unwrap();
    bed.expect_sent(&[Packet::Connect(connect)]);
}

#[track_caller]
fn expect_unexpected_session<F: Face>(bed: &mut Bed<F>) {
    assert_eq!(bed.events(), []);
    assert_eq!(bed.client.state(), State::Closing);
    bed.expect_sent(&[disconnect(0x82)]);
    bed.client.handle_closed(bed.now);
    let cause = DisconnectCause::Violation(Violation::UnexpectedSessionPresent);
    assert_eq!(bed.events()[0], Told::Disconnected(cause, "[]".into()));
}

/// [MQTT-3.1.3-2], [MQTT-3.2.2-4]: state of one session never reaches another.
fn another_client_identifier_is_another_session<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    let op = bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    bed.lose();
    connect_as(&mut bed, "another");
    bed.connack(true, &[]);
    expect_unexpected_session(&mut bed);

    connect_as(&mut bed, "another");
    bed.connack(false, &[]);
    let events = bed.events();
    assert_eq!(events[1..], [Told::Completed(op, End::Unknown)]);
    bed.expect_sent(&[]);
    bed.lose();
    // Now this is the session that there is.
    connect_as(&mut bed, "another");
    bed.connack(true, &[]);
    assert_eq!(bed.events().len(), 1);
    assert_eq!(bed.client.state(), State::Connected);
}

/// [MQTT-3.1.3-7], [MQTT-3.2.2-16]: the identifier is told; with it, and only with it, the session is found again.
fn an_assigned_identifier_names_the_session<F: Face>() {
    for (asked, resumed) in [("chosen", true), ("", false), ("chosem", false)] {
        let mut bed = Bed::<F>::keeping();
        bed.lose();
        connect_as(&mut bed, "");
        bed.connack(false, &[Property::AssignedClientIdentifier("chosen")]);
        let properties = r#"[AssignedClientIdentifier("chosen")]"#.into();
        let session_present = false;
        let connected = Told::Connected {
            session_present,
            properties,
        };
        assert_eq!(bed.events(), [connected]);
        bed.publish(AtLeastOnce, "x").unwrap();
        bed.sent_bytes();
        bed.lose();

        connect_as(&mut bed, asked);
        let assigned = [Property::AssignedClientIdentifier("chosen2")];
        let list = if asked.is_empty() { &assigned[..] } else { &[] };
        bed.connack(true, list);
        if resumed {
            assert_eq!(bed.events().len(), 1);
            bed.expect_sent(&[again(AtLeastOnce, 1, "x")]);
        } else {
            expect_unexpected_session(&mut bed);
        }
    }
}

/// E16 for two: the server said nothing of the first one's session.
fn a_refused_client_leaves_the_session_of_the_other<F: Face>() {
    let mut bed = Bed::<F>::keeping();
    bed.publish(ExactlyOnce, "x").unwrap();
    bed.sent_bytes();
    bed.lose();
    connect_as(&mut bed, "another");
    assert_eq!(bed.tell(&connack(0x85, Properties::EMPTY)), []);
    assert!(bed.client.wants_close());
    assert_eq!(bed.lose(), []);
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[again(ExactlyOnce, 1, "x")]);
}

/// CONNECT names a method.
fn authenticating<F: Face>() -> Bed<F> {
    let list = [LIMITS[0], LIMITS[1], Property::AuthenticationMethod("m")];
    let mut bed = Bed::<F>::new();
    bed.open_with(&list, 1);
    bed
}

fn auth<'a>(list: &'a [Property<'a>]) -> Packet<'a> {
    Packet::Auth(Auth {
        reason: ReasonCode::CONTINUE_AUTHENTICATION,
        properties: Properties::new(list).unwrap(),
    })
}

/// [MQTT-3.1.2-30]: whatever is asked for, and although the Keep Alive of one second is long over.
fn nothing_but_auth_before_connack<F: Face>() {
    let mut bed = authenticating::<F>();
    let list = [
        Property::AuthenticationMethod("m"),
        Property::AuthenticationData(b"x"),
    ];
    for _ in 0..3 {
        bed.feed(&auth(&list));
        assert!(matches!(bed.events()[..], [Told::Challenge(..)]));
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            assert_eq!(bed.publish(qos, "x"), Err(Refused::NotConnected));
        }
        assert_eq!(bed.subscribe(&["a"]), Err(Refused::NotConnected));
        assert_eq!(bed.unsubscribe(&["a"]), Err(Refused::NotConnected));
        let again = bed.client.reauthenticate(bed.now, None);
        assert_eq!(again, Err(Refused::NotConnected));
        bed.elapse(secs(2));
        bed.expect_sent(&[]);
        let step = Authenticate::Continue(b"x");
        bed.client.authenticate(bed.now, step).unwrap();
        bed.expect_sent(&[auth(&list)]);
        bed.elapse(secs(1));
        bed.expect_sent(&[]);
    }
    bed.accept(&[Property::AuthenticationMethod("m")]);
    bed.publish(AtMostOnce, "x").unwrap();
    assert_eq!(bed.sent_bytes(), encode(&publish(AtMostOnce, 0, "x")));
}

/// [MQTT-3.1.2-30]: the other packet that is allowed, whether the application or a violation asks for it.
fn nothing_but_disconnect_before_connack<F: Face>() {
    let mut bed = authenticating::<F>();
    let normal = DisconnectReason::Normal;
    bed.client
        .disconnect(bed.now, normal, Properties::EMPTY)
        .unwrap();
    bed.expect_end(Some(0x00), DisconnectCause::Requested);

    let mut bed = authenticating::<F>();
    bed.feed(&publish(AtLeastOnce, 1, "x"));
    let packet = mqtt5_proto::PacketType::Publish;
    let cause = DisconnectCause::Violation(Violation::UnexpectedPacket(packet));
    bed.expect_end(Some(0x82), cause);
}

/// [MQTT-3.1.2-28] is the server's to keep. What it says without being asked is told like the rest, and costs nothing.
fn information_that_was_not_asked_for_is_told<F: Face>() {
    for asked in [None, Some(false), Some(true)] {
        let own = asked.map(Property::RequestResponseInformation);
        let list: Vec<_> = LIMITS.into_iter().chain(own).collect();
        let mut bed = Bed::<F>::new();
        bed.open_with(&list, 60);
        bed.connack(false, &[Property::ResponseInformation("resp/")]);
        let properties = r#"[ResponseInformation("resp/")]"#.into();
        let session_present = false;
        let connected = Told::Connected {
            session_present,
            properties,
        };
        assert_eq!(bed.events(), [connected]);
        assert_eq!(bed.client.state(), State::Connected);
        bed.expect_sent(&[]);
    }
}
