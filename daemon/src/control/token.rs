//! The bearer token of the control API: made anew at each start, left in a file that only its user can read,
//! removed at the end.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// A token; only its digest is kept, which also makes comparing it independent of where it differs.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// The file with the token; dropping it removes the file, unless another daemon has replaced it.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    content: String,
}

/// The token file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The operating system refuses.
    #[error("cannot write the token file {path}: {source}; choose another place with --control-token-file")]
    Write {
        /// The file or its folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else could read or replace it.
    #[error(
        "the folder {path} belongs to somebody else or others may write to it; remove it, or choose another place with --control-token-file"
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
    },
}

impl Token {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether `given` is the token.
    pub fn is(&self, given: &str) -> bool {
        Self::of(given).0 == self.0
    }
}

impl TokenFile {
    /// Makes a token and leaves it in the file.
    pub fn create(path: &Path) -> Result<(Self, Token), TokenError> {
        let content = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private_folder(folder)?;
        }
        let failed = |source| TokenError::Write {
            path: path.to_owned(),
            source,
        };
        // A new file under another name and a rename: a reader never sees half a token, and what lies there
        // already, a link perhaps, is not written through.
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed)?;
        file.write_all(content.as_bytes()).map_err(failed)?;
        fs::rename(&fresh, path).map_err(failed)?;
        let token = Token::of(&content);
        let path = path.to_owned();
        Ok((Self { path, content }, token))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the folder with mode 0700. One that exists must be ours and closed to the writes of others.
fn private_folder(folder: &Path) -> Result<(), TokenError> {
    let failed = |source| TokenError::Write {
        path: folder.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    let metadata = fs::symlink_metadata(folder).map_err(failed)?;
    let ours = metadata.uid() == rustix::process::getuid().as_raw();
    if metadata.is_dir() && ours && metadata.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(TokenError::Unsafe {
            path: folder.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_private_and_goes_with_its_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/control-1.token");
        let (file, token) = TokenFile::create(&path).unwrap();
        let content = fs::read_to_string(&path).unwrap();
        assert!(token.is(&content) && !token.is("") && !token.is(&content[1..]));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_of_a_later_daemon_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own/control-1.token");
        let (first, _) = TokenFile::create(&path).unwrap();
        let (_second, token) = TokenFile::create(&path).unwrap();
        drop(first);
        assert!(token.is(&fs::read_to_string(&path).unwrap()));
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let error = TokenFile::create(&open.join("control-1.token")).err().unwrap();
        assert!(error.to_string().contains("--control-token-file"), "{error}");
    }
}
