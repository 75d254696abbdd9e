//! The one place that names `prometheus-parse`, and keeps its limits from becoming wrong numbers.
//!
//! The parser splits labels at every `,` and `=` and drops lines it does not understand without a word.
//! So each line is looked at first: one that the parser is known to misread is kept back and counted by
//! reason in [`Scrape::rejected`]; afterwards samples are counted against lines, and a difference ends up
//! in [`Scrape::lost`]. A scrape with either is *partial* and says so. Never silently wrong.

use std::collections::BTreeMap;

use prometheus_parse::Value;

/// Longest text of a scrape that is read; a longer one is cut at a line and counted as lost.
pub const MAX_BYTES: usize = 8 << 20;

/// Why a line was kept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reject {
    /// A label value holds one of `, = }`.
    LabelChar,
    /// A label value holds an escape.
    Escape,
    /// Braces without labels.
    EmptyLabels,
    /// White space where the parser expects none.
    Space,
    /// A metric name with a colon.
    ColonName,
    /// A timestamp that is no whole number of milliseconds.
    Timestamp,
    /// No sample at all: HTML, binary, a line cut off.
    Malformed,
}

/// One time series: metric name and sorted labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId {
    /// Family name; for a histogram without `_bucket`.
    pub name: String,
    /// Labels in the order of their names, without `le`.
    pub labels: Vec<(String, String)>,
}

/// A histogram as exposed: cumulative counts by upper bound, ascending, `+Inf` last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds and counts.
    pub buckets: Vec<(f64, f64)>,
    /// Sum of all observations, if exposed.
    pub sum: Option<f64>,
    /// Number of observations, if exposed.
    pub count: Option<f64>,
}

/// What was read of one exposition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    /// Counters, gauges and untyped samples.
    pub values: BTreeMap<SeriesId, f64>,
    /// Histograms with their `_sum` and `_count` joined.
    pub histograms: BTreeMap<SeriesId, Histogram>,
    /// Lines that the parser would have misread.
    pub rejected: BTreeMap<Reject, u64>,
    /// Lines given to the parser of which no sample came back, and lines beyond [`MAX_BYTES`].
    pub lost: u64,
}

// === impl SeriesId ===

impl SeriesId {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

// === impl Histogram ===

impl Histogram {
    /// The same bounds with nothing observed.
    #[must_use]
    pub fn zero(&self) -> Self {
        let buckets = self.buckets.iter().map(|(bound, _)| (*bound, 0.0)).collect();
        Self {
            buckets,
            sum: Some(0.0),
            count: Some(0.0),
        }
    }
}

// === impl Scrape ===

impl Scrape {
    /// Reads a text exposition (format 0.0.4).
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut lines = Vec::new();
        let mut taken = 0;
        for line in text.lines() {
            taken += line.len() + 1;
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() {
                continue;
            }
            if line.starts_with('#') {
                lines.push(line);
            } else if taken > MAX_BYTES {
                scrape.lost += 1;
            } else {
                match classify(line) {
                    Ok(()) => {
                        lines.push(line);
                        scrape.lost += 1; // until the parser gives it back
                    }
                    Err(reason) => *scrape.rejected.entry(reason).or_default() += 1,
                }
            }
        }
        let parsed = prometheus_parse::Scrape::parse(lines.into_iter().map(|line| Ok(line.to_owned())));
        for sample in parsed.map(|parsed| parsed.samples).unwrap_or_default() {
            scrape.take(sample);
        }
        scrape.join();
        scrape
    }

