//! Bytes per object of each form in which the cache keeps it, by an allocator that counts. All figures are of the
//! whole process, so that this is one test, one measurement after the other. The objects are decoded from JSON as
//! a watch decodes them.
#![allow(clippy::unwrap_used)]

mod samples;
mod weigh;

use std::hint::black_box;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{reflector, watcher};
use neo4j_operator::cache::{
    ConfigMapView, PodView, SecretMeta, View,
    testing::{self, Held},
};
use samples::CANARY;
use weigh::{Counting, asked, weigh};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Pods.
const MANY: usize = 10_000;
/// Secrets.
const SECRETS: usize = 3_000;
/// ConfigMaps, and pods in kube's store, where ten thousand would take 750 MB.
const SOME: usize = 1_000;
/// What decoding may hold beside the store while a list is taken.
const BUFFERS: usize = 4 << 20;

/// A line of the table.
struct Line {
    form: &'static str,
    bytes: f64,
}

struct Report {
    lines: Vec<Line>,
    /// What does not hold.
    broken: Vec<String>,
}

impl Report {
    fn line(&mut self, form: &'static str, bytes: f64) {
        self.lines.push(Line { form, bytes });
    }

    fn holds(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(what());
        }
    }

    fn print(&self, typed: f64) {
        for line in &self.lines {
            let Line { form, bytes } = line;
            println!("| {form} | {bytes:.0} | {:.1} % |", 100.0 * bytes / typed);
        }
    }
}

/// Fills a store, checks what it counts and what a second list costs, and gives the bytes per object back.
fn keep<V: View>(report: &mut Report, form: &'static str, held: impl FnOnce() -> Held<V>, texts: &[Vec<u8>]) -> f64 {
    testing::sweep_shared();
    let shared = testing::shared_bytes();
    let (held, bytes, peak) = weigh(|| {
        let held = held();
        held.list(1, texts.iter()).unwrap();
        testing::sweep_shared();
        held
    });
    let (objects, counted) = held.totals();
    report.holds(objects as usize == texts.len(), || {
        format!("{form}: {objects} objects are kept")
    });
    let counted = counted as f64 + testing::shared_bytes() as f64 - shared as f64;
    let ratio = counted / bytes as f64;
    println!("{form}: {bytes} bytes in use, {counted} counted ({ratio:.3}), at most {peak} while it was filled");
    report.holds((0.9..=1.1).contains(&ratio), || {
        format!("{form}: {ratio:.3} of the bytes are counted")
    });
    let before = weigh::live();
    let ((), _, peak) = weigh(|| held.list(2, texts.iter()).unwrap());
    let (peak, bound) = (bytes + peak, bytes + bytes / 10 + BUFFERS);
    println!("{form}: at most {peak} bytes while it was listed again");
    report.holds(peak <= bound, || {
        format!("{form}: {peak} bytes while listed again, not {bound}")
    });
    testing::sweep_shared();
    let after = weigh::live();
    report.holds(after.abs_diff(before) <= bytes / 50, || {
        format!("{form}: {before} bytes before and {after} after a second list")
    });
    black_box(&held);
    bytes as f64 / texts.len() as f64
}

/// Bytes per object of kube's own store; with the objects as received, or without managedFields.
fn reflected(texts: &[Vec<u8>], managed_fields: bool) -> f64 {
    let (store, bytes, _) = weigh(|| {
        let (reader, mut writer) = reflector::store::<Pod>();
        writer.apply_watcher_event(&watcher::Event::Init);
        for text in texts {
            let mut pod: Pod = serde_json::from_slice(text).unwrap();
            if !managed_fields {
                pod.metadata.managed_fields = None;
            }
            writer.apply_watcher_event(&watcher::Event::InitApply(pod));
        }
        writer.apply_watcher_event(&watcher::Event::InitDone);
        (reader, writer)
    });
    assert_eq!(store.0.len(), texts.len());
    bytes as f64 / texts.len() as f64
}

