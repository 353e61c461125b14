//! MQTT in WebSocket frames (section 6): the pipe, opposite a server that is written byte by byte.

#[path = "websocket/server.rs"]
mod server;

use mqtt5_client::{DialError, DialErrorKind, Endpoint};
use mqtt5_transport::{Pipe, Settings, Stack, StackError};
use server::{Frame, answer, frame, header, open, opening, read_all, sent_frames, write};

#[test]
fn the_subprotocol_is_offered() {
    for (url, line, host) in [
        (
            "ws://broker.example/mqtt",
            "GET /mqtt HTTP/1.1",
            "broker.example",
        ),
        (
            "ws://broker.example:8080/a?b=c",
            "GET /a?b=c HTTP/1.1",
            "broker.example:8080",
        ),
        ("ws://[::1]:80", "GET /mqtt HTTP/1.1", "[::1]"),
    ] {
        let request = String::from_utf8(opening(url).pending().to_vec()).unwrap();
        assert!(request.ends_with("\r\n\r\n"), "{request}");
        assert_eq!(request.lines().next(), Some(line));
        assert_eq!(header(&request, "Host"), Some(host));
        assert_eq!(header(&request, "Upgrade"), Some("websocket"));
        assert_eq!(header(&request, "Connection"), Some("Upgrade"));
        assert_eq!(header(&request, "Sec-WebSocket-Version"), Some("13"));
        assert_eq!(header(&request, "Sec-WebSocket-Protocol"), Some("mqtt"));
    }
}

#[test]
fn every_handshake_has_its_own_key() {
    let key = || {
        let request = String::from_utf8(opening("ws://h").pending().to_vec()).unwrap();
        header(&request, "Sec-WebSocket-Key").unwrap().to_owned()
    };
    assert_ne!(key(), key());
}

#[test]
fn headers_of_the_settings_are_sent() {
    let told = |name: &str, value: &str, is_trusted| {
        let mut settings = Settings::default();
        settings.websocket.headers.push((name.into(), value.into()));
        let endpoint: Endpoint = "ws://h".parse().unwrap();
        assert!(!format!("{settings:?}").contains(value), "{settings:?}");
        Stack::new(&endpoint, &settings, is_trusted).unwrap().open()
    };
    let with = |name, value| told(name, value, true);
    let pipe = with("Authorization", "Bearer x y z").unwrap().unwrap();
    let request = String::from_utf8(pipe.pending().to_vec()).unwrap();
    assert_eq!(header(&request, "Authorization"), Some("Bearer x y z"));
    let pipe = told("Authorization", "Bearer x y z", false).unwrap();
    let request = String::from_utf8(pipe.unwrap().pending().to_vec()).unwrap();
    assert_eq!(header(&request, "Authorization"), None, "not trusted");
    for (name, value) in [
        ("no name", "value"),
        ("Name", "a\r\nB: c"),
        ("host", "other.example"),
    ] {
        let error = with(name, value).unwrap_err();
        assert_eq!(error, StackError::InvalidRequest);
    }
}

#[test]
fn no_subprotocol_is_refused() {
    let mut pipe = opening("ws://h");
    let answer = answer(&pipe, "").replace("Sec-WebSocket-Protocol: mqtt\r\n", "");
    assert_eq!(
        pipe.receive(answer.as_bytes()),
        Err(StackError::NoSubprotocol)
    );
}

#[test]
fn another_subprotocol_is_refused() {
    for other in ["mqttv3.1", "MQTT", "chat", "mqtt, chat"] {
        let mut pipe = opening("ws://h");
        let answer = answer(&pipe, "").replace("Protocol: mqtt", &format!("Protocol: {other}"));
        assert_eq!(
            pipe.receive(answer.as_bytes()),
            Err(StackError::OtherSubprotocol)
        );
        assert!(!pipe.is_open());
        let write = write(&mut pipe, b"\xc0\0");
        assert_eq!(
            write,
            Err(StackError::OtherSubprotocol),
            "nothing is sent to it"
        );
    }
    let error = DialError::from(StackError::OtherSubprotocol);
    assert_eq!(error.kind(), DialErrorKind::WebSocket);
    assert!(error.to_string().contains("subprotocol"), "{error}");
}

