//! What time does to a cluster: processes start, copies arrive, leaders are elected, followers catch up.

use std::time::Duration;

use super::{Cluster, Copy, Phase, SYSTEM, Server, ServerState, placement::Mode};

/// Steps that one call of `advance` takes at most; a longer gap ends with everything settled at its end.
const MAX_STEPS: usize = 10_000;

impl Copy {
    /// A copy that serves.
    pub(super) fn online(mode: Mode, applied: u64) -> Self {
        Self {
            mode,
            phase: Phase::Online,
            unwanted: false,
            applied,
            lag: 0,
        }
    }

    /// Its server's process has ended: what was going on goes on when that returns.
    pub(super) fn halt(&mut self) {
        self.phase = match self.phase {
            Phase::Copying(_) => Phase::Copying(Duration::MAX),
            Phase::Online | Phase::Starting(_) => Phase::Starting(Duration::MAX),
            Phase::Stopping(_) => Phase::Offline,
            other => other,
        };
    }

    fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::Copying(at) | Phase::Starting(at) | Phase::Stopping(at) | Phase::Leaving(at) => Some(at),
            Phase::Online | Phase::Offline | Phase::Failed => None,
        }
    }
}

impl Cluster {
    /// Lets happen, in order, what fell due up to `now`.
    pub fn advance(&mut self, now: Duration) {
        if now < self.now {
            return;
        }
        for _ in 0..MAX_STEPS {
            match self.next_due() {
                Some(due) if due <= now => self.settle(due),
                _ => break,
            }
        }
        self.settle(now);
    }

    /// When something happens next by itself.
    pub fn next_due(&self) -> Option<Duration> {
        let starts = self
            .servers
            .values()
            .filter(|server| !server.serving)
            .filter_map(|server| server.process);
        let starts = starts.map(|since| since.saturating_add(self.tuning.start));
        let copies = self
            .databases
            .values()
            .flat_map(|database| database.copies.values())
            .filter_map(Copy::due);
        let elections = self.databases.values().filter_map(|database| database.election);
        starts
            .chain(copies)
            .chain(elections)
            .filter(|due| *due > self.now && *due < Duration::MAX)
            .min()
    }

    /// Does what is due at `now` and follows from it, until nothing more does.
    pub(super) fn settle(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        self.flow(elapsed);
        for _ in 0..8 {
            let mut changed = self.open_servers(now);
            changed |= self.finish_copies(now);
            changed |= self.elect(now);
            changed |= self.release_unwanted(now);
            changed |= self.finish_deallocations();
            if !changed {
                break;
            }
        }
    }

    /// Processes that have started open their port, once they are members.
    fn open_servers(&mut self, now: Duration) -> bool {
        let formed = self.is_formed();
        let founders = if formed { vec![] } else { self.founders(now) };
        if !founders.is_empty() {
            self.form(&founders, now);
            let (primaries, secondaries) = self.default_topology;
            let name = self.default_database.clone();
            let database = self.new_database(Some((primaries, secondaries)), now);
            self.databases.insert(name.clone(), database);
            // With too few enabled servers it waits for more.
            let _ = self.arrange(&name, now);
            return true;
        }
        let started =
            |server: &&Server| !server.serving && server.process.is_some_and(|since| now >= since + self.tuning.start);
        let mut opening: Vec<(u32, String, bool)> = self
            .servers
            .values()
            .filter(started)
            .map(|server| (server.order, server.id.clone(), server.joined))
            .collect();
        opening.sort();
        let joinable = self.databases.get(SYSTEM).is_some_and(|system| system.leader.is_some());
        let mut changed = false;
        for (_, id, joined) in opening {
            if !joined && !joinable {
                continue;
            }
            if !joined {
                self.join(&id);
            }
            self.open(&id, now);
            changed = true;
        }
        changed
    }

    fn open(&mut self, id: &str, now: Duration) {
        let start = now + self.tuning.database_start;
        let auto = self.enable_free_servers;
        if let Some(server) = self.servers.get_mut(id) {
            server.serving = true;
            if auto && server.state == ServerState::Free {
                server.state = ServerState::Enabled;
            }
        }
        let rate = self.tuning.copy_bytes_per_second;
        for (name, database) in &mut self.databases {
            let bytes = database.bytes;
            let Some(copy) = database.copies.get_mut(id) else {
                continue;
            };
            copy.phase = match copy.phase {
                Phase::Starting(_) if name == SYSTEM => Phase::Online,
                Phase::Starting(_) => Phase::Starting(start),
                Phase::Copying(_) => Phase::Copying(now + copy_time(bytes, rate)),
                other => other,
            };
        }
        for name in self.user_databases() {
            let unplaced = self
                .databases
                .get(&name)
                .is_some_and(|database| database.copies.is_empty());
            if unplaced {
                let _ = self.arrange(&name, now);
            }
        }
    }

    fn finish_copies(&mut self, now: Duration) -> bool {
        let start = self.tuning.database_start;
        let mut changed = false;
        for database in self.databases.values_mut() {
            let last = database.last_tx;
            let started = database.started;
            database.copies.retain(|id, copy| {
                let serving = self.servers.get(id).is_some_and(|server| server.serving);
                let due = copy.due().is_some_and(|due| due <= now);
                if !due {
                    return true;
                }
                if matches!(copy.phase, Phase::Leaving(_)) {
                    changed = true;
                    return false;
                }
                if serving {
                    changed = true;
                    copy.phase = match copy.phase {
                        Phase::Copying(_) => {
                            copy.applied = last;
                            if started {
                                Phase::Starting(now + start)
                            } else {
                                Phase::Offline
                            }
                        }
                        Phase::Starting(_) => Phase::Online,
                        Phase::Stopping(_) => Phase::Offline,
                        other => other,
                    };
                }
                true
            });
        }
        changed
    }

