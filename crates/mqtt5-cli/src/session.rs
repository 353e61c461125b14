//! A client, from its connection to its goodbye.

use anyhow::{Context as _, Result};
use mqtt5_client::{Options, State};
use mqtt5_tokio::Client;

use crate::args::{AccessArgs, SessionArgs};
use crate::problem::Problem;

/// The options that the flags describe, checked.
pub(crate) fn options(url: &str, access: &AccessArgs, session: &SessionArgs) -> Result<Options> {
    let options = session.apply(access.options(url)?);
    options
        .validate()
        .map_err(|error| Problem::usage("cannot connect so").because(error))?;
    Ok(options)
}

/// The server of options that were checked, for messages; without a password.
pub(crate) fn server(options: &Options) -> String {
    options
        .endpoint()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// Waits for the connection of a client that was started.
pub(crate) async fn connected(client: &Client, server: &str) -> Result<()> {
    client
        .connected()
        .await
        .with_context(|| format!("cannot connect to {server}"))?;
    Ok(())
}

/// Why an operation failed: the end of the connection, when that was the reason.
pub(crate) async fn explain<E>(client: &Client, error: E, what: String) -> anyhow::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    if client.state() == State::Stopped
        && let Err(end) = client.closed().await
    {
        return anyhow::Error::new(end).context(format!("{what}: {error}"));
    }
    anyhow::Error::new(error).context(what)
}
