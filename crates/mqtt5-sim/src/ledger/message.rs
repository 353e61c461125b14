//! A message from when it was asked for.

use mqtt5_client::{PublishErrorKind, QoS};

use super::Ledger;
use crate::hub::ProcessId;
use crate::options::{FORBIDDEN, WILL_TOPICS};
use crate::transcript::Invariant;

/// What is known of a message.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) publisher: ProcessId,
    pub(crate) topic: &'static str,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) expires: bool,
    /// It may end without anybody being told.
    pub(crate) is_fleeting: bool,
    pub(crate) payload: Vec<u8>,
    /// When it was accepted, if that could be seen.
    pub(crate) accepted: Option<u64>,
    pub(crate) ending: Option<Ending>,
    /// It was given to the transport.
    sent: bool,
    /// When the broker took it, each time as a new message.
    pub(crate) taken: Vec<u64>,
    /// In which session of the publisher the broker took it last, and how often the publisher had lost its session then.
    last_taken: Option<(u64, usize)>,
    /// The broker refused it.
    pub(crate) refused: bool,
    /// The publisher read the PUBACK or PUBCOMP that ends it, or else its refusal.
    acknowledged: bool,
    rejected: bool,
    /// It read the PUBREC that does not end it.
    received: bool,
    /// Processes that dropped it unanswered, each time that they did: it comes again.
    pub(crate) held_back: Vec<ProcessId>,
    /// How often the publisher had lost its session when it was begun.
    losses: usize,
}

impl Note {
    /// It may be under way: with its timeout only the wait for it ends.
    pub(crate) fn is_open(&self) -> bool {
        let timed_out = Ending::Failed(PublishErrorKind::TimedOut);
        let is_watched = self.ending.is_none_or(|ending| ending == timed_out);
        let is_answered = self.acknowledged || self.rejected;
        // QoS 0 whose bytes wait.
        let is_unread = self.ending == Some(Ending::Accepted) && self.taken.is_empty();
        (is_watched && !is_answered || is_unread) && !WILL_TOPICS.contains(&self.topic)
    }
}

/// How a publish ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// QoS 0: accepted for sending.
    Accepted,
    Acknowledged,
    Failed(PublishErrorKind),
}

impl Ending {
    /// Whether it says that the message has not left.
    fn is_unsent(self) -> bool {
        use PublishErrorKind::{Rejected, SessionLost, TimedOut, Unknown};
        match self {
            Self::Failed(kind) => ![Unknown, SessionLost, TimedOut, Rejected].contains(&kind),
            _ => false,
        }
    }
}

/// The number that a payload begins with.
pub(crate) fn number_of(payload: &[u8]) -> Option<usize> {
    let digits = payload
        .strip_prefix(b"m")?
        .split(|byte| *byte == b'.')
        .next()?;
    core::str::from_utf8(digits).ok()?.parse().ok()
}

impl Ledger {
    /// A publish begins; gives the number of its message and the payload.
    pub(crate) fn draft(
        &mut self,
        publisher: ProcessId,
        topic: &'static str,
        qos: QoS,
        size: usize,
    ) -> usize {
        let number = self.messages.len();
        let mut payload = format!("m{number}.").into_bytes();
        let filler = b'a' + (number % 26) as u8;
        payload.resize(payload.len().max(size), filler);
        let losses = self.losses(publisher);
        self.messages.push(Note {
            publisher,
            topic,
            qos,
            retain: false,
            expires: false,
            is_fleeting: false,
            payload,
            accepted: None,
            ending: None,
            sent: false,
            taken: Vec::new(),
            last_taken: None,
            refused: false,
            acknowledged: false,
            rejected: false,
            received: false,
            held_back: Vec::new(),
            losses,
        });
        number
    }

    pub(crate) fn accepted(&mut self, number: usize) {
        let moment = self.moment();
        self.messages[number].accepted = Some(moment);
    }

    /// How many bytes of payload were accepted of a process and have not ended, at least.
    pub(crate) fn waiting_bytes(&self, process: ProcessId) -> usize {
        let own = self.messages.iter().filter(|note| {
            let waits = note.accepted.is_some() && note.ending.is_none();
            note.publisher == process && waits && !note.is_fleeting
        });
        own.map(|note| note.payload.len()).sum()
    }

