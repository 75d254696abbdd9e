//! Users: passwords that must be changed, and the lock after too many wrong ones (N24).

use std::time::Duration;

use super::{Cluster, User};
use crate::neo4j::{
    failure::{Neo4jFailure, code},
    statement::{Home, UserChange},
    value::ValueMap,
};

/// Wrong passwords of one user at one server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempts {
    failed: u32,
    last: Duration,
}

/// Shortest password that is accepted.
const MIN_PASSWORD: usize = 8;

impl Cluster {
    /// Checks a password at a server: the user, and whether it must change its password first.
    pub fn authenticate(
        &mut self,
        server: &str,
        user: &str,
        password: &str,
        now: Duration,
    ) -> Result<(String, bool), Neo4jFailure> {
        self.advance(now);
        let known = self.users.get(user).cloned();
        let Some(at) = self.servers.get_mut(server) else {
            return Err(Neo4jFailure::new(
                code::DATABASE_UNAVAILABLE,
                "The server is not running.",
            ));
        };
        if at.boot.auth_disabled {
            return Ok((String::new(), false));
        }
        let most = at.boot.number("dbms.security.auth_max_failed_attempts", 3) as u32;
        let lock = at.boot.seconds("dbms.security.auth_lock_time", Duration::from_secs(5));
        let attempts = at.attempts.entry(user.to_owned()).or_default();
        if most > 0 && attempts.failed >= most && now < attempts.last + lock {
            return Err(Neo4jFailure::new(
                code::RATE_LIMIT,
                "The client has provided incorrect authentication details too many times in a row.",
            ));
        }
        match known {
            Some(known) if known.password == password && !known.suspended => {
                at.attempts.remove(user);
                Ok((user.to_owned(), known.change_required))
            }
            _ => {
                attempts.failed += 1;
                attempts.last = now;
                Err(Neo4jFailure::new(
                    code::UNAUTHORIZED,
                    "The client is unauthorized due to authentication failure.",
                ))
            }
        }
    }

    pub(super) fn create_user(
        &mut self,
        name: String,
        if_not_exists: bool,
        change: &UserChange,
        parameters: &ValueMap,
    ) -> Result<(), Neo4jFailure> {
        if self.users.contains_key(&name) {
            if if_not_exists {
                return Ok(());
            }
            return Err(Neo4jFailure::argument(format_args!(
                "Failed to create the specified user '{name}': User already exists."
            )));
        }
        let mut user = User {
            password: String::new(),
            change_required: true,
            suspended: false,
            home: None,
        };
        apply(&mut user, change, parameters).map_err(|error| refused("create", &name, error))?;
        self.users.insert(name, user);
        Ok(())
    }

    pub(super) fn alter_user(
        &mut self,
        name: &str,
        if_exists: bool,
        change: &UserChange,
        parameters: &ValueMap,
    ) -> Result<(), Neo4jFailure> {
        let Some(user) = self.users.get_mut(name) else {
            if if_exists {
                return Ok(());
            }
            return Err(no_user("alter", name));
        };
        let mut changed = user.clone();
        apply(&mut changed, change, parameters).map_err(|error| refused("alter", name, error))?;
        *user = changed;
        Ok(())
    }

    pub(super) fn drop_user(&mut self, name: &str, if_exists: bool) -> Result<(), Neo4jFailure> {
        if self.users.remove(name).is_none() && !if_exists {
            return Err(no_user("delete", name));
        }
        Ok(())
    }

    pub(super) fn change_own_password(&mut self, name: &str, from: &str, to: &str) -> Result<(), Neo4jFailure> {
        let user = self.users.get_mut(name).ok_or_else(|| no_user("alter", name))?;
        if user.password != from {
            return Err(Neo4jFailure::argument(format_args!(
                "User '{name}' failed to alter their own password: Invalid principal or credentials."
            )));
        }
        set_password(user, to.to_owned()).map_err(|error| match error {
            Refused::Same(text) => {
                Neo4jFailure::argument(format_args!("User '{name}' failed to alter their own password: {text}"))
            }
            Refused::Failure(failure) => failure,
        })?;
        user.change_required = false;
        Ok(())
    }
}

fn no_user(verb: &str, name: &str) -> Neo4jFailure {
    Neo4jFailure::argument(format_args!(
        "Failed to {verb} the specified user '{name}': User does not exist."
    ))
}

/// Why a change of a user is refused.
enum Refused {
    /// The password is the one that the user has; who is told so depends on the command.
    Same(&'static str),
    /// Anything else.
    Failure(Neo4jFailure),
}

impl From<Neo4jFailure> for Refused {
    fn from(failure: Neo4jFailure) -> Self {
        Self::Failure(failure)
    }
}

fn refused(verb: &str, name: &str, refused: Refused) -> Neo4jFailure {
    match refused {
        Refused::Same(text) => {
            Neo4jFailure::argument(format_args!("Failed to {verb} the specified user '{name}': {text}"))
        }
        Refused::Failure(failure) => failure,
    }
}

/// A new password leaves it as it was whether it must be changed, unless the command says so.
fn apply(user: &mut User, change: &UserChange, parameters: &ValueMap) -> Result<(), Refused> {
    if let Some(password) = &change.password {
        set_password(user, password.text(parameters)?)?;
    }
    if let Some(required) = change.change_required {
        user.change_required = required;
    }
    if let Some(suspended) = change.suspended {
        user.suspended = suspended;
    }
    match &change.home {
        Some(Home::Set(name)) => user.home = Some(name.text(parameters)?.to_lowercase()),
        Some(Home::Remove) => user.home = None,
        None => {}
    }
    Ok(())
}

fn set_password(user: &mut User, password: String) -> Result<(), Refused> {
    if password.is_empty() {
        return Err(Neo4jFailure::argument("A password cannot be empty.").into());
    }
    if password.chars().count() < MIN_PASSWORD {
        return Err(
            Neo4jFailure::argument(format_args!("A password must be at least {MIN_PASSWORD} characters.")).into(),
        );
    }
    if password == user.password {
        return Err(Refused::Same("Old password and new password cannot be the same."));
    }
    user.password = password;
    Ok(())
}
