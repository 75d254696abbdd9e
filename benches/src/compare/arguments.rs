//! What to compare, how often.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Parser;
use neo4j_operator_shared::Strategy;

/// Measures operators for Neo4j on a real control plane, side by side.
#[derive(Clone, Debug, Parser)]
#[command(name = "compare")]
pub struct Arguments {
    /// Our own operator, optimised; `make bench-compare` builds it
    #[arg(long, value_name = "PROGRAM")]
    pub own: PathBuf,

    /// Cache strategies of our own operator, each measured on its own
    #[arg(
        long,
        env = "STRATEGIES",
        value_delimiter = ',',
        default_value = "none,lazy,selective,full"
    )]
    pub strategies: Vec<Strategy>,

    /// Another operator: a program with its arguments, quoted as for a shell; KUBECONFIG is set to an administrator's
    #[arg(long, env = "OPERATOR", value_name = "COMMAND")]
    pub operator: Option<String>,

    /// Definitions that the other operator needs: a file or folder, applied with kubectl. Ours serve the same kinds
    #[arg(long, env = "OPERATOR_CRDS", value_name = "PATH")]
    pub operator_crds: Option<PathBuf>,

    /// Foreign pods, and as many foreign secrets; growing, for they are never taken away
    #[arg(long, env = "FOREIGN", default_value = "0,10000")]
    pub foreign: Levels,

    /// Starts of which the first StatefulSet is timed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub starts: u32,

    /// Clusters created one after another
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub creates: u32,

    /// Seconds from one create call to the next; 0: the next as soon as the StatefulSet of the last one is there
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=3600))]
    pub every: u64,

    /// Seconds of rest in which requests are counted
    #[arg(long, default_value = "60", value_parser = seconds)]
    pub idle: Duration,

    /// Also writes the figures here, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Also writes here what was asked between each start or create call and its StatefulSet
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
}

/// No more foreign objects than the control plane is given room for.
const MOST_FOREIGN: u32 = 100_000;

/// Numbers of foreign objects that grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels(pub Vec<u32>);

impl FromStr for Levels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let levels = text.split(',').map(count).collect::<Result<Vec<_>, _>>()?;
        let shrinks = levels
            .iter()
            .zip(levels.iter().skip(1))
            .find(|(first, then)| first >= then);
        match shrinks {
            Some((first, then)) => Err(format!(
                "{then} after {first}: foreign objects are never taken away, so the numbers must grow, as in 0,10000"
            )),
            None => Ok(Self(levels)),
        }
    }
}

fn count(text: &str) -> Result<u32, String> {
    let refused = || format!("{text:?} is not a number of objects, 0 to {MOST_FOREIGN}");
    text.trim()
        .parse()
        .ok()
        .filter(|count| *count <= MOST_FOREIGN)
        .ok_or_else(refused)
}

/// A time in whole seconds.
///
/// # Errors
/// If it is none, or longer than an hour.
pub fn seconds(text: &str) -> Result<Duration, String> {
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
            (["--foreign", "10,10"], "must grow"),
            (["--foreign", "10,0"], "must grow"),
            (["--strategies", "none,some"], "some"),
            (["--idle", "0"], "1 to 3600"),
            (["--creates", "0"], "0"),
            (["--every", "-1"], "-1"),
            (["--every", "3601"], "3601"),
            (["--starts", "-1"], "-1"),
        ] {
            let error = parse(&words).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(parse(&["--foreign", "0, 10"]).unwrap().foreign.0, [0, 10]);
        let all = parse(&["--strategies", "none,lazy,selective,full,adaptive"]).unwrap();
        assert_eq!(all.strategies, Strategy::ALL);
    }
}
