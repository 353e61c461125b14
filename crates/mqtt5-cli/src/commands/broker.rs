//! `mqtt5 broker`

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use mqtt5_broker::{Broker, Config, Server, Users};

use crate::args::BrokerArgs;
use crate::exit::Exit;
use crate::json::Object;
use crate::output::Output;
use crate::problem::Problem;
use crate::signal::Interrupt;

pub(crate) async fn run(
    args: &BrokerArgs,
    output: Output,
    mut interrupt: Interrupt,
) -> Result<Exit> {
    let config = config(args)?;
    let server = Broker::new(config).listen(args.listen).map_err(|error| {
        Problem::new(Exit::Local, format!("cannot listen on {}", args.listen))
            .hint("choose another address with --listen; port 0 is any free one")
            .because(error)
    })?;
    if !args.listen.ip().is_loopback() && args.users.is_none() {
        let text = "everybody who reaches this address can connect; --users lets in only some";
        output.error(
            || format!("warning: {text}"),
            || Object::new().with("warning", text),
        );
    }
    let url = server.url();
    output.result(
        || format!("listening on {url}; Ctrl-C ends"),
        || {
            Object::new()
                .with("event", "listening")
                .with("url", url.as_str())
        },
    )?;
    interrupt.asked().await;
    end(server, &output)?;
    // To be ended from outside is how this command succeeds.
    Ok(Exit::Success)
}

fn config(args: &BrokerArgs) -> Result<Config> {
    let mut config = Config::default();
    config.retain_available = !args.no_retain;
    config.wildcard_subscription_available = !args.no_wildcards;
    config.subscription_identifier_available = !args.no_subscription_identifiers;
    config.shared_subscription_available = !args.no_shared_subscriptions;
    config.server_keep_alive = args.server_keep_alive;
    config.response_information = args.response_information.clone();
    set(&mut config.maximum_qos, args.maximum_qos);
    set(&mut config.receive_maximum, args.receive_maximum);
    set(&mut config.maximum_packet_size, args.maximum_packet_size);
    set(&mut config.topic_alias_maximum, args.topic_alias_maximum);
    set(
        &mut config.maximum_session_expiry,
        args.maximum_session_expiry,
    );
    if let Some(file) = &args.users {
        config.access = Box::new(users(file)?);
    }
    Ok(config)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn users(file: &Path) -> Result<Users> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself may hold a password.
        let pair = line.split_once(':').ok_or_else(|| {
            let problem = Problem::usage(format!(
                "line {} of {} names no password",
                number + 1,
                file.display()
            ));
            problem.hint("write it as name:password")
        })?;
        users.push(pair);
    }
    Ok(Users::new(users))
}

/// Says goodbye to all clients, and what there was.
fn end(server: Server, output: &Output) -> Result<()> {
    let statistics = server.statistics();
    drop(server);
    let (received, sent) = (statistics.messages_received, statistics.messages_sent);
    let dropped = statistics.messages_dropped;
    output.result(
        || format!("ended: {received} messages received, {sent} sent, {dropped} discarded"),
        || {
            Object::new()
                .with("event", "ended")
                .with("messages_received", received)
                .with("messages_sent", sent)
                .with("messages_dropped", dropped)
        },
    )?;
    Ok(())
}
