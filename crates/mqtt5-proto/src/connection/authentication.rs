//! Enhanced authentication (section 4.12): where it is, and what may come next.

use heapless::Vec;

/// The longest Authentication Method, in bytes.
pub(crate) const LONGEST_METHOD: usize = 64;

/// How many challenges one authentication may take.
const MOST_ROUNDS: u8 = 10;

/// Where the authentication of a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// CONNECT named no method.
    #[default]
    Off,
    /// Nothing is under way.
    Idle,
    /// CONNECT or the initial AUTH is sent; the server is to speak.
    Waiting(Purpose),
    /// The server has sent a challenge; the application is to answer.
    Challenged(Purpose),
    /// The server has accepted with data of its own; the application is to check it.
    Checking(Purpose),
}

/// What is being authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The connection, before CONNACK.
    Connect,
    /// An established connection, again.
    Again,
}

/// What changes the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// AUTH 0x18 from the server.
    Challenge,
    /// AUTH 0x18 of ours.
    Answer,
    /// The server accepts, with data to check.
    AcceptWithData,
    /// The server accepts.
    Accept,
    /// The application has checked the data.
    Checked,
    /// AUTH 0x19 of ours.
    Reauthenticate,
}

impl Stage {
    /// The transition table; `None` is a step that may not come now.
    const fn after(self, step: Step) -> Option<Self> {
        Some(match (self, step) {
            (Self::Waiting(purpose), Step::Challenge) => Self::Challenged(purpose),
            (Self::Challenged(purpose), Step::Answer) => Self::Waiting(purpose),
            (Self::Waiting(purpose), Step::AcceptWithData) => Self::Checking(purpose),
            (Self::Waiting(_), Step::Accept) | (Self::Checking(_), Step::Checked) => Self::Idle,
            (Self::Idle, Step::Reauthenticate) => Self::Waiting(Purpose::Again),
            _ => return None,
        })
    }
}

/// The authentication of one connection.
#[derive(Debug, Default)]
pub(crate) struct Authentication {
    pub(crate) stage: Stage,
    rounds: u8,
    method: Vec<u8, LONGEST_METHOD>,
}

impl Authentication {
    /// For a CONNECT with this method, if it has one; `None` when the method is too long.
    pub(crate) fn new(method: Option<&str>) -> Option<Self> {
        let Some(method) = method else {
            return Some(Self::default());
        };
        Some(Self {
            stage: Stage::Waiting(Purpose::Connect),
            rounds: 0,
            method: Vec::from_slice(method.as_bytes()).ok()?,
        })
    }

    pub(crate) fn method(&self) -> Option<&str> {
        core::str::from_utf8(&self.method).ok()
    }

    /// Whether the server names the method of CONNECT, as it must [MQTT-4.12.0-5].
    pub(crate) fn is_method(&self, method: Option<&str>) -> bool {
        match self.stage {
            Stage::Off => method.is_none(),
            _ => method.is_some_and(|method| method.as_bytes() == self.method.as_slice()),
        }
    }

    /// Takes a step; false when it may not come now.
    pub(crate) fn step(&mut self, step: Step) -> bool {
        let Some(stage) = self.stage.after(step) else {
            return false;
        };
        self.stage = stage;
        self.rounds = match step {
            Step::Challenge => self.rounds.saturating_add(1),
            Step::Answer => self.rounds,
            _ => 0,
        };
        true
    }

    /// Whether the server has asked more often than is reasonable.
    pub(crate) const fn has_too_many_rounds(&self) -> bool {
        self.rounds > MOST_ROUNDS
    }

    /// Whether received packets wait for the application's verdict.
    pub(crate) const fn is_checking(&self) -> bool {
        matches!(self.stage, Stage::Checking(_))
    }
}
