//! A client process: a client, its driver, and the tasks of its application. All of it can die at once.

use core::future::Future;
use core::task::Poll;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};

use mqtt5_client::driver::Driver;
use mqtt5_client::{Client, Instant, Resubscribe, State, Statistics};

use crate::adapter::Adapter;
use crate::application::Place;
use crate::asking::{self, Requesters};
use crate::executor::{Letter, ProcessHost, Task};
use crate::hub::{Hub, ProcessId};
use crate::options::ClientOptions;
use crate::outside::Outside;
use crate::plan::Leaving;
use crate::watch::Routes;

/// A client process that runs.
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    hub: Rc<Hub>,
    /// Gone after `Abandon`.
    client: Option<Client>,
    pub(crate) adapter: Adapter,
    reader: usize,
    writer: usize,
    tasks: BTreeMap<usize, Task>,
    /// How its subscriptions are told to end, the oldest first.
    pub(crate) handles: Handles,
    /// Those who were told.
    told: Vec<Weak<Letter<Leaving>>>,
    pub(crate) requesters: Requesters,
    /// Where its tasks run; gone after `Abandon`.
    pub(crate) place: Option<Place>,
    /// It was asked to end, or has ended by itself: then and when the next one begins.
    pub(crate) ending: Option<Instant>,
    pub(crate) bounds: Bounds,
    /// More may be held than it wanted, since it had to go on reading.
    reads_on: bool,
    /// How many sessions it had had when it held nothing; the first is one that does not count.
    emptied: usize,
}

/// The letter boxes of the subscriptions of a process.
pub(crate) type Handles = Rc<RefCell<VecDeque<Rc<Letter<Leaving>>>>>;

/// What its queues may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    held: usize,
    held_bytes: usize,
    waiting: usize,
    waiting_bytes: usize,
    /// What a message may have.
    largest: usize,
}

