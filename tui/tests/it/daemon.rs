//! A daemon made of a listener and fixed answers, that can be killed and started again on its port.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use crate::acts::Acts;

pub const TOKEN: &str = "test-token";

pub struct Daemon {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    counts: Arc<Counts>,
    /// What is asked of it, and how it answers.
    pub acts: Arc<Acts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    scrapes: AtomicU64,
    scraped: (Mutex<()>, Condvar),
}

impl Daemon {
    pub fn start(boot_id: &'static str) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), boot_id)
    }

    pub fn start_on(address: SocketAddr, boot_id: &'static str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let open = Arc::new(Mutex::new(Vec::new()));
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let acts = Arc::new(Acts::default());
        let kept = Arc::clone(&acts);
        let (stopped, streams) = (Arc::clone(&stop), Arc::clone(&open));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let stream = stream.unwrap();
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let (counts, acts) = (Arc::clone(&counts), Arc::clone(&acts));
                std::thread::spawn(move || drop(serve(stream, address, boot_id, &counts, &acts)));
            }
        });
        Self {
            address,
            stop,
            open,
            counts: counted,
            acts: kept,
            thread: Some(thread),
        }
    }

    /// Waits until so many more scrapes were answered.
    pub fn wait_for_scrapes(&self, more: u64) {
        let until = self.counts.scrapes.load(Ordering::SeqCst) + more;
        let mut guard = self.counts.scraped.0.lock().unwrap();
        while self.counts.scrapes.load(Ordering::SeqCst) < until {
            let (next, timeout) = self
                .counts
                .scraped
                .1
                .wait_timeout(guard, Duration::from_secs(30))
                .unwrap();
            assert!(!timeout.timed_out(), "no scrape for 30 s");
            guard = next;
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.acts.release();
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(stream: TcpStream, address: SocketAddr, boot_id: &str, counts: &Counts, acts: &Acts) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut authorized = false;
        let mut last_event_id = None;
        let mut length = 0;
        let mut key = None;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            authorized |= header.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}"));
            let lower = header.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            key = lower.strip_prefix("idempotency-key: ").map(str::to_owned).or(key);
            last_event_id = header
                .strip_prefix("last-event-id: ")
                .map(str::to_owned)
                .or(last_event_id);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let method = request.split(' ').next().unwrap_or("GET");
        let path = request
            .split(' ')
            .nth(1)
            .unwrap_or("/")
            .split('?')
            .next()
            .unwrap_or("/");
        if authorized && let Some(answer) = acts.answer(method, path, &String::from_utf8_lossy(&body), key.as_deref()) {
            out.write_all(answer.as_bytes())?;
            out.flush()?;
            continue;
        }
        let (code, kind, body) = match path {
            "/metrics" => {
                let scrape = counts.scrapes.fetch_add(1, Ordering::SeqCst) + 1;
                drop(counts.scraped.0.lock().unwrap());
                counts.scraped.1.notify_all();
                ("200 OK", "text/plain", metrics(scrape))
            }
            _ if !authorized => (
                "401 Unauthorized",
                "application/problem+json",
                json!({"title": "Unauthorized", "status": 401, "detail": "unknown token"}).to_string(),
            ),
            "/v1/status" => ("200 OK", "application/json", status(address, boot_id).to_string()),
            "/v1/clusters" => ("200 OK", "application/json", clusters().to_string()),
            "/v1/events" => {
                write!(
                    out,
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
                )?;
                if last_event_id.as_deref() == Some(&format!("{boot_id}-0")) {
                    let event = json!({"time": "2026-01-01T14:00:01Z", "severity": "warning", "message": "first event", "type": "log", "target": "x"});
                    write!(out, "id: {boot_id}-1\nevent: log\ndata: {event}\n\n")?;
                }
                out.flush()?;
                let _ = reader.read(&mut [0; 64]); // until the other side or the test closes
                return Ok(());
            }
            _ => ("404 Not Found", "text/plain", String::new()),
        };
        write!(
            out,
            "HTTP/1.1 {code}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        out.flush()?;
    }
}

fn status(address: SocketAddr, boot_id: &str) -> Value {
    json!({
        "version": "0.1.0", "bootId": boot_id, "startedAt": "2026-01-01T14:00:00Z", "now": "2026-01-01T14:00:30Z", "uptime": "30s",
        "ready": true, "leader": true, "readOnly": false, "strategy": "selective", "strategies": [], "startup": [],
        "goals": [{"goal": "startup", "unit": "seconds", "target": 30.0, "value": 0.4, "verdict": "ok"},
                  {"goal": "hit_rate", "unit": "ratio", "target": 0.8, "value": 0.5, "verdict": "broken"}],
        "listeners": {"metrics": address.to_string(), "health": "127.0.0.1:1", "control": address.to_string()},
        "namespaces": []
    })
}

fn clusters() -> Value {
    json!({"items": [{"namespace": "prod", "name": "graph", "phase": "Ready", "ready": true, "generation": 1,
        "servers": {"desired": 3, "ready": 3, "enabled": 3}, "databases": {"total": 2, "online": 2}}]})
}

fn metrics(scrape: u64) -> String {
    format!(
        "neo4j_operator_memory_usage_bytes{{component=\"rss\"}} 24000000\n\
         workqueue_depth{{name=\"cluster\",controller=\"cluster\",priority=\"user\"}} 7\n\
         workqueue_adds_total{{name=\"cluster\",controller=\"cluster\"}} {scrape}\n\
         # TYPE neo4j_operator_reconciliation_duration_seconds histogram\n\
         neo4j_operator_reconciliation_duration_seconds_bucket{{controller=\"cluster\",le=\"0.128\"}} {scrape}\n\
         neo4j_operator_reconciliation_duration_seconds_bucket{{controller=\"cluster\",le=\"+Inf\"}} {scrape}\n"
    )
}
