//! The life of a client, as a transition table.
//!
//! ```text
//!            Start            Dialed              Accepted
//!   Idle ───────────▶ Dialing ──────▶ Handshaking ─────────▶ Online
//!    │                  │ DialFailed    │ Lost                │ Lost
//!    │ Stop             │ Stop          │       Close  ┌──────┴─ Close
//!    │                  ▼               ▼      ╭───────▼╮
//!    ╰─────────────▶ Stopped ◀──────────────── │Closing │
//!                                      Lost    ╰────────╯
//! ```
//!
//! A lost connection and a failed dial lead to Stopped. Waiting, between a loss and the next attempt, will take their place: it is one
//! more state here and one more column in [`next`]. Nothing outside this file changes the state.

use crate::driver::{Action, Attempt};
use crate::endpoint::Endpoint;
use crate::error::ConnectionError;
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a client is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It was built and does nothing yet.
    Idle,
    /// A transport to the server is being opened.
    Dialing,
    /// The transport is open, CONNECT is on its way, CONNACK has not arrived.
    Handshaking,
    /// The server accepted the connection.
    Online,
    /// The connection is over for us, by our DISCONNECT or by a failure; what is left to write is, and then the transport is closed.
    Closing,
    /// It is over; every operation fails with `Closed`.
    Stopped,
}

/// What can happen to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The first attempt shall begin.
    Start,
    /// The transport is open.
    Dialed,
    /// The transport could not be opened.
    DialFailed,
    /// A successful CONNACK.
    Accepted,
    /// The client ends the connection, or has seen it fail.
    Close,
    /// The client shall end and there is no transport to close.
    Stop,
    /// The transport is gone.
    Lost,
}

/// The table: the state after `input`; `None` where the input means nothing.
const fn next(state: State, input: Input) -> Option<State> {
    use State::*;
    Some(match (state, input) {
        (Idle, Input::Start) => Dialing,
        (Idle, Input::Stop) => Stopped,
        (Dialing, Input::Dialed) => Handshaking,
        (Dialing, Input::DialFailed | Input::Stop) => Stopped,
        (Handshaking, Input::Accepted) => Online,
        (Handshaking | Online, Input::Close) => Closing,
        (Handshaking | Online | Closing, Input::Lost) => Stopped,
        _ => return None,
    })
}

/// The state, the attempt it belongs to, and what the driver has still to be told.
#[derive(Debug)]
pub(super) struct Supervisor {
    state: State,
    attempt: Attempt,
    actions: VecDeque<Action>,
    hung_up: bool,
    /// Why there is no connection any more, once that is known. `None` after a disconnect that was asked for.
    end: Option<ConnectionError>,
}

impl Supervisor {
    pub(super) fn new() -> Self {
        Self {
            state: State::Idle,
            attempt: Attempt::FIRST,
            actions: VecDeque::new(),
            hung_up: false,
            end: None,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn attempt(&self) -> Attempt {
        self.attempt
    }

    pub(super) fn end(&self) -> Option<&ConnectionError> {
        self.end.as_ref()
    }

    /// The first reason counts: a transport that we closed ourselves is reported as closed, too.
    pub(super) fn set_end(&mut self, end: ConnectionError) {
        self.end.get_or_insert(end);
    }

    /// Moves on; `false` when the input means nothing in this state.
    pub(super) fn handle(&mut self, input: Input, endpoint: &Arc<Endpoint>) -> bool {
        let Some(state) = next(self.state, input) else {
            return false;
        };
        let before = core::mem::replace(&mut self.state, state);
        if input == Input::Lost {
            // What is gone need not be closed.
            self.actions
                .retain(|action| !matches!(action, Action::Hangup(_)));
        }
        match (before, state) {
            (_, State::Dialing) => self.actions.push_back(Action::Dial {
                attempt: self.attempt,
                endpoint: endpoint.clone(),
            }),
            (State::Dialing, State::Stopped) if input == Input::Stop => {
                self.actions.push_back(Action::CancelDial(self.attempt));
            }
            _ => {}
        }
        if state == State::Stopped {
            self.actions.push_back(Action::Finish);
        }
        true
    }

    /// Asks the driver to close the transport, once in each attempt.
    pub(super) fn hang_up(&mut self) {
        if !self.hung_up
            && matches!(
                self.state,
                State::Handshaking | State::Online | State::Closing
            )
        {
            self.hung_up = true;
            self.actions.push_back(Action::Hangup(self.attempt));
        }
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn has_action(&self) -> bool {
        !self.actions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopped_is_final_and_reached_from_everywhere() {
        use Input::*;
        let inputs = [Start, Dialed, DialFailed, Accepted, Close, Stop, Lost];
        let states = [
            State::Idle,
            State::Dialing,
            State::Handshaking,
            State::Online,
            State::Closing,
        ];
        for input in inputs {
            assert_eq!(next(State::Stopped, input), None);
        }
        for state in states {
            assert!(
                [DialFailed, Lost, Stop]
                    .iter()
                    .any(|input| next(state, *input) == Some(State::Stopped)),
                "{state:?}"
            );
        }
    }

    #[test]
    fn the_driver_is_told_each_thing_once() {
        let endpoint = Arc::new("mqtt://h".parse::<Endpoint>().expect("valid"));
        let mut supervisor = Supervisor::new();
        assert!(
            supervisor.handle(Input::Start, &endpoint)
                && !supervisor.handle(Input::Start, &endpoint)
        );
        assert!(matches!(
            supervisor.poll_action(),
            Some(Action::Dial { .. })
        ));
        supervisor.hang_up();
        assert!(
            supervisor.handle(Input::Dialed, &endpoint)
                && supervisor.handle(Input::Accepted, &endpoint)
        );
        supervisor.hang_up();
        supervisor.hang_up();
        assert!(matches!(supervisor.poll_action(), Some(Action::Hangup(_))));
        assert!(!supervisor.has_action());
        supervisor.hang_up();
        assert!(!supervisor.has_action());
        assert!(supervisor.handle(Input::Lost, &endpoint));
        assert!(
            matches!(supervisor.poll_action(), Some(Action::Finish)) && !supervisor.has_action()
        );
    }
}