impl Process {
    pub(crate) fn start(hub: &Rc<Hub>, id: ProcessId, options: &ClientOptions, seed: u64) -> Self {
        let host = ProcessHost {
            clock: hub.clock.clone(),
            seed,
        };
        let mut ledger = hub.ledger.borrow_mut();
        let will = options
            .will
            .as_ref()
            .map(|will| will.draft(&mut ledger, id));
        let mut wills = hub.watch.wills.borrow_mut();
        wills.set(id, will.as_ref().map(|(number, _)| *number));
        drop(wills);
        let mut built = options.build(id.client);
        if let Some((_, will)) = will {
            built = built.will(will);
        }
        let built = Driver::new(built, host);
        let is_asked = options.preparing.is_some();
        let route = Routes::new(&options.servers, options.follows_redirects, is_asked);
        if is_asked {
            hub.watch.asks_first(id);
        }
        hub.watch.routes.borrow_mut().insert(id, route);
        let (client, driver) = built.expect("the options of a plan are valid");
        let (reader, writer) = (hub.new_sleeper(), hub.new_sleeper());
        hub.transcript.say(id, || "starts".to_owned());
        ledger
            .eager
            .extend((options.resubscribe == Resubscribe::Always).then_some(id));
        ledger.intercepting.extend(options.intercepts.then_some(id));
        ledger
            .as_published
            .extend(options.retains_as_published.then_some(id));
        ledger
            .republishers
            .extend(options.republishes_qos2.then_some(id));
        drop(ledger);
        let place = Place {
            hub: hub.clone(),
            process: id,
            client: client.clone(),
            options: Rc::new(options.clone()),
        };
        let mut process = Self {
            id,
            hub: hub.clone(),
            client: Some(client),
            adapter: Adapter::new(hub, id, driver, options, [reader, writer]),
            reader,
            writer,
            tasks: BTreeMap::new(),
            handles: Handles::default(),
            told: Vec::new(),
            ending: None,
            reads_on: false,
            emptied: 1,
            bounds: Bounds {
                held: options.tolerated(),
                held_bytes: options.inbound_bytes,
                waiting: options.offline_messages,
                waiting_bytes: options.offline_bytes,
                largest: options.maximum_packet_size as usize,
            },
            requesters: Requesters::default(),
            place: Some(place.clone()),
        };
        if let Some(preparing) = &options.preparing {
            process.spawn(asking::prepare(place, preparing.clone()));
        }
        process
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    pub(crate) fn is_online(&self) -> bool {
        self.client
            .as_ref()
            .is_some_and(|client| client.state() == State::Online)
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.client
            .as_ref()
            .map(Client::statistics)
            .unwrap_or_default()
    }

    pub(crate) fn spawn(&mut self, job: impl Future<Output = ()> + 'static) {
        let sleeper = self.hub.new_sleeper();
        let task = Task::new(sleeper, &self.hub.ready, Box::pin(job));
        self.hub.note_alarm(sleeper, self.id, task.alarm());
        self.tasks.insert(sleeper, task);
    }

    /// Whether one of its parts sleeps under this number.
    pub(crate) fn is_of(&self, sleeper: usize) -> bool {
        sleeper == self.reader || sleeper == self.writer || self.tasks.contains_key(&sleeper)
    }

    /// Polls what was woken under this number.
    pub(crate) fn poll(&mut self, outside: &mut Outside, sleeper: usize) {
        let polled = match self.tasks.get_mut(&sleeper) {
            None => return self.adapter.poll(outside, sleeper == self.reader),
            Some(task) => task.poll(),
        };
        if polled == Poll::Ready(()) {
            self.tasks.remove(&sleeper);
            // Nobody can leave a letter any more for a subscription that has ended by itself.
            let mut handles = self.handles.borrow_mut();
            handles.retain(|letter| Rc::strong_count(letter) > 1);
        }
    }

    pub(crate) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// The oldest subscription is to end.
    pub(crate) fn leave(&mut self, leaving: Leaving) {
        let oldest = self.handles.borrow_mut().pop_front();
        if let Some(letter) = oldest {
            letter.leave(leaving);
            self.told.push(Rc::downgrade(&letter));
        }
    }

    /// Whether a subscription is to end and its consumer does not know, since it is at work.
    pub(crate) fn is_leaving(&self) -> bool {
        self.told
            .iter()
            .filter_map(Weak::upgrade)
            .any(|letter| letter.lies())
    }

    /// Every handle goes away; the driver lives on until it has finished.
    pub(crate) fn abandon(&mut self) {
        self.hub.ledger.borrow_mut().process_over(self.id);
        self.tasks.clear();
        self.handles.borrow_mut().clear();
        self.requesters.borrow_mut().clear();
        self.place = None;
        self.client = None;
    }

    /// Dies without a word.
    pub(crate) fn crash(self, outside: &mut Outside) {
        let Self {
            id,
            hub,
            client,
            mut adapter,
            tasks,
            requesters,
            place,
            ..
        } = self;
        hub.ledger.borrow_mut().process_over(id);
        adapter.hang_up(outside);
        // The driver goes first: what the handles still say when they are dropped, nobody hears.
        drop(adapter);
        drop((tasks, requesters, place));
        drop(client);
    }

    /// What is wrong with the size of its queues, if anything is; `reads_on` says whether a SUBSCRIBE may be unanswered or a connection has
    /// stalled, `sessions` how many sessions it may have had, `repeats` how many messages may have been repeated on purpose.
    pub(crate) fn oversize(
        &mut self,
        reads_on: bool,
        sessions: usize,
        repeats: usize,
    ) -> Option<String> {
        let statistics = self.statistics();
        let Bounds {
            held,
            held_bytes,
            waiting,
            waiting_bytes,
            largest,
        } = self.bounds;
        // The protocol machine takes nothing before the first connection.
        let is_new = self.client.is_some() && statistics.connects == 0;
        let waiting = waiting + if is_new { 0 } else { MACHINE_PENDING };
        let bytes = match is_new {
            true => self.hub.ledger.borrow().waiting_bytes(self.id),
            false => 0,
        };
        // What is held when a session is lost stays until it is taken, and the next session begins anew.
        if statistics.held_messages == 0 {
            self.emptied = sessions;
        }
        let held = held * (1 + sessions - self.emptied.min(sessions)) + repeats;
        // More may be held then.
        self.reads_on = reads_on || self.reads_on && statistics.held_bytes > held_bytes;
        let beyond = if self.reads_on {
            largest.max(held_bytes)
        } else {
            0
        };
        // One message alone may always be held, and with it the one that passes the bound.
        let one = largest.min(LARGEST_MESSAGE);
        let held_bytes = (held_bytes + beyond).max(one) + one;
        let within = statistics.held_messages <= held
            && statistics.held_bytes <= held_bytes
            && bytes <= waiting_bytes
            && statistics.waiting_publishes <= waiting;
        (!within).then(|| {
            format!(
                "{} holds more than {:?} allows: {bytes} bytes wait, {statistics:?}",
                self.id, self.bounds
            )
        })
    }
}

/// More than any message of a plan has.
const LARGEST_MESSAGE: usize = 8_000;
/// What the protocol machine lets wait by default.
const MACHINE_PENDING: usize = 1_024;
