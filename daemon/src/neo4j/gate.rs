//! Two gates before the dialling. Decisions only; the clock comes from outside.
//!
//! [`Dialling`] leaves a server that fails alone for a while, longer each time. [`Login`] belongs to one
//! version of one user's password in one cluster: until it was seen working, one connection at a time tries
//! it, and once it was refused nobody does for a while. A new version is a new login.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    error::{BoltError, ErrorKind},
    pool::jittered,
};

/// First pause after a failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Just above the time for which a server locks a user (`dbms.security.auth_lock_time`, 5 s).
const LOCK_PAUSE: Duration = Duration::from_secs(6);
/// First pause after a refused password; doubles up to [`LONGEST_HOLD`].
const FIRST_HOLD: Duration = Duration::from_secs(60);
const LONGEST_HOLD: Duration = Duration::from_secs(600);

/// Whether a server may be dialled.
#[derive(Debug, Default)]
pub(super) struct Dialling {
    failures: u32,
    until: Option<Instant>,
    cause: String,
}

impl Dialling {
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long it is still left alone.
    pub fn held_for(&self, now: Instant) -> Option<Duration> {
        self.until
            .and_then(|until| until.checked_duration_since(now))
            .filter(|left| !left.is_zero())
    }

    pub fn admit(&self, now: Instant) -> Result<(), BoltError> {
        let Some(left) = self.held_for(now) else { return Ok(()) };
        let mut error = BoltError::new(
            ErrorKind::CircuitOpen,
            format!("left alone after {} failures, the last: {}", self.failures, self.cause),
        );
        error.retry_after = Some(left);
        Err(error)
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub fn failed(&mut self, now: Instant, error: &BoltError) {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + jittered(pause));
        self.cause.clone_from(&error.message);
    }
}

/// Whether a password may be tried.
#[derive(Debug)]
pub(super) struct Login {
    proving: Arc<Semaphore>,
    state: Mutex<LoginState>,
}

#[derive(Debug)]
struct LoginState {
    proven: bool,
    refusals: u32,
    until: Option<Instant>,
    used: Option<Instant>,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            proving: Arc::new(Semaphore::new(1)),
            state: Mutex::new(LoginState {
                proven: false,
                refusals: 0,
                until: None,
                used: None,
            }),
        }
    }
}

impl Login {
    fn state(&self) -> MutexGuard<'_, LoginState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn used_within(&self, span: Duration, now: Instant) -> bool {
        self.state().used.is_none_or(|used| now.duration_since(used) < span)
    }

    pub fn admit(&self, now: Instant) -> Result<(), BoltError> {
        let mut state = self.state();
        state.used = Some(now);
        let left = state
            .until
            .and_then(|until| until.checked_duration_since(now))
            .filter(|left| !left.is_zero());
        let Some(left) = left else { return Ok(()) };
        let mut error = BoltError::new(
            ErrorKind::CredentialsHeld,
            "these credentials were refused and are not tried again yet, so that the user is not locked",
        );
        error.retry_after = Some(left);
        Err(error)
    }

    /// The right to try a password that was not seen working; `None` where it was.
    pub async fn prove(&self, deadline: Instant) -> Result<Option<OwnedSemaphorePermit>, BoltError> {
        if self.state().proven {
            return Ok(None);
        }
        let Ok(Ok(permit)) = timeout_at(deadline, self.proving.clone().acquire_owned()).await else {
            return Err(BoltError::new(
                ErrorKind::PoolExhausted,
                "another connection is trying the password",
            ));
        };
        // Whoever tried it meanwhile may have learned something.
        self.admit(Instant::now())?;
        Ok((!self.state().proven).then_some(permit))
    }

    /// Learns from an attempt. What the server says with a code, it says to somebody who is logged in.
    pub fn ended(&self, error: Option<&BoltError>, now: Instant) {
        let mut state = self.state();
        let pause = match error.map(|error| error.kind) {
            None => {
                state.proven = true;
                state.refusals = 0;
                state.until = None;
                return;
            }
            Some(ErrorKind::Auth) => FIRST_HOLD.saturating_mul(1 << state.refusals.min(10)).min(LONGEST_HOLD),
            Some(ErrorKind::AuthSuspected) if state.refusals == 0 => LOCK_PAUSE,
            Some(ErrorKind::AuthSuspected) => FIRST_HOLD
                .saturating_mul(1 << (state.refusals - 1).min(10))
                .min(LONGEST_HOLD),
            Some(_) => return,
        };
        state.proven = false;
        state.refusals = state.refusals.saturating_add(1);
        state.until = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_with_a_success() {
        let now = Instant::now();
        let error = BoltError::new(ErrorKind::Connect, "refused");
        let mut gate = Dialling::default();
        assert!(gate.admit(now).is_ok());
        let mut last = Duration::ZERO;
        for _ in 0..4 {
            gate.failed(now, &error);
            let held = gate.held_for(now).unwrap();
            assert!(held > last, "{held:?} after {last:?}");
            last = held;
        }
        assert!(last <= LONGEST_PAUSE.mul_f64(1.11));
        let refused = gate.admit(now).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::CircuitOpen);
        assert_eq!(refused.retry_after, Some(last));
        assert!(gate.admit(now + last).is_ok(), "after the pause it may be tried");
        gate.succeeded();
        assert_eq!(gate.failures(), 0);
    }

    #[test]
    fn a_refused_password_waits_a_minute_and_a_suspected_one_only_the_lock_time() {
        let now = Instant::now();
        let login = Login::default();
        login.ended(Some(&BoltError::new(ErrorKind::AuthSuspected, "?")), now);
        assert_eq!(login.admit(now).unwrap_err().retry_after, Some(LOCK_PAUSE));
        login.ended(Some(&BoltError::new(ErrorKind::AuthSuspected, "?")), now);
        assert_eq!(login.admit(now).unwrap_err().retry_after, Some(FIRST_HOLD));
        let login = Login::default();
        login.ended(Some(&BoltError::new(ErrorKind::Auth, "no")), now);
        assert_eq!(login.admit(now).unwrap_err().retry_after, Some(FIRST_HOLD));
        login.ended(None, now);
        assert!(login.admit(now).is_ok());
    }
}
