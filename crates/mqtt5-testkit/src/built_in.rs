//! What the build under test can speak.

use mqtt5_client::Endpoint;
use mqtt5_transport::{Settings, Stack};

/// Whether this build speaks the transport of a URL: a build of the whole workspace speaks all, one of a single package
/// only what it asks for.
///
/// # Panics
///
/// If it is no URL of a server.
pub fn is_built_in(url: &str) -> bool {
    let endpoint: Endpoint = url.parse().expect("the URL of a server");
    Stack::new(&endpoint, &Settings::default(), true).is_ok()
}
