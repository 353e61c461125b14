//! SUBSCRIBE and UNSUBSCRIBE (3.8, 3.10).

use super::list::List;
use super::sum;
use crate::wire::{Reader, Writer};
use crate::{
    DecodeError, DecodeErrorKind as Kind, Decoding, EncodeError, PacketId, PacketType, Place,
    Properties, QoS, RetainHandling, TopicFilter,
};

const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;
const RETAIN_HANDLING_SHIFT: u8 = 4;

/// One subscription that a SUBSCRIBE asks for (3.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// Which topics.
    pub filter: TopicFilter<'a>,
    /// The highest QoS that the server may send with.
    pub qos: QoS,
    /// The server shall not send back what this client publishes.
    pub no_local: bool,
    /// The server shall keep the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// What becomes of retained messages.
    pub retain_handling: RetainHandling,
}

impl<'a> SubscribeFilter<'a> {
    /// A subscription with everything else at its default.
    pub const fn new(filter: TopicFilter<'a>, qos: QoS) -> Self {
        Self {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let filter = reader.topic_filter()?;
        let options = reader.u8()?;
        if options & 0xC0 != 0 {
            return Err(reader.error(Kind::ReservedBit));
        }
        let out_of_range = |_| reader.error(Kind::InvalidSubscriptionOption);
        let no_local = options & NO_LOCAL != 0;
        if no_local && filter.is_shared() {
            return Err(reader.error(Kind::NoLocalOnSharedSubscription));
        }
        Ok(Self {
            filter,
            qos: QoS::try_from(options & 3).map_err(out_of_range)?,
            no_local,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling: RetainHandling::try_from(options >> RETAIN_HANDLING_SHIFT)
                .map_err(out_of_range)?,
        })
    }

    fn len(&self) -> Result<usize, EncodeError> {
        if self.no_local && self.filter.is_shared() {
            return Err(EncodeError::NoLocalOnSharedSubscription);
        }
        Ok(sum([2, self.filter.as_str().len(), 1]))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let no_local = if self.no_local { NO_LOCAL } else { 0 };
        let retain_as_published = if self.retain_as_published {
            RETAIN_AS_PUBLISHED
        } else {
            0
        };
        let handling = (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT;
        writer.utf8(self.filter.as_str());
        writer.u8(self.qos as u8 | no_local | retain_as_published | handling);
    }
}

/// Subscribe request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// The identifier that SUBACK answers with.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: Properties<'a>,
    /// The subscriptions, at least one.
    pub filters: List<'a, SubscribeFilter<'a>>,
}

impl<'a> Subscribe<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, decoding: &Decoding) -> Result<Self, DecodeError> {
        let place = Place::Packet(PacketType::Subscribe);
        Ok(Self {
            packet_id: reader.packet_id()?,
            properties: Properties::decode(reader, place, decoding.lenient)?,
            filters: read_filters(reader, SubscribeFilter::read)?,
        })
    }

    pub(super) fn len(&self) -> Result<usize, EncodeError> {
        let properties = self
            .properties
            .encoded_len(Place::Packet(PacketType::Subscribe))?;
        let filters = filters_len(&self.filters, SubscribeFilter::len)?;
        Ok(sum([2, properties, filters]))
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.value());
        self.properties.encode(writer);
        for filter in self.filters.iter() {
            filter.write(writer);
        }
    }
}

/// Unsubscribe request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// The identifier that UNSUBACK answers with.
    pub packet_id: PacketId,
    /// The properties.
    pub properties: Properties<'a>,
    /// The filters, at least one, exactly as they were subscribed.
    pub filters: List<'a, TopicFilter<'a>>,
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, decoding: &Decoding) -> Result<Self, DecodeError> {
        let place = Place::Packet(PacketType::Unsubscribe);
        Ok(Self {
            packet_id: reader.packet_id()?,
            properties: Properties::decode(reader, place, decoding.lenient)?,
            filters: read_filters(reader, Reader::topic_filter)?,
        })
    }

    pub(super) fn len(&self) -> Result<usize, EncodeError> {
        let properties = self
            .properties
            .encoded_len(Place::Packet(PacketType::Unsubscribe))?;
        let filters = filters_len(&self.filters, |filter| Ok(sum([2, filter.as_str().len()])))?;
        Ok(sum([2, properties, filters]))
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.packet_id.value());
        self.properties.encode(writer);
        for filter in self.filters.iter() {
            writer.utf8(filter.as_str());
        }
    }
}

/// Reads the filters up to the end of the packet, at least one [MQTT-3.8.3-2], [MQTT-3.10.3-2].
fn read_filters<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<List<'a, T>, DecodeError> {
    if reader.is_empty() {
        return Err(reader.error(Kind::NoFilters));
    }
    let filters = List::encoded(reader.clone().rest(), reader.offset());
    while !reader.is_empty() {
        read(reader)?;
    }
    Ok(filters)
}

fn filters_len<'a, T: super::ListItem<'a>>(
    filters: &List<'a, T>,
    len: impl Fn(&T) -> Result<usize, EncodeError>,
) -> Result<usize, EncodeError> {
    if filters.is_empty() {
        return Err(EncodeError::NoFilters);
    }
    filters
        .iter()
        .try_fold(0_usize, |sum, filter| Ok(sum.saturating_add(len(&filter)?)))
}
