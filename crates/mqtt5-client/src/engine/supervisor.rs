//! The life of a client, as a transition table.
//!
//! ```text
//!           ╭──────────────────────────── Waiting ◀─────────────────────────────╮
//!           │ Prepare or Dial                                                   │ Retry
//!           ▼             Dial           Dialed               Accepted          │
//!   Idle ─▶ Preparing ─────────▶ Dialing ──────▶ Handshaking ─────────▶ Online ─┤
//!                                                     ╰──── Close ──▶ Closing ◀╯
//! ```
//!
//! Every attempt or connection ends in Waiting, by Retry, or in Stopped, by Stop, which is possible in every state and final. Nothing
//! outside this file changes the state.

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
    /// The application prepares the next attempt; see [`Options::prepare_attempts`](crate::Options::prepare_attempts).
    Preparing,
    /// A transport to the server is being opened.
    Dialing,
    /// The transport is open, CONNECT is on its way, CONNACK has not arrived.
    Handshaking,
    /// The server accepted the connection.
    Online,
    /// The connection is over for us, by our DISCONNECT or by a failure; what is left to write is, and then the transport is closed.
    Closing,
    /// There is no connection; the next attempt begins after a while.
    Waiting,
    /// It is over for good: every operation fails with `Closed`, and only another client can connect again.
    Stopped,
}

/// What can happen to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// An attempt begins with a question to the application.
    Prepare,
    /// An attempt begins, or goes on, with the transport.
    Dial,
    /// The transport is open.
    Dialed,
    /// A successful CONNACK.
    Accepted,
    /// The client ends the connection, or has seen it fail.
    Close,
    /// The attempt or connection is over, there is no transport, and there will be another.
    Retry,
    /// There is no transport and there will be none.
    Stop,
}

/// The table: the state after `input`; `None` where the input means nothing.
const fn next(state: State, input: Input) -> Option<State> {
    use State::*;
    Some(match (state, input) {
        (Stopped, _) => return None,
        (Idle | Waiting, Input::Prepare) => Preparing,
        (Idle | Waiting | Preparing, Input::Dial) => Dialing,
        (Dialing, Input::Dialed) => Handshaking,
        (Handshaking, Input::Accepted) => Online,
        (Handshaking | Online, Input::Close) => Closing,
        (Preparing | Dialing | Handshaking | Online | Closing, Input::Retry) => Waiting,
        (_, Input::Stop) => Stopped,
        _ => return None,
    })
}

/// The state, the attempt it belongs to, and what the driver has still to be told.
#[derive(Debug)]
pub(super) struct Supervisor {
    state: State,
    attempt: Attempt,
    actions: VecDeque<Action>,
    /// The driver opens a transport, or was told to.
    is_dialing: bool,
    hung_up: bool,
    /// Why there is no connection any more, once that is known. `None` after a disconnect that was asked for.
    end: Option<ConnectionError>,
}

