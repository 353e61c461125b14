//! What applications do besides publishing and subscribing: they ask, they answer, and they have a say in attempts.

use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use mqtt5_client::{Filter, QoS, Requester};

use crate::application::Place;
use crate::options::Preparing;
use crate::plan::Question;
use crate::transcript::Invariant;
use crate::watch::requests;

/// The requesters of a process.
pub(crate) type Requesters = Rc<RefCell<Vec<Requester>>>;

/// Makes a requester and leaves it with the others.
pub(crate) async fn open(place: Place, requesters: Requesters) {
    let number = requesters.borrow().len();
    let topic = format!("answers/{}/{number}", place.process);
    let hub = &place.hub;
    hub.ledger
        .borrow_mut()
        .calls_subscribe(place.process, &topic);
    let requester = place.client.requester().response_topic(topic);
    let what = "subscribe for a requester".to_owned();
    let begun = place.begin(None);
    let opened = place.operation(what, requester.into_future()).await;
    place.judge_subscribe(&begun, false, &opened);
    if let Ok(requester) = opened {
        requesters.borrow_mut().push(requester);
    }
}

/// Asks, and looks at the answer.
pub(crate) async fn ask(place: Place, requester: Requester, question: Question, must: bool) {
    let begun = place.begin(Some(question.timeout));
    let number = place.hub.watch.requests.borrow_mut().begin(must);
    let request = requester
        .request(SERVICE, requests::request(number))
        .qos(question.qos)
        .timeout(question.timeout);
    let what = format!("request {number}");
    let result = place.operation(what, request.into_future()).await;
    let in_time = place.is_in_time(&begun);
    let transcript = &place.hub.transcript;
    let error = result.as_ref().err();
    let may_be = error.is_none_or(|error| place.may_fail_to_request(&begun, &question, error));
    transcript.say(place.process, || {
        let how = match &result {
            Ok(_) => "with its answer".to_owned(),
            Err(error) => format!("without an answer: {:?}", error.kind()),
        };
        format!("request {number} ended {how}")
    });
    let result = match &result {
        Ok(answer) => Ok(answer.payload()),
        Err(error) => Err(error.kind()),
    };
    let stopped = place.is_over();
    let mut requests = place.hub.watch.requests.borrow_mut();
    if let Some(wrong) = requests.end(number, in_time, stopped, result) {
        transcript.fail(Invariant::Requests, wrong);
    }
    transcript.check(Invariant::Requests, may_be, || {
        format!("request {number} failed for no reason: {result:?}")
    });
}

/// Answers requests, some at once and some together and backwards, until the subscription ends.
pub(crate) async fn serve(place: Place, together: usize) {
    let hub = &place.hub;
    hub.ledger
        .borrow_mut()
        .calls_subscribe(place.process, SERVICE);
    let filter = Filter::new(SERVICE).qos(QoS::ExactlyOnce);
    let subscribing = place.client.subscribe(filter).into_future();
    let what = "subscribe to requests".to_owned();
    let begun = place.begin(None);
    let subscribed = place.operation(what, subscribing).await;
    place.judge_subscribe(&begun, false, &subscribed);
    let Ok(mut subscription) = subscribed else {
        return;
    };
    place.hub.watch.requests.borrow_mut().serves(place.process);
    let mut kept = Vec::new();
    loop {
        let received = subscription.recv_timeout(PATIENCE).await;
        let Ok(request) = received else { break };
        let is_over = request.is_none();
        kept.extend(request);
        if kept.len() < together && !is_over {
            continue;
        }
        while let Some(request) = kept.pop() {
            let answer = requests::answer(request.payload());
            if let Some(reply) = place.client.reply(&request, answer) {
                drop(reply.qos(request.qos()).start().await);
            }
        }
    }
    let mut requests = place.hub.watch.requests.borrow_mut();
    requests.serves_no_longer(place.process);
}

/// Prepares each attempt, or declines it.
pub(crate) async fn prepare(place: Place, preparing: Preparing) {
    let mut attempts = place.client.attempts();
    let mut count = 0;
    while let Some(mut attempt) = attempts.recv().await {
        count += 1;
        let is_calm = place.hub.healing.get();
        let time = preparing.times[count % preparing.times.len()];
        let time = if is_calm { time.min(SHORTLY) } else { time };
        place.hub.timers.sleep(&place.hub.clock, time).await;
        if preparing.declines > 0 && count.is_multiple_of(preparing.declines) && !is_calm {
            let transcript = &place.hub.transcript;
            transcript.say(place.process, || "declines an attempt".to_owned());
            place.hub.watch.declines(place.process);
            attempt.decline();
            continue;
        }
        let name = format!("{}-{count}", place.process);
        attempt.set_username(Some(name.clone()));
        place.hub.watch.prepares(place.process, name);
        attempt.accept().expect("a user name that can be sent");
    }
}

/// Where requests go.
pub(crate) const SERVICE: &str = "service";
/// How long a responder waits for more before it answers what it has.
const PATIENCE: Duration = Duration::from_millis(700);
/// How long preparations take when the faults are over.
const SHORTLY: Duration = Duration::from_millis(100);
