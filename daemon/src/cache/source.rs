//! One kind: what is kept of it, and how that changes while it is read ([`reads`]).
//!
//! What is kept stands behind an `ArcSwap`, so that no read waits for a change. A change fills a second
//! [`Backing`] beside the first; from before its list begins until after the swap every answer of the server
//! is told to both, see [`super::table`].

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use neo4j_operator_shared::{
    Kind, Strategy,
    cache::{Form, KindCache},
};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    backing::{Backing, Ground, Keep, form_of},
    counts::{Counts, rate},
    filter::{Filter, Selector},
    forecast::{KindInput, PerForm},
    lazy::Asks,
    lists::Lists,
    meta::Meta,
    noted::Noted,
    table::{Side, hand_over},
    views::View,
};
use crate::{kube::watch::WatchStatus, reconcile::Key};

mod reads;

/// One kind.
pub(super) struct Source<V: View> {
    ground: Ground,
    /// Which objects are ours; custom resources all are.
    own: Option<Filter>,
    /// The same, narrowed as `--cache-selector` says.
    narrowed: Option<Filter>,
    backing: ArcSwap<Backing<V>>,
    /// What is being filled, to be swapped in.
    next: ArcSwapOption<Backing<V>>,
    /// A kind that is narrowed wakes owners by a watch of its own: a selector changes reads, not triggers.
    trigger: Option<Backing<V>>,
    /// Its strategy keeps it once it is read.
    lazy: AtomicBool,
    /// It was kept before and has been let go.
    evicted: AtomicBool,
    asks: Arc<Asks>,
    lists: Arc<Lists>,
    counts: Counts,
    /// Bytes per object of what is or was kept.
    sizes: Noted,
    started: Instant,
    /// Held by whoever changes what is kept.
    gate: Arc<Semaphore>,
}

/// What is left of a store that was swapped out.
pub(super) type Leftovers = Box<dyn Send>;

/// A kind without its type.
pub(super) trait AnySource: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    /// Starts the watches.
    fn start(&self);
    /// Watches of what is read now.
    fn feeds(&self) -> Vec<Arc<WatchStatus>>;
    /// Every watch.
    fn all_feeds(&self) -> Vec<Arc<WatchStatus>>;
    /// We wrote an object, which belongs to `owner`.
    fn wrote(&self, meta: &Meta, owner: Option<&Key>);
    /// The row of `GET /v1/cache`; its strategy and whether that is its own are the router's to say.
    fn row(&self, strategy: Strategy, pinned: bool) -> KindCache;
    fn counts(&self) -> &Counts;
    fn objects(&self) -> u64;
    /// Bytes kept, and of those the bytes of decoded objects.
    fn bytes(&self) -> (u64, u64);

    /// What a forecast has to know of it.
    fn observed(&self, window: Duration) -> KindInput;

    // === changes ===

    /// Whoever holds it may change what is kept.
    fn gate(&self) -> &Arc<Semaphore>;
    fn set_lazy(&self, lazy: bool);
    fn is_lazy(&self) -> bool;
    fn keep(&self) -> Keep;
    fn form(&self) -> Form;
    /// Whether what is read now has a complete list.
    fn is_synced(&self) -> bool;
    /// What would be kept of each object.
    fn form_of(&self, keep: Keep) -> Form;
    /// Begins to fill another store beside the one that is read.
    fn prepare(&self, keep: Keep);
    /// Watches of that store, and the objects in it.
    fn prepared(&self) -> Option<(Vec<Arc<WatchStatus>>, u64)>;
    /// Reads go to the new store from now on. The answer is what is left of the old one: to be dropped where
    /// freeing many objects holds nobody up.
    fn swap(&self) -> Leftovers;
    /// Drops the new store; the old one stays.
    fn abandon(&self);

    // === memory ===

    /// Drops what was decoded for reads; the answer is in bytes.
    fn evict_decoded(&self) -> u64;
    /// Moves what is kept together; the answer is in bytes.
    fn compact(&self) -> u64;
}

