//! What to compare, how often.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

/// Measures operators for Neo4j on a real control plane, side by side.
#[derive(Clone, Debug, Parser)]
#[command(name = "compare")]
pub struct Arguments {
    /// Our own operator, optimised; `make bench-compare` builds it
    #[arg(long, value_name = "PROGRAM")]
    pub own: PathBuf,

    /// Cache strategies of our own operator, each measured on its own
    #[arg(long, env = "STRATEGIES", value_delimiter = ',', default_value = "none,selective")]
    pub strategies: Vec<String>,

    /// Another operator: a program with its arguments, quoted as for a shell; KUBECONFIG is set to an administrator's
    #[arg(long, env = "OPERATOR", value_name = "COMMAND")]
    pub operator: Option<String>,

    /// Definitions that the other operator needs: a file or folder, applied with kubectl. Ours serve the same kinds
    #[arg(long, env = "OPERATOR_CRDS", value_name = "PATH")]
    pub operator_crds: Option<PathBuf>,

    /// Foreign pods, and as many foreign secrets, in the order of the measurements
    #[arg(long, env = "FOREIGN", value_delimiter = ',', default_value = "0,10000", value_parser = count)]
    pub foreign: Vec<u32>,

    /// Starts of which the first StatefulSet is timed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub starts: u32,

    /// Clusters created one after another
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub creates: u32,

    /// Seconds of rest in which requests are counted
    #[arg(long, default_value = "60", value_parser = seconds)]
    pub idle: Duration,

    /// Also writes the figures here, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// No more foreign objects than the control plane is given room for.
const MOST_FOREIGN: u32 = 100_000;

fn count(text: &str) -> Result<u32, String> {
    let refused = || format!("{text:?} is not a number of objects, 0 to {MOST_FOREIGN}");
    text.trim()
        .parse()
        .ok()
        .filter(|count| *count <= MOST_FOREIGN)
        .ok_or_else(refused)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a number of seconds, 1 to 3600");
    let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(["compare", "--own", "operator"].iter().chain(words))
    }

    #[test]
    fn bad_numbers_are_refused_by_name() {
        for (words, said) in [
            (["--foreign", "0,many"], "many"),
            (["--foreign", "100001"], "100001"),
            (["--idle", "0"], "1 to 3600"),
            (["--creates", "0"], "0"),
            (["--starts", "-1"], "-1"),
        ] {
            let error = parse(&words).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(parse(&["--foreign", "0, 10"]).unwrap().foreign, [0, 10]);
    }
}