    /// A publish has ended; `stopped` says whether the client has.
    pub(crate) fn published(&mut self, number: usize, ending: Ending, stopped: bool) {
        let losses = self.losses(self.messages[number].publisher);
        let note = &mut self.messages[number];
        let transcript = &self.transcript;
        transcript.say(note.publisher, || format!("m{number} ended: {ending:?}"));
        transcript.check(Invariant::Outcome, note.ending.is_none(), || {
            format!("m{number} ended twice")
        });
        note.ending = Some(ending);
        let taken = !note.taken.is_empty();
        let answered = match ending {
            Ending::Acknowledged => note.acknowledged,
            Ending::Failed(PublishErrorKind::Rejected) => note.rejected,
            _ => true,
        };
        let wrong = match ending {
            Ending::Accepted => note.qos != QoS::AtMostOnce,
            Ending::Acknowledged => !answered || !taken || note.refused,
            Ending::Failed(PublishErrorKind::Rejected) => !answered || !note.refused,
            Ending::Failed(PublishErrorKind::Unknown) => {
                let republishes = self.republishers.contains(&note.publisher);
                let comes_again = republishes && !note.received && !note.expires;
                (losses == note.losses || comes_again) && !stopped
            }
            Ending::Failed(PublishErrorKind::SessionLost) => losses == note.losses,
            Ending::Failed(_) => ending.is_unsent() && (taken || note.sent),
        };
        transcript.check(Invariant::Outcome, !wrong, || {
            format!(
                "m{number} ended as {ending:?}, but the broker took it {} times, refused: {}, and its answer was read: {answered}",
                note.taken.len(),
                note.refused
            )
        });
    }

    /// Its publisher hands a message to the transport, for the first time or again.
    pub(crate) fn leaves(&mut self, number: usize) {
        let Some(note) = self.messages.get_mut(number) else {
            return;
        };
        let is_over = note.acknowledged && note.ending == Some(Ending::Acknowledged);
        self.transcript.check(Invariant::AtMostOnce, !is_over, || {
            format!("m{number} leaves once more, and was acknowledged")
        });
        let is_first = !core::mem::replace(&mut note.sent, true);
        let Some(accepted) = note.accepted.filter(|_| is_first) else {
            return;
        };
        let before = self.last_sent.insert(note.publisher, (accepted, number));
        let in_order = before.is_none_or(|(before, _)| before < accepted);
        self.transcript.check(Invariant::Order, in_order, || {
            format!("m{number} leaves after {before:?}, and was accepted before it")
        });
    }

    /// The broker received a PUBLISH that is no repetition to it.
    pub(crate) fn broker_took(&mut self, number: usize) {
        let moment = self.moment();
        let Some(publisher) = self.messages.get(number).map(|note| note.publisher) else {
            return self.transcript.fail(
                Invariant::Content,
                format!("the broker received m{number}, which nobody published"),
            );
        };
        let now = (self.session(publisher.client), self.losses(publisher));
        let note = &mut self.messages[number];
        note.taken.push(moment);
        let before = note.last_taken.replace(now).unwrap_or(now);
        let times = note.taken.len();
        let unsent = note.ending.is_some_and(Ending::is_unsent);
        self.transcript.check(Invariant::Outcome, !unsent, || {
            format!(
                "the broker received m{number}, which ended as {:?}",
                note.ending
            )
        });
        let repeatable = match note.qos {
            // A refusal that is lost with its connection is asked for again.
            _ if note.topic == FORBIDDEN => true,
            QoS::AtMostOnce => false,
            QoS::AtLeastOnce => true,
            QoS::ExactlyOnce if before.1 < now.1 => self.republishers.contains(&note.publisher),
            // The client has not heard that the session was lost.
            QoS::ExactlyOnce => before.0 != now.0,
        };
        self.transcript
            .check(Invariant::AtMostOnce, repeatable || times == 1, || {
                format!("the broker took m{number} of {:?} {times} times", note.qos)
            });
    }

    /// The broker took a PUBLISH of QoS 2 for a repetition of `before`, whose identifier it has, of whichever process.
    pub(crate) fn broker_repeated(&self, number: usize, before: usize) {
        self.transcript.check(Invariant::Identifiers, number == before, || {
            format!("m{number} was published under the identifier of m{before}, which is not finished")
        });
    }

    /// Whether the broker refuses a message, and so keeps nothing of it.
    pub(crate) fn is_refused(&self, number: usize) -> bool {
        self.messages
            .get(number)
            .is_some_and(|note| note.topic == FORBIDDEN)
    }

    /// The broker answered a PUBLISH.
    pub(crate) fn broker_answered(&mut self, number: usize, is_error: bool) {
        if let Some(note) = self.messages.get_mut(number) {
            note.refused |= is_error;
        }
    }

    /// Its publisher read the PUBREC that makes a message the broker's.
    pub(crate) fn publisher_released(&mut self, number: Option<usize>) {
        let note = number.and_then(|number| self.messages.get_mut(number));
        if let Some(note) = note {
            note.received = true;
        }
    }

    /// Its publisher read the answer that ends a message.
    pub(crate) fn publisher_read(&mut self, number: Option<usize>, is_error: bool) {
        let note = number.and_then(|number| self.messages.get_mut(number));
        if let Some(note) = note {
            note.acknowledged |= !is_error;
            note.rejected |= is_error;
        }
    }
}