impl<V: View> Source<V> {
    /// A kind of which so much is kept at first. Custom resources are kept whatever is asked for.
    pub(super) fn new(keep: Keep, lazy: bool, asked: Option<&Selector>, ground: &Ground, asks: &Arc<Asks>) -> Self {
        let own = Filter::of(V::KIND);
        let narrowed = own.clone().map(|filter| filter.narrowed(asked));
        let keep = if own.is_none() { Keep::Selected } else { keep };
        let lists = Arc::default();
        let backing = |keep, filter: &Option<Filter>| Backing::new(keep, filter.clone(), ground, &lists);
        let first = backing(keep, if keep == Keep::Keys { &own } else { &narrowed });
        Self {
            ground: ground.clone(),
            trigger: (narrowed != own).then(|| backing(Keep::Keys, &own)),
            backing: ArcSwap::from_pointee(first),
            next: ArcSwapOption::empty(),
            own,
            narrowed,
            lazy: AtomicBool::new(lazy),
            evicted: AtomicBool::new(false),
            asks: Arc::clone(asks),
            lists,
            counts: Counts::default(),
            sizes: Noted::default(),
            started: Instant::now(),
            gate: Arc::new(Semaphore::new(1)),
        }
    }

    /// Tells something to every store that is read, or will be. The next one is looked up first: whoever is
    /// neither here nor there yet begins its list after the answer that is told.
    fn tell(&self, namespace: &str, told: impl Fn(&Backing<V>)) {
        if !self.ground.scope.contains(namespace) {
            return;
        }
        let next = self.next.load_full();
        told(&self.backing.load());
        if let Some(next) = &next {
            told(next);
        }
        if let Some(trigger) = &self.trigger {
            told(trigger);
        }
    }

    fn remember_size(&self, backing: &Backing<V>) {
        let (objects, bytes, decoded) = backing.kept.totals();
        self.sizes.note(backing.keep, (bytes - decoded) as f64, objects);
    }
}

