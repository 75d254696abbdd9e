use crossterm::event::{KeyCode, KeyModifiers};
use tokio::time::Instant;

use super::*;
use crate::model::fixture;

fn press(app: &mut App, code: KeyCode) -> Vec<Effect> {
    app.update(Msg::Term(TermEvent::Key(KeyEvent::new(code, KeyModifiers::NONE))))
}

#[tokio::test(start_paused = true)]
async fn paused_takes_data_in_and_draws_nothing() {
    let start = Instant::now();
    let mut app = App::default();
    press(&mut app, KeyCode::Char(' '));
    let sample = fixture::sample(start, 1);
    assert_eq!(app.update(Msg::Link(LinkReport::Up(sample.into()))), []);
    assert!(app.model.sample.is_some());
    assert_eq!(app.update(Msg::Tick), []);
    assert_eq!(press(&mut app, KeyCode::Char(' ')), [Effect::Draw { at_once: true }]);
}

#[test]
fn ctrl_c_quits_from_everywhere_and_q_closes_help_first() {
    let mut app = App::default();
    press(&mut app, KeyCode::Char('?'));
    assert_eq!(app.modes, [Mode::Help]);
    assert_eq!(press(&mut app, KeyCode::Char('q')), [Effect::Draw { at_once: true }]);
    assert_eq!(app.modes, []);
    press(&mut app, KeyCode::Char('?'));
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(app.update(Msg::Term(TermEvent::Key(ctrl_c))), [Effect::Quit]);
}

#[test]
fn a_released_key_does_nothing() {
    let mut app = App::default();
    let mut key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    key.kind = KeyEventKind::Release;
    assert_eq!(app.update(Msg::Term(TermEvent::Key(key))), []);
}

#[tokio::test(start_paused = true)]
async fn events_that_come_do_not_move_what_is_being_read() {
    let mut app = App {
        model: fixture::live(Instant::now()),
        ..App::default()
    };
    press(&mut app, KeyCode::Char('k'));
    assert_eq!(app.events_back, 1);
    let event = fixture::event(9, neo4j_operator_shared::events::Severity::Info, "new");
    app.update(Msg::Stream(StreamItem::Event(Some("b1-9".into()), Box::new(event))));
    assert_eq!(app.events_back, 2);
}

/// A live daemon with forecasts, seen from one of the pages.
fn ready(page: Page) -> App {
    let now = Instant::now();
    let mut app = App {
        model: fixture::live(now),
        page,
        ..App::default()
    };
    fixture::pages(&mut app.model, now);
    app
}

fn sent(effects: &[Effect]) -> Vec<&Act> {
    let mut acts = Vec::new();
    for effect in effects {
        if let Effect::Send(_, act) = effect {
            acts.push(act);
        }
    }
    acts
}

fn press_key(app: &mut App, key: Key) -> Vec<Effect> {
    let modifiers = if key.ctrl {
        KeyModifiers::CONTROL
    } else {
        KeyModifiers::NONE
    };
    app.update(Msg::Term(TermEvent::Key(KeyEvent::new(key.code, modifiers))))
}

