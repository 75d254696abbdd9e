//! How a read of one kind is answered: from its store if that is new enough, else by the server, whose answer
//! is then told to every store of the kind. A miss in a store with a filter is never an answer (CA3).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use neo4j_operator_shared::cache::MissReason as Miss;
use tokio::time::Instant;

use super::Source;
use crate::{
    cache::{
        answer::{Answer, Freshness, ReadSource},
        backing::Backing,
        counts::{Op, Outcome},
        live::{Live, ReadError},
        meta::Meta,
        select::Select,
        store::Found,
        views::View,
    },
    reconcile::Requests,
};

/// How long a read waits for the watch to catch up with what we wrote, before it asks the server.
const CATCH_UP: Duration = Duration::from_millis(100);
/// A store whose watch has been in trouble for longer is not read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Up to so many objects that the store is too old for are read one by one; beyond, the list is read anew.
const SINGLE_READS: usize = 8;

impl<V: View> Source<V> {
    /// What can be read of a namespace, or why the server has to be asked.
    fn readable(&self, namespace: &str) -> Result<Arc<Backing<V>>, Miss> {
        let backing = self.backing.load_full();
        if !backing.kept.readable() {
            if self.lazy.load(Ordering::Relaxed) {
                self.asks.want(V::KIND);
            }
            let evicted = self.evicted.load(Ordering::Relaxed);
            Err(if evicted { Miss::Evicted } else { Miss::Cold })
        } else if !self.ground.scope.contains(namespace) {
            Err(Miss::Filtered)
        } else if !backing.feed(namespace).is_some_and(|feed| feed.trusted(PATIENCE)) {
            Err(Miss::Unsynced)
        } else {
            Ok(backing)
        }
    }

    /// The ticks at which a read of the server begins, by store.
    fn ticks(&self) -> Ticks<V> {
        let next = self.next.load_full();
        let backing = self.backing.load_full();
        let of = |backing: Arc<Backing<V>>| (backing.kept.table().tick(), backing);
        Ticks([Some(of(backing)), next.map(of)])
    }

    fn told(&self, meta: &Meta, ticks: &Ticks<V>) {
        self.tell(meta.namespace(), |backing| {
            let (table, since) = (backing.kept.table(), ticks.of(backing));
            if backing.delivers(meta) {
                table.raise(meta.namespace(), meta.name(), meta.version(), since);
            } else {
                table.outside(meta.namespace(), meta.name(), meta.version(), since);
            }
        });
    }

    /// Asks the server, and remembers how new its answer is.
    async fn ask(
        &self,
        live: &Live,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        let ticks = self.ticks();
        let answer = live.get::<V>(namespace, name, requests).await?;
        match &answer {
            Some(object) => self.told(object.meta(), &ticks),
            None => self.tell(namespace, |backing| {
                backing.kept.table().absent(namespace, name, ticks.of(backing));
            }),
        }
        Ok(answer)
    }

