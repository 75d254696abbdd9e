//! neotop's acts on a real operator, under a terminal: a strategy is switched while the load runs, with its forecast
//! and its outcome; a change is cancelled; in read-only mode all is refused; a reclaim and a warm-up say what they did.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use neo4j_operator_tests::harness::Program;
use portable_pty::CommandBuilder;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    scene::{CLUSTER, Scene, target},
    screen::Screen,
};

/// Changes may follow each other at once, and what came of one is compared soon.
const HASTY: &[&str] = &["--cache-switch-pause=0s", "--cache-compare-after=3s"];

const CTRL_C: &str = "\u{3}";
const CTRL_G: &str = "\u{7}";
const CTRL_R: &str = "\u{12}";
const ESC: &str = "\u{1b}";

fn neotop(scene: &Scene, more: &[&str]) -> Screen {
    let daemon = scene.operator();
    let mut command = CommandBuilder::new(Program::Neotop.path().unwrap());
    command.arg(format!("--url=http://{}", daemon.control));
    command.arg(format!("--token-file={}", daemon.token_file.display()));
    command.args(more);
    command.env("XDG_RUNTIME_DIR", scene.folder.path());
    command.env_remove("NEOTOP_READ_ONLY");
    let screen = Screen::start(command);
    screen.wait_for("● LIVE");
    screen
}

fn quit(mut screen: Screen) {
    screen.press(CTRL_C);
    assert_eq!(screen.wait_for_exit(), 0);
    screen.assert_restored();
}

/// Opens the question for the strategy below the one in force, once there is a forecast of it.
fn ask_for_full(screen: &mut Screen) {
    screen.press("3");
    screen.wait_for(">* selective");
    screen.wait_for_line("full", |line| line.contains('→') && line.contains('%'));
    screen.press("j");
    screen.wait_for(">  full");
    screen.press("\r");
    screen.wait_for("Confirm: switch cache strategy");
    screen.wait_for("selective → full");
    screen.wait_for_line("predicted", |line| line.contains("hit") && line.contains("mem"));
}

fn confirm(screen: &mut Screen) {
    screen.press("\t");
    screen.wait_for("[ Confirm ]");
    screen.press("\r");
}