#[test]
fn what_is_no_handshake_is_refused() {
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
    for (answer, error) in [
        (status("404 Not Found"), StackError::Refused(404)),
        (
            status("301 Moved\r\nLocation: ws://h2"),
            StackError::Refused(301),
        ),
        (status("200 OK"), StackError::Refused(200)),
        (
            status("101 Switching Protocols"),
            StackError::InvalidHandshake,
        ),
        (
            "SSH-2.0-OpenSSH_9.2\r\n\r\n".into(),
            StackError::InvalidHandshake,
        ),
        (
            "\r\n\r\n\r\n\r\n\0\0\r\n\r\n".into(),
            StackError::InvalidHandshake,
        ),
    ] {
        let mut pipe = opening("ws://h");
        assert_eq!(pipe.receive(answer.as_bytes()), Err(error), "{answer}");
    }
    let mut pipe = opening("ws://h");
    let answer = answer(&pipe, "").replace("Accept: ", "Accept: x");
    assert_eq!(
        pipe.receive(answer.as_bytes()),
        Err(StackError::InvalidHandshake)
    );
}

#[test]
fn a_long_answer_is_refused() {
    let mut pipe = opening("ws://h");
    let header = format!("X: {}\r\n", "x".repeat(64 << 10));
    let long = answer(&pipe, &header);
    assert_eq!(
        pipe.receive(long.as_bytes()),
        Err(StackError::LongHandshake)
    );

    let mut pipe = opening("ws://h");
    let many = answer(&pipe, &"X: y\r\n".repeat(500));
    assert_eq!(
        pipe.receive(many.as_bytes()),
        Err(StackError::LongHandshake)
    );

    let mut pipe = opening("ws://h");
    let endless = (0..100_000).find_map(|_| pipe.receive(b"x").err());
    assert_eq!(endless, Some(StackError::LongHandshake));
}

#[test]
fn the_end_before_the_answer_is_told() {
    let mut pipe = opening("ws://h");
    pipe.receive(b"HTTP/1.1 101 Swi").unwrap();
    assert_eq!(pipe.receive(b""), Err(StackError::Truncated));
}

#[test]
fn the_answer_may_be_cut_anywhere_and_glued_to_frames() {
    let mut pipe = opening("ws://h");
    let mut bytes = answer(&pipe, "").into_bytes();
    bytes.extend(frame(Frame::BINARY, b"glued"));
    let mut received = Vec::new();
    for byte in &bytes {
        pipe.receive(&[*byte]).unwrap();
        received.extend(read_all(&mut pipe).unwrap());
    }
    assert_eq!(received, b"glued");

    let mut pipe = opening("ws://h");
    let mut bytes = answer(&pipe, "").into_bytes();
    bytes.extend(frame(Frame::BINARY, b"glued"));
    pipe.receive(&bytes).unwrap();
    assert!(pipe.is_open());
    assert_eq!(read_all(&mut pipe).unwrap(), b"glued");
}

#[test]
fn websocket_binary_frames_only() {
    let mut pipe = open("ws://h");
    for bytes in [&b"\x10\x0c"[..], &[7; 125], &[8; 126], &[9; 60_000]] {
        assert_eq!(write(&mut pipe, bytes), Ok(bytes.len()));
        let frames = sent_frames(&mut pipe);
        assert_eq!(
            frames,
            [(Frame::BINARY, bytes.to_vec())],
            "final and masked"
        );
    }
    assert_eq!(
        write(&mut pipe, &vec![1; 200_000]),
        Ok(65_536),
        "the rest comes later"
    );
    assert_eq!(sent_frames(&mut pipe).len(), 1);
}

#[test]
fn masks_differ() {
    let mut pipe = open("ws://h");
    let mut mask = || {
        write(&mut pipe, b"\xc0\0").unwrap();
        let mask = pipe.pending()[2..6].to_vec();
        pipe.sent(pipe.pending().len());
        mask
    };
    assert_ne!([mask(), mask()], [mask(), mask()]);
}

