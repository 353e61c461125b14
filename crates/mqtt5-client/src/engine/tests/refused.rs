//! Attempts that the server has answered with a refusal.

use super::executor::Task;
use super::subscribe::suback;
use super::{Link, accepted, reconnecting, scripted};
use crate::ReasonCode;
use mqtt5_proto::packet::Connack;
use mqtt5_proto::{Packet, Properties};

fn refuse(link: &mut Link, reason: ReasonCode) {
    link.send(Packet::Connack(Connack {
        session_present: false,
        reason,
        properties: Properties::EMPTY,
    }));
}

/// D1, S75: a CONNECT that was refused was answered: it changed nothing in the session, and nothing is subscribed again. One that was
/// not answered leaves the doubt, whatever is refused after it.
#[test]
fn a_refusal_does_not_put_the_session_in_doubt() {
    let refusals = [
        ReasonCode::SERVER_UNAVAILABLE,
        ReasonCode::SERVER_BUSY,
        ReasonCode::QUOTA_EXCEEDED,
        ReasonCode::CONNECTION_RATE_EXCEEDED,
    ];
    for unanswered in [false, true] {
        let (client, mut link) = scripted(reconnecting(), Properties::EMPTY);
        let mut task = Task::new(client.subscribe("a"));
        assert!(task.is_pending());
        assert_eq!(link.sent_types(), ["SUBSCRIBE"]);
        suback(&mut link, 1, &[ReasonCode::GRANTED_QOS_0]);
        let _subscription = task.woken().expect("granted");
        link.cut();
        if unanswered {
            link.reconnect();
            assert_eq!(link.sent_types(), ["CONNECT"]);
            link.cut();
        }
        for reason in refusals {
            link.reconnect();
            assert_eq!(link.sent_types(), ["CONNECT"]);
            refuse(&mut link, reason);
            link.cut();
        }
        link.reconnect();
        assert_eq!(link.sent_types(), ["CONNECT"]);
        link.send(accepted(true));
        assert_eq!(link.sent_types().len(), usize::from(unanswered));
        // What was in doubt is not for ever.
        link.resume(true);
        assert_eq!(
            link.sent_types().len(),
            usize::from(unanswered),
            "not answered"
        );
    }
}
