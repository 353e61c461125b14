//! SCRAM-SHA-256 by itself: RFC 5802, RFC 7677.

mod scram_server;

use mqtt5_proto::scram::{
    DEFAULT_MAXIMUM_ITERATIONS, METHOD, MINIMUM_ITERATIONS, Scram, ScramError, ServerError,
};
use mqtt5_proto::{Authenticate, Properties, Property, ReasonCode};
use proptest::prelude::*;
use proptest::sample::select;

use ScramError::{
    Base64, EmptyName, ExtensionNotSupported, Malformed, NonceMismatch, NonceTooShort, OutOfOrder,
    Prohibited, TooFewIterations, TooManyIterations, WrongSignature,
};
use scram_server::{Server, decode, encode};

/// RFC 7677, section 3.
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn scram() -> Scram {
    Scram::new("user", "pencil", &decode(NONCE)).unwrap()
}

fn proven() -> Scram {
    let mut scram = scram();
    scram.client_final_message(SERVER_FIRST.as_bytes()).unwrap();
    scram
}

fn answer_first(message: &[u8]) -> Result<String, ScramError> {
    let mut scram = scram();
    let answer = scram.client_final_message(message).map(str::to_owned);
    if answer.is_err() {
        expect_failed(scram);
    }
    answer
}

#[track_caller]
fn expect_failed(mut scram: Scram) {
    assert!(!scram.is_verified());
    let again = scram.client_final_message(SERVER_FIRST.as_bytes());
    assert_eq!(again, Err(OutOfOrder));
    assert_eq!(scram.verify(SERVER_FINAL.as_bytes()), Err(OutOfOrder));
    assert!(!scram.is_verified());
}

/// A whole exchange with a server that knows `password`.
#[track_caller]
fn exchange(mut scram: Scram, header: &str, username: &str, password: &str) {
    let mut server = Server::new(password);
    let first = server.first(scram.client_first_message().as_bytes(), header, username);
    let proof = scram.client_final_message(&first).unwrap();
    let last = server.last(proof.as_bytes()).expect("the proof is right");
    assert!(!scram.is_verified());
    scram.verify(&last).unwrap();
    assert!(scram.is_verified());
}

#[test]
fn the_example_of_rfc_7677() {
    let mut scram = scram();
    assert_eq!(METHOD, "SCRAM-SHA-256");
    assert_eq!(scram.client_first_message(), CLIENT_FIRST);
    let proof = scram.client_final_message(SERVER_FIRST.as_bytes());
    assert_eq!(proof, Ok(CLIENT_FINAL));
    assert!(!scram.is_verified());
    assert_eq!(scram.verify(SERVER_FINAL.as_bytes()), Ok(()));
    assert!(scram.is_verified());
}

/// T117: whatever can be said in SCRAM.
#[test]
fn names_and_passwords_of_every_shape() {
    // The server of this test takes no key that is longer than a block.
    let long = "p".repeat(300);
    for (username, escaped, password) in [
        ("user", "user", "pencil"),
        ("a,b", "a=2Cb", "a,b=c"),
        ("a=b", "a=3Db", ""),
        ("=2C,=", "=3D2C=2C=3D", " ~"),
        (" ", " ", &long[..64]),
    ] {
        let scram = Scram::new(username, password, &[9; 18]).unwrap();
        exchange(scram, "n,,", escaped, password);
    }
    let mut scram = Scram::new("user", &long, &[9; 18]).unwrap();
    let mut server = Server::new(&long[..64]);
    let first = server.first(scram.client_first_message().as_bytes(), "n,,", "user");
    let proof = scram.client_final_message(&first).unwrap();
    assert!(
        server.last(proof.as_bytes()).is_err(),
        "not only its beginning"
    );
}

#[test]
fn on_behalf_of_another() {
    for (identity, header) in [
        ("admin", "n,a=admin,"),
        ("a,=b", "n,a=a=2C=3Db,"),
        ("ü", "n,a=ü,"),
    ] {
        let scram = Scram::new("user", "pencil", &[9; 18]).unwrap();
        let scram = scram.authorization_identity(identity).unwrap();
        exchange(scram, header, "user", "pencil");
    }
    let refused = |identity| scram().authorization_identity(identity).unwrap_err();
    assert_eq!(refused(""), EmptyName);
    assert_eq!(refused("a\0b"), Prohibited);
}

