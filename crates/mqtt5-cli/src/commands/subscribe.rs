//! `mqtt5 sub`

use std::future::poll_fn;
use std::io::{self, Write as _};
use std::pin::pin;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mqtt5_client::{AckMode, Filter, Message, OnDrop, TopicFilter};
use mqtt5_tokio::{Client, Driver, Subscription};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::args::SubscribeArgs;
use crate::clock;
use crate::connection_log::ConnectionLog;
use crate::escape::{escape, payload};
use crate::exit::Exit;
use crate::json::Object;
use crate::message::Received;
use crate::output::{Form, Output};
use crate::problem::Problem;
use crate::session::{self, explain};
use crate::signal::Interrupt;
use crate::target::{self, URL_VARIABLE};
use crate::timestamp::Timestamp;

pub(crate) async fn run(
    args: &SubscribeArgs,
    output: Output,
    mut interrupt: Interrupt,
) -> Result<Exit> {
    let output = output.verbose(args.verbose);
    let variable = std::env::var(URL_VARIABLE).ok();
    let arguments = args.arguments();
    let (url, filters) = target::split(&arguments, variable)?;
    check(filters)?;
    // What was not printed is not acknowledged, so that a session that lives on gets it again.
    let options = session::options(&url, &args.access, &args.session)?
        .reconnect(args.reconnect())
        .ack_mode(AckMode::Manual {
            on_drop: OnDrop::Hold,
        });
    let server = session::server(&options);

    let (client, driver) = mqtt5_tokio::driver(options).context("cannot start")?;
    let log = ConnectionLog::new(client.events(), &server, output);
    let (printer, mut printed) = Printer::start(args, output);
    // It outlives the connection: dropped before, it would acknowledge what was not printed.
    let mut subscription = None;
    let work = async {
        let subscription =
            subscription.insert(subscribe(&client, driver, &server, args, filters).await?);
        tell_granted(subscription, &output);
        forward(&client, subscription, printer, &mut printed).await
    };
    let outcome = tokio::select! {
        outcome = work => outcome.map(|()| Exit::Success),
        outcome = log.run() => outcome,
        exit = interrupt.asked() => Ok(exit),
        () = sleep(args.timeout.unwrap_or(Duration::MAX)) => Ok(Exit::Timeout),
    };
    if !printed.is_terminated() {
        // What is being printed may still be acknowledged.
        let _ = timeout(LAST_LINE, printed).await;
    }
    // The outcome of the command is what counts; a connection that is gone needs no goodbye.
    let _ = client.disconnect().await;
    outcome
}

/// Tells about a filter that cannot be before anything is connected.
fn check(filters: &[String]) -> Result<(), Problem> {
    if filters.is_empty() {
        return Err(Problem::usage("no topic filter was given").hint("mqtt5 sub URL FILTER..."));
    }
    for filter in filters {
        TopicFilter::new(filter).map_err(|error| {
            Problem::usage(format!("cannot subscribe to `{}`", escape(filter))).because(error)
        })?;
    }
    Ok(())
}

/// Subscribes before the connection is made, so that what a resumed session delivers at once is not missed: the driver
/// begins when the client knows the filters.
async fn subscribe(
    client: &Client,
    driver: Driver,
    server: &str,
    args: &SubscribeArgs,
    filters: &[String],
) -> Result<Subscription> {
    let filters = filters.iter().map(|filter| {
        Filter::new(filter)
            .qos(args.qos)
            .no_local(args.no_local)
            .retain_as_published(args.retain_as_published)
            .retain_handling(args.retain_handling.into())
    });
    let request = args
        .user_property
        .iter()
        .fold(client.subscribe_all(filters), |request, pair| {
            request.user_property(&pair.name, &pair.value)
        })
        .durable();
    let mut request = pin!(request.into_future());
    let mut driver = Some(driver);
    let answer = poll_fn(|context| {
        let answer = request.as_mut().poll(context);
        driver.take().map(tokio::spawn);
        answer
    });
    match answer.await {
        Ok(subscription) => Ok(subscription),
        Err(error) => {
            session::connected(client, server).await?;
            let refused = error
                .results()
                .iter()
                .filter(|(_, reason)| reason.is_error());
            let refused: Vec<String> = refused
                .map(|(filter, reason)| format!("`{filter}` ({reason})"))
                .collect();
            let what = match refused.is_empty() {
                true => "cannot subscribe".to_owned(),
                false => format!("cannot subscribe to {}", refused.join(", ")),
            };
            Err(explain(client, error, what).await)
        }
    }
}

