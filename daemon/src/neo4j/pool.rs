//! The connection pool: per server a few slots, each one socket that we own.
//!
//! A slot is handed out to one statement at a time and comes back only after an answer that leaves no doubt
//! about its state; an error, a timeout or a cancelled call drops it. Everything is bounded: slots per
//! server, sockets in all, callers that wait, the time they wait, and the age of a slot. Two small gates
//! stand before the dialling: one per server, which spaces the dials to one that fails, and one per login,
//! because refused passwords lock the user for people as well. The login's gate lets one connection at a
//! time try a password that nobody has seen working.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::{
    driver::{Credentials, Driver, Endpoint, Rows, Session, Statement},
    error::{BoltError, ErrorKind},
    gate::{Dialling, Login},
};

mod snapshot;

pub use snapshot::{EndpointSnapshot, PoolSnapshot};

/// The bounds of the pool.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Slots per server, 1 to 4.
    pub per_endpoint: usize,
    /// Sockets in all.
    pub sockets: usize,
    /// Callers that may wait for a slot of one server.
    pub waiters: usize,
    /// How long they wait.
    pub acquire: Duration,
    /// TCP, TLS and handshake together.
    pub connect: Duration,
    /// Least budget of the first statement on a new connection: a cold server is slow.
    pub first_statement: Duration,
    /// A slot that was not used for this long is closed.
    pub idle: Duration,
    /// A slot older than this (± 10 %) is closed.
    pub lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_endpoint: 2,
            sockets: 256,
            waiters: 64,
            acquire: Duration::from_secs(1),
            connect: Duration::from_secs(5),
            first_statement: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            lifetime: Duration::from_secs(600),
        }
    }
}

/// The most slots of one server, whatever the settings say.
const PER_ENDPOINT_CAP: usize = 4;
/// What is known of an endpoint or a login is forgotten when nobody asked for it this long.
const FORGET: Duration = Duration::from_secs(900);

/// What makes two connections the same: another pod, certificate or password is another endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    /// Uid of the cluster resource.
    pub cluster_uid: Arc<str>,
    /// Uid of the pod.
    pub pod_uid: Arc<str>,
    /// Host, port and trust.
    pub endpoint: Endpoint,
    /// User.
    pub user: Arc<str>,
    /// Version of the password.
    pub credentials_version: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LoginKey {
    cluster_uid: Arc<str>,
    user: Arc<str>,
    version: Arc<str>,
}

/// Totals since the start.
#[derive(Debug, Default)]
struct Counters {
    opened: AtomicU64,
    closed: AtomicU64,
    reused: AtomicU64,
    refused: AtomicU64,
    exhausted: AtomicU64,
    statements: AtomicU64,
    errors: AtomicU64,
    waited_micros: AtomicU64,
}

/// How ready a server is to answer at once; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Readiness {
    /// A slot is open.
    Open,
    /// It has to be dialled.
    Cold,
    /// It failed a moment ago.
    Held,
}

/// The pool of one process.
pub struct Pool {
    driver: Arc<dyn Driver>,
    limits: Limits,
    sockets: Arc<Semaphore>,
    state: Mutex<State>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    endpoints: HashMap<EndpointKey, Arc<Slots>>,
    logins: HashMap<LoginKey, Arc<Login>>,
}

/// The slots of one server.
struct Slots {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    inner: Mutex<Inner>,
    counters: Arc<Counters>,
}

struct Inner {
    idle: Vec<Slot>,
    dialling: Dialling,
    closed: bool,
    used: Instant,
}

struct Slot {
    session: Box<dyn Session>,
    expires: Instant,
    used: Instant,
    _socket: OwnedSemaphorePermit,
}

/// A slot in use. Dropping it closes the slot, unless the last answer left no doubt about it.
struct Lease {
    slots: Arc<Slots>,
    slot: Option<Slot>,
    sound: bool,
    _permit: OwnedSemaphorePermit,
}

/// Counts a caller among those who wait, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Lease ===

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut slot) = self.slot.take() else { return };
        let mut inner = lock(&self.slots.inner);
        if self.sound && !inner.closed {
            slot.used = Instant::now();
            inner.idle.push(slot);
        } else {
            drop(inner);
            self.slots.counters.closed.fetch_add(1, Ordering::Relaxed);
            drop(slot);
        }
    }
}

// === impl Slots ===

