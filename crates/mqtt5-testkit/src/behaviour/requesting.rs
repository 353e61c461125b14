//! Requests and their answers.

use std::future::IntoFuture;
use std::time::Duration;

use mqtt5_client::{Async, Client, QoS, RequestErrorKind, Requester, Subscription};

use super::{QOS, Setting, eventually, join};

/// A client that asks, and one that answers what comes to `add`.
async fn both_sides(setting: &Setting) -> (Requester<Async>, Client, Subscription<Async>) {
    let (asking, answering) = (setting.connect().await, setting.connect().await);
    let requester = asking.requester().qos(QoS::ExactlyOnce).await.unwrap();
    let requests = answering.subscribe("add").qos(QoS::ExactlyOnce).await;
    (requester, answering, requests.unwrap())
}

/// Answers so many requests, the last that is there first.
async fn answer(client: &Client, requests: &mut Subscription<Async>, count: usize) {
    let mut open = Vec::new();
    while open.len() < count {
        open.push(super::receive(requests).await);
    }
    while let Some(request) = open.pop() {
        let payload = [request.payload(), b"!"].concat();
        let reply = client.reply(&request, payload).expect("it asks");
        reply.qos(request.qos()).await.unwrap();
    }
}

/// Many at once at each QoS, answered in another order.
pub async fn each_request_gets_its_answer(setting: Setting) {
    let (requester, answering, mut requests) = both_sides(&setting).await;
    for qos in QOS {
        let mut open: Vec<_> = (0..20)
            .map(|number| {
                let request = requester.request("add", format!("{number}"));
                request.qos(qos).into_future()
            })
            .collect();
        let asking = async {
            let mut answers = Vec::new();
            // All are sent before the first is waited for.
            for request in &mut open {
                super::poll_once(request).await;
            }
            for request in open {
                let answer = request.await.unwrap();
                assert_eq!(answer.qos(), qos);
                answers.push(answer.payload_str().unwrap().to_owned());
            }
            answers
        };
        let (answers, ()) = join(asking, answer(&answering, &mut requests, 20)).await;
        let expected: Vec<_> = (0..20).map(|number| format!("{number}!")).collect();
        assert_eq!(answers, expected, "{qos:?}");
    }
    assert_eq!((requester.open_requests(), requester.unmatched()), (0, 0));
}

/// The answer to a request that was given up is counted, and disturbs no other.
pub async fn a_request_that_is_given_up(setting: Setting) {
    let (requester, answering, mut requests) = both_sides(&setting).await;
    let mut given_up = requester.request("add", "0").into_future();
    super::poll_once(&mut given_up).await;
    drop(given_up);
    let request = requester.request("add", "1").into_future();
    let (result, ()) = join(request, answer(&answering, &mut requests, 2)).await;
    assert_eq!(result.unwrap().payload(), b"1!");
    eventually("the other answer comes", move || requester.unmatched() == 1).await;
}

/// Nobody answers.
pub async fn a_request_without_an_answer(setting: Setting) {
    let (requester, _answering, _requests) = both_sides(&setting).await;
    let request = requester
        .request("add", "0")
        .timeout(Duration::from_millis(50));
    assert_eq!(
        request.await.unwrap_err().kind(),
        RequestErrorKind::TimedOut
    );
    // Nobody is even there. Servers need not say so.
    let request = requester.request("nobody", "").qos(QoS::AtLeastOnce);
    let error = request
        .timeout(Duration::from_millis(500))
        .await
        .unwrap_err();
    assert!(
        [RequestErrorKind::NoResponder, RequestErrorKind::TimedOut].contains(&error.kind()),
        "{error:?}"
    );
}
