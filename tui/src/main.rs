//! `neotop`: arguments, terminal or not, exit code. Everything else is in the library.

use std::{env, io::IsTerminal, process::ExitCode};

use clap::Parser;
use neotop::{cli::Args, live, once, view::theme::Theme};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("neotop: no event loop: {error}");
            return ExitCode::from(2);
        }
    };
    if args.once {
        return runtime.block_on(once::run(&args));
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        eprintln!("neotop: standard input and output must be a terminal; use --once for a report");
        return ExitCode::from(2);
    }
    let term = env::var("TERM").ok();
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let theme = Theme::choose(args.color, no_color, term.as_deref());
    let code = runtime.block_on(live::run(&args, theme));
    // A hanging name look-up must not keep the user waiting.
    runtime.shutdown_background();
    code
}
