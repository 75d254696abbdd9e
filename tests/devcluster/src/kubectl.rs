//! kubectl, for tests that play its user. Not every machine has it: such a test is then skipped, and says so.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Whether kubectl can be started and works: an installer's stand-in with nothing behind it does not count. If not, says on standard
/// error that the test is skipped, past what the test runner captures.
pub fn present() -> bool {
    let asked = Command::new("kubectl").args(["version", "--client"]).output();
    let works = asked.is_ok_and(|output| output.status.success());
    if !works {
        // Nobody may be listening, and that is no failure.
        let _ = writeln!(std::io::stderr(), "SKIPPED: kubectl is not on this machine");
    }
    works
}

/// kubectl with a kubeconfig, asking nobody anything. It keeps its cache of discovery in `home`: each cluster needs its own.
pub fn command(kubeconfig: &Path, home: &Path) -> Command {
    let mut command = Command::new("kubectl");
    command
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", home)
        .stdin(Stdio::null());
    command
}
