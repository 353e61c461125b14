//! Mistakes that users of other clients met, each with its number in the list that the tests of all layers share.

mod delivering;
mod flowing;
mod keeping_alive;
mod limits;
mod overload;
mod sessions;
mod waiting;

use super::Link;
use super::executor::now;
use super::session_loss::published;
use crate::{Client, Delivery, QoS, ReasonCode};
use mqtt5_proto::packet::Acknowledgement;
use mqtt5_proto::{Packet, ProtocolVersion};

/// The server accepts whatever this identifier stands for.
fn success(id: u16) -> Acknowledgement<'static> {
    super::acknowledgement(id, ReasonCode::SUCCESS)
}

fn refusal(id: u16) -> Acknowledgement<'static> {
    super::acknowledgement(id, ReasonCode::QUOTA_EXCEEDED)
}

/// Begins a publish without waiting for its end.
fn start(client: &Client, payload: &str, qos: QoS) -> Delivery {
    now(client.publish("a", payload).qos(qos).start()).expect("accepted")
}

/// The identifiers of all PUBLISHes above QoS 0 that were sent since the last look; nothing else was.
fn identifiers(link: &mut Link) -> Vec<u16> {
    link.run();
    let mut ids = Vec::new();
    while matches!(&link.peer, super::Peer::Script(bytes) if !bytes.is_empty()) {
        ids.push(published(link).0);
    }
    ids
}

/// The server acknowledges all of these at once.
fn puback_all(link: &mut Link, ids: &[u16]) {
    for id in ids {
        Packet::Puback(success(*id))
            .encode_to_vec(ProtocolVersion::V5, &mut link.inbound)
            .expect("valid");
    }
    link.run();
}

/// Publishes and acknowledges until the identifiers have begun anew; gives them in their order.
fn use_all_identifiers(client: &Client, link: &mut Link) -> Vec<u16> {
    let mut used = Vec::new();
    while used.len() < 65_535 {
        let deliveries: Vec<_> = (0..512)
            .map(|_| start(client, "", QoS::AtLeastOnce))
            .collect();
        let ids = identifiers(link);
        puback_all(link, &ids);
        used.extend(ids);
        for delivery in deliveries {
            assert!(now(delivery).is_ok());
        }
    }
    used
}