    fn take(&mut self, sample: prometheus_parse::Sample) {
        let mut labels: Vec<_> = sample
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        labels.sort();
        let id = SeriesId {
            name: sample.metric,
            labels,
        };
        match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                self.lost = self.lost.saturating_sub(1);
                self.values.insert(id, value);
            }
            Value::Histogram(counts) => {
                self.lost = self.lost.saturating_sub(counts.len() as u64);
                let mut buckets: Vec<_> = counts.iter().map(|bucket| (bucket.less_than, bucket.count)).collect();
                buckets.retain(|(bound, count)| !bound.is_nan() && !count.is_nan());
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.histograms.entry(id).or_default().buckets = buckets;
            }
            Value::Summary(counts) => {
                self.lost = self.lost.saturating_sub(counts.len() as u64);
                for quantile in counts {
                    let mut id = id.clone();
                    id.labels.push(("quantile".to_owned(), quantile.quantile.to_string()));
                    id.labels.sort();
                    self.values.insert(id, quantile.count);
                }
            }
        }
    }

    /// Moves `_sum` and `_count` samples into the histogram they belong to.
    fn join(&mut self) {
        for (id, histogram) in &mut self.histograms {
            let mut companion = id.clone();
            companion.name = format!("{}_sum", id.name);
            histogram.sum = self.values.remove(&companion);
            companion.name = format!("{}_count", id.name);
            histogram.count = self.values.remove(&companion);
        }
    }

    /// Whether a part of the exposition could not be read.
    pub fn is_partial(&self) -> bool {
        self.lost > 0 || !self.rejected.is_empty()
    }

    /// All series of a family.
    pub fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a SeriesId, f64)> + 'a {
        let from = SeriesId {
            name: name.to_owned(),
            labels: Vec::new(),
        };
        self.values
            .range(from..)
            .take_while(move |(id, _)| id.name == name)
            .map(|(id, value)| (id, *value))
    }

    /// Sum over a family; absent if it has no series.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.family(name).map(|(_, value)| value).reduce(|a, b| a + b)
    }

    /// Largest value of a family; absent if it has no series.
    pub fn max(&self, name: &str) -> Option<f64> {
        self.family(name).map(|(_, value)| value).reduce(f64::max)
    }

    /// The one series with this label value.
    pub fn labelled(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        self.family(name)
            .find(|(id, _)| id.label(label) == Some(value))
            .map(|(_, value)| value)
    }

    /// A histogram summed over all its series; absent if it has none. Series must share their bounds, as
    /// those of one family of this daemon do; a bound that only some have is summed over those.
    pub fn histogram(&self, name: &str) -> Option<Histogram> {
        let mut sum: Option<Histogram> = None;
        for (_, histogram) in self.histograms.iter().filter(|(id, _)| id.name == name) {
            let sum = sum.get_or_insert_with(Histogram::default);
            for &(bound, count) in &histogram.buckets {
                match sum.buckets.binary_search_by(|(have, _)| have.total_cmp(&bound)) {
                    Ok(index) => sum.buckets[index].1 += count,
                    Err(index) => sum.buckets.insert(index, (bound, count)),
                }
            }
            sum.sum = add(sum.sum, histogram.sum);
            sum.count = add(sum.count, histogram.count);
        }
        sum
    }
}

fn add(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (value, None) | (None, value) => value,
    }
}

/// Whether the parser can be trusted with a sample line. One pass over bytes, no regular expression.
fn classify(line: &str) -> Result<(), Reject> {
    let bytes = line.as_bytes();
    let name_end = bytes
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b':'))
        .unwrap_or(bytes.len());
    let name = &bytes[..name_end];
    if name.is_empty() || name[0].is_ascii_digit() {
        return Err(Reject::Malformed);
    }
    if name.contains(&b':') {
        return Err(Reject::ColonName);
    }
    let rest = if bytes.get(name_end) == Some(&b'{') {
        labels(&line[name_end + 1..])?
    } else {
        &line[name_end..]
    };
    if rest.trim_start().starts_with('{') {
        return Err(Reject::Space);
    }
    if !rest.starts_with([' ', '\t']) {
        return Err(Reject::Malformed);
    }
    let mut fields = rest.split_ascii_whitespace();
    let value = fields.next().ok_or(Reject::Malformed)?;
    let value = value.to_ascii_lowercase();
    if value.parse::<f64>().is_err() {
        return Err(Reject::Malformed);
    }
    if let Some(timestamp) = fields.next()
        && timestamp.parse::<i64>().is_err()
    {
        return Err(Reject::Timestamp);
    }
    if fields.next().is_some() {
        Err(Reject::Malformed)
    } else {
        Ok(())
    }
}

