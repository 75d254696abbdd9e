//! Finding the daemon: the given URL; else 127.0.0.1:8083; else the newest token file whose port answers.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use neo4j_operator_shared::{status::Status, token};

use super::http::{FetchError, Http, base_url};
use crate::cli::Args;

/// Port of the control API unless it was taken.
pub const DEFAULT_PORT: u16 = 8083;

/// A daemon to ask.
#[derive(Clone, Debug)]
pub struct Target {
    /// Base of the control API.
    pub url: String,
    /// Base of the metrics, if the user gave one.
    pub metrics_url: Option<String>,
    /// Bearer token.
    pub token: Option<String>,
    /// The file that the user named for it.
    pub token_file: Option<PathBuf>,
}

impl Target {
    /// The token, read anew: a restarted daemon writes another one.
    pub fn reread_token(&self) -> Option<String> {
        let usual = || port_of(&self.url).map(token_path);
        let path = self.token_file.clone().or_else(usual)?;
        read_token(&path).ok()
    }
}

/// What was given or found, before anything is asked. Says what is wrong with the options themselves.
pub async fn find(args: &Args) -> Result<Target, FetchError> {
    let metrics_url = args.metrics_url.as_deref().map(base_url).transpose()?;
    let given = args.token_file.as_deref().map(read_token).transpose()?;
    if let Some(url) = &args.url {
        let url = base_url(url)?;
        let token = given.or_else(|| port_of(&url).and_then(|port| read_token(&token_path(port)).ok()));
        return Ok(Target {
            url,
            metrics_url,
            token,
            token_file: args.token_file.clone(),
        });
    }
    let mut candidates = vec![Candidate::new(DEFAULT_PORT, given.clone())];
    candidates.extend(
        newest_first(&folder())
            .into_iter()
            .map(|port| Candidate::new(port, given.clone())),
    );
    for candidate in &candidates {
        if let Some(token) = &candidate.token {
            let http = Http::new(Some(token.clone()));
            if http
                .json::<Status>(&format!("{}/v1/status", candidate.url))
                .await
                .is_ok()
            {
                return Ok(Target {
                    url: candidate.url.clone(),
                    metrics_url,
                    token: Some(token.clone()),
                    token_file: args.token_file.clone(),
                });
            }
        }
    }
    // Nothing answers yet: wait for the usual place, so that neotop may be started before the daemon.
    let first = candidates.swap_remove(0);
    Ok(Target {
        url: first.url,
        metrics_url,
        token: first.token,
        token_file: args.token_file.clone(),
    })
}

struct Candidate {
    url: String,
    token: Option<String>,
}

impl Candidate {
    fn new(port: u16, given: Option<String>) -> Self {
        Self {
            url: format!("http://127.0.0.1:{port}"),
            token: given.or_else(|| read_token(&token_path(port)).ok()),
        }
    }
}

fn runtime_dir() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
}

fn folder() -> PathBuf {
    token::folder(runtime_dir().as_deref(), rustix::process::getuid().as_raw())
}

fn token_path(port: u16) -> PathBuf {
    token::file(runtime_dir().as_deref(), rustix::process::getuid().as_raw(), port)
}

fn port_of(url: &str) -> Option<u16> {
    url.parse::<http::Uri>().ok()?.port_u16()
}

fn read_token(path: &Path) -> Result<String, FetchError> {
    let text = fs::read_to_string(path)
        .map_err(|error| FetchError::Body(format!("the token file {} cannot be read: {error}", path.display())))?;
    let token = text.trim();
    if token.is_empty() || token.len() > 4096 || token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(FetchError::Body(format!(
            "{} holds no token: one line of printable characters is expected",
            path.display()
        )));
    }
    Ok(token.to_owned())
}

/// Ports of the token files in a folder, the newest file first.
fn newest_first(folder: &Path) -> Vec<u16> {
    let mut found: Vec<(SystemTime, u16)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let port = token::port_of(entry.file_name().to_str()?)?;
            Some((entry.metadata().ok()?.modified().ok()?, port))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, port)| port).take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_token_files_count_and_the_newest_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "control-1000.token",
            "control-x.token",
            "notes.txt",
            "control-2000.token",
        ] {
            fs::write(folder.path().join(name), "secret").unwrap();
        }
        let old = SystemTime::UNIX_EPOCH;
        fs::File::open(folder.path().join("control-1000.token"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert_eq!(newest_first(folder.path()), [2000, 1000]);
    }

    #[test]
    fn the_token_of_a_restarted_daemon_is_read_from_the_file_that_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        fs::write(&path, "old").unwrap();
        let target = Target {
            url: "http://127.0.0.1:1".into(),
            metrics_url: None,
            token: Some("old".into()),
            token_file: Some(path.clone()),
        };
        fs::write(&path, "new").unwrap();
        assert_eq!(target.reread_token().as_deref(), Some("new"));
        fs::remove_file(&path).unwrap();
        assert_eq!(target.reread_token(), None);
    }

    #[test]
    fn a_file_without_a_token_is_refused_by_name_and_not_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        for content in ["", "  \n", "two words", "k\u{7}"] {
            fs::write(&path, content).unwrap();
            let error = read_token(&path).expect_err(content).to_string();
            assert!(
                error.contains(&*path.to_string_lossy()) && !error.contains("words"),
                "{error}"
            );
        }
        fs::write(&path, "abc\n").unwrap();
        assert_eq!(read_token(&path).unwrap(), "abc");
    }
}