#[test]
fn a_text_frame_ends_the_connection() {
    for text in [
        frame(Frame::TEXT, b"\xc0\0"),
        frame(Frame::TEXT, b""),
        frame(Frame::TEXT, b"\xff"),
    ] {
        let mut pipe = open("ws://h");
        pipe.receive(&frame(Frame::BINARY, b"before")).unwrap();
        assert_eq!(read_all(&mut pipe).unwrap(), b"before");
        pipe.receive(&text).unwrap();
        assert_eq!(read_all(&mut pipe), Err(StackError::TextFrame));
        let unsupported = 1003_u16.to_be_bytes().to_vec();
        assert_eq!(sent_frames(&mut pipe), [(Frame::CLOSE, unsupported)]);

        pipe.receive(&frame(Frame::BINARY, b"after")).unwrap_err();
        assert_eq!(read_all(&mut pipe), Err(StackError::TextFrame), "for good");
        assert_eq!(write(&mut pipe, b"\xc0\0"), Err(StackError::TextFrame));
    }
}

#[test]
fn frames_and_packets_are_not_aligned() {
    let packets = b"\xd0\0\xd0\0\x30\x05\0\x01t\0x\xd0\0";
    // Each byte in a frame of its own, empty frames between them.
    let mut pipe = open("ws://h");
    let mut received = Vec::new();
    for byte in packets {
        pipe.receive(&frame(Frame::BINARY, &[*byte])).unwrap();
        pipe.receive(&frame(Frame::BINARY, b"")).unwrap();
        received.extend(read_all(&mut pipe).unwrap());
    }
    assert_eq!(received, packets);
    // All in one frame, which arrives in any two parts, and is read in small pieces.
    let whole = frame(Frame::BINARY, packets);
    for cut in 0..whole.len() {
        let mut pipe = open("ws://h");
        let mut received = Vec::new();
        for part in [&whole[..cut], &whole[cut..]] {
            if !part.is_empty() {
                pipe.receive(part).unwrap();
            }
            received.extend(read_all(&mut pipe).unwrap());
        }
        assert_eq!(received, packets);
    }
    // Three fragments of one message, a ping between them.
    let mut pipe = open("ws://h");
    for (kind, bytes) in [
        (Frame::BINARY_PART, &packets[..3]),
        (Frame::CONTINUATION_PART, &packets[3..7]),
        (Frame::PING, b"!"),
        (Frame::CONTINUATION, &packets[7..]),
    ] {
        pipe.receive(&frame(kind, bytes)).unwrap();
    }
    assert_eq!(read_all(&mut pipe).unwrap(), packets);
    assert_eq!(sent_frames(&mut pipe), [(Frame::PONG, b"!".to_vec())]);
}

#[test]
fn a_ping_is_answered() {
    let mut pipe = open("ws://h");
    pipe.receive(&frame(Frame::PING, b"are you there")).unwrap();
    pipe.receive(&frame(Frame::PONG, b"unasked")).unwrap();
    assert_eq!(read_all(&mut pipe).unwrap(), b"");
    assert_eq!(
        sent_frames(&mut pipe),
        [(Frame::PONG, b"are you there".to_vec())]
    );
}

#[test]
fn a_flood_ends_the_connection_before_it_takes_memory() {
    let mut pipe = open("ws://h");
    let pings = frame(Frame::PING, &[0; 125]).repeat(30);
    let flooded = (0..10_000).find_map(|_| {
        pipe.receive(&pings).unwrap();
        read_all(&mut pipe).err()
    });
    assert_eq!(flooded, Some(StackError::Flooded));
    assert!(pipe.pending().len() < 300_000);

    // Empty frames cost nothing.
    let mut pipe = open("ws://h");
    for _ in 0..1_000 {
        pipe.receive(&frame(Frame::BINARY, b"").repeat(1_000))
            .unwrap();
        assert_eq!(read_all(&mut pipe).unwrap(), b"");
    }
    assert_eq!(pipe.pending(), b"");
}

