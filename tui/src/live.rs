//! The event loop of the live screen: input, data and a clock go into [`App::update`]; its effects are
//! carried out here. Nothing is awaited in the loop but the next thing to happen, so a hanging request
//! never delays a key.

use std::{
    io,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossterm::event::EventStream;
use futures::StreamExt;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    app::{App, Effect, Msg, acts::Answered},
    cli::Args,
    control::Control,
    source::{
        LinkReport, discover,
        page::{self, Ask, PageItem},
        poll, sse,
    },
    terminal::Screen,
    view::{self, theme::Theme},
};

/// Shortest time between two frames that only data asks for.
const FRAME: Duration = Duration::from_millis(50);

/// Queued events beyond this are counted as lost.
const EVENT_QUEUE: usize = 4_096;

/// Answers that wait for the loop; there is at most one per sort of act, and one page.
const ANSWER_QUEUE: usize = 16;

/// Runs the screen until the user leaves.
pub async fn run(args: &Args, theme: Theme) -> ExitCode {
    let target = match discover::find(args).await {
        Ok(target) => target,
        Err(error) => {
            eprintln!("neotop: {error}");
            return ExitCode::from(2);
        }
    };
    let (reports, polled) = watch::channel(LinkReport::Connecting);
    let (items, streamed) = mpsc::channel(EVENT_QUEUE);
    let retry = Arc::new(Notify::new());
    let lost = Arc::new(AtomicU64::new(0));
    let (ask, asked) = watch::channel(Ask::default());
    let (page_items, paged) = mpsc::channel(ANSWER_QUEUE);
    let (answers, answered) = mpsc::channel(ANSWER_QUEUE);
    let again = Arc::new(Notify::new());
    let control = Control::new(target.clone(), args.read_only, polled.clone(), answers);
    let tasks = [
        tokio::spawn(poll::run(target.clone(), reports, Arc::clone(&retry))),
        tokio::spawn(page::run(target.clone(), asked, page_items, Arc::clone(&again))),
        tokio::spawn(follow(target, items, Arc::clone(&lost), polled.clone())),
    ];
    let sources = Sources {
        polled,
        paged,
        streamed,
        answered,
        lost,
        retry,
        ask,
        again,
        control,
    };
    let app = App {
        read_only: args.read_only,
        ..App::default()
    };
    let outcome = screen(sources, app, theme).await;
    for task in tasks {
        task.abort();
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("neotop: the terminal failed: {error}");
            ExitCode::from(2)
        }
    }
}

/// Follows the event stream from the beginning of the daemon's ring, as soon as the daemon is known.
async fn follow(
    target: discover::Target,
    items: mpsc::Sender<crate::source::StreamItem>,
    lost: Arc<AtomicU64>,
    mut polled: watch::Receiver<LinkReport>,
) {
    let first = polled
        .wait_for(|report| matches!(report, LinkReport::Up(_)))
        .await
        .map(|report| report.clone());
    if let Ok(LinkReport::Up(sample)) = first {
        sse::run(target, Some(format!("{}-0", sample.status.boot_id)), items, lost).await;
    }
}

struct Sources {
    polled: watch::Receiver<LinkReport>,
    paged: mpsc::Receiver<PageItem>,
    streamed: mpsc::Receiver<crate::source::StreamItem>,
    answered: mpsc::Receiver<Answered>,
    lost: Arc<AtomicU64>,
    retry: Arc<Notify>,
    ask: watch::Sender<Ask>,
    again: Arc<Notify>,
    control: Control,
}

async fn screen(mut sources: Sources, mut app: App, theme: Theme) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut screen = Screen::enter()?;
    let mut input = EventStream::new();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn = Instant::now();
    screen.draw(|frame| view::draw(&app, drawn, theme, frame))?;
    let mut due: Option<Instant> = None;
    loop {
        let msg = tokio::select! {
            event = input.next() => match event {
                Some(event) => Some(Msg::Term(event?)),
                None => return Ok(()),
            },
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
            Ok(()) = sources.polled.changed() => Some(Msg::Link(sources.polled.borrow_and_update().clone())),
            Some(item) = sources.paged.recv() => Some(Msg::Page(item)),
            Some(answered) = sources.answered.recv() => Some(Msg::Answered(answered)),
            Some(item) = sources.streamed.recv() => Some(Msg::Stream(item)),
            _ = tick.tick(), if app.ticks() => Some(Msg::Tick),
            () = sleep_until(due.unwrap_or(drawn)), if due.is_some() => None,
        };
        let mut effects = msg.map(|msg| app.update(msg)).unwrap_or_default();
        // What is queued already belongs into the same frame.
        while let Ok(item) = sources.streamed.try_recv() {
            effects.extend(app.update(Msg::Stream(item)));
        }
        let lost = sources.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            effects.extend(app.update(Msg::Lost(lost)));
        }
        for effect in effects {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::RetryNow => sources.retry.notify_one(),
                // The same question again must not give up the one that is on its way.
                Effect::Ask(ask) => drop(
                    sources
                        .ask
                        .send_if_modified(|wanted| std::mem::replace(wanted, ask) != ask),
                ),
                Effect::AskAgain => sources.again.notify_one(),
                Effect::Send(id, act) => sources.control.send(id, act),
                Effect::Clear => screen.clear()?,
                Effect::Draw { at_once } => {
                    let at = if at_once { Instant::now() } else { drawn + FRAME };
                    due = Some(due.map_or(at, |due| due.min(at)));
                }
            }
        }
        let now = Instant::now();
        if due.is_some_and(|due| due <= now) {
            screen.draw(|frame| view::draw(&app, now, theme, frame))?;
            (drawn, due) = (now, None);
        }
    }
}
