//! Requests and their answers, and who answers.

use std::collections::{BTreeMap, BTreeSet};

use mqtt5_client::RequestErrorKind;

use crate::hub::ProcessId;

/// What is known of requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    count: usize,
    /// Processes that answer, and how many of their subscriptions do.
    responders: BTreeMap<ProcessId, usize>,
    /// Requests that must be answered.
    needed: BTreeSet<usize>,
}

impl Requests {
    /// A request begins; gives its number.
    pub(crate) fn begin(&mut self, must: bool) -> usize {
        self.count += 1;
        if must {
            self.needed.insert(self.count);
        }
        self.count
    }

    /// A request has ended in or out of time; tells what is wrong with that, if anything is.
    pub(crate) fn end(
        &mut self,
        number: usize,
        in_time: bool,
        stopped: bool,
        result: Result<&[u8], RequestErrorKind>,
    ) -> Option<String> {
        let must = self.needed.remove(&number);
        let right = match result {
            Ok(answer) => answer == answer_to(number),
            Err(RequestErrorKind::Closed) => stopped,
            Err(_) => !must,
        };
        (!right || !in_time).then(|| {
            format!("request {number} ended with {result:?}, in time: {in_time}, must be answered: {must}")
        })
    }

    pub(crate) fn serves(&mut self, process: ProcessId) {
        *self.responders.entry(process).or_default() += 1;
    }

    pub(crate) fn serves_no_longer(&mut self, process: ProcessId) {
        if let Some(count) = self.responders.get_mut(&process) {
            *count -= 1;
        }
    }

    pub(crate) fn is_serving(&self, process: ProcessId) -> bool {
        self.responders
            .get(&process)
            .is_some_and(|count| *count > 0)
    }
}

/// The payload of a request.
pub(crate) fn request(number: usize) -> Vec<u8> {
    format!("q{number}").into_bytes()
}

/// The payload of the answer to the request with this payload.
pub(crate) fn answer(request: &[u8]) -> Vec<u8> {
    [b"r", request].concat()
}

fn answer_to(number: usize) -> Vec<u8> {
    answer(&request(number))
}
