//! Deliberate faults of `mqtt5-proto` and `mqtt5-client`, for the test that they are found; see `--cfg mqtt5_planted`.

#[cfg(mqtt5_planted)]
use mqtt5_client::planted as client;
#[cfg(mqtt5_planted)]
use mqtt5_proto::planted as proto;

/// While it lives the protocol is sound in this thread.
pub(crate) struct Sound {
    #[cfg(mqtt5_planted)]
    planted: Option<proto::Fault>,
}

impl Sound {
    #[cfg(mqtt5_planted)]
    pub(crate) fn begin() -> Self {
        let planted = proto::Fault::ALL
            .iter()
            .copied()
            .find(|fault| proto::is(*fault));
        proto::plant(None);
        Self { planted }
    }

    #[cfg(not(mqtt5_planted))]
    pub(crate) const fn begin() -> Self {
        Self {}
    }
}

#[cfg(mqtt5_planted)]
impl Drop for Sound {
    fn drop(&mut self) {
        proto::plant(self.planted);
    }
}

/// Plants the fault of this name, and no other, in this thread.
#[cfg(mqtt5_planted)]
pub(crate) fn plant(name: &str) {
    proto::plant(proto::Fault::named(name));
    client::plant(client::Fault::named(name));
}

/// The names of all faults.
#[cfg(mqtt5_planted)]
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    let protocol = proto::Fault::ALL.iter().map(|fault| fault.name());
    protocol.chain(client::Fault::ALL.iter().map(|fault| fault.name()))
}
