//! The staggered dial: several addresses of one host, one after the other, without waiting for those that do not answer.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mqtt5_client::{DialError, DialErrorKind, Instant};

/// Chooses which address of a host to connect to, and when to give up waiting for it and try the next one as well
/// (RFC 8305).
///
/// It opens no socket: [`poll`](Self::poll) says what to start, [`handle_failed`](Self::handle_failed) tells it what
/// became of it. The first address that answers wins: then drop this and every other socket.
///
/// ```
/// use std::time::Duration;
/// use mqtt5_client::Instant;
/// use mqtt5_transport::{StaggeredDial, Step};
///
/// let (first, second) = ("[::1]:1883".parse()?, "127.0.0.1:1883".parse()?);
/// let mut dial = StaggeredDial::new([first, second]);
/// let now = Instant::from_micros(0);
/// assert_eq!(dial.poll(now), Step::Start(first));
///
/// // No answer so far. A quarter of a second later the other one gets its chance, and the first one keeps its own.
/// let later = now + Duration::from_millis(250);
/// assert_eq!(dial.poll(now), Step::Wait { until: Some(later) });
/// assert_eq!(dial.poll(later), Step::Start(second));
/// assert_eq!(dial.poll(later), Step::Wait { until: None });
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StaggeredDial {
    waiting: VecDeque<SocketAddr>,
    /// How many were started and have not failed.
    open: usize,
    next_start: Option<Instant>,
    failure: Option<DialError>,
}

/// What to do next. Exhaustive: obey all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Begin to connect to this address, beside those that were begun before; then ask again.
    Start(SocketAddr),
    /// Wait for those that were begun, at most until then; then ask again.
    Wait {
        /// When another address has its turn; `None` when there is none left.
        until: Option<Instant>,
    },
    /// No address can be reached.
    Fail(DialError),
}

impl StaggeredDial {
    /// Takes the addresses as the resolver ordered them; the families take turns, beginning with that of the first.
    ///
    /// Addresses that repeat count once, and those beyond the 16th are left out.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let (mut first, mut other) = (VecDeque::new(), VecDeque::new());
        for address in addresses {
            let is_first = first
                .front()
                .is_none_or(|known: &SocketAddr| known.is_ipv4() == address.is_ipv4());
            let family = if is_first { &mut first } else { &mut other };
            if family.len() < MOST && !family.contains(&address) {
                family.push_back(address);
            }
        }
        let mut waiting = VecDeque::with_capacity(first.len() + other.len());
        while !(first.is_empty() && other.is_empty()) {
            waiting.extend(first.pop_front());
            waiting.extend(other.pop_front());
        }
        waiting.truncate(MOST);
        Self {
            waiting,
            open: 0,
            next_start: None,
            failure: None,
        }
    }

    /// Says what to do now.
    #[must_use = "an address that is not tried keeps the others waiting"]
    pub fn poll(&mut self, now: Instant) -> Step {
        let is_due = self.next_start.is_none_or(|at| at <= now);
        if let Some(address) = is_due.then(|| self.waiting.pop_front()).flatten() {
            self.open += 1;
            self.next_start = Some(now + STAGGER);
            return Step::Start(address);
        }
        if self.open == 0 {
            let nothing = DialError::new(DialErrorKind::NameResolution);
            return Step::Fail(self.failure.unwrap_or(nothing));
        }
        let until = self.next_start.filter(|_| !self.waiting.is_empty());
        Step::Wait { until }
    }

    /// An address that was begun could not be reached: the next one has its turn at once.
    ///
    /// When all have failed, the failure that says most is the one of the dial: a refusal is an answer of the server's
    /// machine, whereas a missing route may only mean that this machine has no IPv6.
    pub fn handle_failed(&mut self, error: io::ErrorKind) {
        let error = DialError::from(error);
        self.open = self.open.saturating_sub(1);
        self.next_start = None;
        if self
            .failure
            .is_none_or(|known| weight(&error) > weight(&known))
        {
            self.failure = Some(error);
        }
    }
}

/// How much a failure says about the server.
fn weight(error: &DialError) -> u8 {
    match error.kind() {
        DialErrorKind::ConnectionRefused => 3,
        DialErrorKind::TimedOut => 2,
        DialErrorKind::Unreachable => 0,
        _ => 1,
    }
}

