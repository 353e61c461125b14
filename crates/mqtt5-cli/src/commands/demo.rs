//! `mqtt5 demo`

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroU32;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use mqtt5_client::{Options, QoS};
use tokio::task::spawn_blocking;

use crate::args::{Adapter, DemoArgs};
use crate::demo::{self, Broken, Plan, Run, Verdict, number};
use crate::exit::Exit;
use crate::json::Object;
use crate::output::Output;
use crate::problem::Problem;
use crate::session;
use crate::signal::Interrupt;

pub(crate) async fn run(args: &DemoArgs, output: Output, mut interrupt: Interrupt) -> Result<Exit> {
    // It lives until the end.
    let embedded = match args.broker {
        Some(_) => None,
        None => Some(mqtt5_broker::spawn().context("cannot start a broker")?),
    };
    let url = match (&args.broker, &embedded) {
        (Some(url), _) => url.clone(),
        (None, server) => server
            .as_ref()
            .map(mqtt5_broker::Server::url)
            .unwrap_or_default(),
    };
    let options = args
        .access
        .options(&url)?
        .maximum_packet_size(NonZeroU32::MIN.saturating_add(args.size + PACKET_OVERHEAD));
    options
        .validate()
        .map_err(|error| Problem::usage("cannot connect so").because(error))?;

    let connecting = Clients::connect(args.adapter, options.clone());
    let clients = tokio::select! {
        clients = connecting => clients?,
        exit = interrupt.asked() => return Ok(exit),
    };
    let outcome = tokio::select! {
        outcome = run_all(args, &clients) => outcome,
        exit = interrupt.asked() => {
            clients.disconnect().await;
            return Ok(exit);
        }
    };
    clients.disconnect().await;
    let verdicts = outcome?;
    tell(args, &session::server(&options), &verdicts, &output)?;
    judge(&verdicts)?;
    Ok(Exit::Success)
}

/// One run for each QoS that the broker supports.
async fn run_all(args: &DemoArgs, clients: &Clients) -> Result<Vec<Verdict>> {
    let run = random();
    let maximum = clients.maximum_qos();
    let mut verdicts = Vec::new();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        if qos > maximum {
            break;
        }
        let plan = Plan {
            run,
            topic: format!("mqtt5-demo/{run:016x}/{}", qos as u8),
            qos,
            messages: args.messages,
            size: args.size as usize,
        };
        let bar = progress_bar(&plan);
        let run = Run::new(plan, args.window.into(), args.idle_timeout, bar.clone());
        let verdict = clients.run(run).await;
        bar.finish_and_clear();
        let verdict = verdict?;
        let is_broken = !verdict.broken().is_empty();
        verdicts.push(verdict);
        if is_broken {
            break;
        }
    }
    Ok(verdicts)
}

/// A publisher and a subscriber on one of the adapters.
enum Clients {
    Tasks {
        publisher: mqtt5_tokio::Client,
        subscriber: mqtt5_tokio::Client,
    },
    Threads {
        publisher: mqtt5_blocking::Client,
        subscriber: mqtt5_blocking::Client,
    },
}

impl Clients {
    async fn connect(adapter: Adapter, options: Options) -> Result<Self> {
        let server = session::server(&options);
        let start: fn(Options) -> Result<_, _> = match adapter {
            Adapter::Tokio => mqtt5_tokio::start,
            Adapter::AsyncStd => mqtt5_async_std::start,
            Adapter::Blocking => {
                let connect = move || {
                    Ok(Self::Threads {
                        publisher: connect_blocking(options.clone(), &server)?,
                        subscriber: connect_blocking(options, &server)?,
                    })
                };
                return spawn_blocking(connect)
                    .await
                    .context("cannot start a thread")?;
            }
        };
        let publisher = start(options.clone()).context("cannot start")?;
        session::connected(&publisher, &server).await?;
        let subscriber = start(options).context("cannot start")?;
        session::connected(&subscriber, &server).await?;
        Ok(Self::Tasks {
            publisher,
            subscriber,
        })
    }