#[test]
fn a_long_message_ends_the_connection() {
    let mut gibibyte = vec![Frame::BINARY.0, 127];
    gibibyte.extend(1_u64.wrapping_shl(30).to_be_bytes());
    let fragments = [
        frame(Frame::BINARY_PART, &[0; 40]),
        frame(Frame::CONTINUATION, &[0; 40]),
    ];
    for (limit, bytes) in [(16 << 20, gibibyte), (64, fragments.concat())] {
        let mut settings = Settings::default();
        settings.websocket.max_message_size = limit;
        let mut pipe = server::open_with("ws://h", &settings);
        pipe.receive(&bytes).unwrap();
        assert_eq!(read_all(&mut pipe), Err(StackError::LongMessage));
        let too_big = 1009_u16.to_be_bytes().to_vec();
        assert_eq!(sent_frames(&mut pipe), [(Frame::CLOSE, too_big)]);
    }
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let masked = [&[Frame::BINARY.0, 0x82, 1, 2, 3, 4][..], &[5, 6]].concat();
    for bytes in [
        frame(Frame(Frame::BINARY.0 | 0x40), b"reserved bit"),
        frame(Frame(0x83), b"reserved data opcode"),
        frame(Frame(0x8b), b"reserved control opcode"),
        frame(Frame(0x09), b"ping in parts"),
        frame(Frame::PING, &[0; 126]),
        frame(Frame::CONTINUATION, b"of nothing"),
        [frame(Frame::BINARY_PART, b"1"), frame(Frame::BINARY, b"2")].concat(),
        masked,
    ] {
        let mut pipe = open("ws://h");
        pipe.receive(&bytes).unwrap();
        assert_eq!(
            read_all(&mut pipe),
            Err(StackError::InvalidFrame),
            "{bytes:?}"
        );
        let violation = 1002_u16.to_be_bytes().to_vec();
        assert_eq!(sent_frames(&mut pipe), [(Frame::CLOSE, violation)]);
    }
}

#[test]
fn a_close_is_answered() {
    let mut pipe = open("ws://h");
    let mut bytes = frame(Frame::BINARY, b"last");
    bytes.extend(frame(Frame::CLOSE, &1001_u16.to_be_bytes()));
    pipe.receive(&bytes).unwrap();
    let mut space = [0; 16];
    assert_eq!(pipe.read(&mut space), Ok(4));
    assert_eq!(pipe.read(&mut space), Err(StackError::Closed));
    let closes = sent_frames(&mut pipe);
    assert_eq!(closes, [(Frame::CLOSE, 1001_u16.to_be_bytes().to_vec())]);
}

#[test]
fn goodbye_is_a_close_frame() {
    let mut pipe = open("ws://h");
    write(&mut pipe, b"\xe0\0").unwrap();
    pipe.close();
    let normal = 1000_u16.to_be_bytes().to_vec();
    let frames = [(Frame::BINARY, b"\xe0\0".to_vec()), (Frame::CLOSE, normal)];
    assert_eq!(sent_frames(&mut pipe), frames);
    pipe.close();
    assert_eq!(pipe.pending(), b"", "once");
}

#[test]
fn an_end_without_a_close_is_told() {
    for cut in [&b""[..], &frame(Frame::BINARY, b"abc")[..3]] {
        let mut pipe = open("ws://h");
        if !cut.is_empty() {
            pipe.receive(cut).unwrap();
        }
        assert_eq!(read_all(&mut pipe).unwrap(), b"");
        pipe.receive(b"").unwrap();
        assert_eq!(read_all(&mut pipe), Err(StackError::Truncated));
    }
}

#[test]
fn tcp_alone_needs_no_pipe() {
    let endpoint: Endpoint = "mqtt://h".parse().unwrap();
    let stack = Stack::new(&endpoint, &Settings::default(), true).unwrap();
    let pipe: Option<Pipe> = stack.open().unwrap();
    assert!(pipe.is_none());
}
