//! Numbers about a machine.

use crate::wire::varint_len;
use crate::{FixedHeader, PacketType, Properties};

/// What a machine has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes reported as sent.
    pub bytes_sent: u64,
    /// Packets received and handled.
    pub packets_received: u64,
    /// Packets encoded.
    pub packets_sent: u64,
    /// PUBLISHes among them that were sent before, on an earlier connection (4.4).
    pub publishes_resent: u64,
    /// PUBLISHes received that were repetitions of one that is not finished.
    pub repeated_publishes: u64,
    /// PUBLISHes received above our Receive Maximum, within the margin.
    pub receive_maximum_overshoot: u64,
    /// PUBACKs and PUBCOMPs received that belonged to no exchange.
    pub acknowledgements_ignored: u64,
    /// CONNACKs with an Assigned Client Identifier although we sent one of our own; it changes nothing (3.2.2.3.7).
    pub assigned_identifiers_ignored: u64,
    /// Packets with a Variable Byte Integer longer than needed [MQTT-1.5.5-1], tolerated by
    /// [`Config::lenient`](crate::Config::lenient).
    pub non_minimal_integers: u64,
    /// PUBLISHes with DUP 1 and QoS 0 [MQTT-3.3.1-2], tolerated by [`Config::lenient`](crate::Config::lenient).
    pub dup_without_qos: u64,
    /// Packets with a Reason String or User Property although Request Problem Information was 0 [MQTT-3.1.2-29],
    /// tolerated by [`Config::lenient`](crate::Config::lenient).
    pub unexpected_problem_information: u64,
}

impl Statistics {
    pub(super) fn add(counter: &mut u64, count: usize) {
        *counter = counter.saturating_add(count as u64);
    }

    /// Counts the deviations of form that `lenient` decoding lets pass.
    pub(super) fn count_deviations(&mut self, header: &FixedHeader, properties: &Properties<'_>) {
        const DUP_WITH_QOS_MASK: u8 = 0b1110;
        const DUP_WITH_QOS_0: u8 = 0b1000;
        let shortest = varint_len(header.remaining).saturating_add(1);
        if header.header_len > shortest || !properties.is_minimal() {
            Self::add(&mut self.non_minimal_integers, 1);
        }
        if header.packet_type == PacketType::Publish
            && header.flags & DUP_WITH_QOS_MASK == DUP_WITH_QOS_0
        {
            Self::add(&mut self.dup_without_qos, 1);
        }
    }
}
