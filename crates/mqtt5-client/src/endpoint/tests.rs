use super::*;
use crate::Options;

#[test]
fn urls_are_parsed() {
    #[rustfmt::skip]
    let table = [
        ("mqtt://localhost", "mqtt://localhost:1883", Scheme::Mqtt, "localhost", 1883, ""),
        ("TCP://10.0.0.1:1/", "mqtt://10.0.0.1:1", Scheme::Mqtt, "10.0.0.1", 1, ""),
        ("mqtts://h", "mqtts://h:8883", Scheme::Mqtts, "h", 8883, ""),
        ("tls://h:65535", "mqtts://h:65535", Scheme::Mqtts, "h", 65535, ""),
        ("ssl://[::1]:99", "mqtts://[::1]:99", Scheme::Mqtts, "::1", 99, ""),
        ("ws://h", "ws://h:80/mqtt", Scheme::Ws, "h", 80, "/mqtt"),
        ("wss://h/a/b?c=d", "wss://h:443/a/b?***", Scheme::Wss, "h", 443, "/a/b?c=d"),
        ("ws://h?token=1", "ws://h:80/mqtt?***", Scheme::Ws, "h", 80, "/mqtt?token=1"),
    ];
    for (url, shown, scheme, host, port, path) in table {
        let endpoint: Endpoint = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(endpoint.to_string(), shown);
        assert_eq!(
            (
                endpoint.scheme(),
                endpoint.host(),
                endpoint.port(),
                endpoint.path()
            ),
            (scheme, host, port, path)
        );
        if !shown.contains('?') {
            assert_eq!(
                shown.parse::<Endpoint>().as_ref(),
                Ok(&endpoint),
                "what is shown parses to the same"
            );
        }
    }
}

#[test]
fn user_information_is_decoded_and_never_shown() {
    let endpoint: Endpoint = "mqtt://al%40ice:p%2Fw%00%ff@host".parse().expect("valid");
    assert_eq!(endpoint.username(), Some("al@ice"));
    assert_eq!(
        endpoint.password().map(Password::expose),
        Some(&b"p/w\0\xff"[..])
    );
    let only_password: Endpoint = "mqtt://:token@host".parse().expect("valid");
    assert_eq!(
        (
            only_password.username(),
            only_password.password().map(Password::expose)
        ),
        (None, Some(&b"token"[..]))
    );
    for shown in [format!("{endpoint}"), format!("{endpoint:?}")] {
        assert!(
            !shown.contains("p/w") && !shown.contains("p%2F") && shown.contains("***"),
            "{shown}"
        );
    }
}

#[test]
fn mistakes_have_their_own_error() {
    use EndpointError as E;
    #[rustfmt::skip]
    let table = [
        ("localhost", E::MissingScheme),
        ("localhost:1883", E::MissingScheme),
        ("http://h", E::UnknownScheme("http".into())),
        ("mqtt://", E::MissingHost),
        ("mqtt://:1883", E::MissingHost),
        ("mqtt://u@", E::MissingHost),
        ("mqtt://h:0", E::InvalidPort("0".into())),
        ("mqtt://h:", E::InvalidPort("".into())),
        ("mqtt://h:+1", E::InvalidPort("+1".into())),
        ("mqtt://h:65536", E::InvalidPort("65536".into())),
        ("mqtt://[::1]x", E::InvalidPort("***".into())),
        ("mqtt://alice:s3cret", E::InvalidPort("***".into())),
        ("mqtt://alice:s3cret%40h", E::InvalidPort("***".into())),
        ("mqtt://[::1", E::InvalidIpv6("::1".into())),
        ("mqtt://[nope]", E::InvalidIpv6("nope".into())),
        ("mqtt://2001:db8::1", E::InvalidHost("2001:db8::1".into())),
        ("mqtt://a b", E::InvalidHost("a b".into())),
        ("mqtt://u:%zz@h", E::InvalidUserInfo),
        ("mqtt://u:%4@h", E::InvalidUserInfo),
        ("mqtt://%ff@h", E::InvalidUserInfo),
        ("mqtt://%00@h", E::InvalidUserInfo),
        ("mqtt://h/path", E::UnexpectedPath(Scheme::Mqtt)),
        ("ws://h/a b", E::InvalidPath),
        ("ws://h/a#b", E::InvalidPath),
    ];
    for (url, error) in table {
        assert_eq!(url.parse::<Endpoint>(), Err(error), "{url}");
    }
}

/// A password that is not encoded may hold what ends the part before the host. No part of it may be shown, as if it were a host or a port.
#[test]
fn no_error_shows_a_part_of_a_password() {
    use EndpointError as E;
    for url in [
        "mqtt://alice:s3cr/et@broker",
        "mqtt://alice:s3cr?et@broker",
        "mqtts://alice:s3cr#et@broker",
        "mqtt://s3cr:a:b/c@h",
        "mqtt://1:1883/s3cr@h",
        "mqtt://u:p@s3cr^/w@h",
        "mqtt://[s3cr/w@h",
        "ws://alice:s3cr/et@broker",
        "wss://alice:s3cr?et@broker",
        "wss://s3cr:a:b/c@h",
    ] {
        assert_eq!(url.parse::<Endpoint>(), Err(E::InvalidUserInfo), "{url}");
        let shown = format!("{:?}", Options::new(url));
        assert!(!shown.contains("s3cr"), "{shown}");
    }
    assert_eq!("u:s3cr://@h".parse::<Endpoint>(), Err(E::MissingScheme));
    let legal: Endpoint = "ws://h/users/a@b?to=c@d".parse().expect("valid");
    assert_eq!(legal.path(), "/users/a@b?to=c@d");
}

/// E12: a query may be a signature or a token.
#[test]
fn the_query_is_not_shown() {
    let url = "wss://h/mqtt?X-Amz-Signature=s3cr?et";
    let endpoint: Endpoint = url.parse().expect("valid");
    assert_eq!(endpoint.path(), "/mqtt?X-Amz-Signature=s3cr?et");
    assert_eq!(endpoint.to_string(), "wss://h:443/mqtt?***");
    assert_eq!(format!("{endpoint:?}"), "Endpoint(wss://h:443/mqtt?***)");
    let options = Options::new(endpoint).user_property("token", "s3cr");
    let shown = format!("{options:?}");
    assert!(
        shown.contains("token") && !shown.contains("s3cr"),
        "{shown}"
    );
}
