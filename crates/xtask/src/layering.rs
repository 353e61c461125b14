//! Adapters move bytes: they name no reason code, no QoS and no packet.

use anyhow::{Result, ensure};

use crate::environment::crate_dir;
use crate::lines::ADAPTERS;
use crate::source::{Source, Token};

/// Fails when the source of an adapter speaks of the protocol.
pub(crate) fn check() -> Result<()> {
    let mut found = Vec::new();
    for adapter in ADAPTERS {
        for source in Source::of_crate(&crate_dir(adapter))? {
            let place =
                |token: &Token| format!("  {}: {}", source.place(token.first_line), token.text);
            found.extend(violations(&source.tokens).into_iter().map(place));
        }
    }
    ensure!(
        found.is_empty(),
        "adapters must not name the protocol:\n{}",
        found.join("\n")
    );
    println!("{} name no reason code, QoS or packet", ADAPTERS.join(", "));
    Ok(())
}

/// The tokens that are words of the protocol, outside re-exports.
fn violations(tokens: &[Token]) -> Vec<&Token> {
    let mut found = Vec::new();
    let mut rest = tokens;
    while let Some(first) = rest.first() {
        if is_re_export(rest) {
            let end = rest.iter().position(|token| token.text == ";");
            rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
            continue;
        }
        if names_protocol(first, &rest[1..]) {
            found.push(first);
        }
        rest = &rest[1..];
    }
    found
}

/// Only `pub use` is a re-export: a restricted `pub(crate) use` brings a name in.
fn is_re_export(tokens: &[Token]) -> bool {
    matches!(tokens, [visibility, keyword, ..] if visibility.text == "pub" && keyword.text == "use")
}

fn names_protocol(token: &Token, after: &[Token]) -> bool {
    let text = token.text.as_str();
    let is_path = matches!(after, [a, b, ..] if a.text == ":" && b.text == ":");
    WORDS.contains(&text)
        || PACKETS.contains(&text)
        || (is_path && MODULES.contains(&text))
        || (text.contains('"')
            && text
                .split(|c: char| !c.is_ascii_alphanumeric())
                .any(|w| PACKETS.contains(&w)))
}

/// Words that only the protocol has. `Connect`, `Publish`, `Subscribe`, `Unsubscribe`, `Disconnect` and `Auth` are not
/// among them: builders and verbs of the public interface are called so. As packets they are reached through [`MODULES`].
const WORDS: [&str; 23] = [
    "QoS",
    "AtMostOnce",
    "AtLeastOnce",
    "ExactlyOnce",
    "ReasonCode",
    "reason_code",
    "PacketId",
    "packet_id",
    "PacketType",
    "Connack",
    "Puback",
    "Pubrec",
    "Pubrel",
    "Pubcomp",
    "Suback",
    "Unsuback",
    "Pingreq",
    "Pingresp",
    "RetainHandling",
    "ReceiveMaximum",
    "TopicAlias",
    "Negotiated",
    "mqtt5_proto",
];

/// The names of packets as the specification writes them, also looked for in strings.
const PACKETS: [&str; 14] = [
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
];

/// Modules of the protocol, as parts of a path.
const MODULES: [&str; 4] = ["packet", "qos", "codec", "reason"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tokens;

    fn found(text: &str) -> Vec<String> {
        violations(&tokens(text))
            .into_iter()
            .map(|token| token.text.clone())
            .collect()
    }

    #[test]
    fn the_adapters_keep_to_it() {
        check().unwrap();
    }

    #[test]
    fn a_planted_word_is_found() {
        assert_eq!(
            found("match qos { QoS::AtMostOnce => 1 }"),
            ["QoS", "AtMostOnce"]
        );
        assert_eq!(
            found("if error.reason_code() == ReasonCode::NotAuthorized {}"),
            ["reason_code", "ReasonCode"]
        );
        assert_eq!(found("use mqtt5_client::packet::Publish;"), ["packet"]);
        assert_eq!(found("use mqtt5_proto::Op;"), ["mqtt5_proto"]);
        assert_eq!(found("pub(crate) use mqtt5_client::QoS;"), ["QoS"]);
        assert_eq!(
            found(r#"panic!("no CONNACK, but {x}")"#),
            [r#""no CONNACK, but {x}""#]
        );
    }

    #[test]
    fn a_re_export_is_accepted() {
        assert!(found("pub use mqtt5_client::{QoS, ReasonCode, packet::Publish};").is_empty());
        assert_eq!(found("pub use mqtt5_client::QoS; fn f(q: QoS) {}"), ["QoS"]);
    }

    #[test]
    fn comments_are_accepted() {
        assert!(found("/// With QoS 1, until PUBACK.\nfn f() {} // CONNACK").is_empty());
    }

    #[test]
    fn the_public_interface_is_accepted() {
        assert!(found("pub struct Publish<'a>(mqtt5_client::Publish<'a>);").is_empty());
        assert!(found("fn qos(self, connect: Connect) { socket.connect(addr) }").is_empty());
        assert!(found("self.packet.len()").is_empty());
    }
}
