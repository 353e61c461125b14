//! What is said between the two sides when nothing is cut.

use mqtt5_proto::QoS;

use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

/// What the client does, one step when the one before has come to rest.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) setting: Setting,
    pub(crate) steps: Vec<Step>,
}

/// What holds during a script.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setting {
    /// Both sides use Topic Aliases, fewer than there are topics.
    pub(crate) has_aliases: bool,
    /// CONNECT begins an enhanced authentication.
    pub(crate) has_authentication: bool,
    pub(crate) has_will: bool,
    /// The Message Expiry Interval of every message in seconds. Time passes before every further connection.
    pub(crate) expiry: Option<u32>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Subscribe,
    Unsubscribe,
    /// The client authenticates again.
    Reauthenticate,
    /// The client says goodbye, and comes back.
    Leave,
    /// The client publishes at each of these QoS, at once.
    Publish(Vec<QoS>),
    /// The witness publishes to the client, which has subscribed, at once.
    Receive(Vec<QoS>),
    /// The witness publishes what the client is not subscribed to any more.
    Unwanted(Vec<QoS>),
    /// Both publish.
    Both(Vec<QoS>),
    /// Both publish while the client authenticates again.
    BothMeanwhile(Vec<QoS>),
}

impl Script {
    fn new(name: &'static str, steps: Vec<Step>) -> Self {
        let setting = Setting::default();
        Self {
            name,
            setting,
            steps,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Setting)) -> Self {
        change(&mut self.setting);
        self
    }

    /// Whether the client publishes something that a lost session leaves open.
    pub(crate) fn publishes(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Publish(list) | Step::Both(list) | Step::BothMeanwhile(list) => {
                list.iter().any(|qos| *qos > AtMostOnce)
            }
            _ => false,
        })
    }
}

/// More than may be in flight, at every QoS.
pub(crate) fn mixed() -> Vec<QoS> {
    vec![
        AtLeastOnce,
        ExactlyOnce,
        AtMostOnce,
        ExactlyOnce,
        AtLeastOnce,
    ]
}

pub(crate) fn scripts() -> Vec<Script> {
    let all = [AtMostOnce, AtLeastOnce, ExactlyOnce];
    let mut scripts = vec![
        Script::new("connect", vec![]),
        Script::new("subscribe", vec![Step::Subscribe]),
        Script::new(
            "unsubscribe",
            vec![
                Step::Receive(vec![ExactlyOnce]),
                Step::Unsubscribe,
                Step::Unwanted(all.to_vec()),
            ],
        ),
    ];
    for qos in all {
        scripts.push(Script::new("publish", vec![Step::Publish(vec![qos])]));
        scripts.push(Script::new("receive", vec![Step::Receive(vec![qos])]));
    }
    for qos in [AtLeastOnce, ExactlyOnce] {
        let (publish, receive) = (Step::Publish(vec![qos; 5]), Step::Receive(vec![qos; 5]));
        scripts.push(Script::new("several in flight", vec![publish]));
        scripts.push(Script::new("several to receive", vec![receive]));
    }
    scripts.push(Script::new(
        "one after the other",
        vec![
            Step::Publish(vec![ExactlyOnce, AtLeastOnce]),
            Step::Receive(vec![ExactlyOnce]),
            Step::Publish(vec![AtLeastOnce, ExactlyOnce]),
        ],
    ));
    scripts.push(Script::new("both ways at once", vec![Step::Both(mixed())]));
    scripts.extend(settings());
    scripts
}

/// Those that need more than a connection.
fn settings() -> [Script; 6] {
    let some = vec![AtLeastOnce, ExactlyOnce];
    let varied = vec![AtMostOnce, AtLeastOnce, AtMostOnce, ExactlyOnce, AtMostOnce];
    // One more than may be in flight.
    let four = [some.clone(), some.clone()].concat();
    let both = || vec![Step::Both(some.clone())];
    [
        Script::new("aliases both ways", vec![Step::Both(varied)]).with(|s| s.has_aliases = true),
        Script::new("authentication", both()).with(|s| s.has_authentication = true),
        Script::new(
            "authentication again",
            vec![Step::Reauthenticate, Step::BothMeanwhile(some.clone())],
        )
        .with(|s| s.has_authentication = true),
        Script::new("a will, and goodbye", vec![Step::Leave]).with(|s| s.has_will = true),
        Script::new("messages that last", both()).with(|s| s.expiry = Some(100)),
        Script::new("messages that expire meanwhile", vec![Step::Both(four)])
            .with(|s| s.expiry = Some(3)),
    ]
}