impl Slots {
    fn new(limits: &Limits, counters: Arc<Counters>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.per_endpoint.clamp(1, PER_ENDPOINT_CAP))),
            waiting: AtomicUsize::new(0),
            inner: Mutex::new(Inner {
                idle: Vec::new(),
                dialling: Dialling::default(),
                closed: false,
                used: Instant::now(),
            }),
            counters,
        }
    }

    /// Takes the slot that was used last, and closes those that are too old.
    fn take(&self, limits: &Limits, now: Instant) -> Option<Slot> {
        let mut inner = lock(&self.inner);
        inner.used = now;
        let stale = inner.remove_stale(limits, now);
        let slot = inner.idle.pop();
        drop(inner);
        self.close(stale);
        slot
    }

    fn close(&self, slots: Vec<Slot>) {
        self.counters.closed.fetch_add(slots.len() as u64, Ordering::Relaxed);
        drop(slots);
    }

    /// Tells the gates how an attempt ended.
    fn judge(&self, login: &Login, error: Option<&BoltError>) {
        let now = Instant::now();
        login.ended(error, now);
        let mut inner = lock(&self.inner);
        match error {
            None => inner.dialling.succeeded(),
            Some(error) if error.counts_against_endpoint() => {
                inner.dialling.failed(now, error);
                // What one slot met, the others of that server will meet too.
                let idle = std::mem::take(&mut inner.idle);
                drop(inner);
                self.close(idle);
            }
            Some(_) => {}
        }
    }

    /// Closes every idle slot, and those in use when they come back.
    fn shut(&self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        let idle = std::mem::take(&mut inner.idle);
        drop(inner);
        self.close(idle);
    }
}

impl Inner {
    fn remove_stale(&mut self, limits: &Limits, now: Instant) -> Vec<Slot> {
        let fresh = |slot: &Slot| now < slot.expires && now.duration_since(slot.used) < limits.idle;
        let (keep, stale) = std::mem::take(&mut self.idle).into_iter().partition(fresh);
        self.idle = keep;
        stale
    }
}

// === impl Pool ===

impl Pool {
    /// A pool that opens connections with `driver`.
    pub fn new(driver: Arc<dyn Driver>, limits: Limits) -> Self {
        Self {
            driver,
            sockets: Arc::new(Semaphore::new(limits.sockets)),
            limits,
            state: Mutex::default(),
            counters: Arc::default(),
        }
    }

