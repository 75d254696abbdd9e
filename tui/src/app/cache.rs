//! The Cache page: which strategy is chosen for what, and the question before a change.

use neo4j_operator_shared::{
    Kind, Span, Strategy,
    switch::{DryRun, Forecast, SwitchRequest, Wanted},
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

/// State of the page.
#[derive(Clone, Debug)]
pub struct CachePage {
    /// Which panel keys move in.
    pub focus: Focus,
    /// The chosen row of the strategies; without one that of the strategy in force.
    pub cursor: Option<usize>,
    /// The kind to be changed; without one all kinds that have no strategy of their own.
    pub scope: Option<Kind>,
    /// The chosen row of the kinds.
    pub kind: usize,
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
    /// Whether Enter confirms; at first it cancels.
    pub yes: bool,
}

impl Default for CachePage {
    fn default() -> Self {
        Self {
            focus: Focus::Strategies,
            cursor: None,
            scope: None,
            kind: 0,
            rollback: true,
            dry_run: None,
            history_from: 0,
        }
    }
}

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

    /// What is forecast for a choice; `default` brings what the strategy of all kinds brings.
    pub fn forecast(&self, wanted: Wanted) -> Option<&Forecast> {
        let strategies = self.model.pages.strategies.get()?;
        let strategy = match wanted {
            Wanted::Strategy(strategy) => strategy,
            Wanted::Default => strategies.current,
        };
        strategies
            .forecasts
            .iter()
            .find(|forecast| forecast.strategy == strategy)
    }

    /// The kind in the chosen row of the kinds.
    pub fn chosen_kind(&self) -> Option<Kind> {
        let kinds = &self.model.sample.as_ref()?.cache.kinds;
        kinds
            .get(self.cache.kind.min(kinds.len().saturating_sub(1)))
            .map(|row| row.kind)
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
                let rows = self.model.sample.as_ref().map_or(0, |sample| sample.cache.kinds.len());
                self.cache.kind = step(self.cache.kind.min(rows.saturating_sub(1)), rows);
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
        vec![Effect::Draw { at_once: true }]
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
        if strategies.get().is_none() {
            let why = match strategies.trouble() {
                Some(Trouble::NotOffered) => "this daemon offers no switch",
                Some(Trouble::Failed(_)) => "the forecast could not be read; C-r asks again",
                None => "the forecast is not there yet",
            };
            self.notice = Some(Notice::bad(why));
            return draw;
        }
        let forecast = self.forecast(request.strategy).cloned().map(Box::new);
        self.modes.push(Mode::Confirm(Box::new(Confirm {
            request,
            from,
            forecast,
            yes: false,
        })));
        draw
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

    /// `x`: cancels the change that is being prepared.
    pub(super) fn cancel(&mut self) -> Vec<Effect> {
        let id = self
            .model
            .switching
            .as_ref()
            .filter(|switching| switching.cancellable());
        if let Some(id) = id.map(|switching| switching.operation.id.clone()) {
            return self.send(Act::Cancel(id));
        }
        self.notice = Some(Notice::plain("no change is being prepared: there is nothing to cancel"));
        vec![Effect::Draw { at_once: true }]
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
