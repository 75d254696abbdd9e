//! Where the daemon leaves the token of its control API, and where neotop looks for it.

use std::path::{Path, PathBuf};

/// The folder of token files: `$XDG_RUNTIME_DIR/neo4j-operator-<uid>`, else under `/tmp`.
pub fn folder(runtime_dir: Option<&Path>, uid: u32) -> PathBuf {
    runtime_dir
        .unwrap_or(Path::new("/tmp"))
        .join(format!("neo4j-operator-{uid}"))
}

/// The token file of the daemon whose control API listens on `port`.
pub fn file(runtime_dir: Option<&Path>, uid: u32, port: u16) -> PathBuf {
    folder(runtime_dir, uid).join(format!("control-{port}.token"))
}

/// The port in the name of a token file, if it is one.
pub fn port_of(file_name: &str) -> Option<u16> {
    file_name.strip_prefix("control-")?.strip_suffix(".token")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_again_in_the_name() {
        let path = file(None, 1000, 8083);
        assert_eq!(path, Path::new("/tmp/neo4j-operator-1000/control-8083.token"));
        assert_eq!(port_of("control-8083.token"), Some(8083));
        assert_eq!(port_of("control-x.token"), None);
        assert_eq!(port_of("control-80830000.token"), None);
    }
}