#[test]
fn each_form_keeps_to_its_bytes() {
    let mut report = Report {
        lines: Vec::new(),
        broken: Vec::new(),
    };
    let own = samples::many(MANY, samples::own_pod);
    let foreign = samples::many(MANY, samples::foreign_pod);
    let sizes = || foreign.iter().chain(&own).map(Vec::len);
    let mean = foreign.iter().map(Vec::len).sum::<usize>() / MANY;
    println!(
        "pods of {} to {} bytes of JSON",
        sizes().min().unwrap(),
        sizes().max().unwrap()
    );
    let baseline = &foreign[..SOME];
    let (typed, stripped) = (reflected(baseline, true), reflected(baseline, false));
    report.line("JSON as received", mean as f64);
    report.line("kube's `Store<Pod>` as received", typed);
    report.line("the same without managedFields", stripped);

    let pods = |report: &mut Report, form, held: fn() -> Held<PodView>, texts: &[Vec<u8>]| {
        let bytes = keep(report, form, held, texts);
        report.line(form, bytes);
        bytes
    };
    let whole = pods(&mut report, "`full`: other pods", Held::whole, &foreign);
    report.holds(whole <= 0.15 * typed, || format!("a whole pod takes {whole:.0} bytes"));
    let selected = pods(&mut report, "`selective`: own pods", Held::selected, &own);
    report.holds(selected <= SELECTED, || format!("an own pod takes {selected:.0} bytes"));
    let keys = pods(&mut report, "`none`: keys of own pods", Held::keys, &own);
    report.holds(keys <= KEY, || format!("a key takes {keys:.0} bytes"));
    // What is not delivered takes nothing; were it delivered, this.
    let foreign_keys = pods(&mut report, "keys of other pods", Held::keys, &foreign);
    report.holds(foreign_keys <= FOREIGN_KEY, || {
        format!("a foreign key takes {foreign_keys:.0} bytes")
    });
    metadata(&mut report);
    a_key_is_decoded_without_the_rest(&mut report, &foreign[..SOME]);
    a_step_down_leaves_nothing(&mut report, &own);
    no_form_holds_the_data_of_a_secret();

    println!("| form | bytes per object | of the typed store |");
    println!("|---|--:|--:|");
    report.print(typed);
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
}

/// Secrets and ConfigMaps.
fn metadata(report: &mut Report) {
    let secrets = samples::many(SECRETS, samples::secret);
    let bytes = keep(report, "Secrets", Held::<SecretMeta>::selected, &secrets);
    report.line("`selective`: own Secrets", bytes);
    report.holds(bytes <= METADATA, || format!("a Secret takes {bytes:.0} bytes"));
    let bytes = keep(report, "Secrets whole", Held::<SecretMeta>::whole, &secrets[..SOME]);
    report.line("`full`: Secrets", bytes);
    drop(secrets);
    let maps = samples::many(SOME, samples::config_map);
    let bytes = keep(report, "ConfigMaps", Held::<ConfigMapView>::selected, &maps);
    report.line("`selective`: own ConfigMaps", bytes);
    let bytes = keep(report, "ConfigMaps whole", Held::<ConfigMapView>::whole, &maps);
    report.line("`full`: ConfigMaps", bytes);
}

fn a_key_is_decoded_without_the_rest(report: &mut Report, texts: &[Vec<u8>]) {
    let ask = || {
        for text in texts {
            testing::decode_key::<PodView>(text).unwrap();
        }
    };
    ask();
    let each = asked(ask) / texts.len();
    println!("decoding a pod to its key asks for {each} bytes in all");
    report.holds(each <= DECODING, || format!("decoding a key asks for {each} bytes"));
}

/// What is left of `full` after a change to `selective`, beside a fresh `selective`.
fn a_step_down_leaves_nothing(report: &mut Report, own: &[Vec<u8>]) {
    let own = &own[..SOME];
    let selective = || {
        let held = Held::<PodView>::selected();
        held.list(1, own.iter()).unwrap();
        testing::sweep_shared();
        held
    };
    testing::sweep_shared();
    let (held, fresh, _) = weigh(selective);
    drop(held);
    testing::sweep_shared();
    let (held, stepped, _) = weigh(|| {
        let whole = Held::<PodView>::whole();
        whole.list(1, own.iter()).unwrap();
        let held = selective();
        drop(whole);
        testing::sweep_shared();
        held
    });
    drop(held);
    println!("`selective` takes {fresh} bytes from the start, {stepped} after `full`");
    report.holds(stepped.abs_diff(fresh) <= fresh / 20, || {
        format!("{stepped} bytes after a step down, {fresh} from the start")
    });
}

fn no_form_holds_the_data_of_a_secret() {
    let secrets: Vec<Vec<u8>> = (0..100).map(samples::secret).collect();
    let clean = |text: &str| CANARY.iter().all(|canary| !text.contains(canary));
    assert!(!clean(std::str::from_utf8(&secrets[0]).unwrap()));
    for held in [Held::<SecretMeta>::keys(), Held::selected(), Held::whole()] {
        held.list(1, secrets.iter()).unwrap();
        let mut seen = 0;
        held.each(&mut |meta| {
            assert!(clean(&format!("{meta:?}")), "{meta:?}");
            seen += 1;
            for secret in held.read(meta.namespace()) {
                assert!(clean(&format!("{secret:?}")), "{secret:?}");
            }
        });
        assert_eq!(seen, secrets.len());
    }
    for secret in &secrets {
        let text = testing::whole_text::<SecretMeta>(secret).unwrap();
        assert!(clean(&text), "{text}");
    }
}

// The bounds are what was measured and a twentieth more. The goals are 700 bytes of an own pod and 250 of its key.

/// Bytes of an own pod as it is read.
const SELECTED: f64 = 475.0;
/// Bytes of what triggers need of an own pod.
const KEY: f64 = 250.0;
/// The same of a pod of somebody else.
const FOREIGN_KEY: f64 = 262.0;
/// Bytes of an own Secret.
const METADATA: f64 = 225.0;
/// Bytes that are asked for while a pod is decoded to its key.
const DECODING: usize = 900;
