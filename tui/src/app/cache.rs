//! The Cache page: which strategy is chosen for what, and the question before a change.

use neo4j_operator_shared::{
    Kind, Span, Strategy,
    cache::KindCache,
    switch::{DryRun, Forecast, Strategies, SwitchRequest, Wanted},
};
use tokio::time::Duration;

use super::{
    App, Effect, Mode, Page,
    acts::{Act, Notice},
};
use crate::model::pages::Trouble;

/// After this time a change goes back by itself if a goal is broken.
pub const ROLLBACK_AFTER: Span = Span(Duration::from_secs(5 * 60));

/// Which panel keys move in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    /// The strategies.
    #[default]
    Strategies,
    /// The kinds.
    Kinds,
}

/// The column that the kinds are ordered by, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// As the daemon lists them: in the order of warm-ups.
    #[default]
    Daemon,
    /// Bytes.
    Bytes,
    /// Objects.
    Objects,
    /// Misses per second.
    Misses,
    /// Hits per second.
    Hits,
    /// Share of misses: those that are answered worst come first.
    Worst,
}

/// State of the page.
#[derive(Clone, Debug)]
pub struct CachePage {
    /// Which panel keys move in.
    pub focus: Focus,
    /// The chosen row of the strategies; without one that of the strategy in force.
    pub cursor: Option<usize>,
    /// The kind to be changed; without one all kinds that have no strategy of their own.
    pub scope: Option<Kind>,
    /// The chosen kind; without one the first row.
    pub kind: Option<Kind>,
    /// How the kinds are ordered.
    pub sort: Sort,
    /// Whether the other way round.
    pub reversed: bool,
    /// Whether a change goes back by itself if a goal breaks.
    pub rollback: bool,
    /// The last dry run and its answer.
    pub dry_run: Option<(SwitchRequest, Box<DryRun>)>,
    /// First row of the history that is shown.
    pub history_from: usize,
}

/// The question before a change. The safe answer is marked first.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirm {
    /// What is sent.
    pub request: SwitchRequest,
    /// The strategy now.
    pub from: Strategy,
    /// What is forecast; a daemon that has observed too little forecasts nothing.
    pub forecast: Option<Box<Forecast>>,
    /// Whether that is forecast of exactly this change, and not of one of all kinds.
    pub exact: bool,
    /// Whether Enter confirms; at first it cancels.
    pub yes: bool,
}

impl Default for CachePage {
    fn default() -> Self {
        Self {
            focus: Focus::Strategies,
            cursor: None,
            scope: None,
            kind: None,
            sort: Sort::default(),
            reversed: false,
            rollback: true,
            dry_run: None,
            history_from: 0,
        }
    }
}

// === impl Sort ===

impl Sort {
    /// The next one of the ring.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Daemon => Self::Bytes,
            Self::Bytes => Self::Objects,
            Self::Objects => Self::Misses,
            Self::Misses => Self::Hits,
            Self::Hits => Self::Worst,
            Self::Worst => Self::Daemon,
        }
    }

    /// As in the frame of the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Daemon => "warm-up order",
            Self::Bytes => "bytes",
            Self::Objects => "objects",
            Self::Misses => "misses/s",
            Self::Hits => "hits/s",
            Self::Worst => "lowest hit rate",
        }
    }
}

// === impl App ===

impl App {
    /// The strategies to choose from: for one kind also to have none of its own.
    pub fn choices(&self) -> Vec<Wanted> {
        let all = Strategy::ALL.into_iter().map(Wanted::Strategy);
        all.chain(self.cache.scope.map(|_| Wanted::Default)).collect()
    }

    /// The strategy in force for what is to be changed.
    pub fn in_force(&self) -> Option<Strategy> {
        let cache = &self.model.sample.as_ref()?.cache;
        match self.cache.scope {
            None => Some(cache.strategy),
            Some(kind) => {
                let row = cache.kinds.iter().find(|row| row.kind == kind);
                Some(row.map_or(cache.strategy, |row| row.strategy))
            }
        }
    }

    /// The chosen row of the strategies.
    pub fn chosen(&self) -> usize {
        let last = self.choices().len() - 1;
        let now = || {
            Strategy::ALL
                .iter()
                .position(|strategy| Some(*strategy) == self.in_force())
        };
        self.cache.cursor.or_else(now).unwrap_or(0).min(last)
    }

