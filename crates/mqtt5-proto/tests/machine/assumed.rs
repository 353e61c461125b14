//! Sessions that are assumed, and the PUBRELs that clear their identifiers.

use mqtt5_proto::{Config, Instant, PacketType, Properties, Property, ReasonCode};

use super::packets::{ack_with, pubrel};
use super::store::write_ahead;
use super::{Bed, Face, Told};

/// More than one publish needs, so that an identifier rests before it is used again.
pub(crate) const SPARE: u16 = 16;

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.assume_session = true;
    config
}

pub(crate) fn recording() -> Config {
    let mut config = write_ahead();
    config.assume_session = true;
    config
}

/// The server has a session of which this machine knows nothing.
pub(crate) fn assumed_with<F: Face>(config: Config, properties: &[Property<'_>]) -> Bed<F> {
    let mut bed = Bed {
        client: F::keeping(config),
        now: Instant::ZERO,
    };
    take_over(&mut bed, properties);
    bed
}

pub(crate) fn assumed<F: Face>() -> Bed<F> {
    assumed_with(config(), &[])
}

pub(crate) fn take_over<F: Face>(bed: &mut Bed<F>, properties: &[Property<'_>]) {
    bed.reopen_with(false, 3_600);
    bed.connack(true, properties);
    assert!(matches!(bed.events()[..], [Told::Connected { .. }]));
}

#[track_caller]
pub(crate) fn expect_pubrels<F: Face>(bed: &mut Bed<F>, ids: impl IntoIterator<Item = u16>) {
    let packets: Vec<_> = ids.into_iter().map(pubrel).collect();
    bed.expect_sent(&packets);
}

/// The server has nothing under these.
#[track_caller]
pub(crate) fn answer<F: Face>(bed: &mut Bed<F>, ids: impl IntoIterator<Item = u16>) {
    for id in ids {
        let unknown = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND.value();
        let packet = ack_with(PacketType::Pubcomp, id, unknown, Properties::EMPTY);
        assert_eq!(bed.tell(&packet), []);
    }
}
