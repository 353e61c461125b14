//! A client, from its connection to its goodbye.

use anyhow::{Context as _, Result};
use mqtt5_client::{Mode, Options, State};
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
        .with_context(|| not_connected(client, server))?;
    Ok(())
}

/// What happened when a client that was started is not connected: a server that accepted it may have ended it since.
pub(crate) fn not_connected<M: Mode>(client: &mqtt5_client::Client<M>, server: &str) -> String {
    match client.statistics().connects {
        0 => format!("cannot connect to {server}"),
        _ => format!("the connection to {server} was lost"),
    }
}

/// Why an operation failed: the end of the connection, when that was the reason.
pub(crate) async fn explain<E>(client: &Client, error: E, what: String) -> anyhow::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    if matches!(client.state(), State::Closing | State::Stopped) {
        if let Err(end) = client.closed().await {
            return anyhow::Error::new(end).context(format!("{what}: {error}"));
        }
    }
    anyhow::Error::new(error).context(what)
}
