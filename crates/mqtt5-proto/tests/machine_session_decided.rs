//! Which CONNACK, if any, decides on the session: Clean Start that was refused or never arrived, and a CONNACK that the
//! application had not approved of [MQTT-3.1.2-4], [MQTT-3.2.2-5], D28, E16.

mod machine;

use mqtt5_proto::packet::{Connack, Connect};
use mqtt5_proto::{
    Authenticate, Config, DisconnectReason, Packet, Properties, Property, QoS, ReasonCode,
};

use machine::assumed::{self, SPARE, answer, expect_pubrels, take_over};
use machine::packets::{again, connack, disconnect, publish, pubrec};
use machine::{Bed, End, Face, LIMITS, Told, every_storage, secs};

use Property::{AuthenticationData, AuthenticationMethod, SessionExpiryInterval};
use QoS::{AtLeastOnce, ExactlyOnce};

every_storage!(
    a_refused_clean_start_ends_no_session,
    a_clean_start_that_never_left_ends_no_session,
    a_clean_start_without_an_answer_ends_it,
    a_refusal_makes_no_session,
    a_new_session_before_the_verdict_ends_the_old_one,
    a_new_session_before_the_verdict_is_assumed_without_the_old_one,
    an_approval_that_came_too_late_ends_the_old_one,
    a_server_that_is_disapproved_of_ends_nothing,
    a_kept_session_before_the_verdict_is_kept,
);

/// A session with a publish on its way and a received message; the connection is lost.
fn lost<F: Face>() -> Bed<F> {
    lost_with(Config::default())
}

fn lost_with<F: Face>(config: Config) -> Bed<F> {
    let mut bed = Bed::<F>::keeping_with(config);
    bed.publish(AtLeastOnce, "mine").unwrap();
    let token = bed.token(&publish(ExactlyOnce, 7, "theirs"));
    bed.ack(token);
    bed.sent_bytes();
    bed.lose();
    assert!(bed.client.has_session());
    bed
}

/// The next connection finds the session and goes on with it.
#[track_caller]
fn goes_on<F: Face>(bed: &mut Bed<F>) {
    assert!(bed.client.has_session());
    assert_eq!(bed.resume(true, &[]), []);
    bed.expect_sent(&[again(AtLeastOnce, 1, "mine")]);
    assert_eq!(bed.tell(&again(ExactlyOnce, 7, "theirs")), []);
    bed.expect_sent(&[pubrec(7)]);
}

/// The next connection asks for a new session; nothing of the old one is left.
#[track_caller]
fn begins_anew<F: Face>(bed: &mut Bed<F>) {
    assert!(!bed.client.has_session());
    // What has ended is told, and what is to be published again is a new message, when the next CONNACK decides.
    assert_eq!(bed.resume(false, &[]), []);
    bed.expect_sent(&[publish(AtLeastOnce, 2, "mine")]);
    bed.token(&again(ExactlyOnce, 7, "theirs"));
}

/// 3.1.4: a server checks whether it lets the client in before it looks at Clean Start.
fn a_refused_clean_start_ends_no_session<F: Face>() {
    for refusal in [0x86, 0x87, 0x89, 0x9D] {
        let mut bed = lost::<F>();
        bed.reopen_with(true, 3_600);
        assert!(!bed.client.has_session());
        assert_eq!(bed.tell(&connack(refusal, Properties::EMPTY)), []);
        bed.lose();
        goes_on(&mut bed);
    }
    let mut bed = lost::<F>();
    bed.reopen_with(true, 3_600);
    // As a server of MQTT 3.1.1 says it.
    bed.feed_bytes(&[0x20, 2, 0, 1]);
    assert_eq!(bed.events(), []);
    bed.lose();
    goes_on(&mut bed);
}

