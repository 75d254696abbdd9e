//! Answers to writes by their `Idempotency-Key`: who repeats a request because its answer got lost is given
//! the answer of the first one, and nothing is done twice.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use tokio::{sync::watch, time::Instant};

/// Answers that are remembered.
pub const MOST: usize = 256;
/// How long.
pub const AGE: Duration = Duration::from_secs(10 * 60);

/// An answer that can be given again.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// One line for people.
    pub note: String,
}

/// The digest of method, path and body.
pub type Request = [u8; 32];

/// Where the answer will be.
pub type Pending = watch::Receiver<Option<Answer>>;

/// The answers of the last requests. Pure: the clock is passed in.
#[derive(Default)]
pub struct Answers {
    by_key: HashMap<String, Entry>,
    order: VecDeque<(Instant, String)>,
}

struct Entry {
    at: Instant,
    request: Request,
    answer: Pending,
}

/// What is known of a key.
pub enum Known {
    /// Nothing: the caller does it, and leaves the answer here.
    Nothing(watch::Sender<Option<Answer>>),
    /// The same request came before; its answer is there or will be.
    Same(Pending),
    /// It came before with another request.
    Other,
}

// === impl Answer ===

impl Answer {
    /// Whether a repetition gets this answer again. Who was refused did not change anything, and may ask again.
    pub fn lasts(&self) -> bool {
        !self.status.is_client_error() && self.status != StatusCode::SERVICE_UNAVAILABLE
    }

    /// As it goes out.
    pub fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

// === impl Answers ===

impl Answers {
    /// Looks a key up and reserves it if it is new.
    pub fn begin(&mut self, key: &str, request: Request, now: Instant) -> Known {
        while let Some((at, old)) = self
            .order
            .pop_front_if(|(at, _)| now.saturating_duration_since(*at) >= AGE)
        {
            self.remove(&old, at);
        }
        if let Some(entry) = self.by_key.get(key) {
            return if entry.request == request {
                Known::Same(entry.answer.clone())
            } else {
                Known::Other
            };
        }
        while self.order.len() >= MOST {
            let Some((at, old)) = self.order.pop_front() else { break };
            self.remove(&old, at);
        }
        let (sender, answer) = watch::channel(None);
        self.order.push_back((now, key.to_owned()));
        let entry = Entry {
            at: now,
            request,
            answer,
        };
        self.by_key.insert(key.to_owned(), entry);
        Known::Nothing(sender)
    }

    /// Forgets a key whose answer does not last.
    pub fn forget(&mut self, key: &str) {
        self.by_key.remove(key);
        self.order.retain(|(_, known)| known != key);
    }

    fn remove(&mut self, key: &str, at: Instant) {
        if self.by_key.get(key).is_some_and(|entry| entry.at == at) {
            self.by_key.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Request = [1; 32];
    const SECOND: Request = [2; 32];

    #[test]
    fn a_key_stands_for_one_request_for_ten_minutes() {
        let mut answers = Answers::default();
        let now = Instant::now();
        assert!(matches!(answers.begin("k", FIRST, now), Known::Nothing(_)));
        assert!(matches!(answers.begin("k", FIRST, now), Known::Same(_)));
        assert!(matches!(answers.begin("k", SECOND, now), Known::Other));
        let later = now + AGE;
        assert!(matches!(answers.begin("k", SECOND, later), Known::Nothing(_)));
        answers.forget("k");
        assert!(matches!(answers.begin("k", FIRST, later), Known::Nothing(_)));
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let mut answers = Answers::default();
        let now = Instant::now();
        for number in 0..10 * MOST {
            let _ = answers.begin(&number.to_string(), FIRST, now);
        }
        assert_eq!((answers.by_key.len(), answers.order.len()), (MOST, MOST));
        assert!(matches!(answers.begin("0", FIRST, now), Known::Nothing(_)));
        let last = (10 * MOST - 1).to_string();
        assert!(matches!(answers.begin(&last, FIRST, now), Known::Same(_)));
    }
}
