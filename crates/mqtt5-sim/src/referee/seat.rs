//! One end of a connection: who sits there, and what has passed.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt5_proto::packet::{Connack, Connect};
use mqtt5_proto::{Packet, PacketType, ReasonCode, Role};

use super::frames::Frames;
use super::limits::Limits;
use super::memory::Memory;
use crate::hub::ProcessId;
use crate::ledger::Ledger;
use crate::transcript::Invariant;

/// A rule that was broken.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) Invariant, pub(crate) String);

pub(crate) type Judged = Result<(), Broken>;

/// Fails with this invariant unless `holds`.
pub(crate) fn rule(invariant: Invariant, holds: bool, text: impl FnOnce() -> String) -> Judged {
    if holds {
        Ok(())
    } else {
        Err(Broken(invariant, text()))
    }
}

/// What a packet meets when it passes.
pub(crate) struct Scene<'a> {
    pub(crate) process: ProcessId,
    pub(crate) memory: &'a mut Memory,
    pub(crate) ledger: &'a mut Ledger,
    /// Of the packet, in bytes.
    pub(crate) length: usize,
    /// The broker loses or repeats packets on purpose.
    pub(crate) troubled: bool,
}

/// One end of one connection.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) role: Role,
    pub(crate) connection: u64,
    sent: Frames,
    received: Frames,
    /// It has sent its first packet.
    begun: bool,
    /// It has sent DISCONNECT.
    ended: bool,
    /// And that because nobody has taken what it holds.
    pub(crate) stalled: bool,
    accepted: bool,
    /// It has looked at a DISCONNECT or a refusing CONNACK.
    dismissed: bool,
    /// It has read a PUBLISH or SUBACK, which may stop the reading: what came behind that it may have to look at later.
    is_behind: bool,
    /// In seconds, as asked for and then as granted.
    keep_alive: u16,
    session_expiry: u32,
    /// What the other side has announced.
    pub(crate) peer: Option<Limits>,
    pub(crate) aliases: BTreeSet<u16>,
    /// Identifiers of messages that this side has sent here and that are unfinished.
    pub(crate) window: BTreeSet<u16>,
    /// What this side has last sent here under each identifier.
    pub(crate) published: BTreeMap<u16, Option<usize>>,
    /// What this side has still to answer, in order.
    pub(crate) due: Due,
    /// Identifiers of an assumed session for which this side has sent PUBREL here without PUBREC.
    pub(crate) cleared: BTreeSet<u16>,
    /// SUBSCRIBE and UNSUBSCRIBE that are not answered: what they name.
    pub(crate) requests: BTreeMap<u16, Vec<String>>,
    /// What was answered by packets that were read and perhaps not looked at.
    pub(crate) unseen: Vec<String>,
    /// A SUBSCRIBE was sent.
    pub(crate) has_asked: bool,
    /// The messages that arrived, by QoS and identifier.
    pub(crate) arrivals: BTreeMap<(u8, u16), Option<usize>>,
}

/// Answers that one side owes, in the order in which it owes them.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) puback: VecDeque<u16>,
    /// Messages that were repeated on purpose while they were due: a client that takes each for a message answers each.
    pub(crate) again: Vec<(u8, u16)>,
    pub(crate) pubrec: VecDeque<u16>,
    /// PUBRECs for messages that were answered on an earlier connection: they need not wait.
    pub(crate) repeated: BTreeSet<u16>,
    /// Messages that arrived on an earlier connection: PUBREC may have been given to its transport, which never wrote it, and need not wait.
    pub(crate) resumed: BTreeSet<u16>,
    pub(crate) pubrel: VecDeque<u16>,
    pub(crate) pubcomp: VecDeque<u16>,
}

impl Seat {
    pub(crate) fn new(role: Role, connection: u64) -> Self {
        let other = if role == Role::Client {
            Role::Server
        } else {
            Role::Client
        };
        Self {
            role,
            connection,
            sent: Frames::new(role),
            received: Frames::new(other),
            begun: false,
            ended: false,
            stalled: false,
            accepted: false,
            dismissed: false,
            is_behind: false,
            keep_alive: 0,
            session_expiry: 0,
            peer: None,
            aliases: BTreeSet::new(),
            window: BTreeSet::new(),
            published: BTreeMap::new(),
            due: Due::default(),
            cleared: BTreeSet::new(),
            requests: BTreeMap::new(),
            unseen: Vec::new(),
            has_asked: false,
            arrivals: BTreeMap::new(),
        }
    }

    pub(crate) fn frames(&mut self, sent: bool) -> &mut Frames {
        if sent {
            &mut self.sent
        } else {
            &mut self.received
        }
    }

    /// Whether the other side has said who it is.
    pub(crate) const fn has_begun(&self) -> bool {
        self.peer.is_some()
    }

    /// It has looked at all that it has read.
    pub(crate) fn catches_up(&mut self) {
        self.is_behind = false;
        self.unseen.clear();
    }

    pub(crate) fn is_accepted(&self) -> bool {
        self.accepted
    }

    pub(crate) fn keep_alive(&self) -> Option<Duration> {
        (self.accepted && self.keep_alive > 0).then(|| Duration::from_secs(self.keep_alive.into()))
    }

    pub(crate) fn session_ends_with_connection(&self) -> bool {
        self.accepted && self.session_expiry == 0
    }

