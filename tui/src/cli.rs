//! Command line of neotop.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Live dashboard of the Neo4j Enterprise operator.
///
/// Without options it looks for a daemon on 127.0.0.1:8083, then for the newest token file
/// whose port answers.
#[derive(Clone, Debug, Parser)]
#[command(name = "neotop", version, after_help = EXIT_CODES)]
pub struct Args {
    /// Control API of the daemon, such as http://127.0.0.1:8083
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Metrics of the daemon; without it the daemon says where they are
    #[arg(long, value_name = "URL")]
    pub metrics_url: Option<String>,
    /// File with the control API's bearer token; without it the file that the daemon left for its port
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Only look: nothing that changes the daemon is ever sent
    #[arg(long, env = "NEOTOP_READ_ONLY")]
    pub read_only: bool,
    /// Print one report and exit, without taking over the terminal
    #[arg(long)]
    pub once: bool,
    /// Form of the report of --once
    #[arg(long, value_enum, default_value_t = Format::Text, requires = "once")]
    pub format: Format,
    /// With --once: exit with 1 when a goal is broken
    #[arg(long, value_enum, value_name = "WHAT", requires = "once")]
    pub fail_on: Option<FailOn>,
    /// When to use colour (NO_COLOR in the environment means never)
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
}

const EXIT_CODES: &str =
    "Exit codes: 0 fine, 1 a goal is broken (only with --fail-on slo), 2 no daemon, no data or wrong options";

/// Form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What makes `--once` fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A broken goal.
    Slo,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// Unless `NO_COLOR` is set or the terminal is dumb.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn read_only_is_a_plain_switch() {
        assert!(Args::try_parse_from(["neotop", "--read-only"]).unwrap().read_only);
        assert!(!Args::try_parse_from(["neotop"]).unwrap().read_only);
    }

    #[test]
    fn an_option_that_only_means_something_with_once_is_refused_without_it() {
        let error = Args::try_parse_from(["neotop", "--format", "json"]).expect_err("refused");
        assert!(error.to_string().contains("--once"), "{error}");
    }
}