#[test]
fn the_nonce_is_the_random_bytes() {
    for length in 12..=64 {
        let random: Vec<u8> = (0..length).map(|byte| byte ^ 0xA5).collect();
        let scram = Scram::new("u", "p", &random).unwrap();
        let expected = format!("n,,n=u,r={}", encode(&random));
        assert_eq!(scram.client_first_message(), expected);
    }
    for length in [0, 1, 11] {
        let refused = Scram::new("u", "p", &vec![1; length]).unwrap_err();
        assert_eq!(refused, NonceTooShort);
    }
    assert_eq!(Scram::new("", "p", &[1; 18]).unwrap_err(), EmptyName);
}

/// RFC 4013, section 3.
#[test]
fn control_characters_are_prohibited() {
    for text in ["\u{7}", "a\0", "a\u{7F}", "\r\n"] {
        assert_eq!(Scram::new(text, "p", &[1; 18]).unwrap_err(), Prohibited);
        assert_eq!(Scram::new("u", text, &[1; 18]).unwrap_err(), Prohibited);
    }
}

#[cfg(feature = "saslprep")]
#[test]
fn the_examples_of_rfc_4013() {
    for (text, prepared) in [
        ("I\u{AD}X", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u{AA}", "a"),
        ("\u{2168}", "IX"),
        ("a\u{A0}b", "a b"),
        ("\u{FF0C}\u{FF1D}", ",="),
        ("u\u{308}", "ü"),
        ("пользователь", "пользователь"),
    ] {
        let scram = Scram::new(text, text, &[9; 18]).unwrap();
        let escaped = prepared.replace('=', "=3D").replace(',', "=2C");
        exchange(scram, "n,,", &escaped, prepared);
    }
    for text in ["\u{7}", "\u{627}\u{31}", "a\u{E000}", "\u{221}"] {
        assert_eq!(Scram::new(text, "p", &[1; 18]).unwrap_err(), Prohibited);
        assert_eq!(Scram::new("u", text, &[1; 18]).unwrap_err(), Prohibited);
    }
    // Nothing is left of it.
    assert_eq!(Scram::new("\u{AD}", "p", &[1; 18]).unwrap_err(), EmptyName);
}

#[cfg(not(feature = "saslprep"))]
#[test]
fn only_us_ascii_without_saslprep() {
    for text in ["ü", "I\u{AD}X", "пользователь"] {
        assert_eq!(Scram::new(text, "p", &[1; 18]).unwrap_err(), Prohibited);
        assert_eq!(Scram::new("u", text, &[1; 18]).unwrap_err(), Prohibited);
    }
}

#[test]
fn a_wrong_password_is_refused_and_said_so() {
    let mut scram = Scram::new("user", "pencils", &[9; 18]).unwrap();
    let mut server = Server::new("pencil");
    let first = server.first(scram.client_first_message().as_bytes(), "n,,", "user");
    let proof = scram.client_final_message(&first).unwrap();
    let refusal = server.last(proof.as_bytes()).unwrap_err();
    let error = scram.verify(&refusal).unwrap_err();
    assert_eq!(error, ScramError::Server(ServerError::InvalidProof));
    assert_eq!(error.to_string(), "refused by the server: invalid-proof");
    expect_failed(scram);
}

#[test]
fn first_messages_that_are_wrong() {
    let nonce = "r=rOprNGfwEbeRWgbNEkqOserver";
    let salted = |rest: &str| format!("{nonce},s=QSXCR+Q6sek8bf92,{rest}");
    for (message, expected) in [
        (String::new(), Malformed),
        ("r".into(), Malformed),
        ("r=".into(), Malformed),
        (nonce.into(), Malformed),
        (format!("{nonce},"), Malformed),
        (format!(",{nonce},s=QSXCR+Q6sek8bf92,i=4096"), Malformed),
        (format!("{nonce},s=QSXCR+Q6sek8bf92"), Malformed),
        (format!("{nonce},i=4096,s=QSXCR+Q6sek8bf92"), Malformed),
        (format!("s=QSXCR+Q6sek8bf92,{nonce},i=4096"), Malformed),
        (format!("{nonce},{nonce},i=4096"), Malformed),
        (format!("{nonce},s=,i=4096"), Malformed),
        (format!(" {nonce},s=QSXCR+Q6sek8bf92,i=4096"), Malformed),
        (format!("{nonce} ,s=QSXCR+Q6sek8bf92,i=4096"), Malformed),
        (format!("{nonce}é,s=QSXCR+Q6sek8bf92,i=4096"), Malformed),
        (format!("R{nonce},s=QSXCR+Q6sek8bf92,i=4096"), Malformed),
        (format!("{nonce}\0,s=QSXCR+Q6sek8bf92,i=4096"), Malformed),
        (salted("i="), Malformed),
        (salted("i=-1"), Malformed),
        (salted("i=+4096"), Malformed),
        (salted("i=04096"), Malformed),
        (salted("i=4096 "), Malformed),
        (salted("i=0x1000"), Malformed),
        (salted("i=4096,"), Malformed),
        (salted("i=4096,x"), Malformed),
        (salted("i=4096,x="), Malformed),
        (salted("i=4096,1=x"), Malformed),
        (salted("i=4096,x=a\0"), Malformed),
        (format!("{nonce},s=Q,i=4096"), Base64),
        (format!("{nonce},s=QSXCR+Q6sek8bf9,i=4096"), Base64),
        (format!("{nonce},s=QSXCR+Q6sek8bf==,i=4096"), Base64),
        (format!("{nonce},s=QSXCR-Q6sek8bf92,i=4096"), Base64),
        (format!("{nonce},s====,i=4096"), Base64),
        (
            format!("m=x,{nonce},s=QSXCR+Q6sek8bf92,i=4096"),
            ExtensionNotSupported,
        ),
        (salted("i=4096,m=x"), ExtensionNotSupported),
        (salted("i=0"), TooFewIterations(0)),
        (salted("i=1"), TooFewIterations(1)),
        (salted("i=4095"), TooFewIterations(4095)),
        (salted("i=600001"), TooManyIterations(600_001)),
        (salted("i=4294967295"), TooManyIterations(0xFFFF_FFFF)),
        (salted("i=4294971392"), TooManyIterations((1 << 32) + 4096)),
        (
            salted(&format!("i={}", "9".repeat(400))),
            TooManyIterations(u64::MAX),
        ),
        (
            "e=unknown-user".into(),
            ScramError::Server(ServerError::UnknownUser),
        ),
        ("e=x,r=y".into(), ScramError::Server(ServerError::Other)),
        (SERVER_FINAL.into(), Malformed),
    ] {
        assert_eq!(answer_first(message.as_bytes()), Err(expected), "{message}");
    }
    let bytes = [SERVER_FIRST.as_bytes(), b",x=\xFF"].concat();
    assert_eq!(answer_first(&bytes), Err(Malformed));
}

#[test]
fn nonces_that_do_not_extend_ours() {
    for nonce in [
        NONCE,
        &NONCE[1..],
        &NONCE[..NONCE.len() - 1],
        "rOprNGfwEbeRWgbNEkqoserver",
        "serverrOprNGfwEbeRWgbNEkqO",
        "x",
    ] {
        let message = format!("r={nonce},s=QSXCR+Q6sek8bf92,i=4096");
        assert_eq!(answer_first(message.as_bytes()), Err(NonceMismatch));
    }
}

/// What is not known and not mandatory says nothing, but is signed.
#[test]
fn other_extensions_are_ignored() {
    let message = format!("{SERVER_FIRST},x=y,e=z,Z==,q=ü");
    let proof = answer_first(message.as_bytes()).unwrap();
    assert_ne!(proof, CLIENT_FINAL);
    assert_eq!(proof[..62], CLIENT_FINAL[..62]);
    let message = format!("{SERVER_FINAL},x=y");
    assert_eq!(proven().verify(message.as_bytes()), Ok(()));
}

#[test]
fn iterations_within_limits() {
    assert_eq!(
        (MINIMUM_ITERATIONS, DEFAULT_MAXIMUM_ITERATIONS),
        (4096, 600_000)
    );
    let message = |count: u64| SERVER_FIRST.replace("4096", &count.to_string());
    for (maximum, count, expected) in [
        (4096, 4096, Ok(())),
        (4096, 4097, Err(TooManyIterations(4097))),
        (5000, 5000, Ok(())),
        (5000, 5001, Err(TooManyIterations(5001))),
        (0, 4096, Err(TooManyIterations(4096))),
        (0, 4095, Err(TooFewIterations(4095))),
        (u32::MAX, 1 << 32, Err(TooManyIterations(1 << 32))),
    ] {
        let mut scram = scram().maximum_iterations(maximum);
        let answer = scram.client_final_message(message(count).as_bytes());
        assert_eq!(answer.map(drop), expected, "{count} of {maximum}");
    }
}

#[test]
fn final_messages_that_are_wrong() {
    let signature = &SERVER_FINAL[2..];
    let zeros = encode(&[0; 32]);
    let other = |reason: &str| format!("e={reason}");
    for (message, expected) in [
        (String::new(), Malformed),
        ("v".into(), Malformed),
        ("v=".into(), Malformed),
        (signature.into(), Malformed),
        (format!("x=y,{SERVER_FINAL}"), Malformed),
        (format!("{SERVER_FINAL},"), Malformed),
        (format!("V={signature}"), Malformed),
        (format!("vv={signature}"), Malformed),
        (format!("v={}", &signature[1..]), Base64),
        ("v=!!!!".into(), Base64),
        (format!("{SERVER_FINAL},m=x"), ExtensionNotSupported),
        ("m=x".into(), ExtensionNotSupported),
        (format!("v={zeros}"), WrongSignature),
        ("v=6rri".into(), WrongSignature),
        (format!("v={}", encode(&[0; 64])), WrongSignature),
        (format!("v=7{}", &signature[1..]), WrongSignature),
        (other("unheard-of"), ScramError::Server(ServerError::Other)),
        (
            format!("e=other-error,{SERVER_FINAL}"),
            ScramError::Server(ServerError::Other),
        ),
    ] {
        let mut scram = proven();
        let verdict = scram.verify(message.as_bytes());
        assert_eq!(verdict, Err(expected), "{message}");
        expect_failed(scram);
    }
    assert_eq!(proven().verify(&[b'v', b'=', 0xFF]), Err(Malformed));
}

/// Every bit of the signature counts.
#[test]
fn a_signature_with_one_wrong_bit() {
    let signature = decode(&SERVER_FINAL[2..]);
    for bit in (0..256).step_by(37) {
        let mut wrong = signature.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        let message = format!("v={}", encode(&wrong));
        assert_eq!(proven().verify(message.as_bytes()), Err(WrongSignature));
    }
}

#[test]
fn every_reason_of_the_rfc_is_known() {
    let values = [
        "invalid-encoding",
        "extensions-not-supported",
        "invalid-proof",
        "channel-bindings-dont-match",
        "server-does-support-channel-binding",
        "channel-binding-not-supported",
        "unsupported-channel-binding-type",
        "unknown-user",
        "invalid-username-encoding",
        "no-resources",
        "other-error",
    ];
    assert_eq!(values.len(), ServerError::ALL.len());
    for (value, reason) in values.iter().zip(ServerError::ALL) {
        assert_eq!(reason.to_string(), *value);
        let message = format!("e={value}");
        let expected = ScramError::Server(*reason);
        assert_eq!(answer_first(message.as_bytes()), Err(expected));
        assert_eq!(proven().verify(message.as_bytes()), Err(expected));
    }
}

#[test]
fn messages_out_of_order() {
    // The final message first, the first message twice, anything after the end.
    let mut early = scram();
    assert_eq!(early.verify(SERVER_FINAL.as_bytes()), Err(OutOfOrder));
    expect_failed(early);
    let mut twice = proven();
    let again = twice.client_final_message(SERVER_FIRST.as_bytes());
    assert_eq!(again, Err(OutOfOrder));
    expect_failed(twice);
    for again in [SERVER_FIRST, SERVER_FINAL] {
        let mut done = proven();
        done.verify(SERVER_FINAL.as_bytes()).unwrap();
        assert!(done.is_verified());
        assert_eq!(done.verify(again.as_bytes()), Err(OutOfOrder));
        expect_failed(done);
    }
}

#[test]
fn steps_for_the_machine() {
    const SUCCESS: ReasonCode = ReasonCode::SUCCESS;
    const CONTINUE: ReasonCode = ReasonCode::CONTINUE_AUTHENTICATION;
    let step = |scram: &mut Scram, reason, data: &str| {
        let list = [
            Property::AuthenticationMethod(METHOD),
            Property::AuthenticationData(data.as_bytes()),
        ];
        let answer = scram.answer(reason, Properties::new(&list).unwrap())?;
        Ok(match answer {
            Authenticate::Continue(data) => Some(String::from_utf8(data.to_vec()).unwrap()),
            Authenticate::Accept => None,
            Authenticate::Abort => unreachable!("that is an error"),
        })
    };
    let proof = Ok(Some(CLIENT_FINAL.to_owned()));
    let mut scram_ = scram();
    assert_eq!(step(&mut scram_, CONTINUE, SERVER_FIRST), proof);
    assert_eq!(step(&mut scram_, SUCCESS, SERVER_FINAL), Ok(None));
    assert!(scram_.is_verified());
    // The server-final-message in an AUTH of its own.
    let mut scram_ = scram();
    assert_eq!(step(&mut scram_, CONTINUE, SERVER_FIRST), proof);
    let empty = Ok(Some(String::new()));
    assert_eq!(step(&mut scram_, CONTINUE, SERVER_FINAL), empty);
    assert!(scram_.is_verified());
    // Success before any proof.
    for data in [SERVER_FIRST, SERVER_FINAL, ""] {
        assert_eq!(step(&mut scram(), SUCCESS, data), Err(OutOfOrder));
    }
    let none = scram().answer(CONTINUE, Properties::EMPTY).map(drop);
    assert_eq!(none, Err(Malformed));
    let bad = step(&mut proven(), SUCCESS, "v=6rri");
    assert_eq!(bad, Err(WrongSignature));
}

#[test]
fn nothing_secret_is_printed() {
    let mut scram = scram();
    assert_eq!(format!("{scram:?}"), r#"Scram("ServerFirst")"#);
    scram.client_final_message(SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!(format!("{scram:?}"), r#"Scram("ServerFinal")"#);
    scram.verify(SERVER_FINAL.as_bytes()).unwrap();
    assert_eq!(format!("{scram:#?}").lines().count(), 3);
    scram.verify(b"").unwrap_err();
    assert_eq!(format!("{scram:?}"), r#"Scram("Failed")"#);
}

/// Pieces of messages, so that some get past the first check.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "r=", "s=", "i=", "v=", "e=", "m=", "x=", ",", "=", "0", "4096", "999999", "W22Z", NONCE,
        "\0", "é",
    ]);
    let text = proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat());
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        text.clone().prop_map(String::into_bytes),
        text.prop_map(|text| format!("r={NONCE}{text}").into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn no_first_message_panics(message in pieces()) {
        let mut scram = scram().maximum_iterations(0);
        prop_assert!(scram.client_final_message(&message).is_err());
        expect_failed(scram);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn no_final_message_panics(message in pieces()) {
        let mut scram = proven();
        prop_assert!(scram.verify(&message).is_err());
        expect_failed(scram);
    }

    #[test]
    fn a_changed_first_message_proves_nothing_to_the_server(at in 0..SERVER_FIRST.len(), byte: u8) {
        let mut message = SERVER_FIRST.as_bytes().to_vec();
        prop_assume!(message[at] != byte);
        message[at] = byte;
        let mut scram = scram().maximum_iterations(4096);
        match scram.client_final_message(&message) {
            Ok(proof) => prop_assert_ne!(proof, CLIENT_FINAL),
            Err(_) => expect_failed(scram),
        }
    }
}
