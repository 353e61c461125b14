//! SCRAM-SHA-256 through the machine: CONNECT, AUTH and CONNACK (section 4.12), and again on a live connection.

mod machine;
mod scram_server;

use mqtt5_proto::packet::{Auth, Connect};
use mqtt5_proto::scram::{METHOD, Scram, ScramError};
use mqtt5_proto::{
    Authenticate, Config, DisconnectCause, DisconnectReason, Instant, Packet, Properties, Property,
    QoS, ReasonCode, State,
};

use machine::packets::{self, disconnect, encode, publish};
use machine::{Bed, End, Face, LIMITS, Told, every_storage};
use scram_server::Server;

use DisconnectCause::AuthenticationAborted;
use Property::{AuthenticationData, AuthenticationMethod};
use QoS::{AtLeastOnce, AtMostOnce};

every_storage!(
    both_sides_prove_themselves,
    again_on_a_live_connection,
    a_wrong_password,
    an_impostor_at_connect,
    an_impostor_later,
    a_server_that_proves_nothing,
    a_hostile_first_message,
    the_final_message_in_an_auth_of_its_own,
    the_session_survives_an_impostor,
);

const CONTINUE: ReasonCode = ReasonCode::CONTINUE_AUTHENTICATION;
const SUCCESS: ReasonCode = ReasonCode::SUCCESS;
const IMPOSTOR: &[u8] = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A client that is about to authenticate, and the server that knows its password.
struct Pair<F> {
    bed: Bed<F>,
    scram: Scram,
    server: Server,
}

impl<F: Face> Pair<F> {
    /// CONNECT is sent.
    fn new(password: &str) -> Self {
        let mut pair = Self {
            bed: Bed {
                client: F::keeping(Config::default()),
                now: Instant::ZERO,
            },
            scram: exchange(password, 1),
            server: Server::new("pencil"),
        };
        pair.connect(true);
        pair
    }

    fn connected() -> Self {
        let mut pair = Self::new("pencil");
        let server_final = pair.prove().expect("the password is right");
        pair.connack(false, Some(&server_final));
        let told = pair.bed.events();
        assert!(matches!(told[..], [Told::Challenge(..)]), "{told:?}");
        assert_eq!(pair.answer(&told[0]), Ok(()));
        let told = pair.bed.events();
        assert!(matches!(told[..], [Told::Connected { .. }]), "{told:?}");
        assert!(pair.scram.is_verified());
        pair.bed.expect_sent(&[]);
        pair
    }

    fn connect(&mut self, clean_start: bool) {
        let list = [
            LIMITS[0],
            LIMITS[1],
            Property::SessionExpiryInterval(3_600),
            AuthenticationMethod(METHOD),
            AuthenticationData(self.scram.client_first_message().as_bytes()),
        ];
        let connect = Connect {
            clean_start,
            properties: Properties::new(&list).unwrap(),
            ..Connect::new("me")
        };
        self.bed.client.connect(self.bed.now, &connect).unwrap();
        self.bed.expect_sent(&[Packet::Connect(connect)]);
    }

    /// A new connection, with a new exchange.
    fn reconnect(&mut self) {
        self.scram = exchange("pencil", 2);
        self.connect(!self.bed.client.has_session());
    }

    /// The server's AUTH, and the client's answer to it.
    fn challenge(&mut self, data: &[u8]) -> Result<(), ScramError> {
        self.bed.feed_bytes(&auth(CONTINUE, data));
        let told = self.bed.events();
        assert!(
            matches!(told[..], [Told::Challenge(CONTINUE, ..)]),
            "{told:?}"
        );
        self.answer(&told[0])
    }

    /// What an application does with a challenge.
    fn answer(&mut self, challenge: &Told) -> Result<(), ScramError> {
        let Told::Challenge(reason, _, data) = challenge else {
            panic!("no challenge: {challenge:?}");
        };
        let list = [
            AuthenticationMethod(METHOD),
            AuthenticationData(data.as_deref().unwrap()),
        ];
        let answer = self.scram.answer(*reason, Properties::new(&list).unwrap());
        let error = answer.as_ref().err().copied();
        let step = answer.unwrap_or(Authenticate::Abort);
        self.bed.client.authenticate(self.bed.now, step).unwrap();
        error.map_or(Ok(()), Err)
    }

    /// The server's challenge and the client's proof; gives the server-final-message.
    fn prove(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let client_first = self.scram.client_first_message().as_bytes();
        let server_first = self.server.first(client_first, "n,,", "user");
        assert_eq!(self.challenge(&server_first), Ok(()));
        let sent = self.bed.sent_bytes();
        let at = sent.windows(2).position(|bytes| bytes == b"c=").unwrap();
        let client_final = &sent[at..];
        assert_eq!(sent, auth(CONTINUE, client_final));
        self.server.last(client_final)
    }