    fn slots(&self, key: &EndpointKey) -> Arc<Slots> {
        let mut state = lock(&self.state);
        let slots = state
            .endpoints
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Slots::new(&self.limits, self.counters.clone())));
        slots.clone()
    }

    fn login(&self, key: &EndpointKey) -> Arc<Login> {
        let key = LoginKey {
            cluster_uid: key.cluster_uid.clone(),
            user: key.user.clone(),
            version: key.credentials_version.clone(),
        };
        lock(&self.state).logins.entry(key).or_default().clone()
    }

    /// How ready a server is to answer.
    pub(super) fn readiness(&self, key: &EndpointKey) -> Readiness {
        let state = lock(&self.state);
        let Some(slots) = state.endpoints.get(key) else {
            return Readiness::Cold;
        };
        let inner = lock(&slots.inner);
        if inner.dialling.held_for(Instant::now()).is_some() {
            Readiness::Held
        } else if inner.idle.is_empty() {
            Readiness::Cold
        } else {
            Readiness::Open
        }
    }

    /// Runs one statement on a server. Cancelling closes the slot.
    pub async fn execute(
        &self,
        key: &EndpointKey,
        credentials: &Credentials,
        database: &str,
        statement: &Statement,
    ) -> Result<Rows, BoltError> {
        let slots = self.slots(key);
        let login = self.login(key);
        let result = self
            .attempt(&slots, &login, key, credentials, database, statement)
            .await
            .map_err(|error| error.at(&key.endpoint.host));
        if let Err(error) = &result {
            self.counters.errors.fetch_add(1, Ordering::Relaxed);
            let counter = match error.kind {
                ErrorKind::PoolExhausted => Some(&self.counters.exhausted),
                ErrorKind::CircuitOpen | ErrorKind::CredentialsHeld => Some(&self.counters.refused),
                _ => None,
            };
            if let Some(counter) = counter {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        result
    }

    async fn attempt(
        &self,
        slots: &Arc<Slots>,
        login: &Login,
        key: &EndpointKey,
        credentials: &Credentials,
        database: &str,
        statement: &Statement,
    ) -> Result<Rows, BoltError> {
        lock(&slots.inner).dialling.admit(Instant::now())?;
        login.admit(Instant::now())?;
        let deadline = Instant::now() + self.limits.acquire;
        let permit = self.permit(slots, deadline).await?;
        let mut lease = Lease {
            slot: slots.take(&self.limits, Instant::now()),
            slots: slots.clone(),
            sound: false,
            _permit: permit,
        };
        let fresh = lease.slot.is_none();
        // Held from before the dial until the answer to the first statement, which carries the login.
        let mut proving = None;
        if fresh {
            proving = login.prove(deadline).await?;
            match self.dial(key, credentials, deadline).await {
                Ok(slot) => lease.slot = Some(slot),
                Err(error) => {
                    slots.judge(login, Some(&error));
                    return Err(error);
                }
            }
        } else {
            self.counters.reused.fetch_add(1, Ordering::Relaxed);
        }
        let result = self.run(&mut lease, database, statement, fresh).await;
        slots.judge(login, result.as_ref().err());
        drop(proving);
        lease.sound = match &result {
            Ok(_) => true,
            // The server answered in good order: the connection is as it was.
            Err(error) => error.code.is_some() && !error.counts_against_endpoint(),
        };
        result
    }

    async fn permit(&self, slots: &Slots, deadline: Instant) -> Result<OwnedSemaphorePermit, BoltError> {
        if let Ok(permit) = slots.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        if slots.waiting.fetch_add(1, Ordering::Relaxed) >= self.limits.waiters {
            slots.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(exhausted("too many statements wait for a connection"));
        }
        let _waiting = Waiting(&slots.waiting);
        let began = Instant::now();
        let permit = timeout_at(deadline, slots.permits.clone().acquire_owned()).await;
        self.counters
            .waited_micros
            .fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(exhausted("no connection became free in time")),
        }
    }

    async fn dial(&self, key: &EndpointKey, credentials: &Credentials, deadline: Instant) -> Result<Slot, BoltError> {
        let socket = if let Ok(socket) = self.sockets.clone().try_acquire_owned() {
            socket
        } else {
            self.evict_one();
            match timeout_at(deadline, self.sockets.clone().acquire_owned()).await {
                Ok(Ok(socket)) => socket,
                _ => return Err(exhausted("the limit of sockets is reached")),
            }
        };
        let connect = self.driver.connect(&key.endpoint, credentials);
        let session = timeout(self.limits.connect, connect).await.unwrap_or_else(|_| {
            Err(BoltError::new(
                ErrorKind::Connect,
                format!("no connection within {} s", self.limits.connect.as_secs()),
            ))
        })?;
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        Ok(Slot {
            session,
            expires: now + jittered(self.limits.lifetime),
            used: now,
            _socket: socket,
        })
    }

    async fn run(
        &self,
        lease: &mut Lease,
        database: &str,
        statement: &Statement,
        fresh: bool,
    ) -> Result<Rows, BoltError> {
        let Some(slot) = &mut lease.slot else {
            return Err(BoltError::new(ErrorKind::Connect, "the slot has no connection"));
        };
        let mut statement = statement.clone();
        if fresh {
            statement.budget = statement.budget.max(self.limits.first_statement);
        }
        self.counters.statements.fetch_add(1, Ordering::Relaxed);
        timeout(statement.budget, slot.session.execute(database, &statement))
            .await
            .unwrap_or_else(|_| {
                Err(BoltError::new(
                    ErrorKind::Timeout,
                    format!("no answer within {} s", statement.budget.as_secs()),
                ))
            })
            .map_err(BoltError::after_send)
    }

    /// Closes the idle slot that was used longest ago, wherever it is.
    fn evict_one(&self) {
        let state = lock(&self.state);
        let oldest = state
            .endpoints
            .values()
            .filter_map(|slots| Some((lock(&slots.inner).idle.first()?.used, slots)))
            .min_by_key(|(used, _)| *used)
            .map(|(_, slots)| slots.clone());
        drop(state);
        if let Some(slots) = oldest {
            let mut inner = lock(&slots.inner);
            let slot = (!inner.idle.is_empty()).then(|| inner.idle.remove(0));
            drop(inner);
            slots.close(slot.into_iter().collect());
        }
    }

    /// Closes what belongs to a cluster and is none of `keys`: pods that are gone, old passwords, old trust.
    pub fn retain(&self, cluster_uid: &str, keys: &HashSet<EndpointKey>) {
        self.remove(|key, _| &*key.cluster_uid != cluster_uid || keys.contains(key));
    }

    /// Closes everything of a cluster and forgets what its passwords were worth.
    pub fn forget_cluster(&self, cluster_uid: &str) {
        self.remove(|key, _| &*key.cluster_uid != cluster_uid);
        lock(&self.state)
            .logins
            .retain(|key, _| &*key.cluster_uid != cluster_uid);
    }

    /// Closes everything.
    pub fn close(&self) {
        self.remove(|_, _| false);
    }

    /// Closes what was idle or lived too long, and forgets endpoints and logins that nobody asks for.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.remove(|_, slots| now.duration_since(lock(&slots.inner).used) < FORGET);
        let mut state = lock(&self.state);
        state.logins.retain(|_, login| login.used_within(FORGET, now));
        let all: Vec<_> = state.endpoints.values().cloned().collect();
        drop(state);
        for slots in all {
            let stale = lock(&slots.inner).remove_stale(&self.limits, now);
            slots.close(stale);
        }
    }

    /// Closes the connections that were idle for longer than this; says how many.
    pub fn close_idle(&self, longer: Duration) -> usize {
        let now = Instant::now();
        let all: Vec<_> = lock(&self.state).endpoints.values().cloned().collect();
        let mut closed = 0;
        for slots in all {
            let mut inner = lock(&slots.inner);
            let fresh = |slot: &Slot| now.duration_since(slot.used) < longer;
            let (keep, idle): (_, Vec<_>) = std::mem::take(&mut inner.idle).into_iter().partition(fresh);
            inner.idle = keep;
            drop(inner);
            closed += idle.len();
            slots.close(idle);
        }
        closed
    }

    /// Connections that are open, and of those the ones that nobody uses.
    pub fn connections(&self) -> (usize, usize) {
        let open = self.limits.sockets.saturating_sub(self.sockets.available_permits());
        let all: Vec<_> = lock(&self.state).endpoints.values().cloned().collect();
        (open, all.iter().map(|slots| lock(&slots.inner).idle.len()).sum())
    }

    fn remove(&self, keep: impl Fn(&EndpointKey, &Slots) -> bool) {
        let mut state = lock(&self.state);
        let (kept, removed): (HashMap<_, _>, Vec<_>) = {
            let mut removed = Vec::new();
            let mut kept = HashMap::new();
            for (key, slots) in state.endpoints.drain() {
                if keep(&key, &slots) {
                    kept.insert(key, slots);
                } else {
                    removed.push(slots);
                }
            }
            (kept, removed)
        };
        state.endpoints = kept;
        drop(state);
        for slots in removed {
            slots.shut();
        }
    }

    /// What the pool holds now.
    pub fn snapshot(&self) -> PoolSnapshot {
        let now = Instant::now();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let per_endpoint = self.limits.per_endpoint.clamp(1, PER_ENDPOINT_CAP);
        let mut endpoints: Vec<_> = lock(&self.state)
            .endpoints
            .iter()
            .map(|(key, slots)| {
                let inner = lock(&slots.inner);
                EndpointSnapshot {
                    cluster_uid: key.cluster_uid.clone(),
                    host: key.endpoint.host.clone(),
                    in_use: per_endpoint.saturating_sub(slots.permits.available_permits()),
                    idle: inner.idle.len(),
                    waiting: slots.waiting.load(Ordering::Relaxed),
                    failures: inner.dialling.failures(),
                    held_for: inner.dialling.held_for(now),
                }
            })
            .collect();
        endpoints.sort_by(|a, b| (&a.cluster_uid, &a.host).cmp(&(&b.cluster_uid, &b.host)));
        PoolSnapshot {
            sockets: self.limits.sockets.saturating_sub(self.sockets.available_permits()),
            sockets_limit: self.limits.sockets,
            opened: read(&self.counters.opened),
            closed: read(&self.counters.closed),
            reused: read(&self.counters.reused),
            refused: read(&self.counters.refused),
            exhausted: read(&self.counters.exhausted),
            statements: read(&self.counters.statements),
            errors: read(&self.counters.errors),
            waited_seconds: Duration::from_micros(read(&self.counters.waited_micros)).as_secs_f64(),
            endpoints,
        }
    }
}

fn exhausted(message: &str) -> BoltError {
    BoltError::new(ErrorKind::PoolExhausted, message)
}

/// Within 10 % of `duration`.
pub(super) fn jittered(duration: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() % 2001;
    duration.mul_f64(0.9 + random as f64 / 10_000.0)
}

#[cfg(test)]
mod tests;