/// How long an address has for itself; the value that RFC 8305 recommends.
const STAGGER: Duration = Duration::from_millis(250);
/// A resolver that gives a thousand addresses shall not make us open a thousand sockets.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_micros(1_000_000);

    fn v4(last: u8) -> SocketAddr {
        ([127, 0, 0, last], 1883).into()
    }

    fn v6(last: u16) -> SocketAddr {
        ([0, 0, 0, 0, 0, 0, 0, last], 1883).into()
    }

    fn order(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        StaggeredDial::new(addresses).waiting.into()
    }

    #[test]
    fn families_take_turns() {
        assert_eq!(
            order([v6(1), v6(2), v6(3), v4(1)]),
            [v6(1), v4(1), v6(2), v6(3)]
        );
        assert_eq!(
            order([v4(1), v6(1), v4(2), v6(2)]),
            [v4(1), v6(1), v4(2), v6(2)]
        );
        assert_eq!(order([v4(1), v4(1), v4(2), v4(1)]), [v4(1), v4(2)]);
    }

    #[test]
    fn a_thousand_addresses_are_too_many() {
        let many = (0..1000).map(v6).chain([v4(1)]);
        let order = order(many);
        assert_eq!(order.len(), MOST);
        assert_eq!(order[1], v4(1));
    }

    #[test]
    fn a_failure_starts_the_next_at_once() {
        let mut dial = StaggeredDial::new([v6(1), v4(1), v4(2)]);
        assert_eq!(dial.poll(START), Step::Start(v6(1)));
        dial.handle_failed(io::ErrorKind::NetworkUnreachable);
        assert_eq!(dial.poll(START), Step::Start(v4(1)));
        let until = Some(START + STAGGER);
        assert_eq!(dial.poll(START), Step::Wait { until });
    }

    /// The first address swallows everything, and the second does: those behind them are tried all the same, each a little later.
    #[test]
    fn pitfall_32_a_silent_address_holds_up_nobody() {
        let addresses = [v6(1), v4(1), v6(2), v4(2)];
        let mut dial = StaggeredDial::new(addresses);
        let mut now = START;
        for address in addresses {
            assert_eq!(dial.poll(now), Step::Start(address));
            if address != addresses[3] {
                let until = Some(now + STAGGER);
                assert_eq!(dial.poll(now), Step::Wait { until });
            }
            now = now + STAGGER;
        }
        assert_eq!(dial.poll(now), Step::Wait { until: None });
    }

    #[test]
    fn the_last_one_is_waited_for_without_limit() {
        let mut dial = StaggeredDial::new([v4(1)]);
        assert_eq!(dial.poll(START), Step::Start(v4(1)));
        let later = START + Duration::from_secs(3600);
        assert_eq!(dial.poll(later), Step::Wait { until: None });
    }

    #[test]
    fn the_failure_that_says_most_is_told() {
        let kinds = [
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::TimedOut,
        ];
        let mut dial = StaggeredDial::new([v6(1), v4(1), v4(2)]);
        for kind in kinds {
            assert!(matches!(dial.poll(START), Step::Start(_)));
            dial.handle_failed(kind);
        }
        let refused = DialError::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(dial.poll(START), Step::Fail(refused));
    }

    #[test]
    fn a_failure_while_another_is_open_ends_nothing() {
        let mut dial = StaggeredDial::new([v4(1), v4(2)]);
        assert_eq!(dial.poll(START), Step::Start(v4(1)));
        let later = START + STAGGER;
        assert_eq!(dial.poll(later), Step::Start(v4(2)));
        dial.handle_failed(io::ErrorKind::ConnectionRefused);
        assert_eq!(dial.poll(later), Step::Wait { until: None });
        dial.handle_failed(io::ErrorKind::ConnectionRefused);
        assert!(matches!(dial.poll(later), Step::Fail(_)));
    }

    #[test]
    fn a_name_without_addresses_is_not_resolved() {
        let mut dial = StaggeredDial::new([]);
        let error = DialError::new(DialErrorKind::NameResolution);
        assert_eq!(dial.poll(START), Step::Fail(error));
    }
}
