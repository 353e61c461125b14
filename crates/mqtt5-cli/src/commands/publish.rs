//! `mqtt5 pub`

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead as _, Read as _};
use std::str;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mqtt5_client::{Bytes, Delivered, Publish, QoS, TopicName};
use mqtt5_tokio::{Client, Delivery};
use tokio::sync::mpsc;

use crate::args::PublishArgs;
use crate::escape;
use crate::exit::Exit;
use crate::json::Object;
use crate::output::Output;
use crate::problem::Problem;
use crate::session::{self, explain};
use crate::signal::Interrupt;
use crate::target::{self, URL_VARIABLE};
use crate::values::{Pair, PayloadFormat};

pub(crate) async fn run(
    args: &PublishArgs,
    output: Output,
    mut interrupt: Interrupt,
) -> Result<Exit> {
    let variable = std::env::var(URL_VARIABLE).ok();
    let arguments = args.arguments();
    let (url, rest) = target::split(&arguments, variable)?;
    let options = session::options(&url, &args.access, &args.session)?;
    let server = session::server(&options);
    let (topic, payload) = topic_and_payload(rest)?;
    let payloads = Payloads::open(args, payload)?;

    let client = mqtt5_tokio::start(options).context("cannot start")?;
    let work = async {
        session::connected(&client, &server).await?;
        Publisher {
            args,
            topic,
            client: &client,
            output,
        }
        .publish_all(payloads)
        .await
    };
    let outcome = tokio::select! {
        outcome = work => outcome.map(|()| Exit::Success),
        exit = interrupt.asked() => Ok(exit),
    };
    let goodbye = client.disconnect().await;
    let exit = outcome?;
    if exit == Exit::Success {
        goodbye.context("the messages may not have arrived")?;
        client
            .closed()
            .await
            .context("the connection ended too early")?;
    }
    Ok(exit)
}

fn topic_and_payload(arguments: &[String]) -> Result<(&str, Option<&str>), Problem> {
    let (topic, payload) = match arguments {
        [topic] => (topic, None),
        [topic, payload] => (topic, Some(payload.as_str())),
        [] => {
            return Err(Problem::usage("no topic was given").hint("mqtt5 pub URL TOPIC [PAYLOAD]"));
        }
        _ => {
            return Err(Problem::usage("too many arguments").hint(
                "quote a payload that has spaces; the URL needs a scheme, as in mqtt://host",
            ));
        }
    };
    TopicName::new(topic).map_err(|error| {
        Problem::usage(format!("cannot publish to `{}`", escape::escape(topic))).because(error)
    })?;
    Ok((topic, payload))
}

struct Publisher<'a> {
    args: &'a PublishArgs,
    topic: &'a str,
    client: &'a Client,
    output: Output,
}

/// A message that was accepted.
struct Started {
    number: u64,
    size: usize,
    delivery: Delivery,
}