    /// The forecasts, if they are of what is to be changed. A daemon of an older version does not forecast a
    /// change of one kind; then they are those of all kinds, and [`Self::forecasts_fit`] says so.
    pub fn forecasts(&self) -> Option<&Strategies> {
        let strategies = self.model.pages.strategies.get()?;
        let fits = strategies.kinds.is_none() || self.forecasts_fit();
        fits.then_some(strategies)
    }

    /// Whether the forecasts are of exactly the kinds to be changed.
    pub fn forecasts_fit(&self) -> bool {
        let of = self.model.pages.strategies.get().map(|strategies| &strategies.kinds);
        of == Some(&self.cache.scope.map(|kind| vec![kind]))
    }

    /// What is forecast for a choice; `default` brings what the strategy of all kinds brings.
    pub fn forecast(&self, wanted: Wanted) -> Option<&Forecast> {
        let strategies = self.forecasts()?;
        let strategy = match wanted {
            Wanted::Strategy(strategy) => strategy,
            Wanted::Default => strategies.current,
        };
        strategies
            .forecasts
            .iter()
            .find(|forecast| forecast.strategy == strategy)
    }

    /// The kinds in the order of the table.
    pub fn kinds(&self) -> Vec<&KindCache> {
        let mut rows: Vec<_> = self
            .model
            .sample
            .iter()
            .flat_map(|sample| &sample.cache.kinds)
            .collect();
        let rate = |row: &KindCache| self.model.reads.rate(row.kind);
        let weight = |row: &KindCache| match self.cache.sort {
            Sort::Daemon => 0.0,
            Sort::Bytes => row.bytes as f64,
            Sort::Objects => row.objects as f64,
            Sort::Misses => rate(row).map_or(-1.0, |rate| rate.misses),
            Sort::Hits => rate(row).map_or(-1.0, |rate| rate.hits),
            Sort::Worst => row.hit_rate.map_or(-1.0, |rate| 1.0 - rate),
        };
        rows.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        if self.cache.reversed {
            rows.reverse();
        }
        rows
    }

    /// The row of the chosen kind.
    pub fn chosen_row(&self) -> usize {
        let chosen = |kind: Kind| self.kinds().iter().position(|row| row.kind == kind);
        self.cache.kind.and_then(chosen).unwrap_or(0)
    }

    /// The kind in the chosen row of the kinds.
    pub fn chosen_kind(&self) -> Option<Kind> {
        self.kinds().get(self.chosen_row()).map(|row| row.kind)
    }

    /// What the chosen row would send.
    pub fn request(&self, dry_run: bool) -> SwitchRequest {
        let wanted = self.choices()[self.chosen()];
        SwitchRequest {
            strategy: wanted,
            kinds: self.cache.scope.map(|kind| vec![kind]),
            dry_run,
            rollback_after: (self.cache.rollback && !dry_run).then_some(ROLLBACK_AFTER),
        }
    }

    pub(super) fn cache_move(&mut self, down: bool) {
        let step = |at: usize, rows: usize| {
            let next = if down { at + 1 } else { at.saturating_sub(1) };
            next.min(rows.saturating_sub(1))
        };
        match self.cache.focus {
            Focus::Strategies => self.cache.cursor = Some(step(self.chosen(), self.choices().len())),
            Focus::Kinds => {
                let kinds = self.kinds();
                let next = step(self.chosen_row(), kinds.len());
                self.cache.kind = kinds.get(next).map(|row| row.kind);
            }
        }
    }

    /// `s`: to the switcher; from a kind to the switcher for that kind, from there to that for all.
    pub(super) fn open_switcher(&mut self) -> Vec<Effect> {
        if self.page != Page::Cache {
            self.cache.focus = Focus::Strategies;
            return self.go(Page::Cache);
        }
        self.cache.scope = match (self.cache.focus, self.cache.scope) {
            (Focus::Kinds, _) => self.chosen_kind(),
            (Focus::Strategies, Some(_)) => None,
            (Focus::Strategies, None) => self.chosen_kind(),
        };
        self.cache.focus = Focus::Strategies;
        self.cache.cursor = None;
        vec![Effect::Ask(self.wanted()), Effect::Draw { at_once: true }]
    }