    /// The side at this seat sends a packet.
    pub(crate) fn sent(&mut self, scene: &mut Scene<'_>, packet: &Packet<'_>) -> Judged {
        self.check_frame(scene, packet)?;
        match packet {
            Packet::Connect(connect) => self.asked(scene, connect),
            // Whether that began a session is known without it: it may never leave.
            Packet::Connack(connack) => self.accepted = !connack.reason.is_error(),
            Packet::Publish(publish) => return self.sends_publish(scene, publish),
            Packet::Pubrel(answer) => return self.sends_pubrel(scene, answer),
            Packet::Puback(answer) => return self.sends_puback(scene, answer),
            Packet::Pubrec(answer) => return self.sends_pubrec(scene, answer),
            Packet::Pubcomp(answer) => return self.sends_pubcomp(scene, answer),
            Packet::Subscribe(subscribe) => return self.sends_subscribe(scene, subscribe),
            Packet::Unsubscribe(unsubscribe) => return self.sends_unsubscribe(scene, unsubscribe),
            Packet::Suback(answer) => self.sends_suback(scene, answer),
            Packet::Unsuback(answer) => self.sends_unsuback(answer),
            Packet::Disconnect(disconnect) => {
                self.ended = true;
                self.stalled = disconnect.reason == ReasonCode::QUOTA_EXCEEDED;
            }
            _ => {}
        }
        Ok(())
    }

    /// The side at this seat reads a packet.
    pub(crate) fn received(&mut self, scene: &mut Scene<'_>, packet: &Packet<'_>) -> Judged {
        match packet {
            Packet::Connect(connect) => self.peer = Some(Limits::of(connect.properties)),
            Packet::Connack(connack) => self.told(scene, connack),
            Packet::Publish(publish) => {
                self.is_behind = true;
                self.reads_publish(scene, publish);
            }
            Packet::Puback(answer) => self.reads_final(scene, answer, 1),
            Packet::Pubcomp(answer) => self.reads_final(scene, answer, 2),
            Packet::Pubrec(answer) => self.reads_pubrec(scene, answer),
            Packet::Pubrel(answer) => self.reads_pubrel(scene, answer),
            Packet::Subscribe(subscribe) => self.reads_subscribe(scene, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.reads_unsubscribe(scene, unsubscribe),
            Packet::Suback(answer) | Packet::Unsuback(answer) => {
                self.is_behind |= packet.packet_type() == PacketType::Suback;
                let names = self.requests.remove(&answer.packet_id.value());
                self.unseen.extend(names.unwrap_or_default());
            }
            Packet::Disconnect(_) if self.role == Role::Client => {
                scene.ledger.dismissed(scene.process);
                self.dismissed = !self.is_behind;
            }
            _ => {}
        }
        Ok(())
    }

    /// What holds for all packets.
    fn check_frame(&mut self, scene: &Scene<'_>, packet: &Packet<'_>) -> Judged {
        let name = packet.packet_type().name();
        let first = matches!(
            (self.role, packet),
            (Role::Client, Packet::Connect(_))
                | (Role::Server, Packet::Connack(_) | Packet::Disconnect(_))
        );
        let repeated = self.begun && matches!(packet, Packet::Connect(_) | Packet::Connack(_));
        rule(Invariant::Wire, (self.begun || first) && !repeated, || {
            format!("{name} at the wrong time")
        })?;
        rule(Invariant::Wire, !self.ended, || {
            format!("{name} after DISCONNECT")
        })?;
        rule(Invariant::Wire, !self.dismissed, || {
            format!("{name} after a DISCONNECT or a refusal that was read")
        })?;
        self.begun = true;
        let allowed = self
            .peer
            .map_or(usize::MAX, |peer| peer.maximum_packet_size);
        rule(Invariant::Wire, scene.length <= allowed, || {
            format!("{name} has {} bytes, {allowed} are allowed", scene.length)
        })
    }

    fn asked(&mut self, scene: &mut Scene<'_>, connect: &Connect<'_>) {
        scene.memory.asked += 1;
        self.keep_alive = connect.keep_alive;
        self.session_expiry = connect.properties.session_expiry_interval().unwrap_or(0);
    }

    /// The client at this seat is accepted or refused.
    fn told(&mut self, scene: &mut Scene<'_>, connack: &Connack<'_>) {
        if connack.reason.is_error() {
            self.dismissed = true;
            return;
        }
        self.accepted = true;
        let limits = Limits::of(connack.properties);
        self.peer = Some(limits);
        scene.ledger.announces(scene.process, limits);
        self.keep_alive = connack
            .properties
            .server_keep_alive()
            .unwrap_or(self.keep_alive);
        self.session_expiry = connack
            .properties
            .session_expiry_interval()
            .unwrap_or(self.session_expiry);
        if !connack.session_present {
            scene.memory.forget();
            if scene.memory.connections > 0 {
                scene.ledger.session_lost(scene.process);
            }
        }
        let takes_qos2 = self.peer.is_some_and(|peer| peer.maximum_qos == 2);
        if connack.session_present && scene.memory.connections == 0 && takes_qos2 {
            scene.memory.clear = Some(BTreeSet::new());
        }
        let unseen = scene.memory.asked > 1;
        let is_new = !connack.session_present || unseen || scene.memory.connections == 0;
        scene.memory.sessions += usize::from(is_new);
        let anew = scene.memory.connections > 0
            && (!connack.session_present
                || unseen
                || scene.ledger.always_resubscribes(scene.process));
        scene.ledger.may_resubscribe(scene.process, anew);
        scene.memory.connections += 1;
        scene.memory.asked = 0;
    }
}
