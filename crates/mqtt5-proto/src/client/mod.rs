//! The client machine: a session and at most one connection.

mod authenticate;
mod checks;
mod command;
mod event;
pub mod fixed;
mod handle;
#[cfg(feature = "alloc")]
mod heap;
mod machine;
mod persist;
mod send;
mod statistics;
mod told;
mod types;

pub(crate) use command::{NEVER_KEPT, refuse_properties};
pub use event::{DisconnectCause, Event, Outcome, Violation};
#[cfg(feature = "alloc")]
pub use heap::Client;
pub use machine::{Config, ContentPolicy};
pub use statistics::Statistics;
pub(crate) use types::delivery;
pub use types::{
    AckToken, Authenticate, DisconnectReason, Op, Outbound, Payload, Progress, Refused,
    RejectReason, SessionLoss, TopicAliases,
};

/// The methods that both faces of the machine have.
macro_rules! face {
    () => {
        /// Begins a connection: call it when the transport is open; CONNECT is then the first to send.
        ///
        /// What the machine needs to know it reads from the packet: Keep Alive, limits, properties. The session of another
        /// Client Identifier is not that of this one [MQTT-3.1.3-2]: Session Present is then unexpected.
        ///
        /// # Errors
        ///
        /// There is a connection already, the events of the last one were not all taken, the packet cannot be sent, or the
        /// records that are not durable leave no room for those of a connection ([`Refused::Full`]).
        pub fn connect(&mut self, now: Instant, connect: &Connect<'_>) -> Result<(), Refused> {
            self.0.connect(now, connect)
        }

        /// Publishes a message.
        ///
        /// It is encoded at once or waits, in the order of acceptance, for bytes to be sent or for an exchange to end
        /// [MQTT-3.3.4-7]. A QoS 0 message that is encoded at once is finished with this call; see
        /// [`is_pending`](Self::is_pending). Every other one ends in [`Event::Completed`].
        ///
        /// # Errors
        ///
        /// Not connected (but see [`Config::publish_before_connack`]), ruled out by what the server announced, or no room to
        /// wait in.
        pub fn publish(&mut self, now: Instant, message: &Outbound<'_>) -> Result<Op, Refused> {
            self.0.publish(now, message)
        }

        /// Subscribes to filters, with one packet.
        ///
        /// # Errors
        ///
        /// Not connected, ruled out by what the server announced, or all Packet Identifiers in use.
        pub fn subscribe(
            &mut self,
            now: Instant,
            filters: &[SubscribeFilter<'_>],
            properties: Properties<'_>,
        ) -> Result<Op, Refused> {
            self.0.subscribe(now, filters, properties)
        }

        /// Unsubscribes filters, with one packet.
        ///
        /// # Errors
        ///
        /// As [`subscribe`](Self::subscribe).
        pub fn unsubscribe(
            &mut self,
            now: Instant,
            filters: &[TopicFilter<'_>],
            properties: Properties<'_>,
        ) -> Result<Op, Refused> {
            self.0.unsubscribe(now, filters, properties)
        }

        /// Acknowledges a received message: PUBACK or PUBREC leaves as soon as those of all earlier messages of its QoS
        /// have [MQTT-4.6.0-2], [MQTT-4.6.0-3]. With a stale token it does nothing.
        pub fn ack(&mut self, now: Instant, token: AckToken) {
            self.0.acknowledge(now, token, ReasonCode::SUCCESS);
        }

        /// Refuses a received message: as [`ack`](Self::ack), with a failure.
        pub fn reject(&mut self, now: Instant, token: AckToken, reason: RejectReason) {
            self.0.reject(now, token, reason);
        }

        /// Takes the application's step after [`Event::AuthChallenge`].
        ///
        /// # Errors
        ///
        /// No challenge is open, or the packet cannot be sent.
        pub fn authenticate(
            &mut self,
            now: Instant,
            step: Authenticate<'_>,
        ) -> Result<(), Refused> {
            self.0.authenticate(now, step)
        }

        /// Authenticates the connection again, with the method of CONNECT (4.12.1). Messages flow meanwhile. Ends in
        /// [`Event::Completed`].
        ///
        /// # Errors
        ///
        /// Not connected, no method, an authentication is under way, or the packet cannot be sent.
        pub fn reauthenticate(&mut self, now: Instant, data: Option<&[u8]>) -> Result<Op, Refused> {
            self.0.reauthenticate(now, data)
        }

        /// Takes a publish back that was never encoded: true if so, and then nothing more is told of it. One that is to be
        /// sent again, as a new message because its session was lost, cannot be taken back.
        pub fn withdraw(&mut self, op: Op) -> bool {
            self.0.session.withdraw(op)
        }

        /// Gives the session up: every operation ends, also those that wait, and the next connection begins with none.
        ///
        /// # Errors
        ///
        /// Only without a connection, [`AlreadyConnected`](Refused::AlreadyConnected) otherwise.
        pub fn abandon(&mut self) -> Result<(), Refused> {
            self.0.abandon()
        }

        /// Forgets a message that was received on a connection that is over, or is about to end after
        /// [`disconnect`](Self::disconnect), and will not be acknowledged: its redelivery is handed over again, as a new
        /// message. True if the message was still waited for. On a connection that goes on nothing is forgotten.
        pub fn forget(&mut self, token: AckToken) -> bool {
            self.0.forget(token)
        }

        /// The next record to write, where [`Config::write_ahead`] asks for records; every record comes once, in the order
        /// in which they are to be written. Ask until `None` after [`poll_event`](Self::poll_event) has returned `None`.
        ///
        /// What depends on a record waits until [`handle_persisted`](Self::handle_persisted) says that it is durable; packets
        /// then leave in the order of their records. Tokens belong to the session and outlive connections.
        pub fn poll_persist(&mut self) -> Option<(RecordToken, Record<'_>)> {
            self.0.poll_persist()
        }

        /// Records are durable, or one could not be written. A publish of which the record failed ends with
        /// [`Outcome::NotStored`](crate::Outcome::NotStored). After any other failure the machine stops: it sends DISCONNECT
        /// 0x80, its operations end, and it refuses everything until [`restore`](Self::restore).
        ///
        /// Report the failures of a batch one by one in their order, before success of later records. Behind a record that
        /// is no publish and was not written, none may be: they rely on it.
        pub fn handle_persisted(&mut self, now: Instant, persisted: Persisted) {
            self.0.handle_persisted(now, persisted);
        }

        /// All of the session as records: sessions, publishes that are not finished, received QoS 2 messages of which PUBREL
        /// has not arrived. With [`Config::write_ahead`] they say the same as all records that
        /// [`poll_persist`](Self::poll_persist) has given and has still to give.
        pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
            self.0.records()
        }

        /// Goes on with a session that an earlier process or machine wrote down. Publishes keep their operations and their
        /// order, and go on from the phase that they had reached; as it is not known whether they were sent, they are sent
        /// with DUP 1. Instants in the records must be of the clock of `now`; see [`Record::rebased`](crate::Record::rebased).
        ///
        /// Records belong to one Client Identifier, which they do not name: whoever keeps them tells them apart. In a machine
        /// that has stopped, operations that were told to have ended as `Unknown` are open again, and end again.
        ///
        /// What belongs to a session that was lost or could not outlive its connection is settled as
        /// [`Config::session_loss`] says.
        ///
        /// # Errors
        ///
        /// There is a connection, events are still to be polled, there is a session already, a record makes no sense, or
        /// there is no room. Then there is no session afterwards.
        pub fn restore<'a>(
            &mut self,
            now: Instant,
            records: impl IntoIterator<Item = Record<'a>>,
        ) -> Result<(), Refused> {
            self.0.restore(now, records)
        }

        /// Whether the server keeps a session for us, under the Client Identifier of the last connection and as far as we
        /// know: if so, `connect` should not ask for Clean Start.
        ///
        /// A CONNECT with Clean Start ends it, unless the server refuses or never sees it; so does a CONNACK without Session
        /// Present [MQTT-3.2.2-5], even if the connection is lost before the application has approved of the server.
        pub const fn has_session(&self) -> bool {
            self.0.session.exists
        }

        /// Ends the connection with a DISCONNECT after what is encoded already. Received packets are ignored from now on.
        ///
        /// Where it would be larger than the server accepts, User Properties are left out; if that is not enough, the Reason
        /// String in their stead, then both [MQTT-3.14.2-3], [MQTT-3.14.2-4].
        ///
        /// # Errors
        ///
        /// Not connected, or the packet cannot be sent. A server that accepts no DISCONNECT of the smallest size
        /// ([`TooLarge`](Refused::TooLarge)) can be left only by closing the transport.
        pub fn disconnect(
            &mut self,
            now: Instant,
            reason: DisconnectReason,
            properties: Properties<'_>,
        ) -> Result<(), Refused> {
            self.0.disconnect(now, reason, properties)
        }

        /// Turns the handling of received packets off and on, for an embedder that can take no more. While it is off
        /// the silence of the server says nothing; PINGREQs still leave.
        pub fn set_reading(&mut self, now: Instant, reading: bool) {
            self.0.set_reading(now, reading);
        }

        /// Where received bytes are to be put, for an embedder that holds no lock; empty when
        /// [`wants_read`](Self::wants_read) is false.
        pub fn receive_space(&mut self) -> &mut [u8] {
            if self.0.wants_read() {
                self.0.connection.receive.space()
            } else {
                &mut []
            }
        }

        /// So many bytes were put into [`receive_space`](Self::receive_space).
        pub fn handle_received(&mut self, now: Instant, count: usize) {
            self.0.handle_received(now, count);
        }

        /// The next contiguous bytes to send, for an embedder that holds no lock; empty when there is nothing to send.
        pub fn outgoing(&mut self) -> &[u8] {
            if self.0.may_transmit() {
                self.0.connection.transmit.first()
            } else {
                &[]
            }
        }

        /// So many bytes of [`outgoing`](Self::outgoing) were written.
        pub fn handle_transmitted(&mut self, now: Instant, count: usize) {
            let count = self.0.connection.transmit.advance(count);
            self.0.note_sent(now, count);
        }

        /// The transport is gone. `Disconnected` follows, then the end of every operation.
        pub fn handle_closed(&mut self, now: Instant) {
            self.0.handle_closed(now);
        }

        /// Time has passed; harmless when early.
        pub fn handle_timeout(&mut self, now: Instant) {
            self.0.handle_timeout(now);
        }

        /// When [`handle_timeout`](Self::handle_timeout) is to be called, and why. Without a connection, too: messages that
        /// wait for the next one may expire.
        #[must_use]
        pub fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
            self.0.poll_timeout()
        }

        /// Whether received bytes are wanted; if not, nothing may be read.
        pub fn wants_read(&self) -> bool {
            self.0.wants_read()
        }

        /// Whether the transport is to be closed now, and [`handle_closed`](Self::handle_closed) to be called.
        pub fn wants_close(&self) -> bool {
            self.0.wants_close()
        }

        /// What holds on the connection; `None` while there is none that CONNACK has accepted.
        pub const fn negotiated(&self) -> Option<&Negotiated> {
            self.0.negotiated()
        }

        /// Where the connection is.
        pub const fn state(&self) -> State {
            self.0.connection.state
        }

        /// Bytes that are encoded and not yet reported as sent.
        pub fn unsent(&self) -> usize {
            self.0.connection.transmit.unsent()
        }

        /// How many publishes wait to be encoded.
        pub fn pending(&self) -> usize {
            self.0.session.pending()
        }

        /// Whether this publish waits to be encoded; looks through all that wait.
        pub fn is_pending(&self, op: Op) -> bool {
            self.0.session.is_pending(op)
        }

        /// How far a publish has come; `None` when it has ended, or was QoS 0 and is encoded. Looks through all that are not
        /// finished.
        pub fn progress(&self, op: Op) -> Option<Progress> {
            self.0.session.progress(op, self.sent_position())
        }

        /// How many bytes were reported as sent since this machine was made, on all connections.
        pub const fn sent_position(&self) -> u64 {
            self.0.statistics.bytes_sent
        }

        /// What [`sent_position`](Self::sent_position) will be when all that is encoded now is written, if the connection
        /// lasts: what a lost connection has not sent counts no more.
        ///
        /// Asked for right after `publish`, or after `Accepted` of a QoS 0 publish that had to wait, this is where that
        /// message ends, provided that it is encoded. It is written as soon as `sent_position` is not lower; and it is
        /// not, as far as is known, if `Disconnected` comes before. On a later connection the position means nothing.
        pub fn queued_position(&self) -> u64 {
            self.0.queued_position()
        }

        /// How many QoS 1 and 2 publishes were sent and are not finished, those included whose end is still to be polled.
        pub fn in_flight(&self) -> usize {
            self.0.in_flight()
        }

        /// How many SUBSCRIBEs and UNSUBSCRIBEs have no answer yet.
        pub fn requests(&self) -> usize {
            self.0.requests()
        }

        /// How many received QoS 1 and 2 publishes are not finished.
        pub fn held(&self) -> usize {
            self.0.session.receiver.held()
        }

        /// Packet Identifier and Topic Name, as received, of the QoS 1 or 2 PUBLISH that broke the protocol and so ended the
        /// connection, if one did. The server is going to send it again: whoever connects again wants to know whether it is
        /// the same each time. Known from the violation on until [`poll_event`](Self::poll_event) is called after
        /// `Disconnected`; the Topic Name is empty where a Topic Alias stood for it.
        pub fn offending_publish(&self) -> Option<(PacketId, &[u8])> {
            self.0.offending_publish()
        }

        /// What was counted so far.
        pub const fn statistics(&self) -> &Statistics {
            &self.0.statistics
        }
    };
}

use face;