/// Somebody changes a cluster again and again, so that the operator always has something to read and to write.
struct Load {
    changes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Load {
    fn start(scene: &Scene, name: &'static str) -> Self {
        let changes = Arc::new(AtomicU64::new(0));
        let (api, counted) = (scene.api(CLUSTER), Arc::clone(&changes));
        let task = tokio::spawn(async move {
            for number in 0_u64.. {
                let patch = json!({"spec": {"service": {"annotations": {"example.com/load": number.to_string()}}}});
                let patch = kube::api::Patch::Merge(patch);
                api.patch(name, &kube::api::PatchParams::default(), &patch)
                    .await
                    .unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { changes, task }
    }

    /// Waits until it has made so many more changes.
    async fn goes_on(&self, scene: &Scene, more: u64) {
        let until = self.changes.load(Ordering::SeqCst) + more;
        scene
            .wait_for("further load", async || {
                assert!(!self.task.is_finished(), "the load has ended");
                (self.changes.load(Ordering::SeqCst) >= until).then_some(())
            })
            .await;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn strategy(scene: &Scene) -> Value {
    scene.operator().control("/v1/cache").await.unwrap()["strategy"].clone()
}

/// Reclaims that somebody asked for.
async fn forced(scene: &Scene) -> usize {
    let memory = scene.operator().control("/v1/memory").await.unwrap();
    let reclaims = memory["reclaims"].as_array().unwrap();
    reclaims.iter().filter(|reclaim| reclaim["trigger"] == "forced").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_switch_under_load_shows_its_forecast_runs_shows_its_outcome_and_is_taken_back() {
    let scene = Scene::start(HASTY).await;
    scene.ready_cluster("graph").await;
    let load = Load::start(&scene, "graph");
    load.goes_on(&scene, 20).await;
    let mut screen = neotop(&scene, &[]);
    ask_for_full(&mut screen);
    screen.press(ESC);
    screen.wait_until_gone("Confirm: switch");
    screen.press("d");
    screen.wait_for("dry run of full: would change");
    assert_eq!(strategy(&scene).await, "selective", "a dry run starts nothing");
    screen.press("\r");
    screen.wait_for("goes back by itself within 5 min");
    confirm(&mut screen);
    screen.wait_for_line("full", |line| line.contains(">* full"));
    screen.wait_for("WATCHING");
    assert_eq!(strategy(&scene).await, "full");
    load.goes_on(&scene, 20).await;
    screen.press("H");
    screen.wait_for("selective → full: WATCHING");
    screen.wait_for_line("hit_rate", |line| {
        ["was", "forecast", "came", "off by"]
            .iter()
            .all(|word| line.contains(word))
    });
    screen.press(ESC);
    screen.wait_until_gone("Past changes");
    screen.press("x");
    screen.wait_for("full → selective");
    confirm(&mut screen);
    screen.wait_for_line("selective", |line| line.contains("* selective"));
    assert_eq!(strategy(&scene).await, "selective");
    load.goes_on(&scene, 20).await;
    drop(load);
    quit(screen);
    scene.wait_ready(CLUSTER, "graph").await;
}

/// The kind in the row of the cursor.
fn chosen(line: &str) -> Option<String> {
    line.strip_prefix("│ > ")?.split_whitespace().next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_change_of_one_kind_is_forecast_and_made_alone() {
    let scene = Scene::start(HASTY).await;
    scene.ready_cluster("graph").await;
    let load = Load::start(&scene, "graph");
    load.goes_on(&scene, 20).await;
    let mut screen = neotop(&scene, &[]);
    screen.press("3");
    screen.wait_for(">* selective");
    screen.press("\t");
    let mut at = screen.read_line("a chosen kind", chosen);
    // The first kinds are custom resources, which are always watched.
    while at != "pods" {
        screen.press("j");
        at = screen.read_line("the next kind", |line| chosen(line).filter(|name| *name != at));
    }
    screen.press("s");
    screen.wait_for("Strategy switcher of pods");
    // Only the answer to the question of this kind has goals of its own.
    screen.wait_for_line("strategy   keeps", |line| line.contains("goals"));
    screen.press("k");
    screen.wait_for(">  lazy");
    screen.press("k");
    screen.wait_for(">  none");
    screen.press("\r");
    screen.wait_for("selective → none");
    screen.wait_for_line("sends", |line| line.contains(r#""kinds":["pods"]"#));
    assert!(!screen.shows("for all kinds"), "the forecast is of this change");
    confirm(&mut screen);
    screen.wait_for_line("pods", |line| line.contains("none!"));
    let cache = scene.operator().control("/v1/cache").await.unwrap();
    assert_eq!(cache["strategy"], "selective");
    let kinds = cache["kinds"].as_array().unwrap();
    let own: Vec<_> = kinds.iter().filter(|row| row["pinned"] == true).collect();
    assert!(
        own.len() == 1 && own[0]["kind"] == "pods" && own[0]["strategy"] == "none",
        "{own:?}"
    );
    quit(screen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_change_whose_stores_do_not_fill_is_cancelled_and_nothing_has_changed() {
    if !target().is_embedded() {
        eprintln!("a server that tests share cannot be held up: only on the embedded one");
        return;
    }
    let mut scene = Scene::start(HASTY).await;
    scene.ready_cluster("graph").await;
    let mut screen = neotop(&scene, &[]);
    ask_for_full(&mut screen);
    screen.press("\t");
    screen.wait_for("[ Confirm ]");
    // From now on the API server answers nobody, so that no new store can fill.
    scene.cluster.devcluster().unwrap().process.signal(libc::SIGSTOP);
    screen.press("\r");
    screen.wait_for("PREPARING");
    screen.wait_for("x cancels it");
    screen.press("x");
    screen.wait_for("CANCELLED");
    scene.cluster.devcluster().unwrap().process.signal(libc::SIGCONT);
    assert_eq!(strategy(&scene).await, "selective");
    screen.press(CTRL_R);
    screen.press("H");
    screen.wait_for("selective → full: CANCELLED");
    screen.press(ESC);
    screen.wait_until_gone("Past changes");
    quit(screen);
    // The operator goes on as if nothing had been asked for.
    scene
        .merge(
            CLUSTER,
            "graph",
            json!({"spec": {"service": {"annotations": {"example.com/after": "it"}}}}),
        )
        .await;
    scene
        .wait("Service", "graph-client", "what was asked for after it", |service| {
            service["metadata"]["annotations"]["example.com/after"] == "it"
        })
        .await;
    scene.wait_ready(CLUSTER, "graph").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_in_read_only_mode_whoever_says_so() {
    let scene = Scene::start(HASTY).await;
    scene.ready_cluster("graph").await;
    refuses(&scene, &["--read-only"], "neotop was started with --read-only").await;
    let scene = Scene::start(&["--read-only"]).await;
    refuses(&scene, &[], "the daemon is in read-only mode").await;
}

async fn refuses(scene: &Scene, arguments: &[&str], reason: &str) {
    let mut screen = neotop(scene, arguments);
    screen.wait_for("READ-ONLY");
    for (key, what) in [(CTRL_G, "reclaim"), ("w", "warm-up")] {
        screen.press(key);
        screen.wait_for(&format!("READ-ONLY: {what} is not sent, {reason}"));
    }
    screen.press("3");
    screen.wait_for(">* selective");
    screen.press("j");
    screen.wait_for(">  full");
    screen.press("\r");
    screen.wait_for(&format!("READ-ONLY: a switch is not sent, {reason}"));
    quit(screen);
    let cache = scene.operator().control("/v1/cache").await.unwrap();
    assert_eq!(
        (&cache["strategy"], &cache["operation"]),
        (&json!("selective"), &Value::Null)
    );
    assert_eq!(forced(scene).await, 0);
    let strategies = scene.operator().control("/v1/cache/strategies").await.unwrap();
    assert_eq!(strategies["record"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_reclaim_and_a_warm_up_say_what_they_did() {
    let scene = Scene::start(&["--cache-strategy=lazy"]).await;
    scene.ready_cluster("graph").await;
    let load = Load::start(&scene, "graph");
    load.goes_on(&scene, 20).await;
    let mut screen = neotop(&scene, &[]);
    screen.press("4");
    screen.wait_for("expected to give back");
    screen.press(CTRL_G);
    screen.wait_for_line("reclaim #", |line| line.contains(" in ") && line.contains(" ms"));
    // Within ten seconds a second one is refused, with the time to wait.
    screen.press(CTRL_G);
    screen.wait_for("reclaim refused (429)");
    screen.wait_for("try again in");
    screen.press(ESC);
    screen.wait_until_gone("reclaim refused");
    screen.wait_for_line("forced", |line| line.contains('>'));
    assert_eq!(forced(&scene).await, 1);
    screen.press("\r");
    screen.wait_for("steps, in order");
    screen.wait_for_line("in use", |line| line.contains('→'));
    screen.press(ESC);
    screen.wait_until_gone("steps, in order");
    screen.press("w");
    screen.wait_for_line("warm-up: ", |line| {
        line.contains(" read in ") || line.contains(" was warm")
    });
    load.goes_on(&scene, 20).await;
    drop(load);
    scene
        .wait_for("every kind that is kept being warm", async || {
            let cache = scene.operator().control("/v1/cache").await?;
            let kinds = cache["kinds"].as_array()?;
            kinds
                .iter()
                .all(|row| row["synced"] == true || row["form"] == "none")
                .then_some(())
        })
        .await;
    quit(screen);
}
