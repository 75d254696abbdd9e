//! The event stream: decoder of server-sent events, and the task that follows the stream and resumes
//! after a break by `Last-Event-ID`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use http_body_util::BodyExt;
use neo4j_operator_shared::events::{Event, Payload};
use tokio::sync::mpsc;

use super::{StreamItem, discover::Target, http::Http};

/// Longest line and longest event that are kept; beyond it the event is dropped and counted.
const MAX_EVENT: usize = 64 << 10;

/// The daemon sends a comment every 15 s; silence for twice as long means that the link is gone.
const SILENCE: Duration = Duration::from_secs(32);

/// One event as it stood in the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The `id:` line.
    pub id: Option<String>,
    /// The `data:` lines, joined.
    pub data: String,
}

/// Turns bytes, cut anywhere, into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    frame: Frame,
    after_cr: bool,
    too_long: bool,
    /// Events that were dropped because they were too long.
    pub dropped: u64,
}

// === impl Decoder ===

impl Decoder {
    /// Takes the next bytes and returns the frames that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => frames.extend(self.end_line()),
                _ if self.line.len() >= MAX_EVENT => self.too_long = true,
                _ => self.line.push(byte),
            }
        }
        frames
    }

    fn end_line(&mut self) -> Option<Frame> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            if std::mem::take(&mut self.too_long) {
                self.dropped += 1;
                return None;
            }
            return (!frame.data.is_empty()).then_some(frame);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.frame.id = Some(value.to_owned()),
            "data" => {
                if self.frame.data.len() + value.len() > MAX_EVENT {
                    self.too_long = true;
                } else {
                    if !self.frame.data.is_empty() {
                        self.frame.data.push('\n');
                    }
                    self.frame.data.push_str(value);
                }
            }
            _ => {} // comments, event names (they are in the data too), retry
        }
        None
    }
}

/// Follows the stream until the receiver is gone. `lost` counts items that found the queue full.
pub async fn run(target: Target, resume_from: Option<String>, items: mpsc::Sender<StreamItem>, lost: Arc<AtomicU64>) {
    let mut last_id = resume_from;
    let mut wait = Duration::from_millis(250);
    while !items.is_closed() {
        let token = target.reread_token().or_else(|| target.token.clone());
        if follow(&Http::new(token), &target.url, &mut last_id, &items, &lost).await {
            wait = Duration::from_millis(250);
        }
        if items.send(StreamItem::Lost).await.is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}

/// One connection. True if it brought anything.
async fn follow(
    http: &Http,
    url: &str,
    last_id: &mut Option<String>,
    items: &mpsc::Sender<StreamItem>,
    lost: &AtomicU64,
) -> bool {
    let Ok(response) = http
        .open(&format!("{url}/v1/events"), "text/event-stream", last_id.as_deref())
        .await
    else {
        return false;
    };
    if response.status() == StatusCode::BAD_REQUEST {
        *last_id = None; // an id that this daemon cannot have given: begin anew
        return false;
    }
    if response.status() != StatusCode::OK {
        return false;
    }
    let mut body = response.into_body();
    let mut decoder = Decoder::default();
    let mut any = false;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, body.frame()).await {
        let Some(data) = frame.data_ref() else { continue };
        for frame in decoder.push(data) {
            any = true;
            let Ok(event) = serde_json::from_str::<Event>(&frame.data) else {
                continue;
            };
            let placed = !matches!(event.payload, Payload::Hello { .. } | Payload::Gap { .. });
            let id = frame.id.filter(|_| placed);
            if id.is_some() {
                last_id.clone_from(&id);
            }
            match items.try_send(StreamItem::Event(id, Box::new(event))) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return any,
            }
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &[u8] =
        b": hi\n\nid: b-1\nevent: log\ndata: {\"a\":1}\n\nid:b-2\r\ndata: x\r\ndata: y\r\n\r\ndata: z\n\n";

    #[test]
    fn frames_are_read_with_ids_and_joined_lines() {
        let frames = Decoder::default().push(STREAM);
        assert_eq!(
            frames,
            [
                Frame {
                    id: Some("b-1".into()),
                    data: "{\"a\":1}".into()
                },
                Frame {
                    id: Some("b-2".into()),
                    data: "x\ny".into()
                },
                Frame {
                    id: None,
                    data: "z".into()
                },
            ]
        );
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_event_is_read() {
        let mut decoder = Decoder::default();
        assert!(decoder.push(&vec![b'x'; MAX_EVENT * 3]).is_empty());
        assert_eq!(decoder.push(b"\n\ndata: ok\n\n").len(), 1);
        assert_eq!(decoder.dropped, 1);
        assert!(decoder.line.capacity() <= MAX_EVENT * 2);
    }

    proptest! {
        #[test]
        fn cuts_anywhere_do_not_change_what_is_read(cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                frames.extend(decoder.push(&STREAM[from..cut]));
                from = cut;
            }
            prop_assert_eq!(frames, Decoder::default().push(STREAM));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            Decoder::default().push(&bytes);
        }
    }
}