    fn maximum_qos(&self) -> QoS {
        let info = match self {
            Self::Tasks { publisher, .. } => publisher.connection(),
            Self::Threads { publisher, .. } => publisher.connection(),
        };
        info.map_or(QoS::ExactlyOnce, |info| info.maximum_qos())
    }

    async fn run(&self, run: Run) -> Result<Verdict> {
        match self {
            Self::Tasks {
                publisher,
                subscriber,
            } => demo::run_async(publisher, subscriber, run).await,
            Self::Threads {
                publisher,
                subscriber,
            } => {
                let (publisher, subscriber) = (publisher.clone(), subscriber.clone());
                let run = move || demo::run_blocking(&publisher, &subscriber, &run);
                spawn_blocking(run).await.context("cannot start a thread")?
            }
        }
    }

    /// Says goodbye. A connection that is gone needs none.
    async fn disconnect(&self) {
        match self {
            Self::Tasks {
                publisher,
                subscriber,
            } => {
                let _ = tokio::join!(
                    publisher.disconnect().into_future(),
                    subscriber.disconnect().into_future()
                );
            }
            Self::Threads {
                publisher,
                subscriber,
            } => {
                let clients = [publisher.clone(), subscriber.clone()];
                let disconnect = move || clients.map(|client| client.disconnect().wait());
                let _ = spawn_blocking(disconnect).await;
            }
        }
    }
}

fn connect_blocking(options: Options, server: &str) -> Result<mqtt5_blocking::Client> {
    let client = mqtt5_blocking::start(options).context("cannot start")?;
    let connected = client.connected();
    connected.with_context(|| session::not_connected(&client, server))?;
    Ok(client)
}

fn progress_bar(plan: &Plan) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(plan.messages)
        .with_style(style)
        .with_message(format!("QoS {}", plan.qos as u8))
}

fn tell(args: &DemoArgs, server: &str, verdicts: &[Verdict], output: &Output) -> Result<()> {
    let adapter = match args.adapter {
        Adapter::Tokio => "tokio",
        Adapter::AsyncStd => "async-std",
        Adapter::Blocking => "blocking",
    };
    let held = verdicts.iter().all(|verdict| verdict.broken().is_empty());
    let text = || {
        let kind = if args.broker.is_some() {
            ""
        } else {
            " (embedded)"
        };
        let (messages, size) = (number(args.messages), args.size);
        let table = demo::text(verdicts);
        let end = match verdicts {
            _ if !held => String::new(),
            [_, _, _] => {
                "\n\nEvery guarantee held: each message was checked for number, content and order."
                    .to_owned()
            }
            _ => format!(
                "\n\nEvery guarantee held, up to QoS {}: the broker has no higher one.",
                verdicts.len() - 1
            ),
        };
        format!(
            "adapter {adapter}, broker {server}{kind}, {messages} messages of {size} bytes at each QoS\n\n{table}{end}"
        )
    };
    let json = || {
        let results: Vec<Object> = verdicts.iter().map(demo::json).collect();
        Object::new()
            .with("adapter", adapter)
            .with("broker", server)
            .with("embedded", args.broker.is_none())
            .with("messages", args.messages)
            .with("size", args.size)
            .with("ok", held)
            .with_objects("results", &results)
    };
    output
        .result(text, json)
        .context("cannot write the outcome")
}

fn judge(verdicts: &[Verdict]) -> Result<(), Problem> {
    let broken: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.broken().is_empty())
        .map(|verdict| {
            let broken = verdict.broken();
            let broken: Vec<String> = broken.iter().map(Broken::to_string).collect();
            format!("QoS {}: {}", verdict.qos as u8, broken.join(", "))
        })
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        Exit::Broken,
        format!("a guarantee was broken: {}", broken.join("; ")),
    ))
}

/// Tells this run from every other on the same broker.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

const BAR: &str = "{msg} [{bar:40}] {human_pos}/{human_len}  {per_sec}";
/// Topic and headers of a message of the demonstration, generously.
const PACKET_OVERHEAD: u32 = 4_096;
