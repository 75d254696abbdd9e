//! A server that answers as a daemon does, with series that change each second, and that can be told to hang.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use neo4j_operator_shared::golden;
use serde_json::{Value, json};

/// Series of the histogram: 62 namespaces with 8 buckets each, and what stands beside them, make 500.
const NAMESPACES: u64 = 62;
const BOUNDS: [&str; 8] = ["0.016", "0.064", "0.128", "0.256", "1.024", "4.096", "16.384", "+Inf"];

/// A running server. It ends with the process.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    hanging: Arc<(Mutex<bool>, Condvar)>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            hanging: Arc::default(),
        };
        let (shared, round) = (server.clone(), Arc::new(AtomicU64::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (server, round) = (shared.clone(), Arc::clone(&round));
                std::thread::spawn(move || drop(server.serve(stream, &round)));
            }
        });
        server
    }

    /// Answers nobody from now on, or everybody again.
    pub fn hang(&self, hanging: bool) {
        *self.hanging.0.lock().unwrap() = hanging;
        self.hanging.1.notify_all();
    }

    fn serve(&self, mut stream: TcpStream, round: &AtomicU64) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let mut request = String::new();
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
            let mut header = String::new();
            while reader.read_line(&mut header)? > 2 {
                header.clear();
            }
            let wait = self.hanging.0.lock().unwrap();
            drop(self.hanging.1.wait_while(wait, |hanging| *hanging).unwrap());
            let path = request.split([' ', '?']).nth(1).unwrap_or_default();
            if path == "/v1/events" {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")?;
                reader.read_line(&mut header)?; // until the other side closes
                return Ok(());
            }
            let second = round.fetch_add(u64::from(path == "/metrics"), Ordering::Relaxed);
            let body = self.body(path, second);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes())?;
        }
    }

    fn body(&self, path: &str, second: u64) -> String {
        match path {
            "/metrics" => exposition(second),
            "/v1/status" => {
                let mut status: Value = serde_json::from_str(golden::STATUS).unwrap();
                status["listeners"]["metrics"] = json!(self.address.to_string());
                status["listeners"]["control"] = json!(self.address.to_string());
                status["uptime"] = json!(format!("{}s", 3_600 + second));
                status.to_string()
            }
            "/v1/cache" => {
                let mut cache: Value = serde_json::from_str(golden::CACHE).unwrap();
                cache.as_object_mut().unwrap().remove("operation");
                cache["hitRate"] = json!(0.9 + (second % 7) as f64 / 100.0);
                cache.to_string()
            }
            "/v1/clusters" => golden::CLUSTERS.to_owned(),
            "/v1/memory" => golden::MEMORY.to_owned(),
            _ => golden::STRATEGIES.to_owned(),
        }
    }
}

/// 500 series that all move.
pub fn exposition(second: u64) -> String {
    let name = "neo4j_operator_reconciliation_duration_seconds";
    let mut text = format!("# TYPE {name} histogram\n");
    for namespace in 0..NAMESPACES {
        for (place, bound) in BOUNDS.iter().enumerate() {
            let count = second * (1 + namespace % 3) * (place as u64 + 1) / 8;
            let labels = format!("controller=\"cluster\",namespace=\"team-{namespace}\"");
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
    }
    let rss = 60_000_000 + (second % 30) * 400_000;
    let _ = writeln!(text, "neo4j_operator_memory_usage_bytes{{component=\"rss\"}} {rss}");
    let _ = writeln!(
        text,
        "neo4j_operator_memory_usage_bytes{{component=\"allocated\"}} {}",
        rss - 20_000_000
    );
    let _ = writeln!(text, "workqueue_depth{{name=\"cluster\"}} {}", second % 9);
    let _ = writeln!(text, "workqueue_adds_total{{name=\"cluster\"}} {}", second * 37);
    text
}
