//! What must not be said of a connection, wherever it is shown.

use super::executor::Task;
use super::{Link, Peer, accepted};
use crate::{Async, Options};

/// E12, S156: the query of a URL and the User Properties of CONNECT may say who we are.
#[test]
fn neither_query_nor_user_properties_are_shown() {
    let options = Options::new("ws://server/mqtt?token=s3cr")
        .client_id("me")
        .user_property("token", "s3cr")
        .prepare_attempts(true);
    let (client, mut link) = Link::new::<Async>(options, Peer::Script(Vec::new()));
    link.run();
    let (mut events, mut attempts) = (client.events(), client.attempts());
    let attempt = Task::new(attempts.recv()).done().expect("an attempt");
    let mut shown = vec![format!("{attempt:?}")];
    attempt.accept().expect("valid");
    assert_eq!(link.sent_types(), ["CONNECT"]);
    link.send(accepted(false));
    shown.push(format!("{:?}", client.connection().expect("connected")));
    shown.extend(core::iter::from_fn(|| events.try_recv()).map(|event| format!("{event:?}")));
    assert!(shown.len() >= 4, "{shown:?}");
    for line in shown {
        assert!(!line.contains("s3cr"), "{line}");
    }
}