impl Supervisor {
    pub(super) fn new() -> Self {
        Self {
            state: State::Idle,
            attempt: Attempt::NONE,
            actions: VecDeque::new(),
            is_dialing: false,
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

    /// Whether this is the attempt under way, and its transport is being opened.
    pub(super) fn is_dialing(&self, attempt: Attempt) -> bool {
        self.state == State::Dialing && self.attempt == attempt
    }

    pub(super) fn end(&self) -> Option<&ConnectionError> {
        self.end.as_ref()
    }

    /// The first reason counts: a transport that we closed ourselves is reported as closed, too.
    pub(super) fn set_end(&mut self, end: ConnectionError) {
        self.end.get_or_insert(end);
    }

    /// Moves on; `false` when the input means nothing in this state.
    pub(super) fn handle(
        &mut self,
        input: Input,
        endpoint: &Arc<Endpoint>,
        is_trusted: bool,
    ) -> bool {
        let Some(state) = next(self.state, input) else {
            return false;
        };
        let before = core::mem::replace(&mut self.state, state);
        if matches!(before, State::Idle | State::Waiting) {
            self.begin_attempt();
        }
        match input {
            Input::Dial => {
                self.is_dialing = true;
                self.actions.push_back(Action::Dial {
                    attempt: self.attempt,
                    endpoint: endpoint.clone(),
                    is_trusted,
                });
            }
            Input::Dialed => self.is_dialing = false,
            Input::Retry | Input::Stop => self.end_attempt(state),
            Input::Prepare | Input::Accepted | Input::Close => {}
        }
        true
    }

    /// The driver could not open the transport: it need not be told to stop.
    pub(super) fn dial_failed(&mut self) {
        self.is_dialing = false;
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

    /// Whether the driver was asked to close the transport of this attempt.
    pub(super) fn is_hung_up(&self) -> bool {
        self.hung_up
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn has_action(&self) -> bool {
        !self.actions.is_empty()
    }

    fn begin_attempt(&mut self) {
        self.attempt = self.attempt.next();
        self.hung_up = false;
        self.end = None;
    }

    fn end_attempt(&mut self, state: State) {
        // What is gone need not be closed.
        self.actions
            .retain(|action| !matches!(action, Action::Hangup(_)));
        if core::mem::take(&mut self.is_dialing) {
            self.actions.push_back(Action::CancelDial(self.attempt));
        }
        if state == State::Stopped {
            self.actions.push_back(Action::Finish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 8] = [
        State::Idle,
        State::Preparing,
        State::Dialing,
        State::Handshaking,
        State::Online,
        State::Closing,
        State::Waiting,
        State::Stopped,
    ];
    const INPUTS: [Input; 7] = [
        Input::Prepare,
        Input::Dial,
        Input::Dialed,
        Input::Accepted,
        Input::Close,
        Input::Retry,
        Input::Stop,
    ];

    /// One column for each input of `INPUTS`, one row for each state of `STATES`.
    #[test]
    fn the_whole_table() {
        let rows = [
            "Preparing Dialing - - - - Stopped",
            "- Dialing - - - Waiting Stopped",
            "- - Handshaking - - Waiting Stopped",
            "- - - Online Closing Waiting Stopped",
            "- - - - Closing Waiting Stopped",
            "- - - - - Waiting Stopped",
            "Preparing Dialing - - - - Stopped",
            "- - - - - - -",
        ];
        for (state, row) in STATES.into_iter().zip(rows) {
            let reached = INPUTS.map(|input| match next(state, input) {
                Some(state) => format!("{state:?}"),
                None => "-".to_owned(),
            });
            assert_eq!(reached.join(" "), row, "{state:?}");
        }
    }

    #[test]
    fn the_driver_is_told_each_thing_once() {
        let endpoint = Arc::new("mqtt://h".parse::<Endpoint>().expect("valid"));
        let mut supervisor = Supervisor::new();
        for attempt in 1..3 {
            assert!(supervisor.handle(Input::Dial, &endpoint, true));
            assert!(!supervisor.handle(Input::Dial, &endpoint, true));
            assert!(
                matches!(supervisor.poll_action(), Some(Action::Dial { attempt: of, .. }) if of.number() == attempt)
            );
            supervisor.hang_up();
            assert!(supervisor.handle(Input::Dialed, &endpoint, true));
            assert!(supervisor.handle(Input::Accepted, &endpoint, true));
            supervisor.hang_up();
            supervisor.hang_up();
            assert!(matches!(supervisor.poll_action(), Some(Action::Hangup(_))));
            assert!(!supervisor.has_action());
            supervisor.hang_up();
            assert!(!supervisor.has_action());
            assert!(supervisor.handle(Input::Retry, &endpoint, true) && !supervisor.has_action());
        }
        assert!(supervisor.handle(Input::Dial, &endpoint, true));
        assert!(supervisor.handle(Input::Stop, &endpoint, true));
        let last = [(); 3].map(|()| supervisor.poll_action());
        assert!(
            matches!(
                last,
                [
                    Some(Action::Dial { .. }),
                    Some(Action::CancelDial(_)),
                    Some(Action::Finish)
                ]
            ),
            "{last:?}"
        );
        assert!(!supervisor.has_action());
    }
}
