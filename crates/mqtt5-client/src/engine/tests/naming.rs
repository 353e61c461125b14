//! Whose word the Client Identifier is.

use super::{Link, accepted, reconnecting, scripted};
use crate::Options;
use mqtt5_proto::{Packet, Properties, Property};

/// The Client Identifier and Clean Start of the CONNECT that was sent.
fn connect(link: &mut Link) -> (String, bool) {
    link.sent(|packet| match packet {
        Packet::Connect(connect) => (connect.client_id.to_owned(), connect.clean_start),
        packet => panic!("{packet:?}"),
    })
}

/// HB-28, S8: a name that nobody asked for is not taken, neither instead of the user's nor instead of one that was assigned before.
#[test]
fn an_assigned_client_identifier_is_ignored_where_one_was_sent() {
    let name = |name| [Property::AssignedClientIdentifier(name)];
    for (options, ours) in [
        (reconnecting(), "me"),
        (Options::new("mqtt://server"), "auto"),
    ] {
        let first = name(if ours == "me" { "evil" } else { ours });
        let (client, mut link) = scripted(options, Properties::new(&first).expect("valid"));
        let in_use = || {
            client
                .connection()
                .expect("connected")
                .client_id()
                .to_owned()
        };
        assert_eq!(in_use(), ours);
        for _ in 0..2 {
            link.cut();
            link.reconnect();
            assert_eq!(connect(&mut link), (ours.into(), false));
            let Packet::Connack(mut connack) = accepted(true) else {
                unreachable!()
            };
            let evil = name("evil");
            connack.properties = Properties::new(&evil).expect("valid");
            link.send(Packet::Connack(connack));
            assert_eq!(in_use(), ours);
        }
    }
}