fn tell_granted(subscription: &Subscription, output: &Output) {
    let text = || {
        let granted = subscription
            .granted()
            .map(|(filter, reason)| format!("{} ({reason})", escape(filter)));
        format!(
            "subscribed to {}; Ctrl-C ends",
            granted.collect::<Vec<_>>().join(", ")
        )
    };
    let json = || {
        let granted = subscription.granted().map(|(filter, reason)| {
            Object::new()
                .with("filter", filter)
                .with("reason_code", reason.value())
                .with("reason", reason.name())
        });
        Object::new()
            .with("event", "subscribed")
            .with_objects("filters", &granted.collect::<Vec<_>>())
    };
    output.notice(text, json);
}

/// Gives messages to the printer until it has enough or the connection ends.
async fn forward(
    client: &Client,
    subscription: &mut Subscription,
    printer: mpsc::Sender<Message>,
    printed: &mut oneshot::Receiver<io::Result<()>>,
) -> Result<()> {
    loop {
        let message = tokio::select! {
            biased;
            outcome = &mut *printed => {
                let outcome = outcome.unwrap_or(Ok(()));
                return outcome.context("cannot write a message");
            }
            message = subscription.recv() => message,
        };
        match message {
            // When the printer has ended meanwhile, its outcome says why.
            Some(message) => drop(printer.send(message).await),
            None => {
                drop(printer);
                // The subscription may be over although the connection is not.
                let _ = client.disconnect().await;
                client.closed().await.context("the connection ended")?;
                return Err(Problem::new(Exit::Rejected, "the subscription is lost").into());
            }
        }
    }
}

/// Writes messages on a thread of its own: a reader that is slow stops the writing, not the connection.
struct Printer {
    form: PrinterForm,
    count: Option<u64>,
}

#[derive(Clone, Copy)]
enum PrinterForm {
    Lines(Form),
    Raw { escaped: bool, newline: bool },
}

impl Printer {
    /// Gives where to put messages, and the outcome when it has written enough or nobody reads.
    fn start(
        args: &SubscribeArgs,
        output: Output,
    ) -> (mpsc::Sender<Message>, oneshot::Receiver<io::Result<()>>) {
        let form = if args.raw {
            PrinterForm::Raw {
                escaped: output.is_terminal,
                newline: !args.no_newline,
            }
        } else {
            PrinterForm::Lines(output.results)
        };
        let (sender, messages) = mpsc::channel(WAITING);
        let (done, printed) = oneshot::channel();
        let printer = Self {
            form,
            count: args.count,
        };
        thread::spawn(move || {
            // Nobody listens any more when the command was interrupted.
            let _ = done.send(printer.run(messages));
        });
        (sender, printed)
    }

    fn run(self, mut messages: mpsc::Receiver<Message>) -> io::Result<()> {
        let mut written = 0;
        while self.count.is_none_or(|count| written < count) {
            let Some(message) = messages.blocking_recv() else {
                return Ok(());
            };
            self.write(&message)?;
            message.ack();
            written += 1;
        }
        Ok(())
    }

    fn write(&self, message: &Message) -> io::Result<()> {
        let at = Timestamp::since_1970(clock::time_of_day());
        let received = Received::new(message, at);
        let (bytes, newline) = match self.form {
            PrinterForm::Lines(Form::Text) => (received.text().into_bytes(), true),
            PrinterForm::Lines(Form::Json) => (received.json().to_string().into_bytes(), true),
            PrinterForm::Raw {
                escaped: true,
                newline,
            } => (payload(received.payload).into_owned().into_bytes(), newline),
            PrinterForm::Raw {
                escaped: false,
                newline,
            } => (received.payload.to_vec(), newline),
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(&bytes)?;
        if newline {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    }
}

/// How many messages may wait to be written; the others wait in the client and the server.
const WAITING: usize = 64;
/// How long a line may take that is being written when the end has come.
const LAST_LINE: Duration = Duration::from_secs(1);