    async fn ask_list(
        &self,
        live: &Live,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<(Vec<Arc<V>>, Option<String>), ReadError> {
        let ticks = self.ticks();
        let (objects, version) = live.list::<V>(namespace, select, requests).await?;
        for object in &objects {
            self.told(object.meta(), &ticks);
        }
        Ok((objects, version))
    }

    pub(in crate::cache) async fn get(
        &self,
        live: &Live,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Answer<Option<Arc<V>>>, ReadError> {
        let began = Instant::now();
        let reason = match self.readable(namespace) {
            Err(reason) => reason,
            Ok(backing) => {
                let mut found = backing.kept.get(namespace, name);
                if matches!(found, Found::Stale) {
                    let names = [Arc::from(name)];
                    let caught_up = backing.kept.until_caught_up(namespace, &names);
                    let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
                    found = backing.kept.get(namespace, name);
                }
                match found {
                    Found::Here(object) => return Ok(self.hit(&backing, namespace, Some(object), began)),
                    // Without a filter the store holds every object of the kind.
                    Found::Nothing if backing.filter.is_none() => {
                        return Ok(self.hit(&backing, namespace, None, began));
                    }
                    Found::Nothing => Miss::Filtered,
                    Found::Stale | Found::Doubtful => Miss::Stale,
                }
            }
        };
        let asked = Instant::now();
        let answer = self.ask(live, namespace, name, requests).await;
        let covered = answer.as_ref().is_ok_and(|object| self.selected(object.as_deref()));
        self.counts
            .read(Op::Get, Outcome::Miss(reason), covered, asked.elapsed());
        Ok(Self::answered(reason.into(), answer?))
    }

    /// Whether a store of the selected objects would have had this answer.
    fn selected(&self, object: Option<&V>) -> bool {
        let matches = |object: &V| {
            self.narrowed
                .as_ref()
                .is_none_or(|filter| filter.matches(object.meta()))
        };
        object.map_or(self.narrowed.is_none(), matches)
    }

    fn hit(
        &self,
        backing: &Backing<V>,
        namespace: &str,
        object: Option<Arc<V>>,
        began: Instant,
    ) -> Answer<Option<Arc<V>>> {
        let covered = self.selected(object.as_deref());
        self.counts.read(Op::Get, Outcome::Hit, covered, began.elapsed());
        let mut answer = Self::answered(ReadSource::Cache, object);
        answer.freshness.age = backing.feed(namespace).and_then(|feed| feed.age());
        answer
    }

    fn answered(source: ReadSource, object: Option<Arc<V>>) -> Answer<Option<Arc<V>>> {
        let version = object
            .as_ref()
            .map(|object| object.meta().resource_version().to_string());
        Answer {
            value: object,
            freshness: Freshness {
                source,
                age: None,
                resource_version: version,
            },
        }
    }

    pub(in crate::cache) async fn list(
        &self,
        live: &Live,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Answer<Vec<Arc<V>>>, ReadError> {
        let began = Instant::now();
        let covered = self.narrowed.as_ref().is_none_or(|filter| filter.covers(select));
        let uncovered = |backing: &Backing<V>| backing.filter.as_ref().is_some_and(|filter| !filter.covers(select));
        let reason = match self.readable(namespace) {
            Err(reason) => reason,
            Ok(backing) if uncovered(&backing) => Miss::Filtered,
            Ok(backing) => {
                let mut found = backing.kept.list(namespace, select);
                if let Some((_, stale)) = &found
                    && !stale.is_empty()
                {
                    let caught_up = backing.kept.until_caught_up(namespace, stale);
                    let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
                    found = backing.kept.list(namespace, select);
                }
                match found {
                    Some((objects, stale)) if stale.is_empty() => {
                        self.counts.read(Op::List, Outcome::Hit, covered, began.elapsed());
                        let age = backing.feed(namespace).and_then(|feed| feed.age());
                        return Ok(Self::listed(ReadSource::Cache, objects, age, None));
                    }
                    Some((objects, stale)) if stale.len() <= SINGLE_READS => {
                        let more = stale.len() as u32 - 1;
                        let objects = self.mended(live, namespace, select, requests, objects, stale).await?;
                        self.counts.read(Op::List, Outcome::Miss(Miss::Stale), covered, None);
                        self.counts.more_requests(Op::List, more);
                        return Ok(Self::listed(ReadSource::Live, objects, None, None));
                    }
                    _ => Miss::Stale,
                }
            }
        };
        let asked = Instant::now();
        let answer = self.ask_list(live, namespace, select, requests).await;
        self.counts
            .read(Op::List, Outcome::Miss(reason), covered, asked.elapsed());
        let (objects, version) = answer?;
        Ok(Self::listed(reason.into(), objects, None, version))
    }

    /// A list whose stale objects are read one by one.
    async fn mended(
        &self,
        live: &Live,
        namespace: &str,
        select: &Select,
        requests: &Requests,
        mut objects: Vec<Arc<V>>,
        stale: Vec<Arc<str>>,
    ) -> Result<Vec<Arc<V>>, ReadError> {
        for name in stale {
            let fresh = self.ask(live, namespace, &name, requests).await?;
            let fresh = fresh.filter(|object| select.matches(object.meta()));
            let place = objects.binary_search_by(|object| object.meta().name().cmp(&name));
            match (place, fresh) {
                (Ok(place), Some(fresh)) => objects[place] = fresh,
                (Ok(place), None) => {
                    objects.remove(place);
                }
                (Err(place), Some(fresh)) => objects.insert(place, fresh),
                (Err(_), None) => {}
            }
        }
        Ok(objects)
    }

    fn listed(
        source: ReadSource,
        objects: Vec<Arc<V>>,
        age: Option<Duration>,
        version: Option<String>,
    ) -> Answer<Vec<Arc<V>>> {
        Answer {
            value: objects,
            freshness: Freshness {
                source,
                age,
                resource_version: version,
            },
        }
    }

    pub(in crate::cache) async fn bypass(
        &self,
        live: &Live,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Option<Arc<V>>, ReadError> {
        let began = Instant::now();
        let answer = self.ask(live, namespace, name, requests).await;
        self.counts.read(Op::Get, Outcome::Bypass, false, began.elapsed());
        answer
    }

    pub(in crate::cache) async fn bypass_list(
        &self,
        live: &Live,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<(Vec<Arc<V>>, Option<String>), ReadError> {
        let began = Instant::now();
        let answer = self.ask_list(live, namespace, select, requests).await;
        self.counts.read(Op::List, Outcome::Bypass, false, began.elapsed());
        answer
    }

    /// A read of one object where nothing is kept of any kind.
    pub(in crate::cache) async fn direct(
        live: &Live,
        namespace: &str,
        name: &str,
        requests: &Requests,
    ) -> Result<Answer<Option<Arc<V>>>, ReadError> {
        let object = live.get(namespace, name, requests).await?;
        Ok(Self::answered(ReadSource::Live, object))
    }

    /// A list where nothing is kept of any kind.
    pub(in crate::cache) async fn direct_list(
        live: &Live,
        namespace: &str,
        select: &Select,
        requests: &Requests,
    ) -> Result<Answer<Vec<Arc<V>>>, ReadError> {
        let (objects, version) = live.list(namespace, select, requests).await?;
        Ok(Self::listed(ReadSource::Live, objects, None, version))
    }

    /// Counts a read that is never answered from a cache.
    pub(in crate::cache) fn count_bypass(&self) {
        self.counts.read(Op::Get, Outcome::Bypass, false, None);
    }
}

impl From<Miss> for ReadSource {
    fn from(reason: Miss) -> Self {
        match reason {
            Miss::Filtered => Self::Fallback,
            _ => Self::Live,
        }
    }
}

/// When a read of the server began, in the ticks of each store.
struct Ticks<V: View>([Option<(u64, Arc<Backing<V>>)>; 2]);

impl<V: View> Ticks<V> {
    /// Of a store that was not there yet: its list began later than the read, so nothing in it is older.
    fn of(&self, backing: &Backing<V>) -> u64 {
        let mut known = self.0.iter().flatten();
        let known = known.find(|(_, known)| std::ptr::eq(&raw const **known, &raw const *backing));
        known.map_or(0, |(tick, _)| *tick)
    }
}