impl Publisher<'_> {
    /// Publishes every payload, several at a time, and tells the outcomes in their order.
    async fn publish_all(&self, mut payloads: Payloads) -> Result<()> {
        let mut started = VecDeque::new();
        let mut number = 0;
        let mut is_open = true;
        while is_open || !started.is_empty() {
            tokio::select! {
                outcome = complete(started.front_mut()), if !started.is_empty() => {
                    if let Some(message) = started.pop_front() {
                        self.tell(&message, outcome).await?;
                    }
                }
                payload = payloads.next(), if is_open && started.len() < WINDOW => match payload {
                    Some(payload) => {
                        number += 1;
                        started.push_back(self.start(number, payload?).await?);
                    }
                    None => is_open = false,
                },
            }
        }
        Ok(())
    }

    async fn start(&self, number: u64, payload: Bytes) -> Result<Started> {
        let is_text = self.args.payload_format == Some(PayloadFormat::Text);
        if is_text && str::from_utf8(&payload).is_err() {
            let problem = Problem::usage("the payload is no UTF-8 text");
            return Err(problem.hint("leave --payload-format text out").into());
        }
        let size = payload.len();
        match self.message(payload).start().await {
            Ok(delivery) => Ok(Started {
                number,
                size,
                delivery,
            }),
            Err(error) => Err(explain(self.client, error, self.what(number)).await),
        }
    }

    fn message(&self, payload: Bytes) -> Publish<'_> {
        let args = self.args;
        let mut message = self
            .client
            .publish(self.topic, payload)
            .qos(args.qos)
            .retain(args.retain)
            .timeout(args.timeout);
        if let Some(format) = args.payload_format {
            message = message.payload_is_text(format == PayloadFormat::Text);
        }
        if let Some(expiry) = args.expiry {
            message = message.message_expiry(Duration::from_secs(expiry.into()));
        }
        if let Some(content_type) = &args.content_type {
            message = message.content_type(content_type);
        }
        if let Some(topic) = &args.response_topic {
            message = message.response_topic(topic);
        }
        if let Some(data) = &args.correlation_data {
            message = message.correlation_data(&data.0);
        }
        let properties = args.user_property.iter();
        properties.fold(message, |message, Pair { name, value }| {
            message.user_property(name, value)
        })
    }

    /// Tells how a publish ended.
    async fn tell(
        &self,
        message: &Started,
        outcome: Result<Delivered, mqtt5_client::PublishError>,
    ) -> Result<()> {
        let delivered = match outcome {
            Ok(delivered) => delivered,
            Err(error) => return Err(explain(self.client, error, self.what(message.number)).await),
        };
        if self.args.quiet {
            return Ok(());
        }
        let text = || {
            let topic = escape::escape(self.topic);
            if self.args.qos == QoS::AtMostOnce {
                return format!("sent to {topic} at QoS 0, which has no answer");
            }
            let reason = delivered.reason();
            match delivered.reason_string() {
                Some(text) => format!("published to {topic}: {reason}: {}", escape::escape(text)),
                None => format!("published to {topic}: {reason}"),
            }
        };
        let json = || {
            let number = self.args.stdin_lines.then_some(message.number);
            let acknowledged = delivered.is_acknowledged();
            let reason = delivered.reason();
            Object::new()
                .with("topic", self.topic)
                .with("qos", self.args.qos as u8)
                .with("retain", self.args.retain)
                .with_some("line", number)
                .with("size", message.size)
                .with("acknowledged", acknowledged)
                .with_some("reason_code", acknowledged.then(|| reason.value()))
                .with_some("reason", acknowledged.then(|| reason.name()))
                .with_some("reason_string", delivered.reason_string())
                .with_pairs("user_properties", delivered.user_properties())
        };
        self.output
            .result(text, json)
            .context("cannot write the outcome")
    }

    fn what(&self, number: u64) -> String {
        let line = if self.args.stdin_lines {
            format!("line {number} ")
        } else {
            String::new()
        };
        format!("cannot publish {line}to `{}`", self.topic)
    }
}

/// The outcome of a message that was started; it is polled only when there is one.
async fn complete(message: Option<&mut Started>) -> Result<Delivered, mqtt5_client::PublishError> {
    match message {
        Some(message) => (&mut message.delivery).await,
        None => std::future::pending().await,
    }
}

/// Where payloads come from.
enum Payloads {
    One(Option<Bytes>),
    Lines(mpsc::Receiver<io::Result<Bytes>>),
}

impl Payloads {
    fn open(args: &PublishArgs, argument: Option<&str>) -> Result<Self> {
        let has_source = args.file.is_some() || args.stdin || args.stdin_lines;
        if argument.is_some() && has_source {
            let problem = Problem::usage("two payloads were given");
            return Err(problem
                .hint("leave out the argument, or --file, --stdin or --stdin-lines")
                .into());
        }
        let payload = if let Some(file) = &args.file {
            fs::read(file).with_context(|| format!("cannot read {}", file.display()))?
        } else if args.stdin_lines {
            return Ok(Self::Lines(lines_of_stdin()));
        } else if args.stdin {
            let mut payload = Vec::new();
            io::stdin()
                .lock()
                .read_to_end(&mut payload)
                .context(STDIN)?;
            payload
        } else {
            argument.unwrap_or_default().into()
        };
        Ok(Self::One(Some(payload.into())))
    }

    async fn next(&mut self) -> Option<Result<Bytes>> {
        match self {
            Self::One(payload) => payload.take().map(Ok),
            Self::Lines(lines) => lines.recv().await.map(|line| line.context(STDIN)),
        }
    }
}

/// Reads lines on a thread of its own, since nothing can end a thread that waits for standard input.
fn lines_of_stdin() -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(WINDOW);
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                line.into()
            });
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

const STDIN: &str = "cannot read standard input";
/// How many messages may be on their way.
const WINDOW: usize = 256;
