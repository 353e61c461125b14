//! TLS below everything else.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use mqtt5_client::Endpoint;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, InvalidMessage, KeyLogFile,
    RootCertStore,
};

use super::wire::Wire;
use crate::{Identity, StackError, TlsSettings};

/// The client's end of a TLS connection, from the handshake to the close.
#[derive(Debug)]
pub(super) struct TlsLayer {
    connection: ClientConnection,
    wire: Wire,
    has_ended: bool,
}

impl TlsLayer {
    /// Begins the handshake: it is pending in the wire.
    pub(super) fn new(endpoint: &Endpoint, settings: &TlsSettings) -> Result<Self, StackError> {
        let name = ServerName::try_from(endpoint.host().to_owned())
            .map_err(|_| StackError::InvalidServerName)?;
        let mut connection = ClientConnection::new(config(settings)?, name)
            .map_err(|_| StackError::InvalidTlsSettings)?;
        // What is written at a time has a limit elsewhere.
        connection.set_buffer_limit(None);
        let mut layer = Self {
            connection,
            wire: Wire::default(),
            has_ended: false,
        };
        layer.encrypt()?;
        Ok(layer)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_handshaking()
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Decrypts what is there, as far as there is room for it; tells whether that was anything.
    pub(super) fn decrypt(&mut self) -> Result<bool, StackError> {
        if self.has_ended {
            return Ok(false);
        }
        let read = match self.connection.read_tls(&mut self.wire) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            read => read.map_err(|_| StackError::InvalidTls)?,
        };
        self.has_ended = read == 0;
        let processed = self.connection.process_new_packets();
        let is_opening = self.connection.is_handshaking();
        // An alert says why.
        self.encrypt()?;
        match processed {
            Err(error) => Err(tls_error(&error)),
            Ok(_) if self.has_ended && is_opening => Err(StackError::Truncated),
            Ok(_) => Ok(true),
        }
    }

    pub(super) fn close(&mut self) {
        self.connection.send_close_notify();
        // Writing to memory does not fail.
        let _ = self.encrypt();
    }

    fn encrypt(&mut self) -> Result<(), StackError> {
        while self.connection.wants_write() {
            let written = self.connection.write_tls(&mut self.wire);
            written.map_err(|_| StackError::InvalidTls)?;
        }
        Ok(())
    }
}

impl Read for TlsLayer {
    /// Fails with a [`StackError`] at the end.
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.connection.reader().read(space) {
                Ok(0) => StackError::Closed,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.decrypt() {
                    Ok(true) => continue,
                    Ok(false) => return Err(error),
                    Err(error) => error,
                },
                Err(_) => StackError::Truncated,
                read => return read,
            };
            return Err(io::Error::other(error));
        }
    }
}

impl Write for TlsLayer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.connection.writer().write(bytes)?;
        self.encrypt().map_err(io::Error::other)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the last connection was configured with. Sessions are resumed under the very same configuration only.
#[derive(Clone, Default)]
pub(crate) struct TlsSessions(Arc<Mutex<Option<Configured>>>);

struct Configured {
    roots: Arc<RootCertStore>,
    identity: Option<Identity>,
    key_log: bool,
    config: Arc<ClientConfig>,
}

/// The last configuration, unless the certificates are others now.
fn config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, StackError> {
    let roots = roots(settings.authorities.as_deref())?;
    let last = &settings.sessions.0;
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(last) = &*last {
        let is_same = (&last.identity, last.key_log) == (&settings.identity, settings.key_log);
        if is_same && last.roots.roots == roots.roots {
            return Ok(last.config.clone());
        }
    }
    let roots = Arc::new(roots);
    let config = Arc::new(new_config(roots.clone(), settings)?);
    *last = Some(Configured {
        roots,
        identity: settings.identity.clone(),
        key_log: settings.key_log,
        config: config.clone(),
    });
    Ok(config)
}

/// Verification is always on: there is no setting for it.
fn new_config(
    roots: Arc<RootCertStore>,
    settings: &TlsSettings,
) -> Result<ClientConfig, StackError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| StackError::InvalidTlsSettings)?
        .with_root_certificates(roots);
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(identity.private_key.expose())
                .map_err(|_| StackError::InvalidIdentity)?;
            let chain = certificates(&identity.certificates).ok_or(StackError::InvalidIdentity)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| StackError::InvalidIdentity)?
        }
    };
    if settings.key_log {
        config.key_log = Arc::new(KeyLogFile::new());
    }
    Ok(config)
}

fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore, StackError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in certificates(pem).ok_or(StackError::InvalidAuthorities)? {
                let added = roots.add(certificate);
                added.map_err(|_| StackError::InvalidAuthorities)?;
            }
        }
        None => {
            // One that cannot be read is one that nothing is trusted for.
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
    }
    if roots.is_empty() {
        return Err(StackError::NoAuthorities);
    }
    Ok(roots)
}

/// The certificates in a PEM text; `None` when one is none or there is none at all.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_slice_iter(pem);
    let all: Vec<_> = all.collect::<Result<_, _>>().ok()?;
    (!all.is_empty()).then_some(all)
}

fn tls_error(error: &Error) -> StackError {
    match error {
        Error::InvalidCertificate(error) => match error {
            // An issuer that only has the name of one that is trusted has another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                StackError::UnknownIssuer
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                StackError::OtherName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                StackError::Expired
            }
            _ => StackError::InvalidCertificate,
        },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => StackError::NoTls,
        Error::AlertReceived(_) => StackError::Alert,
        _ => StackError::InvalidTls,
    }
}

/// What was resumed says nothing of the settings.
impl PartialEq for TlsSessions {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for TlsSessions {}

impl fmt::Debug for TlsSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSessions").finish_non_exhaustive()
    }
}