/// Checks what stands between the braces and returns what follows them.
fn labels(text: &str) -> Result<&str, Reject> {
    let mut quoted = false;
    let mut pairs = 0;
    for (index, char) in text.char_indices() {
        match char {
            '\\' if quoted => return Err(Reject::Escape),
            '"' => {
                quoted = !quoted;
                pairs += u32::from(!quoted);
            }
            ',' | '=' | '}' if quoted => return Err(Reject::LabelChar),
            ' ' | '\t' if !quoted => return Err(Reject::Space),
            '}' if pairs == 0 => return Err(Reject::EmptyLabels),
            '}' => return Ok(&text[index + 1..]),
            _ => {}
        }
    }
    Err(Reject::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rejected(line: &str) -> Option<Reject> {
        let scrape = Scrape::parse(line);
        assert!(scrape.is_partial(), "{line} must not pass unseen");
        assert!(scrape.values.is_empty(), "{line}: {:?}", scrape.values);
        scrape.rejected.keys().next().copied()
    }

    #[test]
    fn every_line_the_parser_misreads_is_kept_back_and_counted() {
        assert_eq!(rejected(r#"a{x="1,2",y="ok"} 1"#), Some(Reject::LabelChar));
        assert_eq!(rejected(r#"a{x="k=v",y="ok"} 1"#), Some(Reject::LabelChar));
        assert_eq!(rejected(r#"a{x="has}brace"} 1"#), Some(Reject::LabelChar));
        assert_eq!(rejected(r#"a{x="q\"uote"} 1"#), Some(Reject::Escape));
        assert_eq!(rejected("a{} 1"), Some(Reject::EmptyLabels));
        assert_eq!(rejected(r#"a {x="1"} 1"#), Some(Reject::Space));
        assert_eq!(rejected(r#"a{ x="1" } 1"#), Some(Reject::Space));
        assert_eq!(rejected(r#"job:rate:5m{x="1"} 3"#), Some(Reject::ColonName));
        assert_eq!(rejected("a 1 1.5"), Some(Reject::Timestamp));
        assert_eq!(rejected("<html>"), Some(Reject::Malformed));
        assert_eq!(rejected("a{x=\"1\"} abc"), Some(Reject::Malformed));
        assert_eq!(rejected("a{x=\"1"), Some(Reject::Malformed));
    }

    #[test]
    fn a_histogram_is_joined_with_its_sum_and_count() {
        let text = "# TYPE h histogram\nh_bucket{c=\"a\",le=\"1\"} 2\nh_bucket{c=\"a\",le=\"+Inf\"} 3\nh_sum{c=\"a\"} 4.5\nh_count{c=\"a\"} 3\n";
        let scrape = Scrape::parse(text);
        assert!(!scrape.is_partial());
        assert!(scrape.values.is_empty());
        let histogram = scrape.histogram("h").unwrap();
        assert_eq!(histogram.buckets, [(1.0, 2.0), (f64::INFINITY, 3.0)]);
        assert_eq!((histogram.sum, histogram.count), (Some(4.5), Some(3.0)));
    }

    #[test]
    fn families_are_summed_and_looked_up_by_label() {
        let scrape = Scrape::parse("m{component=\"rss\"} 5\nm{component=\"live\"} 3\nmm 1\n");
        assert_eq!(scrape.sum("m"), Some(8.0));
        assert_eq!(scrape.labelled("m", "component", "rss"), Some(5.0));
        assert_eq!(scrape.sum("absent"), None);
    }

    #[test]
    fn reading_twice_gives_the_same() {
        let text = "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{a=\"2\",le=\"1\"} 1\nh_bucket{a=\"1\",le=\"+Inf\"} 1\nh_bucket{a=\"2\",le=\"+Inf\"} 9\n";
        assert_eq!(Scrape::parse(text), Scrape::parse(text));
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_no_sample_line_vanishes(text in "(?s).{0,400}") {
            let scrape = Scrape::parse(&text);
            prop_assert!(scrape.values.len() as u64 <= text.lines().count() as u64);
        }

        #[test]
        fn what_a_registry_exposes_is_read_back(
            values in proptest::collection::btree_map("[a-z_]{1,12}", (-1e9..1e9_f64, "[ -~&&[^,=}\"\\\\]]{1,10}"), 1..20)
        ) {
            let text: String = values.iter().map(|(name, (value, label))| format!("{name}{{l=\"{label}\"}} {value}\n")).collect();
            let scrape = Scrape::parse(&text);
            prop_assert!(!scrape.is_partial(), "{text}: {scrape:?}");
            for (name, (value, label)) in &values {
                prop_assert_eq!(scrape.labelled(name, "l", label), Some(*value));
            }
        }
    }
}
