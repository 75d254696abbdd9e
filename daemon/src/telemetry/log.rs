//! Logging: `tracing` to standard error, JSON unless that is a terminal, and every line of level warning or
//! above also into the event stream.

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use neo4j_operator_shared::events::{Event, Payload, Severity};
use tracing::{Level, Subscriber, field::Visit};
use tracing_subscriber::{EnvFilter, Layer, layer::Context, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::stream::EventStream;

/// A text that is no log filter.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is not a log level: use error, warn, info, debug, trace, or directives such as info,neo4j_operator=debug ({reason})"
)]
pub struct InvalidLevel {
    text: String,
    reason: String,
}

/// Where the log layer finds the stream: it is installed before there is one.
#[derive(Clone, Default)]
pub struct StreamSlot(Arc<OnceLock<Arc<EventStream>>>);

impl StreamSlot {
    /// From now on warnings and errors go into this stream too.
    pub fn fill(&self, stream: Arc<EventStream>) {
        // A second stream would be a second daemon in one process, as tests have: the first one keeps it.
        let _ = self.0.set(stream);
    }
}

/// Checks a log level without installing anything.
pub fn parse_level(text: &str) -> Result<EnvFilter, InvalidLevel> {
    let text = quieted(text);
    EnvFilter::try_new(&text).map_err(|error| InvalidLevel {
        text: text.chars().take(64).collect(),
        reason: error.to_string(),
    })
}

/// The driver tells of every connection at level info, which is ours to tell. Whoever names it gets it.
fn quieted(text: &str) -> String {
    if text.contains("neo4rs") || text.contains("trace") {
        text.to_owned()
    } else {
        format!("{text},neo4rs=warn")
    }
}

/// Installs logging for the whole process. kube's own request tracing stays off: it is one span a request.
pub fn install(level: &str) -> Result<StreamSlot, InvalidLevel> {
    let filter = parse_level(level)?;
    let slot = StreamSlot::default();
    let to_stream = StreamLayer(slot.clone()).with_filter(tracing_subscriber::filter::LevelFilter::WARN);
    let terminal = std::io::stderr().is_terminal();
    let lines = if terminal {
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).boxed()
    } else {
        tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed()
    };
    // A subscriber that is there already (as in tests) stays.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(to_stream)
        .try_init();
    Ok(slot)
}

struct StreamLayer(StreamSlot);

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        // A line in a stream is short; the log has the rest.
        if self.0.len() > 512 {
            return;
        }
        let _ = match (field.name(), self.0.is_empty()) {
            ("message", _) => write!(self.0, "{value:?}"),
            (name, true) => write!(self.0, "{name}={value:?}"),
            (name, false) => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl<S: Subscriber> Layer<S> for StreamLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let Some(stream) = self.0.0.get() else { return };
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        stream.publish(Event {
            time: Timestamp::now(),
            severity: if *metadata.level() == Level::ERROR {
                Severity::Error
            } else {
                Severity::Warning
            },
            cluster: None,
            message: line.0,
            payload: Payload::Log {
                target: metadata.target().to_owned(),
            },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_warning_reaches_the_stream_and_an_info_does_not() {
        let stream = Arc::new(EventStream::new("b".into()));
        let slot = StreamSlot::default();
        slot.fill(Arc::clone(&stream));
        let mut reader = stream.reader(None).unwrap();
        let layer = StreamLayer(slot).with_filter(tracing_subscriber::filter::LevelFilter::WARN);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!("calm");
            tracing::warn!(kind = "pods", "watch restarted");
        });
        let batch = reader.next().await;
        assert_eq!(batch.events.len(), 1);
        assert_eq!(batch.events[0].event.message, "watch restarted kind=\"pods\"");
    }

    #[test]
    fn a_bad_level_is_refused_with_what_to_write() {
        let error = parse_level("neo4j_operator=loud").unwrap_err();
        assert!(error.to_string().contains("use error, warn"), "{error}");
        assert!(parse_level("info,kube=debug").is_ok());
    }
}
