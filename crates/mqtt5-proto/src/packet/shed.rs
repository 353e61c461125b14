//! What is left out of a packet that would be larger than its receiver accepts.

use super::Packet;
use crate::{EncodeError, Properties, ProtocolVersion};

const REASON_STRING: u8 = 0x1F;
const USER_PROPERTY: u8 = 0x26;

/// What is tried, in this order: the text for people is worth more than the properties of the application.
const LEFT_OUT: [&[u8]; 3] = [
    &[USER_PROPERTY],
    &[REASON_STRING],
    &[USER_PROPERTY, REASON_STRING],
];

impl<'a> Packet<'a> {
    /// The packet as it may be sent to a receiver with this Maximum Packet Size, and its length in bytes.
    ///
    /// If it is larger, its User Properties are left out, all of them; if that is not enough, its Reason String instead;
    /// then both. The length is above `maximum` if even then it does not fit, and then it must not be sent.
    ///
    /// Only packets that explain a result are changed: CONNACK [MQTT-3.2.2-19], [MQTT-3.2.2-20], PUBACK [MQTT-3.4.2-2],
    /// [MQTT-3.4.2-3], PUBREC [MQTT-3.5.2-2], [MQTT-3.5.2-3], PUBREL [MQTT-3.6.2-2], [MQTT-3.6.2-3], PUBCOMP
    /// [MQTT-3.7.2-2], [MQTT-3.7.2-3], SUBACK [MQTT-3.9.2-1], [MQTT-3.9.2-2], UNSUBACK [MQTT-3.11.2-1],
    /// [MQTT-3.11.2-2], DISCONNECT [MQTT-3.14.2-3], [MQTT-3.14.2-4], AUTH [MQTT-3.15.2-2], [MQTT-3.15.2-3]. In all others
    /// User Properties are content.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent at all.
    pub fn shed(
        self,
        version: ProtocolVersion,
        maximum: usize,
    ) -> Result<(Self, usize), EncodeError> {
        let mut shed = self;
        let mut length = self.encoded_len(version)?;
        for left_out in LEFT_OUT {
            if length <= maximum {
                break;
            }
            shed = self;
            if let Some(properties) = shed.explanation() {
                *properties = properties.without(left_out);
                length = shed.encoded_len(version)?;
            }
        }
        Ok((shed, length))
    }

    /// The properties of a packet that explains a result.
    fn explanation(&mut self) -> Option<&mut Properties<'a>> {
        match self {
            Self::Connack(packet) => Some(&mut packet.properties),
            Self::Puback(packet)
            | Self::Pubrec(packet)
            | Self::Pubrel(packet)
            | Self::Pubcomp(packet) => Some(&mut packet.properties),
            Self::Suback(packet) | Self::Unsuback(packet) => Some(&mut packet.properties),
            Self::Disconnect(packet) => Some(&mut packet.properties),
            Self::Auth(packet) => Some(&mut packet.properties),
            Self::Connect(_)
            | Self::Publish(_)
            | Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::Pingreq
            | Self::Pingresp => None,
        }
    }
}
