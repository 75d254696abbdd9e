//! What was read from Secrets, by the version of the Secret: an unchanged one is not read again.
//!
//! The pool holds the same passwords for as long as it holds connections; nothing here outlives its cluster,
//! and nothing here can be printed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::driver::{Credentials, TlsTrust};

/// Secrets of one cluster that are remembered.
const PER_CLUSTER: usize = 4;

/// Logins and trust of all clusters.
#[derive(Default)]
pub struct Keyring {
    clusters: Mutex<HashMap<Arc<str>, Vec<Entry>>>,
}

struct Entry {
    secret: String,
    resource_version: String,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Login(Credentials),
    Trust(TlsTrust),
}

impl Keyring {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Entry>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, cluster_uid: &str, secret: &str, resource_version: &str, wanted: fn(&Key) -> bool) -> Option<Key> {
        let clusters = self.lock();
        let mut entries = clusters.get(cluster_uid)?.iter();
        entries
            .find(|entry| entry.secret == secret && entry.resource_version == resource_version && wanted(&entry.key))
            .map(|entry| entry.key.clone())
    }

    fn keep(&self, cluster_uid: &str, secret: &str, resource_version: &str, key: Key) {
        let mut clusters = self.lock();
        let entries = clusters.entry(cluster_uid.into()).or_default();
        let same_kind = std::mem::discriminant(&key);
        entries.retain(|entry| entry.secret != secret || std::mem::discriminant(&entry.key) != same_kind);
        if entries.len() >= PER_CLUSTER {
            entries.remove(0);
        }
        entries.push(Entry {
            secret: secret.to_owned(),
            resource_version: resource_version.to_owned(),
            key,
        });
    }

    /// The login that this version of a Secret holds, if it was read before.
    pub fn login(&self, cluster_uid: &str, secret: &str, resource_version: &str) -> Option<Credentials> {
        match self.find(cluster_uid, secret, resource_version, |key| {
            matches!(key, Key::Login(_))
        })? {
            Key::Login(credentials) => Some(credentials),
            Key::Trust(_) => None,
        }
    }

    /// Remembers a login.
    pub fn keep_login(&self, cluster_uid: &str, secret: &str, resource_version: &str, credentials: Credentials) {
        self.keep(cluster_uid, secret, resource_version, Key::Login(credentials));
    }

    /// The trust that this version of a Secret holds, if it was read before.
    pub fn trust(&self, cluster_uid: &str, secret: &str, resource_version: &str) -> Option<TlsTrust> {
        match self.find(cluster_uid, secret, resource_version, |key| {
            matches!(key, Key::Trust(_))
        })? {
            Key::Trust(trust) => Some(trust),
            Key::Login(_) => None,
        }
    }

    /// Remembers trust.
    pub fn keep_trust(&self, cluster_uid: &str, secret: &str, resource_version: &str, trust: TlsTrust) {
        self.keep(cluster_uid, secret, resource_version, Key::Trust(trust));
    }

    /// A cluster is gone.
    pub fn forget(&self, cluster_uid: &str) {
        self.lock().remove(cluster_uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_version_of_a_secret_is_remembered() {
        let keyring = Keyring::default();
        let credentials = Credentials::new("neo4j", "secret-of-tests");
        keyring.keep_login("u", "auth", "7", credentials.clone());
        assert_eq!(keyring.login("u", "auth", "7"), Some(credentials.clone()));
        assert_eq!(keyring.login("u", "auth", "8"), None);
        assert_eq!(keyring.login("v", "auth", "7"), None);
        assert_eq!(keyring.trust("u", "auth", "7"), None);
        for n in 0..20 {
            keyring.keep_login("u", &format!("s{n}"), "1", credentials.clone());
        }
        assert_eq!(keyring.lock()["u"].len(), PER_CLUSTER);
        keyring.forget("u");
        assert_eq!(keyring.login("u", "s19", "1"), None);
    }
}
