//! Authorities, certificates, and the other end of TLS in memory.

use std::io::{Cursor, IoSlice, Read as _, Write as _};
use std::sync::Arc;

use mqtt5_transport::{Identity, Pipe, Settings, Stack, StackError};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

/// Someone who issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A certificate for this name, which may be an address.
    pub(crate) fn issue(&self, name: &str) -> Identity {
        self.issue_until(name, 4096)
    }

    pub(crate) fn issue_until(&self, name: &str, year: i32) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            certificates: certificate.pem().into_bytes(),
            private_key: key.serialize_pem().as_str().into(),
        }
    }

    /// Settings of a client that trusts nobody else.
    pub(crate) fn trusted(&self) -> Settings {
        let mut settings = Settings::default();
        settings.tls.authorities = Some(self.pem());
        settings
    }
}

/// A certificate that nobody else issued.
pub(crate) fn self_signed(name: &str) -> Identity {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Identity {
        certificates: certificate.pem().into_bytes(),
        private_key: key.serialize_pem().as_str().into(),
    }
}

/// A server with this certificate; it asks clients for one of `clients`, if that is there.
pub(crate) fn server(identity: &Identity, clients: Option<&Authority>) -> ServerConnection {
    ServerConnection::new(server_config(identity, clients)).unwrap()
}

pub(crate) fn server_config(identity: &Identity, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_slice_iter(&identity.certificates);
    let key = PrivateKeyDer::from_pem_slice(identity.private_key.expose()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = builder.with_single_cert(chain.map(Result::unwrap).collect(), key);
    Arc::new(config.unwrap())
}

/// A pipe that has written the beginning of its handshake.
pub(crate) fn opening(url: &str, settings: &Settings) -> Result<Pipe, StackError> {
    let stack = Stack::new(&url.parse().unwrap(), settings, true).unwrap();
    stack.open().map(|pipe| pipe.expect("a pipe"))
}

/// Moves bytes until neither side has any, `step` at a time towards the client.
pub(crate) fn exchange(
    pipe: &mut Pipe,
    server: &mut ServerConnection,
    step: usize,
) -> Result<(), StackError> {
    loop {
        let pending = pipe.pending().to_vec();
        pipe.sent(pending.len());
        let mut cursor = Cursor::new(&pending);
        while cursor.position() < pending.len() as u64 {
            server.read_tls(&mut cursor).unwrap();
            // What it dislikes it tells in an alert.
            let _ = server.process_new_packets();
        }
        let mut answer = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut answer).unwrap();
        }
        if pending.is_empty() && answer.is_empty() {
            return Ok(());
        }
        for part in answer.chunks(step) {
            pipe.receive(part)?;
        }
    }
}

/// A client and a server whose handshake is over.
pub(crate) fn connected() -> (Pipe, ServerConnection) {
    let authority = Authority::new();
    let mut server = server(&authority.issue("localhost"), None);
    let mut pipe = opening("mqtts://localhost", &authority.trusted()).unwrap();
    exchange(&mut pipe, &mut server, usize::MAX).unwrap();
    assert!(pipe.is_open());
    (pipe, server)
}

pub(crate) fn write(pipe: &mut Pipe, bytes: &[u8]) -> Result<usize, StackError> {
    pipe.write(&[IoSlice::new(bytes)])
}

/// Reads in small pieces until there is no more.
pub(crate) fn read_all(pipe: &mut Pipe) -> Result<Vec<u8>, StackError> {
    let (mut all, mut space) = (Vec::new(), [0; 1000]);
    loop {
        match pipe.read(&mut space)? {
            0 => return Ok(all),
            count => all.extend(&space[..count]),
        }
    }
}

/// What the server has received.
pub(crate) fn received(server: &mut ServerConnection) -> Vec<u8> {
    let mut all = Vec::new();
    // It ends when there is no more for now.
    let _ = server.reader().read_to_end(&mut all);
    all
}

pub(crate) fn say(server: &mut ServerConnection, bytes: &[u8]) {
    server.writer().write_all(bytes).unwrap();
}
