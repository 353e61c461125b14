//! How to reach a server and be let in.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mqtt5_client::{Endpoint, EndpointError, KeepAlive, Options, Password, Reconnect};

use crate::exit::Exit;
use crate::problem::Problem;
use crate::values::{Pair, pair, positive_duration};

/// Flags of every command that connects.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct AccessArgs {
    /// The user name; it wins over the one in the URL
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,

    /// The environment variable that holds the password
    ///
    /// A password on the command line is seen by every user of the machine. Here only the name of a variable is.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "password_file")]
    pub(crate) password_env: Option<String>,

    /// The file that holds the password; one line end at its end does not count
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// The longest silence on the connection in seconds; 0 is without limit [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) keep_alive: Option<u16>,

    /// How long name resolution, transport and the server's answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = positive_duration)]
    pub(crate) connect_timeout: Duration,

    /// A User Property of CONNECT; may repeat, the order is kept
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) connect_user_property: Vec<Pair>,
}

impl AccessArgs {
    /// Options for a server, with a session that ends with its connection, which is the only one.
    pub(crate) fn options(&self, url: &str) -> Result<Options, Problem> {
        let endpoint: Endpoint = url.parse().map_err(|error: EndpointError| {
            Problem::usage("the URL of the server is wrong").because(error)
        })?;
        let mut options = Options::new(endpoint)
            .session_expiry_interval(0)
            .reconnect(Reconnect::never())
            // Mosquitto 2.0 sends hundreds of messages beyond a Receive Maximum when it is busy; memory is bounded all
            // the same.
            .inbound_margin(u16::MAX)
            .connect_timeout(self.connect_timeout);
        if let Some(seconds) = self.keep_alive {
            options = options.keep_alive(KeepAlive::seconds(seconds).unwrap_or(KeepAlive::Off));
        }
        if let Some(username) = &self.username {
            options = options.username(username);
        }
        if let Some(password) = self.password()? {
            options = options.password(password);
        }
        let properties = self.connect_user_property.iter();
        Ok(properties.fold(options, |options, Pair { name, value }| {
            options.user_property(name, value)
        }))
    }

    fn password(&self) -> Result<Option<Password>, Problem> {
        if let Some(variable) = &self.password_env {
            let password = env::var(variable).map_err(|error| {
                Problem::usage(format!(
                    "cannot take the password from the variable {variable}"
                ))
                .because(error)
            })?;
            return Ok(Some(password.into()));
        }
        let Some(file) = &self.password_file else {
            return Ok(None);
        };
        let mut password = fs::read(file).map_err(|error| {
            Problem::new(Exit::Local, format!("cannot read {}", file.display())).because(error)
        })?;
        if password.last() == Some(&b'\n') {
            password.pop();
        }
        if password.last() == Some(&b'\r') {
            password.pop();
        }
        Ok(Some(password.into()))
    }
}