/// The first lock, over the whole table: every key in every place, and nothing that changes the daemon leaves.
#[tokio::test(start_paused = true)]
async fn in_read_only_mode_no_key_of_the_table_sends_an_act() {
    for row in ACTIONS {
        for key in row.keys {
            for page in Page::ALL {
                for choose in [false, true] {
                    let mut app = ready(page);
                    let operation = fixture::operation(neo4j_operator_shared::switch::OperationState::Preparing);
                    crate::model::switching::take(&mut app.model.switching, Instant::now(), Some(&operation));
                    app.cache.cursor = Some(3);
                    if choose && page == Page::Cache {
                        // A question that was open when the daemon became read-only.
                        press(&mut app, KeyCode::Enter);
                        press(&mut app, KeyCode::Tab);
                    }
                    app.read_only = true;
                    let effects = press_key(&mut app, *key);
                    let acts = sent(&effects);
                    assert!(
                        acts.iter().all(|act| !act.changes()),
                        "{} on {page:?}: {acts:?}",
                        key.name()
                    );
                    assert!(!(app.offers(row) && row.level > 0), "{:?} is offered", row.action);
                    if row.level > 0 && app.place() == Scope::On(page) && row.scope.works_in(Scope::On(page)) {
                        let (bad, text) = app.notice_line().unwrap_or_default();
                        assert!(bad && text.starts_with("READ-ONLY"), "{:?}: {text:?}", row.action);
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_switch_asks_first_and_the_safe_answer_is_marked() {
    let mut app = ready(Page::Cache);
    press(&mut app, KeyCode::Char('j'));
    assert!(sent(&press(&mut app, KeyCode::Enter)).is_empty(), "Enter asks");
    assert!(sent(&press(&mut app, KeyCode::Enter)).is_empty(), "Enter cancels");
    assert_eq!(app.modes, []);
    press(&mut app, KeyCode::Enter);
    press(&mut app, KeyCode::Tab);
    let effects = press(&mut app, KeyCode::Enter);
    let [Act::Switch(request)] = sent(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(request.strategy.to_string(), "full");
    assert_eq!(
        (request.dry_run, request.rollback_after),
        (false, Some(cache::ROLLBACK_AFTER))
    );
}

#[tokio::test(start_paused = true)]
async fn one_kind_is_switched_alone_and_rollback_can_be_left_out() {
    let mut app = ready(Page::Cache);
    press(&mut app, KeyCode::Tab);
    for key in ['s', 'b', 'k'] {
        press(&mut app, KeyCode::Char(key));
    }
    press(&mut app, KeyCode::Enter);
    press(&mut app, KeyCode::Tab);
    let effects = press(&mut app, KeyCode::Enter);
    let [Act::Switch(request)] = sent(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(request.kinds, Some(vec![neo4j_operator_shared::Kind::Pod]));
    assert_eq!(request.rollback_after, None);
    press(&mut app, KeyCode::Esc);
    assert_eq!((app.cache.scope, app.page), (None, Page::Cache));
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.page, Page::Overview);
}

#[tokio::test(start_paused = true)]
async fn acts_work_from_the_overview_and_a_second_one_of_a_sort_waits_for_the_first() {
    let mut app = ready(Page::Overview);
    let reclaim = press_key(&mut app, Key::ctrl('g'));
    assert_eq!(sent(&reclaim), [&Act::Reclaim]);
    assert!(sent(&press_key(&mut app, Key::ctrl('g'))).is_empty());
    assert_eq!(sent(&press(&mut app, KeyCode::Char('w'))), [&Act::WarmUp(None)]);
    let effects = press(&mut app, KeyCode::Char('s'));
    assert_eq!(app.page, Page::Cache);
    assert!(effects.contains(&Effect::Ask(Ask::Strategies(None))));
    assert!(press(&mut app, KeyCode::Char('1')).contains(&Effect::Ask(Ask::Nothing)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_shown_even_while_the_screen_stands_still() {
    let mut app = ready(Page::Memory);
    press_key(&mut app, Key::ctrl('g'));
    press(&mut app, KeyCode::Char(' '));
    let refusal = acts::Refusal {
        code: Some(429),
        detail: "too soon".into(),
        retry_after: Some(7),
    };
    let answered = Answered {
        id: 1,
        at: Instant::now(),
        result: Err(refusal),
    };
    assert!(
        app.update(Msg::Answered(answered))
            .contains(&Effect::Draw { at_once: true })
    );
    let line = app.notice_line().unwrap();
    assert_eq!(
        line,
        (true, "reclaim refused (429): too soon; try again in 7 s".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn when_to_try_again_is_said_once() {
    for (detail, line) in [
        ("too soon", "reclaim refused (429): too soon; try again in 7 s"),
        (
            "too soon; try again in 6.9 s",
            "reclaim refused (429): too soon; try again in 6.9 s",
        ),
    ] {
        let mut app = ready(Page::Memory);
        press_key(&mut app, Key::ctrl('g'));
        let refusal = acts::Refusal {
            code: Some(429),
            detail: detail.into(),
            retry_after: Some(7),
        };
        app.update(Msg::Answered(Answered {
            id: 1,
            at: Instant::now(),
            result: Err(refusal),
        }));
        assert_eq!(app.notice_line(), Some((true, line.to_owned())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_forecasts_nothing_can_still_be_switched_after_a_question() {
    let mut app = ready(Page::Cache);
    let mut strategies = app.model.pages.strategies.get().unwrap().clone();
    strategies.forecasts.clear();
    let fetched = crate::source::page::Fetched::Got(strategies.into());
    app.update(Msg::Page(PageItem::Strategies(Instant::now(), fetched)));
    press(&mut app, KeyCode::Char('j'));
    press(&mut app, KeyCode::Enter);
    assert!(matches!(app.modes.last(), Some(Mode::Confirm(confirm)) if confirm.forecast.is_none()));
    press(&mut app, KeyCode::Tab);
    assert!(matches!(sent(&press(&mut app, KeyCode::Enter))[..], [Act::Switch(_)]));
}

/// What is watched can no longer be cancelled; `x` asks whether to go back, of all kinds or of the one that changed.
#[tokio::test(start_paused = true)]
async fn a_change_in_force_is_taken_back_after_a_question() {
    use neo4j_operator_shared::{Kind, switch::OperationState};
    for (kinds, back) in [(None, "selective"), (Some(vec![Kind::Pod]), "default")] {
        let mut app = ready(Page::Cache);
        let mut operation = fixture::operation(OperationState::Watching);
        operation.kinds.clone_from(&kinds);
        crate::model::switching::take(&mut app.model.switching, Instant::now(), Some(&operation));
        let asked = press(&mut app, KeyCode::Char('x'));
        assert!(sent(&asked).is_empty() && matches!(app.modes.last(), Some(Mode::Confirm(_))));
        press(&mut app, KeyCode::Tab);
        let effects = press(&mut app, KeyCode::Enter);
        let [Act::Switch(request)] = sent(&effects)[..] else {
            panic!("{effects:?}")
        };
        assert_eq!((request.strategy.to_string().as_str(), &request.kinds), (back, &kinds));
    }
}

#[tokio::test(start_paused = true)]
async fn the_chosen_kind_stays_chosen_when_the_kinds_are_ordered_otherwise() {
    let mut app = ready(Page::Cache);
    let mut sample = fixture::sample(Instant::now(), 30);
    let small = sample.cache.kinds[0].clone();
    let mut large = small.clone();
    (large.kind, large.bytes) = (neo4j_operator_shared::Kind::Job, small.bytes * 2);
    sample.cache.kinds.push(large);
    app.update(Msg::Link(LinkReport::Up(sample.into())));
    press(&mut app, KeyCode::Tab);
    for (key, rows, at) in [('o', ["jobs", "pods"], 1), ('O', ["pods", "jobs"], 0)] {
        press(&mut app, KeyCode::Char(key));
        let order: Vec<_> = app.kinds().iter().map(|row| row.kind.plural()).collect();
        assert_eq!((order.as_slice(), app.chosen_row()), (rows.as_slice(), at));
        assert_eq!(app.chosen_kind(), Some(small.kind));
    }
}

#[tokio::test(start_paused = true)]
async fn forecasts_are_asked_for_the_kind_that_is_to_be_changed_and_for_all_again() {
    let mut app = ready(Page::Cache);
    press(&mut app, KeyCode::Tab);
    let of = Some(neo4j_operator_shared::Kind::Pod);
    assert!(press(&mut app, KeyCode::Char('s')).contains(&Effect::Ask(Ask::Strategies(of))));
    assert!(press(&mut app, KeyCode::Esc).contains(&Effect::Ask(Ask::Strategies(None))));
}
