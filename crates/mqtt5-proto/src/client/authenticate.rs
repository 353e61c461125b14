//! Enhanced authentication (section 4.12).

use super::handle::{Handled, Step};
use super::machine::Machine;
use super::{Authenticate, Op, Refused};
use crate::connection::{AuthenticationStep, Purpose, Stage, State};
use crate::packet::{Auth, Disconnect};
use crate::storage::{Storage, Transmit};
use crate::{
    DisconnectCause, Instant, Packet, Properties, Property, ProtocolVersion, ReasonCode, Violation,
};

impl<S: Storage> Machine<S> {
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        step: Authenticate<'_>,
    ) -> Result<(), Refused> {
        let now = self.tick(now);
        let stage = self.connection.authentication.stage;
        if !self.connection.state.is_open() {
            return Err(Refused::NotConnected);
        }
        match (step, stage) {
            (Authenticate::Continue(data), Stage::Challenged(_)) => {
                self.send_auth(now, ReasonCode::CONTINUE_AUTHENTICATION, Some(data))?;
                self.connection
                    .authentication
                    .step(AuthenticationStep::Answer);
            }
            (Authenticate::Accept, Stage::Checking(purpose)) => {
                self.connection
                    .authentication
                    .step(AuthenticationStep::Checked);
                self.checked = Some(purpose);
                // Nothing was read meanwhile.
                self.connection.liveness.resume(now);
            }
            (Authenticate::Abort, Stage::Challenged(_) | Stage::Checking(_)) => {
                let reason = ReasonCode::UNSPECIFIED_ERROR;
                self.send(now, &Packet::Disconnect(Disconnect::new(reason)));
                self.connection
                    .finish(DisconnectCause::AuthenticationAborted);
            }
            _ => return Err(Refused::AuthenticationOutOfTurn),
        }
        Ok(())
    }

    pub(crate) fn reauthenticate(
        &mut self,
        now: Instant,
        data: Option<&[u8]>,
    ) -> Result<Op, Refused> {
        let now = self.tick(now);
        if self.connection.state != State::Connected {
            return Err(Refused::NotConnected);
        }
        match self.connection.authentication.stage {
            Stage::Idle => {}
            Stage::Off => return Err(Refused::NoAuthentication),
            _ => return Err(Refused::AuthenticationOutOfTurn),
        }
        self.send_auth(now, ReasonCode::REAUTHENTICATE, data)?;
        self.connection
            .authentication
            .step(AuthenticationStep::Reauthenticate);
        let op = self.session.next_op();
        self.session.reauthentication = Some(op);
        Ok(op)
    }

    /// Sends AUTH with the method of CONNECT [MQTT-4.12.0-5].
    fn send_auth(
        &mut self,
        now: Instant,
        reason: ReasonCode,
        data: Option<&[u8]>,
    ) -> Result<(), Refused> {
        let connection = &mut self.connection;
        let method = connection.authentication.method().unwrap_or_default();
        let list = [
            Property::AuthenticationMethod(method),
            Property::AuthenticationData(data.unwrap_or_default()),
        ];
        let list = if data.is_some() {
            &list[..]
        } else {
            list.split_at(1).0
        };
        let properties = Properties::new(list)?;
        let packet = Packet::Auth(Auth { reason, properties });
        let length = packet.encoded_len(ProtocolVersion::V5)?;
        let negotiated = connection.negotiated.as_ref();
        let limit = negotiated.map_or(usize::MAX, |n| n.maximum_packet_size as usize);
        let maximum = limit.min(connection.transmit.capacity());
        if length > maximum {
            return Err(Refused::TooLarge { length, maximum });
        }
        if length > connection.transmit.room() {
            return Err(Refused::Full);
        }
        connection
            .liveness
            .encoding(now, connection.transmit.unsent());
        connection.transmit.push(&packet, ProtocolVersion::V5)?;
        connection.note_room();
        super::Statistics::add(&mut self.statistics.packets_sent, 1);
        Ok(())
    }

    /// Handles AUTH; `matching` tells whether it names the method of CONNECT, `with_data` whether it carries data.
    pub(super) fn handle_auth(
        &mut self,
        reason: ReasonCode,
        matching: bool,
        with_data: bool,
    ) -> Handled {
        if !matching || self.connection.authentication.stage == Stage::Off {
            return Err(Violation::UnexpectedAuthentication);
        }
        let connecting = self.connection.state == State::Connecting;
        let step = match (reason, with_data) {
            (ReasonCode::CONTINUE_AUTHENTICATION, _) => AuthenticationStep::Challenge,
            // Only CONNACK ends the authentication of a connection.
            _ if connecting => return Err(Violation::UnexpectedAuthentication),
            (_, true) => AuthenticationStep::AcceptWithData,
            (_, false) => AuthenticationStep::Accept,
        };
        let authentication = &mut self.connection.authentication;
        if !authentication.step(step) {
            return Err(Violation::UnexpectedAuthentication);
        }
        if authentication.has_too_many_rounds() {
            return Err(Violation::TooManyRounds);
        }
        match step {
            AuthenticationStep::Accept => Ok(self.authenticated()),
            _ => Ok(Some(Step::Challenge)),
        }
    }

    /// A repeated authentication has succeeded.
    fn authenticated(&mut self) -> Option<Step> {
        let op = self.session.reauthentication.take()?;
        Some(Step::Authenticated(op))
    }

    /// What follows from the application's approval.
    pub(super) fn poll_checked(&mut self) -> Option<Step> {
        match self.checked.take()? {
            Purpose::Connect => Some(self.accept()),
            Purpose::Again => self.authenticated(),
        }
    }
}
