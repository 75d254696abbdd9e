//! The event stream: a ring of the last events with one sequence, read by any number of clients at their
//! own pace.
//!
//! Nobody is sent anything: each reader holds the number of the last event it saw and takes what comes after
//! it, so a slow reader costs no memory. What the ring no longer holds is reported as a gap with its count,
//! never left out silently.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use neo4j_operator_shared::events::{Event, EventId};
use tokio::sync::watch;

/// Events in the ring.
pub const MAX_EVENTS: usize = 10_000;
/// Bytes of the ring, as JSON.
pub const MAX_BYTES: usize = 4 << 20;
/// Readers at a time.
pub const MAX_READERS: usize = 32;
/// Events handed out at once.
pub const BATCH: usize = 256;

/// An event as it goes over the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its place in the sequence.
    pub sequence: u64,
    /// The event.
    pub event: Event,
    /// The event as JSON, one line.
    pub json: String,
}

/// Publishes events and lets readers follow them.
pub struct EventStream {
    boot_id: String,
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    readers: AtomicUsize,
}

#[derive(Default)]
struct Ring {
    last: u64,
    bytes: usize,
    events: VecDeque<Arc<Stored>>,
}

/// A reader's place in the stream.
pub struct Reader {
    stream: Arc<EventStream>,
    newest: watch::Receiver<u64>,
    seen: u64,
    gap: Option<Gap>,
}

/// Events that a reader will never see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// So many.
    Missed(u64),
    /// The id is of another process: nobody knows how many.
    Unknown,
}

/// What a reader gets next.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What is missing before the events.
    pub gap: Option<Gap>,
    /// At most [`BATCH`] events in order.
    pub events: Vec<Arc<Stored>>,
}

/// There are [`MAX_READERS`] readers already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyReaders;

// === impl EventStream ===

impl EventStream {
    /// An empty stream of the process with this id.
    pub fn new(boot_id: String) -> Self {
        Self {
            boot_id,
            ring: Mutex::default(),
            newest: watch::Sender::new(0),
            readers: AtomicUsize::new(0),
        }
    }

    /// The process's id.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// The id of an event as clients see it.
    pub fn id(&self, sequence: u64) -> EventId {
        EventId {
            boot: self.boot_id.clone(),
            sequence,
        }
    }

    /// Bytes of the ring: each event is kept twice, as it is and as JSON.
    pub fn bytes(&self) -> u64 {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        2 * ring.bytes as u64
    }

    /// Publishes an event. Control characters in its message are removed.
    pub fn publish(&self, mut event: Event) {
        if event.message.contains(char::is_control) {
            event.message.retain(|c| !c.is_control());
        }
        let Ok(json) = serde_json::to_string(&event) else {
            return;
        };
        let last = {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            ring.last += 1;
            ring.bytes += json.len();
            let sequence = ring.last;
            ring.events.push_back(Arc::new(Stored { sequence, event, json }));
            while ring.events.len() > MAX_EVENTS || ring.bytes > MAX_BYTES {
                let Some(oldest) = ring.events.pop_front() else { break };
                ring.bytes -= oldest.json.len();
            }
            ring.last
        };
        // Two publishers may get here in either order; the number must never fall.
        self.newest.send_if_modified(|newest| {
            let rises = last > *newest;
            *newest = last.max(*newest);
            rises
        });
    }

    /// Opens a reader: behind the event it saw last, or at what comes from now on.
    pub fn reader(self: &Arc<Self>, last_seen: Option<&EventId>) -> Result<Reader, TooManyReaders> {
        if self.readers.fetch_add(1, Ordering::SeqCst) >= MAX_READERS {
            self.readers.fetch_sub(1, Ordering::SeqCst);
            return Err(TooManyReaders);
        }
        let last = self.ring.lock().unwrap_or_else(PoisonError::into_inner).last;
        let (seen, gap) = match last_seen {
            None => (last, None),
            Some(id) if id.boot == self.boot_id && id.sequence <= last => (id.sequence, None),
            // Of another process: what it missed there is gone, what happened here is not.
            Some(_) => (0, Some(Gap::Unknown)),
        };
        Ok(Reader {
            stream: Arc::clone(self),
            newest: self.newest.subscribe(),
            seen,
            gap,
        })
    }

