//! Which server the next attempt goes to.

use crate::endpoint::Endpoint;
use crate::options::Redirects;
use crate::planted::planted;
use std::sync::Arc;

/// A server, and whether it may be told who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) endpoint: Arc<Endpoint>,
    /// User name and password may be sent to it.
    pub(super) is_trusted: bool,
    /// It said that it will not have us.
    has_refused: bool,
    /// It was asked since the last backoff.
    was_tried: bool,
}

impl Server {
    pub(super) fn new(endpoint: Arc<Endpoint>, is_trusted: bool) -> Self {
        Self {
            endpoint,
            is_trusted,
            has_refused: false,
            was_tried: false,
        }
    }
}

/// What is left to try when an attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// A server that was not tried since the last backoff.
    Untried,
    /// All were tried.
    Tried,
    /// Every one of them said stop.
    None,
}

/// The servers in their order; the one of the last success stays the first choice.
#[derive(Debug)]
pub(super) struct Servers {
    list: Vec<Server>,
    current: usize,
    /// Where a server has sent us for the next attempt only.
    detour: Option<Server>,
    /// How many redirects were followed in a row.
    hops: u8,
    /// The servers were replaced while another one was asked: how that ends says nothing about them.
    is_fresh: bool,
}

impl Servers {
    /// `endpoints` must not be empty.
    pub(super) fn new(endpoints: Vec<Arc<Endpoint>>) -> Self {
        debug_assert!(!endpoints.is_empty(), "checked with the options");
        let trusted = |endpoint| Server::new(endpoint, true);
        Self {
            list: endpoints.into_iter().map(trusted).collect(),
            current: 0,
            detour: None,
            hops: 0,
            is_fresh: false,
        }
    }

    /// An attempt begins at the [current](Self::current) server.
    pub(super) fn begin(&mut self) -> &Server {
        self.is_fresh = false;
        self.current()
    }

    /// The server of the attempt.
    pub(super) fn current(&self) -> &Server {
        self.detour.as_ref().unwrap_or(&self.list[self.current])
    }

    /// An attempt, or a connection that was not stable, has ended; `stop` is what the server said about another one.
    pub(super) fn fail(&mut self, stop: bool) -> Left {
        if self.is_fresh {
            return Left::Untried;
        }
        // That was the end of the row. The next one is paced as every attempt is, so it makes no fast circle.
        self.hops = 0;
        if self.detour.take().is_some() {
            return Left::Tried;
        }
        let server = &mut self.list[self.current];
        server.has_refused = stop;
        server.was_tried = true;
        let count = self.list.len();
        let others = (1..=count).map(|step| (self.current + step) % count);
        let mut open = others.filter(|index| !self.list[*index].has_refused);
        let Some(next) = open.next() else {
            return Left::None;
        };
        let untried = core::iter::once(next)
            .chain(open)
            .find(|index| !self.list[*index].was_tried);
        if !planted!(StayAtServer) {
            self.current = untried.unwrap_or(next);
        }
        if untried.is_some() {
            return Left::Untried;
        }
        self.begin_round();
        Left::Tried
    }

    /// A connection was stable: what was tried and refused before it does not count any more.
    pub(super) fn settle(&mut self) {
        self.begin_round();
        self.hops = 0;
        for server in &mut self.list {
            server.has_refused = false;
        }
    }

    /// A stable connection has ended: its server is tried first, unless it was a detour.
    pub(super) fn lose(&mut self) -> Left {
        self.detour = None;
        Left::Tried
    }

    /// Takes other servers from the next attempt on.
    pub(super) fn replace(&mut self, endpoints: Vec<Arc<Endpoint>>) {
        *self = Self {
            is_fresh: true,
            ..Self::new(endpoints)
        };
    }

    /// Follows a redirect of the server at `from`, if `policy` and the reference allow it: the first server in it that can be used, or all
    /// of them for good.
    pub(super) fn redirect(
        &mut self,
        from: &Server,
        reference: &str,
        is_permanent: bool,
        policy: Redirects,
    ) -> bool {
        // Servers that the application has named meanwhile are not given up for what the one before them says.
        let follows = policy.follow || planted!(FollowUnasked);
        if !follows || self.hops >= policy.hops || self.is_fresh {
            return false;
        }
        let from_host = from.endpoint.host();
        let is_trusted = |host: &str| {
            let is_same = host.eq_ignore_ascii_case(from_host);
            from.is_trusted && (is_same || policy.credentials || planted!(TellStrangers))
        };
        let mut targets = from
            .endpoint
            .referenced(reference, is_trusted)
            .filter(|(to, _)| to.scheme().is_tls() || !from.endpoint.scheme().is_tls())
            .map(|(to, is_trusted)| Server::new(Arc::new(to), is_trusted))
            .collect::<Vec<_>>();
        if targets.is_empty() {
            return false;
        }
        self.hops += 1;
        if is_permanent {
            self.list = targets;
            self.current = 0;
            self.detour = None;
        } else {
            self.detour = Some(targets.swap_remove(0));
        }
        true
    }