    /// Enter in the kinds leads to the switcher of that kind, in the strategies to the question.
    pub(super) fn choose(&mut self) -> Vec<Effect> {
        if self.cache.focus == Focus::Kinds {
            return self.open_switcher();
        }
        let draw = vec![Effect::Draw { at_once: true }];
        if let Some(reason) = self.read_only_reason() {
            self.refuse("a switch", reason);
            return draw;
        }
        let request = self.request(false);
        let Some(from) = self.in_force() else {
            self.notice = Some(Notice::bad("the strategy in force is not known yet"));
            return draw;
        };
        if request.strategy == Wanted::Strategy(from) && request.kinds.is_none() {
            self.notice = Some(Notice::plain(format!(
                "{from} is in force; choose another with j and k"
            )));
            return draw;
        }
        let strategies = &self.model.pages.strategies;
        if self.forecasts().is_none() {
            let why = match strategies.trouble() {
                Some(Trouble::NotOffered) => "this daemon offers no switch",
                Some(Trouble::Failed(_)) => "the forecast could not be read; C-r asks again",
                None => "the forecast is not there yet",
            };
            self.notice = Some(Notice::bad(why));
            return draw;
        }
        self.ask_first(request, from);
        draw
    }

    fn ask_first(&mut self, request: SwitchRequest, from: Strategy) {
        let forecast = self.forecast(request.strategy).cloned().map(Box::new);
        let exact = self.forecasts_fit() && request.kinds == self.cache.scope.map(|kind| vec![kind]);
        self.modes.push(Mode::Confirm(Box::new(Confirm {
            request,
            from,
            forecast,
            exact,
            yes: false,
        })));
    }

    /// Asks whether to go back to what was before the last change.
    fn go_back(&mut self) {
        let Some(switching) = &self.model.switching else { return };
        let operation = switching.operation.clone();
        self.cache.scope = match operation.kinds.as_deref() {
            Some([kind]) => Some(*kind),
            _ => None,
        };
        let usual = self.model.sample.as_ref().map(|sample| sample.cache.strategy);
        // A kind that had the strategy of all others had none of its own, or loses nothing without it.
        let strategy = if operation.kinds.is_some() && Some(operation.from) == usual {
            Wanted::Default
        } else {
            Wanted::Strategy(operation.from)
        };
        let request = SwitchRequest {
            strategy,
            kinds: operation.kinds,
            dry_run: false,
            rollback_after: self.cache.rollback.then_some(ROLLBACK_AFTER),
        };
        self.ask_first(request, operation.to);
    }

    /// `d`: what would come, computed for exactly this change.
    pub(super) fn dry_run(&mut self) -> Vec<Effect> {
        let request = self.request(true);
        self.send(Act::DryRun(request))
    }

    /// `b`: on the page for the next change, in the question for this one.
    pub(super) fn toggle_rollback(&mut self) {
        self.cache.rollback = !self.cache.rollback;
        if let Some(Mode::Confirm(confirm)) = self.modes.last_mut() {
            confirm.request.rollback_after = self.cache.rollback.then_some(ROLLBACK_AFTER);
        }
    }

    pub(super) fn dialog_move(&mut self) {
        if let Some(Mode::Confirm(confirm)) = self.modes.last_mut() {
            confirm.yes = !confirm.yes;
        }
    }

    pub(super) fn dialog_take(&mut self) -> Vec<Effect> {
        match self.modes.pop() {
            Some(Mode::Confirm(confirm)) if confirm.yes => self.send(Act::Switch(confirm.request)),
            _ => vec![Effect::Draw { at_once: true }],
        }
    }

    /// `x`: cancels the change that is being prepared; of one that is in force it asks whether to go back.
    pub(super) fn cancel(&mut self) -> Vec<Effect> {
        let draw = Effect::Draw { at_once: true };
        match &self.model.switching {
            Some(switching) if switching.cancellable() => {
                let id = switching.operation.id.clone();
                return self.send(Act::Cancel(id));
            }
            Some(switching) if switching.returnable() => {
                if let Some(reason) = self.read_only_reason() {
                    self.refuse("the way back", reason);
                    return vec![draw];
                }
                self.go_back();
                return vec![Effect::Ask(self.wanted()), draw];
            }
            _ => self.notice = Some(Notice::plain("no change is being prepared: there is nothing to cancel")),
        }
        vec![draw]
    }

    /// `w`: the chosen kind where one is chosen, else all.
    pub(super) fn warm_up(&mut self) -> Vec<Effect> {
        let of_kind = self.page == Page::Cache && self.cache.focus == Focus::Kinds;
        let kind = if of_kind { self.chosen_kind() } else { None };
        self.send(Act::WarmUp(kind))
    }

    /// Esc on the page: first back to all kinds, then the line about acts away, then to the Overview.
    pub(super) fn cache_back(&mut self) -> bool {
        let narrowed = self.cache.scope.is_some() || self.cache.focus == Focus::Kinds;
        self.cache.focus = Focus::Strategies;
        self.cache.scope = None;
        self.cache.cursor = None;
        narrowed
    }
}