    fn connack(&mut self, session_present: bool, data: Option<&[u8]>) {
        let list = [
            AuthenticationMethod(METHOD),
            AuthenticationData(data.unwrap_or_default()),
        ];
        let count = 1 + usize::from(data.is_some());
        self.bed.connack(session_present, &list[..count]);
    }

    /// The server accepts the connection with this data; the client does not accept the server.
    #[track_caller]
    fn expect_aborted_connack(&mut self, session_present: bool, data: &[u8], error: ScramError) {
        self.connack(session_present, Some(data));
        let told = self.bed.events();
        assert!(
            matches!(told[..], [Told::Challenge(SUCCESS, ..)]),
            "{told:?}"
        );
        assert_eq!(self.bed.client.state(), State::Connecting);
        assert_eq!(self.answer(&told[0]), Err(error));
        assert!(!self.scram.is_verified());
    }
}

fn exchange(password: &str, random: u8) -> Scram {
    Scram::new("user", password, &[random; 18]).unwrap()
}

fn auth(reason: ReasonCode, data: &[u8]) -> Vec<u8> {
    let list = [AuthenticationMethod(METHOD), AuthenticationData(data)];
    encode(&Packet::Auth(Auth {
        reason,
        properties: Properties::new(&list).unwrap(),
    }))
}

/// T31: connecting, on each connection anew.
fn both_sides_prove_themselves<F: Face>() {
    let mut pair = Pair::<F>::connected();
    pair.bed.publish(AtMostOnce, "x").unwrap();
    pair.bed.expect_sent(&[publish(AtMostOnce, 0, "x")]);
    // What was proven to one connection says nothing about the next.
    pair.bed.lose();
    pair.reconnect();
    let server_final = pair.prove().unwrap();
    pair.connack(true, Some(&server_final));
    let told = pair.bed.events();
    assert_eq!(pair.answer(&told[0]), Ok(()));
    let told = pair.bed.events();
    assert!(
        matches!(
            told[..],
            [Told::Connected {
                session_present: true,
                ..
            }]
        ),
        "{told:?}"
    );
}

/// T31: re-authentication, while messages flow.
fn again_on_a_live_connection<F: Face>() {
    let mut pair = Pair::<F>::connected();
    for random in 3..5 {
        pair.scram = exchange("pencil", random);
        let first = pair.scram.client_first_message().as_bytes();
        let now = pair.bed.now;
        let op = pair.bed.client.reauthenticate(now, Some(first)).unwrap();
        assert_eq!(
            pair.bed.sent_bytes(),
            auth(ReasonCode::REAUTHENTICATE, first)
        );
        pair.bed.publish(AtMostOnce, "meanwhile").unwrap();
        pair.bed.expect_sent(&[publish(AtMostOnce, 0, "meanwhile")]);
        let server_final = pair.prove().unwrap();
        pair.bed.feed_bytes(&auth(SUCCESS, &server_final));
        let told = pair.bed.events();
        assert!(
            matches!(told[..], [Told::Challenge(SUCCESS, ..)]),
            "{told:?}"
        );
        assert_eq!(pair.answer(&told[0]), Ok(()));
        assert_eq!(pair.bed.events(), [Told::Completed(op, End::Authenticated)]);
        assert!(pair.scram.is_verified());
    }
    assert_eq!(pair.bed.client.state(), State::Connected);
}

/// T31: the server refuses.
fn a_wrong_password<F: Face>() {
    let mut pair = Pair::<F>::new("pencils");
    assert_eq!(pair.prove(), Err(b"e=invalid-proof".to_vec()));
    pair.bed.feed(&packets::connack(0x87, Properties::EMPTY));
    let cause = DisconnectCause::Refused(ReasonCode::NOT_AUTHORIZED);
    pair.bed.expect_end(None, cause);
    assert!(!pair.scram.is_verified());
}

/// The other side accepts whoever comes, since it does not know the password.
fn an_impostor_at_connect<F: Face>() {
    for (data, error) in [
        (IMPOSTOR, ScramError::WrongSignature),
        (b"v=", ScramError::Malformed),
        (b"", ScramError::Malformed),
    ] {
        let mut pair = Pair::<F>::new("pencil");
        pair.prove().unwrap();
        pair.expect_aborted_connack(false, data, error);
        pair.bed.expect_end(Some(0x80), AuthenticationAborted);
    }
    // It does not even ask for a proof.
    let mut pair = Pair::<F>::new("pencil");
    pair.expect_aborted_connack(false, IMPOSTOR, ScramError::OutOfOrder);
    pair.bed.expect_end(Some(0x80), AuthenticationAborted);
}