    fn begin_round(&mut self) {
        for server in &mut self.list {
            server.was_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(urls: &[&str]) -> Servers {
        let endpoints = urls.iter().map(|url| Arc::new(url.parse().expect("valid")));
        Servers::new(endpoints.collect())
    }

    fn redirect(servers: &mut Servers, to: &str, is_permanent: bool, policy: Redirects) -> bool {
        let from = servers.current().clone();
        servers.redirect(&from, to, is_permanent, policy)
    }

    fn host(servers: &Servers) -> &str {
        servers.current().endpoint.host()
    }

    #[test]
    fn they_rotate_and_a_success_sticks() {
        let mut servers = servers(&["mqtt://a", "mqtt://b", "mqtt://c"]);
        assert_eq!(host(&servers), "a");
        assert_eq!((servers.fail(false), host(&servers)), (Left::Untried, "b"));
        assert_eq!((servers.fail(false), host(&servers)), (Left::Untried, "c"));
        assert_eq!((servers.fail(false), host(&servers)), (Left::Tried, "a"));
        assert_eq!((servers.fail(false), host(&servers)), (Left::Untried, "b"));
        servers.settle();
        assert_eq!((servers.lose(), host(&servers)), (Left::Tried, "b"));
    }

    #[test]
    fn only_when_all_say_stop_nothing_is_left() {
        let mut servers = servers(&["mqtt://a", "mqtt://b"]);
        assert_eq!((servers.fail(true), host(&servers)), (Left::Untried, "b"));
        for _ in 0..3 {
            assert_eq!((servers.fail(false), host(&servers)), (Left::Tried, "b"));
        }
        assert_eq!(servers.fail(true), Left::None);
    }

    #[test]
    fn a_server_that_said_stop_may_be_asked_again_after_a_stable_connection() {
        let mut servers = servers(&["mqtt://a", "mqtt://b"]);
        servers.fail(true);
        servers.settle();
        assert_eq!((servers.fail(true), host(&servers)), (Left::Untried, "a"));
    }

    /// The query of a URL may be what the server knows us by, such as a signature; what the server itself writes is no secret of ours.
    #[test]
    fn the_query_goes_to_no_other_host() {
        for (to, policy, expected) in [
            ("b", Redirects::follow(), "wss://b:443/mqtt"),
            ("b:9", Redirects::follow(), "wss://b:9/mqtt"),
            ("A:9", Redirects::follow(), "wss://A:9/mqtt?signature=s"),
            (
                "b",
                Redirects::follow().with_credentials(true),
                "wss://b:443/mqtt?signature=s",
            ),
            (
                "wss://b/c?node=1",
                Redirects::follow(),
                "wss://b:443/c?node=1",
            ),
        ] {
            let mut servers = servers(&["wss://a/mqtt?signature=s"]);
            assert!(redirect(&mut servers, to, false, policy));
            let expected: Endpoint = expected.parse().expect("valid");
            assert_eq!(*servers.current().endpoint, expected);
        }
    }

    #[test]
    fn new_servers_are_not_blamed_for_the_old_one() {
        let mut servers = servers(&["mqtt://a"]);
        servers.replace(vec![Arc::new("mqtt://b".parse().expect("valid"))]);
        assert_eq!((servers.fail(true), host(&servers)), (Left::Untried, "b"));
        servers.begin();
        assert_eq!(servers.fail(true), Left::None);
    }

    /// HB-29: hostile references are neither followed by default nor into a weaker transport, for ever or with credentials.
    #[test]
    fn redirects_are_followed_on_request_only_and_within_limits() {
        let mut servers = servers(&["mqtts://user:secret@a"]);
        assert!(!redirect(&mut servers, "b", false, Redirects::default()));
        for reference in ["", "mqtt://b", "ws://127.0.0.1:1", "x://b", "b:0", "b c:x/"] {
            let weaker = reference == "b c:x/";
            let followed = redirect(&mut servers, reference, false, Redirects::follow());
            assert_eq!(followed, weaker, "{reference}");
        }
        assert_eq!(servers.current().endpoint.to_string(), "mqtts://b:8883");
        assert!(!servers.current().is_trusted);
        assert_eq!((servers.fail(false), host(&servers)), (Left::Tried, "a"));
        let trusting = Redirects::follow().with_credentials(true);
        assert!(redirect(&mut servers, "[2001:db8::1]:9 c", true, trusting));
        assert_eq!(
            servers.current().endpoint.to_string(),
            "mqtts://user:***@[2001:db8::1]:9"
        );
        assert!(servers.current().is_trusted);
        let two = Redirects::follow().hops(2);
        assert!(redirect(&mut servers, "d", false, two));
        assert!(!redirect(&mut servers, "e", false, two), "hops");
        servers.settle();
        assert!(redirect(&mut servers, "e", false, two));
        assert!(redirect(&mut servers, "f", false, two));
        assert!(!redirect(&mut servers, "e", false, two), "hops");
        assert_eq!(servers.fail(false), Left::Tried);
        assert!(redirect(&mut servers, "e", false, two), "a new row");
    }
}
