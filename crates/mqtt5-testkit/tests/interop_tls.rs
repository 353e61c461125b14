//! Every adapter over the TLS of a real broker, with WebSocket in it and without.

#[macro_use]
mod transport;

use std::fs;

use mqtt5_blocking::{DialError, Identity, Settings, connect};
use mqtt5_testkit::{Mosquitto, MosquittoSettings, TempDir};
use mqtt5_transport::StackError;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use transport::{assert_left_politely, exchange_blocking};

/// A broker that asks for client certificates, the URL of its TLS port, and what a client needs.
struct Place {
    broker: Mosquitto,
    url: String,
    settings: Settings,
    _files: TempDir,
}

impl Place {
    fn start(scheme: &str, protocol: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate that is named as its issuer for one that is signed by itself.
        let name = DnType::CommonName;
        params.distinguished_name.push(name, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            (certificate.pem(), key.serialize_pem())
        };

        let files = TempDir::new();
        let (certificate, key) = issue("127.0.0.1");
        let file = |name: &str, text: String| {
            let path = files.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let listener = format!(
            "protocol {protocol}\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
            file("authority.pem", authority.pem()),
            file("certificate.pem", certificate),
            file("key.pem", key),
        );
        let broker = MosquittoSettings::normal()
            .second_listener(listener)
            .start();

        let mut settings = Settings::default();
        settings.tls.authorities = Some(authority.pem().into_bytes());
        let (certificate, key) = issue("client");
        settings.tls.identity = Some(Identity {
            certificates: certificate.into_bytes(),
            private_key: key.as_str().into(),
        });
        Self {
            url: format!("{scheme}://{}", broker.second_addr()),
            broker,
            settings,
            _files: files,
        }
    }

    fn setup(&self) -> (&str, Settings) {
        (&self.url, self.settings.clone())
    }
}

#[tokio::test]
async fn tokio_publishes_and_subscribes() {
    for (scheme, protocol) in [("mqtts", "mqtt"), ("wss", "websockets")] {
        let place = Place::start(scheme, protocol);
        exchange!(mqtt5_tokio, place.setup());
        assert_left_politely(&place.broker);
    }
}

#[test]
fn async_io_publishes_and_subscribes() {
    for (scheme, protocol) in [("mqtts", "mqtt"), ("wss", "websockets")] {
        let place = Place::start(scheme, protocol);
        smol::block_on(async { exchange!(mqtt5_async_std, place.setup()) });
        assert_left_politely(&place.broker);
    }
}

#[test]
fn blocking_publishes_and_subscribes() {
    for (scheme, protocol) in [("mqtts", "mqtt"), ("wss", "websockets")] {
        let place = Place::start(scheme, protocol);
        exchange_blocking(place.setup());
        assert_left_politely(&place.broker);
    }
}

#[test]
fn a_server_that_proves_nothing_is_refused() {
    let place = Place::start("mqtts", "mqtt");
    let refused = |url: &str, settings: &Settings| {
        let errors = [
            connect((url, settings.clone())).unwrap_err(),
            smol::block_on(mqtt5_async_std::connect((url, settings.clone()))).unwrap_err(),
        ];
        errors.map(|error| *error.dial_error().expect("no transport was opened"))
    };
    let other_name = place.url.replace("127.0.0.1", "localhost");
    let error = DialError::from(StackError::OtherName);
    assert_eq!(refused(&other_name, &place.settings), [error; 2]);

    let mut other = place.settings.clone();
    other.tls.authorities = Place::start("mqtts", "mqtt").settings.tls.authorities;
    let error = DialError::from(StackError::UnknownIssuer);
    assert_eq!(refused(&place.url, &other), [error; 2]);

    // Its port without TLS closes on what is no CONNECT.
    let plain = format!("mqtts://{}", place.broker.addr());
    let error = DialError::from(StackError::Truncated);
    assert_eq!(refused(&plain, &place.settings), [error; 2]);
}