impl<V: View> AnySource for Source<V> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn start(&self) {
        self.backing.load().start(&self.ground, self.trigger.is_none());
        if let Some(trigger) = &self.trigger {
            trigger.start(&self.ground, true);
        }
    }

    fn feeds(&self) -> Vec<Arc<WatchStatus>> {
        self.backing.load().feeds.clone()
    }

    fn all_feeds(&self) -> Vec<Arc<WatchStatus>> {
        let mut feeds = self.feeds();
        feeds.extend(self.next.load().iter().flat_map(|next| next.feeds.clone()));
        feeds.extend(self.trigger.iter().flat_map(|trigger| trigger.feeds.clone()));
        feeds
    }

    fn wrote(&self, meta: &Meta, owner: Option<&Key>) {
        // Of a store that nobody reads, too: the floor lets its pump know our own hand.
        self.tell(meta.namespace(), |backing| {
            // What a watch does not deliver is missing in its lists too.
            let owner = owner.filter(|_| backing.delivers(meta)).cloned();
            let table = backing.kept.table();
            table.wrote(meta.namespace(), meta.name(), meta.version(), owner);
        });
    }

    fn row(&self, strategy: Strategy, pinned: bool) -> KindCache {
        let backing = self.backing.load();
        let (objects, bytes, decoded_bytes) = backing.kept.totals();
        KindCache {
            kind: V::KIND,
            strategy,
            pinned,
            form: form_of::<V>(backing.keep),
            selector: backing.filter.as_ref().map(Filter::selector),
            objects,
            bytes,
            budget: None,
            decoded_bytes,
            reads: self.counts.reads(),
            misses: self.counts.misses(),
            hit_rate: rate(self.counts.recent()),
            lists: self.lists.complete(),
            synced: backing.is_synced(),
            age: backing.feeds.iter().filter_map(|feed| feed.age()).max().map(Into::into),
            unread: self.counts.unread().map(Into::into),
        }
    }

    fn counts(&self) -> &Counts {
        &self.counts
    }

    fn objects(&self) -> u64 {
        self.backing.load().kept.totals().0
    }

    fn bytes(&self) -> (u64, u64) {
        let (_, bytes, decoded) = self.backing.load().kept.totals();
        (bytes, decoded)
    }

    fn observed(&self, window: Duration) -> KindInput {
        let backing = self.backing.load_full();
        self.remember_size(&backing);
        let of_kind = |noted: PerForm| {
            if V::KIND == Kind::Secret {
                noted.metadata_only()
            } else {
                noted
            }
        };
        let (objects, _, decoded) = backing.kept.totals();
        let mut selected = objects;
        if backing.keep == Keep::All {
            selected = 0;
            let ours = |meta: &Meta| self.narrowed.as_ref().is_none_or(|filter| filter.matches(meta));
            backing.kept.table().each(&mut |meta| selected += u64::from(ours(meta)));
        }
        let watches = backing.feeds.len() as u64;
        KindInput {
            form: form_of::<V>(backing.keep),
            projected: form_of::<V>(Keep::Selected),
            selected,
            total: (backing.keep == Keep::All && backing.is_synced()).then_some(objects),
            bytes: of_kind(self.sizes.last()),
            pace: of_kind(self.lists.pace()),
            decoded,
            observed: self.counts.observed(window),
            relists: self.lists.complete().saturating_sub(watches),
            since: self.started.elapsed(),
            watches,
            ..KindInput::new(V::KIND, Strategy::Selective)
        }
    }

    fn gate(&self) -> &Arc<Semaphore> {
        &self.gate
    }

    fn set_lazy(&self, lazy: bool) {
        self.lazy.store(lazy, Ordering::Relaxed);
    }

    fn is_lazy(&self) -> bool {
        self.lazy.load(Ordering::Relaxed)
    }

    fn keep(&self) -> Keep {
        self.backing.load().keep
    }

    fn form(&self) -> Form {
        form_of::<V>(self.keep())
    }

    fn is_synced(&self) -> bool {
        self.backing.load().is_synced()
    }

    fn form_of(&self, keep: Keep) -> Form {
        form_of::<V>(keep)
    }

    fn prepare(&self, keep: Keep) {
        let filter = if keep == Keep::Keys { &self.own } else { &self.narrowed };
        let next = Arc::new(Backing::new(keep, filter.clone(), &self.ground, &self.lists));
        // First known, then begun: what the server says from now on is told to it.
        self.next.store(Some(Arc::clone(&next)));
        next.start(&self.ground, false);
    }

    fn prepared(&self) -> Option<(Vec<Arc<WatchStatus>>, u64)> {
        let next = self.next.load_full()?;
        Some((next.feeds.clone(), next.kept.totals().0))
    }

    fn swap(&self) -> Leftovers {
        let Some(next) = self.next.load_full() else {
            return Box::new(());
        };
        let old = self.backing.load_full();
        self.remember_size(&old);
        if self.trigger.is_none() {
            next.speak();
        }
        let side = |backing: &Arc<Backing<V>>| {
            let backing = Arc::clone(backing);
            move |meta: &Meta| backing.delivers(meta)
        };
        let (old_delivers, next_delivers) = (side(&old), side(&next));
        let found = hand_over(
            &Side {
                table: old.kept.table(),
                delivers: &old_delivers,
                answers: old.kept.readable() && old.is_synced(),
            },
            &Side {
                table: next.kept.table(),
                delivers: &next_delivers,
                answers: false,
            },
        );
        let let_go = old.kept.readable() && !next.kept.readable();
        self.evicted
            .store(let_go && self.lazy.load(Ordering::Relaxed), Ordering::Relaxed);
        self.backing.store(next);
        self.next.store(None);
        if self.trigger.is_none() {
            for (meta, seen) in found.changed {
                self.ground.triggers.seen(V::KIND, &meta, seen, true);
            }
            for owner in found.vanished {
                self.ground.triggers.vanished(V::KIND, owner);
            }
        }
        Box::new((old, old_delivers, next_delivers))
    }

    fn abandon(&self) {
        self.next.store(None);
    }

    fn evict_decoded(&self) -> u64 {
        self.backing.load().kept.evict_decoded()
    }

    fn compact(&self) -> u64 {
        self.backing.load().kept.table().compact()
    }
}
