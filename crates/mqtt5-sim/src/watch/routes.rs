//! Servers (4.11): a client asks those that it was given, and others only when it was to follow whoever names them.

use std::collections::BTreeSet;

use mqtt5_client::{ReasonCode, Retry};

/// What one process may dial.
#[derive(Debug)]
pub(crate) struct Routes {
    list: Vec<Server>,
    follows: bool,
    /// Redirects that were followed since the last stable connection.
    hops: usize,
    /// Another server that the present one has named.
    told: Option<Told>,
    /// All that were ever named.
    named: BTreeSet<String>,
    current: Option<Server>,
    is_asked: bool,
    /// It is not clear any more where it is.
    is_lost: bool,
    /// Since the last stable connection a server said that it is not to be asked again.
    is_unwelcome: bool,
}

/// A server, and whether it may know the user name.
#[derive(Clone, Debug)]
struct Server {
    host: String,
    is_trusted: bool,
}

#[derive(Debug)]
struct Told {
    hosts: Vec<String>,
    is_permanent: bool,
}

impl Routes {
    /// With `is_asked` the application has a say in each attempt, and where a redirect leads is not foreseen.
    pub(crate) fn new(hosts: &[&str], follows: bool, is_asked: bool) -> Self {
        let own = |host: &&str| Server {
            host: (*host).to_owned(),
            is_trusted: true,
        };
        Self {
            list: hosts.iter().map(own).collect(),
            follows,
            hops: 0,
            told: None,
            named: BTreeSet::new(),
            current: None,
            is_asked,
            is_lost: false,
            is_unwelcome: false,
        }
    }

    /// The server refuses or ends the connection, and perhaps names others.
    pub(crate) fn told(&mut self, reason: ReasonCode, retry: Retry, named: Option<&str>) {
        self.is_unwelcome |= retry == Retry::Stop;
        let Some(reference) = named else { return };
        self.is_lost |= self.is_asked && self.follows;
        let hosts: Vec<String> = reference.split(' ').map(str::to_owned).collect();
        self.named.extend(hosts.iter().cloned());
        self.told = Some(Told {
            hosts,
            is_permanent: reason == ReasonCode::SERVER_MOVED,
        });
    }

    /// A connection is over.
    pub(crate) fn ended(&mut self, was_stable: bool) {
        if was_stable {
            self.hops = 0;
        }
    }

    /// An attempt begins; tells what is wrong with its server, if anything is.
    ///
    /// Whether the client has looked at what it was told is seen from where it goes: it may have stopped reading before.
    pub(crate) fn dial(&mut self, host: &str, is_trusted: bool) -> Option<String> {
        let wrong = self.go(host);
        let current = self.current.as_ref().filter(|_| !self.is_lost);
        let mistrusted = current.filter(|server| server.is_trusted != is_trusted);
        wrong
            .or_else(|| mistrusted.map(|server| format!("dials {server:?}, trusted: {is_trusted}")))
    }

    fn go(&mut self, host: &str) -> Option<String> {
        let told = self
            .told
            .take()
            .filter(|told| told.hosts.first().is_some_and(|first| first == host))
            .filter(|_| self.follows && self.hops < HOPS);
        let own = self.list.iter().find(|server| server.host == host);
        // It may have followed, or gone on with its list.
        self.is_lost |= told.is_some() && own.is_some();
        if self.is_lost {
            let is_known = own.is_some() || self.named.contains(host);
            return (!is_known).then(|| format!("dials {host}, which nobody named"));
        }
        if let Some(told) = told {
            self.follow(told);
            return None;
        }
        self.current = own.cloned();
        // Where it was sent to failed: that ends the row.
        self.hops = 0;
        let wrong = self.current.is_none();
        wrong.then(|| format!("dials {host}, and was given {:?}", self.list))
    }

    fn follow(&mut self, told: Told) {
        let from = self.current.take();
        let server = |host: String| Server {
            is_trusted: from
                .as_ref()
                .is_some_and(|from| from.is_trusted && host == from.host),
            host,
        };
        let targets: Vec<Server> = told.hosts.into_iter().map(server).collect();
        self.hops += 1;
        self.current = targets.first().cloned();
        if told.is_permanent {
            self.list = targets;
        }
    }

    /// Whether the broker may be one that it does not ask any more, though another server never answers.
    pub(crate) fn is_unwelcome(&self) -> bool {
        self.is_unwelcome
    }

    /// Whether it was told of another server, so that it is not clear which of its attempts were declined where.
    pub(crate) fn is_lost_by_asking(&self) -> bool {
        self.is_lost && self.is_asked
    }

    /// Whether the server that is asked now may know the user name, if that is certain.
    pub(crate) fn is_trusted(&self) -> Option<bool> {
        let current = self.current.as_ref();
        let current = current.filter(|_| !self.is_lost && !self.is_asked);
        current.map(|server| server.is_trusted)
    }
}

/// How many redirects a client follows in a row.
const HOPS: usize = 3;