fn a_clean_start_that_never_left_ends_no_session<F: Face>() {
    let mut bed = lost::<F>();
    let list = [SessionExpiryInterval(3_600), LIMITS[0], LIMITS[1]];
    let connect = Connect {
        properties: Properties::new(&list).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    bed.lose();
    goes_on(&mut bed);
}

/// The server may have read it; then there is a new session, of which nothing here may be taken for the old one.
fn a_clean_start_without_an_answer_ends_it<F: Face>() {
    for last_word in [None, Some(disconnect(0x8B))] {
        let mut bed = lost::<F>();
        bed.reopen_with(true, 3_600);
        if let Some(packet) = last_word {
            assert_eq!(bed.tell(&packet), []);
        }
        bed.lose();
        begins_anew(&mut bed);
    }
    // One byte of it is enough.
    let mut bed = lost::<F>();
    let connect = Connect {
        properties: Properties::new(&LIMITS).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    assert_eq!(bed.client.transmit(bed.now, 1).len(), 1);
    bed.lose();
    begins_anew(&mut bed);
}

fn a_refusal_makes_no_session<F: Face>() {
    for clean_start in [true, false] {
        let mut bed = Bed::<F>::with(Config::default());
        bed.client = F::keeping(Config::default());
        bed.reopen_with(clean_start, 3_600);
        bed.tell(&connack(0x87, Properties::EMPTY));
        bed.lose();
        assert!(!bed.client.has_session());
    }
}

/// Connects with enhanced authentication, Clean Start 0; CONNACK has data for the application to check.
fn checking<F: Face>(session_present: bool) -> Bed<F> {
    checking_with(Config::default(), session_present)
}

fn checking_with<F: Face>(config: Config, session_present: bool) -> Bed<F> {
    let mut bed = lost_with::<F>(config);
    let list = [
        SessionExpiryInterval(3_600),
        LIMITS[0],
        LIMITS[1],
        AuthenticationMethod("m"),
    ];
    let connect = Connect {
        clean_start: false,
        properties: Properties::new(&list).unwrap(),
        ..Connect::new("me")
    };
    bed.client.connect(bed.now, &connect).unwrap();
    bed.sent_bytes();
    let list = [AuthenticationMethod("m"), AuthenticationData(b"final")];
    let events = bed.tell(&Packet::Connack(Connack {
        session_present,
        reason: ReasonCode::SUCCESS,
        properties: Properties::new(&list).unwrap(),
    }));
    assert!(matches!(events[..], [Told::Challenge(..)]), "{events:?}");
    bed
}

/// [MQTT-3.2.2-5]: the server has discarded the old one, whatever becomes of this connection.
fn a_new_session_before_the_verdict_ends_the_old_one<F: Face>() {
    type End<F> = fn(&mut Bed<F>);
    let ends: [End<F>; 3] = [
        |_| {},
        |bed| bed.elapse(secs(10)),
        |bed| {
            let reason = DisconnectReason::Normal;
            bed.client
                .disconnect(bed.now, reason, Properties::EMPTY)
                .unwrap();
        },
    ];
    for end in ends {
        let mut bed = checking::<F>(false);
        end(&mut bed);
        bed.lose();
        begins_anew(&mut bed);
    }
}

/// Its identifiers have nothing to do with those of the old one.
fn a_new_session_before_the_verdict_is_assumed_without_the_old_one<F: Face>() {
    let mut bed = checking_with::<F>(assumed::config(), false);
    bed.lose();
    take_over(&mut bed, &[]);
    expect_pubrels(&mut bed, 1..=1 + SPARE);
    answer(&mut bed, 1..=1 + SPARE);
    bed.expect_sent(&[publish(AtLeastOnce, 1, "mine")]);
    bed.token(&publish(ExactlyOnce, 7, "new"));
}

fn an_approval_that_came_too_late_ends_the_old_one<F: Face>() {
    let mut bed = checking::<F>(false);
    bed.client
        .authenticate(bed.now, Authenticate::Accept)
        .unwrap();
    bed.lose();
    begins_anew(&mut bed);
}

/// It was not our server.
fn a_server_that_is_disapproved_of_ends_nothing<F: Face>() {
    for session_present in [false, true] {
        let mut bed = checking::<F>(session_present);
        bed.client
            .authenticate(bed.now, Authenticate::Abort)
            .unwrap();
        bed.lose();
        goes_on(&mut bed);
    }
}

fn a_kept_session_before_the_verdict_is_kept<F: Face>() {
    let mut bed = checking::<F>(true);
    bed.lose();
    goes_on(&mut bed);

    let mut bed = checking::<F>(true);
    bed.client
        .authenticate(bed.now, Authenticate::Accept)
        .unwrap();
    let events = bed.events();
    assert!(matches!(events[..], [Told::Connected { .. }]), "{events:?}");
    bed.expect_sent(&[again(AtLeastOnce, 1, "mine")]);

    // Approved of without a session: settled at once.
    let mut bed = checking::<F>(false);
    bed.client
        .authenticate(bed.now, Authenticate::Accept)
        .unwrap();
    let events = bed.events();
    assert!(
        !events
            .iter()
            .any(|told| matches!(told, Told::Completed(_, End::Unknown))),
        "{events:?}"
    );
    bed.expect_sent(&[publish(AtLeastOnce, 2, "mine")]);
}