fn an_impostor_later<F: Face>() {
    let mut pair = Pair::<F>::connected();
    pair.scram = exchange("pencil", 3);
    let first = pair.scram.client_first_message().as_bytes();
    let now = pair.bed.now;
    let op = pair.bed.client.reauthenticate(now, Some(first)).unwrap();
    pair.bed.sent_bytes();
    pair.prove().unwrap();
    pair.bed.feed_bytes(&auth(SUCCESS, IMPOSTOR));
    let told = pair.bed.events();
    assert_eq!(pair.answer(&told[0]), Err(ScramError::WrongSignature));
    assert_eq!(pair.bed.events(), []);
    pair.bed.expect_sent(&[disconnect(0x80)]);
    assert!(pair.bed.client.wants_close());
    let ends = pair.bed.expect_closed(AuthenticationAborted);
    assert_eq!(ends, [Told::Completed(op, End::ConnectionLost)]);
}

/// CONNACK without data leaves nothing to check: the application must ask whether the server was verified.
fn a_server_that_proves_nothing<F: Face>() {
    let mut pair = Pair::<F>::connected();
    pair.bed.publish(AtLeastOnce, "private").unwrap();
    pair.bed.expect_sent(&[publish(AtLeastOnce, 1, "private")]);
    pair.bed.lose();
    pair.reconnect();
    pair.prove().unwrap();
    pair.connack(true, None);
    let now = pair.bed.now;
    let told = pair.bed.client.poll_event(now);
    assert!(matches!(told, Some(Told::Connected { .. })), "{told:?}");
    assert!(!pair.scram.is_verified());
    let reason = DisconnectReason::UnspecifiedError;
    let ended = pair.bed.client.disconnect(now, reason, Properties::EMPTY);
    assert_eq!(ended, Ok(()));
    assert_eq!(pair.bed.events(), []);
    // It does not get to see what was not acknowledged.
    pair.bed.expect_sent(&[disconnect(0x80)]);
}

fn a_hostile_first_message<F: Face>() {
    let ours = format!("r={}", "AQEB".repeat(6));
    for (data, error) in [
        (
            format!("{ours}x,s=W22Z,i=4294967295"),
            ScramError::TooManyIterations(u64::from(u32::MAX)),
        ),
        (
            format!("{ours}x,s=W22Z,i=1"),
            ScramError::TooFewIterations(1),
        ),
        (format!("{ours},s=W22Z,i=4096"), ScramError::NonceMismatch),
        (String::new(), ScramError::Malformed),
    ] {
        let mut pair = Pair::<F>::new("pencil");
        assert_eq!(pair.challenge(data.as_bytes()), Err(error));
        pair.bed.expect_end(Some(0x80), AuthenticationAborted);
    }
}

fn the_final_message_in_an_auth_of_its_own<F: Face>() {
    let mut pair = Pair::<F>::new("pencil");
    let server_final = pair.prove().unwrap();
    assert_eq!(pair.challenge(&server_final), Ok(()));
    assert_eq!(pair.bed.sent_bytes(), auth(CONTINUE, b""));
    assert!(pair.scram.is_verified());
    pair.connack(false, None);
    let told = pair.bed.events();
    assert!(matches!(told[..], [Told::Connected { .. }]), "{told:?}");
}

/// What waits for an acknowledgement is neither shown to an impostor nor lost because of it.
fn the_session_survives_an_impostor<F: Face>() {
    for session_present in [true, false] {
        let mut pair = Pair::<F>::connected();
        let op = pair.bed.publish(AtLeastOnce, "private").unwrap();
        pair.bed.expect_sent(&[publish(AtLeastOnce, 1, "private")]);
        assert_eq!(pair.bed.lose(), []);
        pair.reconnect();
        pair.prove().unwrap();
        pair.expect_aborted_connack(session_present, IMPOSTOR, ScramError::WrongSignature);
        assert_eq!(pair.bed.events(), []);
        pair.bed.expect_sent(&[disconnect(0x80)]);
        assert_eq!(pair.bed.lose(), []);
        pair.reconnect();
        let server_final = pair.prove().unwrap();
        pair.connack(true, Some(&server_final));
        let told = pair.bed.events();
        pair.bed.expect_sent(&[]);
        assert_eq!(pair.answer(&told[0]), Ok(()));
        assert!(matches!(pair.bed.events()[..], [Told::Connected { .. }]));
        pair.bed
            .expect_sent(&[packets::again(AtLeastOnce, 1, "private")]);
        let told = pair.bed.tell(&packets::puback(1));
        assert_eq!(told, [Told::Completed(op, End::delivered())]);
    }
}
