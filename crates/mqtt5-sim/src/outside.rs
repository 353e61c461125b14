//! Everything that a client process can reach but not see into.

use core::time::Duration;
use std::rc::Rc;

use mqtt5_client::Instant;

use crate::broker_side::BrokerSide;
use crate::hub::{Hub, ProcessId};
use crate::link::{Network, Quality};
use crate::options::{CLOSED, SILENT, WorldOptions};
use crate::plan::Dialing;
use crate::referee::Referees;
use crate::watch::Routes;

/// The network, the broker, and who watches the wire.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) hub: Rc<Hub>,
    pub(crate) network: Network,
    pub(crate) referees: Referees,
    pub(crate) broker: BrokerSide,
    pub(crate) weather: Vec<Weather>,
}

/// What the connections of a client meet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) dialing: Dialing,
    pub(crate) quality: Quality,
}

/// What becomes of a dial, and when that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialed {
    Open,
    Refused,
    Never,
}

impl Outside {
    pub(crate) fn new(hub: &Rc<Hub>, options: &WorldOptions) -> Self {
        let weather = options.clients.iter().map(|client| Weather {
            dialing: Dialing::Open,
            quality: client.quality,
        });
        let gentle = Weather {
            dialing: Dialing::Open,
            quality: GENTLE,
        };
        Self {
            hub: hub.clone(),
            network: Network::default(),
            referees: Referees::new(hub.clone()),
            broker: BrokerSide::new(hub, &options.broker),
            weather: weather.chain([gentle]).collect(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.hub.clock.now()
    }

    /// How a dial that begins now ends, and after what time.
    pub(crate) fn dial(&self, process: ProcessId, host: &str) -> (Dialed, Duration) {
        let weather = self.weather[process.client];
        let routes = self.hub.watch.routes.borrow();
        // Who was told not to ask the broker again reaches it where nobody was, when the faults are over.
        let is_unwelcome = routes.get(&process).is_some_and(Routes::is_unwelcome);
        let is_there = self.hub.healing.get() && is_unwelcome;
        let trip = weather.quality.latency * 2;
        match weather.dialing {
            _ if host == CLOSED && !is_there => (Dialed::Refused, trip),
            _ if host == SILENT && !is_there => (Dialed::Never, Duration::MAX),
            Dialing::Open | Dialing::Dropped(_) | Dialing::DroppedOnce => (Dialed::Open, trip),
            Dialing::Refused => (Dialed::Refused, trip),
            Dialing::Silent => (Dialed::Never, Duration::MAX),
        }
    }

    /// Opens a connection; the broker learns of it at once.
    pub(crate) fn open(&mut self, process: ProcessId) -> u64 {
        let weather = self.weather[process.client];
        let doomed = match weather.dialing {
            Dialing::Dropped(time) => Some(time),
            Dialing::DroppedOnce => {
                self.weather[process.client].dialing = Dialing::Open;
                Some(Duration::ZERO)
            }
            _ => None,
        };
        let number = self.network.open(process.client, weather.quality, doomed);
        self.referees.open(number, process);
        self.broker.open(self.now(), number);
        self.hub
            .transcript
            .say(process, || format!("#{number} opened"));
        number
    }

    /// Lets the broker do what it can; tells whether that was anything.
    pub(crate) fn run(&mut self) -> bool {
        let now = self.now();
        self.network.arrive(now);
        self.broker.run(now, &mut self.network, &mut self.referees)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.network
            .next()
            .into_iter()
            .chain(self.broker.next())
            .min()
    }

    /// The faults are over.
    pub(crate) fn heal(&mut self) {
        self.network
            .connections
            .values_mut()
            .for_each(crate::link::Connection::heal);
        let now = self.now();
        self.broker.heal(now);
        for weather in &mut self.weather {
            weather.dialing = Dialing::Open;
        }
    }
}

/// A link without any trouble.
const GENTLE: Quality = Quality {
    latency: Duration::from_micros(500),
    piece: 65_536,
    capacity: 1 << 20,
};
