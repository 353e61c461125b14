//! Steps of enhanced authentication for scripts (section 4.12).

use mqtt5_proto::packet::{Auth, Connack};
use mqtt5_proto::{
    Authenticate, DisconnectCause, Packet, Properties, Property, ReasonCode, Violation,
};

use super::packets::encode;
use super::{Bed, Face, LIMITS, Told};

use Authenticate::Continue;
use Property::{AuthenticationData, AuthenticationMethod};
use Violation::UnexpectedAuthentication;

pub(crate) const METHOD: &str = "SCRAM-SHA-1";
pub(crate) const CONTINUE: u8 = 0x18;
pub(crate) const AGAIN: u8 = 0x19;

pub(crate) fn properties<'a>(list: &'a [Property<'a>]) -> Properties<'a> {
    Properties::new(list).unwrap()
}

/// AUTH with a method, and with data unless that is empty.
#[track_caller]
pub(crate) fn auth(reason: u8, method: &str, data: &str) -> Vec<u8> {
    let list = [
        AuthenticationMethod(method),
        AuthenticationData(data.as_bytes()),
    ];
    let count = 2 - usize::from(data.is_empty());
    encode(&Packet::Auth(Auth {
        reason: ReasonCode::from(reason),
        properties: properties(&list[..count]),
    }))
}

pub(crate) fn connack(reason: u8, list: &[Property<'_>]) -> Vec<u8> {
    encode(&Packet::Connack(Connack {
        session_present: false,
        reason: ReasonCode::from(reason),
        properties: properties(list),
    }))
}

pub(crate) fn challenged(reason: u8, data: &str) -> Told {
    let list = [
        AuthenticationMethod(METHOD),
        AuthenticationData(data.as_bytes()),
    ];
    let count = 2 - usize::from(data.is_empty());
    let properties = format!("{:?}", properties(&list[..count]));
    let data = (!data.is_empty()).then(|| data.as_bytes().to_vec());
    Told::Challenge(ReasonCode::from(reason), properties, data)
}

pub(crate) fn open<F: Face>() -> Bed<F> {
    let mut bed = Bed::<F>::new();
    open_again(&mut bed);
    bed
}

pub(crate) fn open_again<F: Face>(bed: &mut Bed<F>) {
    let list = [
        LIMITS[0],
        LIMITS[1],
        AuthenticationMethod(METHOD),
        AuthenticationData(b"first"),
    ];
    bed.open_with(&list, 60);
}

/// The connection is authenticated without a challenge.
pub(crate) fn connected<F: Face>() -> Bed<F> {
    let mut bed = open::<F>();
    bed.accept(&[AuthenticationMethod(METHOD)]);
    bed
}

#[track_caller]
pub(crate) fn tell<F: Face>(bed: &mut Bed<F>, bytes: &[u8]) -> Vec<Told> {
    bed.feed_bytes(bytes);
    bed.events()
}

#[track_caller]
pub(crate) fn challenge<F: Face>(bed: &mut Bed<F>, data: &str) {
    let told = tell(bed, &auth(CONTINUE, METHOD, data));
    assert_eq!(told, [challenged(CONTINUE, data)]);
    bed.expect_sent(&[]);
}

#[track_caller]
pub(crate) fn answer<F: Face>(bed: &mut Bed<F>, data: &str) {
    bed.client
        .authenticate(bed.now, Continue(data.as_bytes()))
        .unwrap();
    assert_eq!(bed.sent_bytes(), auth(CONTINUE, METHOD, data));
    assert_eq!(bed.events(), []);
}

#[track_caller]
pub(crate) fn again<F: Face>(bed: &mut Bed<F>) -> mqtt5_proto::Op {
    let op = bed.client.reauthenticate(bed.now, Some(b"first")).unwrap();
    assert_eq!(bed.sent_bytes(), auth(AGAIN, METHOD, "first"));
    op
}

/// The server sends what it must not.
#[track_caller]
pub(crate) fn violates<F: Face>(mut bed: Bed<F>, bytes: &[u8]) {
    bed.feed_bytes(bytes);
    let cause = DisconnectCause::Violation(UnexpectedAuthentication);
    bed.expect_end(Some(0x82), cause);
}