    /// A leader that is gone is missed; a majority elects another after a while.
    fn elect(&mut self, now: Duration) -> bool {
        let mut changed = false;
        let names: Vec<String> = self.databases.keys().cloned().collect();
        for name in names {
            let majority = self.has_majority(&name);
            let Some(database) = self.databases.get(&name) else {
                continue;
            };
            let mut voters: Vec<(&String, &Copy)> = database
                .copies
                .iter()
                .filter(|(id, copy)| copy.mode == Mode::Primary && self.is_online(id, copy))
                .collect();
            let leads = database
                .leader
                .as_ref()
                .is_some_and(|leader| voters.iter().any(|(id, _)| *id == leader));
            if leads && majority {
                continue;
            }
            // The one that knows most leads, an enabled server before others, the oldest first.
            voters.sort_by_key(|(id, copy)| {
                let server = self.servers.get(*id);
                let enabled = server.is_some_and(|server| server.state == ServerState::Enabled);
                (
                    std::cmp::Reverse(copy.applied),
                    !enabled,
                    copy.unwanted,
                    server.map(|server| server.order),
                )
            });
            let next = voters.first().map(|(id, _)| (*id).clone());
            let first_term = database.term == 0;
            let election = self.tuning.election;
            let Some(database) = self.databases.get_mut(&name) else {
                continue;
            };
            if database.leader.take().is_some() {
                changed = true;
            }
            if !majority || next.is_none() {
                database.election = None;
                continue;
            }
            match database.election {
                Some(due) if due <= now => {}
                None if first_term => {}
                Some(_) => continue,
                None => {
                    database.election = Some(now + election);
                    continue;
                }
            }
            database.election = None;
            database.leader = next;
            database.term += 1;
            changed = true;
        }
        changed
    }

    /// Copies that are not wanted leave once the wanted ones are online.
    fn release_unwanted(&mut self, now: Duration) -> bool {
        let mut changed = false;
        let leave = now + self.tuning.database_start;
        for name in self.user_databases() {
            let Some(database) = self.databases.get(&name) else {
                continue;
            };
            let Some((primaries, secondaries)) = database.requested else {
                continue;
            };
            let online = |mode| {
                let copies = database.copies.iter();
                copies
                    .filter(|(id, copy)| copy.mode == mode && !copy.unwanted && self.is_online(id, copy))
                    .count()
            };
            let enough = !database.started
                || online(Mode::Primary) >= primaries as usize && online(Mode::Secondary) >= secondaries as usize;
            if !enough {
                continue;
            }
            let Some(database) = self.databases.get_mut(&name) else {
                continue;
            };
            for copy in database.copies.values_mut() {
                if copy.unwanted && !matches!(copy.phase, Phase::Leaving(_)) {
                    copy.phase = Phase::Leaving(leave);
                    changed = true;
                }
            }
        }
        changed
    }

    /// A server that holds nothing but `system` any more is deallocated, and its vote with it.
    fn finish_deallocations(&mut self) -> bool {
        let mut changed = false;
        let deallocating: Vec<String> = self
            .servers
            .values()
            .filter(|server| server.state == ServerState::Deallocating)
            .map(|server| server.id.clone())
            .collect();
        for id in deallocating {
            let holds =
                |(name, database): (&String, &super::Database)| name != SYSTEM && database.copies.contains_key(&id);
            if self.databases.iter().any(holds) || !self.has_majority(SYSTEM) {
                continue;
            }
            if let Some(system) = self.databases.get_mut(SYSTEM) {
                if let Some(copy) = system.copies.get_mut(&id) {
                    copy.mode = Mode::Secondary;
                }
                if system.leader.as_ref() == Some(&id) {
                    system.leader = None;
                }
            }
            if let Some(server) = self.servers.get_mut(&id) {
                server.state = ServerState::Deallocated;
                changed = true;
            }
        }
        changed
    }

    /// Transactions are written by the load and applied by the copies.
    fn flow(&mut self, elapsed: Duration) {
        let written = (self.load.writes_per_second * elapsed.as_secs_f64()) as u64;
        let caught_up = (self.tuning.catch_up_per_second as f64 * elapsed.as_secs_f64()) as u64;
        let serving_count = self.servers.values().filter(|server| server.serving).count();
        for server in self.servers.values_mut().filter(|server| server.serving) {
            let now = self.load.at(self.now, server.order, serving_count);
            server.traffic.flow(&now, elapsed);
        }
        let serving = |id: &str| self.servers.get(id).is_some_and(|server| server.serving);
        for (name, database) in &mut self.databases {
            if name != SYSTEM && database.leader.is_some() && !database.read_only {
                database.last_tx += written;
            }
            let last = database.last_tx;
            for (id, copy) in &mut database.copies {
                if !serving(id) || copy.phase != Phase::Online {
                    continue;
                }
                let leads = database.leader.as_ref() == Some(id);
                let reach = if leads { last } else { last.saturating_sub(copy.lag) };
                let step = caught_up.max(u64::from(elapsed.is_zero()));
                copy.applied = copy.applied.max(reach.min(copy.applied + step));
                if leads {
                    copy.applied = last;
                }
            }
        }
    }
}

/// How long a store of so many bytes takes to copy.
pub(super) fn copy_time(bytes: u64, per_second: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / per_second.max(1) as f64)
}
