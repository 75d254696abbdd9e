//! Writes the text format 0.0.4 for families that are derived at scrape time. A family without samples is
//! not written: no zero is invented.

use std::fmt::Write as _;

/// Samples that one derived family may have; what is beyond is left out and said in a comment.
const MAX_SAMPLES: usize = 10_000;

/// Collects lines.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    wanted: Vec<String>,
}

/// One family that is being written.
pub struct Writer<'a> {
    exposition: &'a mut Exposition,
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: usize,
    wanted: bool,
}

impl Exposition {
    /// Writes only the families named; all if none is.
    pub fn of(wanted: Vec<String>) -> Self {
        Self {
            text: String::new(),
            wanted,
        }
    }

    /// Whether a family was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == name)
    }

    /// Begins a gauge.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> Writer<'_> {
        self.family(name, "gauge", help)
    }

    /// Begins a counter.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> Writer<'_> {
        self.family(name, "counter", help)
    }

    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) -> Writer<'_> {
        Writer {
            wanted: self.wants(name),
            exposition: self,
            name,
            kind,
            help,
            samples: 0,
        }
    }

    /// Writes name, type and help of a family that has no samples.
    pub fn header(&mut self, name: &str, kind: &str, help: &str) {
        if self.wants(name) {
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
    }

    /// Appends text that is in the format already.
    pub fn append(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.text
    }
}

impl Writer<'_> {
    /// Writes one sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        if !self.wanted {
            return self;
        }
        self.samples += 1;
        let text = &mut self.exposition.text;
        if self.samples == 1 {
            let _ = writeln!(text, "# HELP {0} {1}\n# TYPE {0} {2}", self.name, self.help, self.kind);
        }
        if self.samples > MAX_SAMPLES {
            if self.samples == MAX_SAMPLES + 1 {
                let _ = writeln!(text, "# {} has more than {MAX_SAMPLES} samples: cut", self.name);
            }
            return self;
        }
        text.push_str(self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(text, "{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_empty_families_are_not_written() {
        let mut out = Exposition::default();
        out.gauge("empty", "Nothing.");
        out.gauge("full", "Something.")
            .sample(&[("a", "x\"y\\z\n"), ("b", "")], 1.5)
            .sample(&[], 2.0);
        assert_eq!(
            out.finish(),
            "# HELP full Something.\n# TYPE full gauge\nfull{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1.5\nfull 2\n"
        );
    }

    #[test]
    fn only_what_was_asked_for_is_written() {
        let mut out = Exposition::of(vec!["b".into()]);
        out.gauge("a", "A.").sample(&[], 1.0);
        out.gauge("b", "B.").sample(&[], 1.0);
        assert!(!out.wants("a"));
        assert!(!out.finish().contains("# HELP a"));
    }

    #[test]
    fn samples_of_a_family_are_bounded() {
        let mut out = Exposition::default();
        let mut family = out.gauge("g", "G.");
        for n in 0..MAX_SAMPLES + 5 {
            family.sample(&[("n", &n.to_string())], 1.0);
        }
        let text = out.finish();
        assert_eq!(text.lines().filter(|line| line.starts_with("g{")).count(), MAX_SAMPLES);
        assert!(text.contains("more than 10000 samples"));
    }
}