    /// Readers now.
    pub fn readers(&self) -> usize {
        self.readers.load(Ordering::SeqCst)
    }
}

// === impl Reader ===

impl Reader {
    /// Waits for events behind the last one seen and takes them. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Batch {
        loop {
            let batch = self.take();
            if batch.gap.is_some() || !batch.events.is_empty() {
                return batch;
            }
            if self.newest.changed().await.is_err() {
                // The stream lives as long as this reader holds it.
                std::future::pending::<()>().await;
            }
        }
    }

    fn take(&mut self) -> Batch {
        self.newest.mark_unchanged();
        let ring = self.stream.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.last + 1 - ring.events.len() as u64;
        let mut gap = self.gap.take();
        if self.seen + 1 < first {
            gap = gap.or(Some(Gap::Missed(first - 1 - self.seen)));
            self.seen = first - 1;
        }
        let skip = (self.seen + 1 - first) as usize;
        let events: Vec<_> = ring.events.iter().skip(skip).take(BATCH).map(Arc::clone).collect();
        if let Some(last) = events.last() {
            self.seen = last.sequence;
        }
        Batch { gap, events }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stream.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use neo4j_operator_shared::events::{Payload, Severity};
    use proptest::prelude::*;

    fn event(message: &str) -> Event {
        Event {
            time: Timestamp::UNIX_EPOCH,
            severity: Severity::Info,
            cluster: None,
            message: message.to_owned(),
            payload: Payload::Log { target: "t".into() },
        }
    }

    fn stream() -> Arc<EventStream> {
        Arc::new(EventStream::new("b".into()))
    }

    #[tokio::test]
    async fn a_reader_sees_only_what_comes_after_it_opened() {
        let stream = stream();
        stream.publish(event("old"));
        let mut reader = stream.reader(None).unwrap();
        stream.publish(event("a\u{1b}[31m\nb"));
        let batch = reader.next().await;
        assert_eq!(batch.events[0].event.message, "a[31mb");
        assert_eq!((batch.gap, batch.events.len()), (None, 1));
    }

    #[tokio::test]
    async fn an_id_of_another_process_is_a_gap_of_unknown_length() {
        let stream = stream();
        stream.publish(event("one"));
        let id = EventId {
            boot: "other".into(),
            sequence: 5,
        };
        let batch = stream.reader(Some(&id)).unwrap().next().await;
        assert_eq!((batch.gap, batch.events.len()), (Some(Gap::Unknown), 1));
    }

    #[test]
    fn readers_are_bounded_and_give_their_place_back() {
        let stream = stream();
        let mut readers: Vec<_> = (0..MAX_READERS).map(|_| stream.reader(None).unwrap()).collect();
        assert_eq!(stream.reader(None).err(), Some(TooManyReaders));
        readers.pop();
        assert!(stream.reader(None).is_ok());
    }

    #[test]
    fn bytes_are_bounded() {
        let stream = stream();
        let long = "x".repeat(1 << 19);
        for _ in 0..20 {
            stream.publish(event(&long));
        }
        assert!(stream.ring.lock().unwrap().bytes <= MAX_BYTES);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Wherever a client is cut off, after it resumed there is no event twice and no hole that was not
        /// announced with its true length.
        #[test]
        fn after_a_cut_nothing_is_twice_and_every_hole_is_announced(
            bursts in prop::collection::vec((0_usize..6_000, any::<bool>()), 1..8)
        ) {
            let stream = stream();
            let (mut seen, mut reader) = (0, stream.reader(None).unwrap());
            for (burst, cut) in bursts {
                for _ in 0..burst {
                    stream.publish(event("e"));
                }
                if cut {
                    drop(reader);
                    let id = stream.id(seen);
                    reader = stream.reader(Some(&id)).unwrap();
                }
                loop {
                    let batch = reader.take();
                    if let Some(Gap::Missed(count)) = batch.gap {
                        seen += count;
                    }
                    for stored in &batch.events {
                        prop_assert_eq!(stored.sequence, seen + 1);
                        seen += 1;
                    }
                    if batch.events.is_empty() {
                        break;
                    }
                }
                prop_assert_eq!(seen, stream.ring.lock().unwrap().last);
            }
        }
    }
}
