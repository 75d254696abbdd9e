//! What the misses of a kind say, and what would help (PR10).

use neo4j_operator_shared::cache::MissReason as Miss;

use super::{Input, KindInput, kind::part};
use neo4j_operator_shared::Strategy;

/// Fewer misses are no pattern.
const ENOUGH: u64 = 20;

/// A sentence about the most frequent reason why a kind's reads miss, as `61 % of the misses are cold reads:
/// warm pods, 412 objects, ≈ 1.1 s`; `None` where there are few, or the hit rate is what it should be.
pub(in crate::cache) fn advice(input: &Input, kind: &KindInput) -> Option<String> {
    let observed = &kind.observed;
    let missed = |reason: Miss| observed.missed(reason);
    let all: u64 = Miss::ALL.into_iter().map(missed).sum();
    if all < ENOUGH || observed.hit_rate().is_none_or(|rate| rate >= 0.8) {
        return None;
    }
    let reason = Miss::ALL.into_iter().max_by_key(|reason| missed(*reason))?;
    let name = kind.kind.plural();
    let cost = |strategy| {
        let part = part(input, kind, strategy);
        (part.objects as u64, part.bytes, part.seconds)
    };
    let text = match reason {
        Miss::Cold => {
            let (objects, _, seconds) = cost(Strategy::Selective);
            format!("are cold reads: warm {name}, {}, ≈ {seconds:.1} s", counted(objects))
        }
        Miss::Unsynced => {
            format!("came before the list was complete or while the watch was in trouble: see the watches of {name}")
        }
        Miss::Evicted => {
            let (objects, held, _) = cost(Strategy::Selective);
            format!(
                "are of what was dropped: keep {name}, {}, {}",
                counted(objects),
                bytes(held)
            )
        }
        Miss::Stale => format!("found the store behind: see the age of the watch of {name}"),
        Miss::Filtered => match kind.total {
            Some(_) => {
                let (objects, held, _) = cost(Strategy::Full);
                format!(
                    "are outside the selection: full would keep {name}, {}, {}",
                    counted(objects),
                    bytes(held)
                )
            }
            None => format!("are outside the selection: only full would keep them, and nobody has counted {name} yet"),
        },
    };
    let share = missed(reason) as f64 / all as f64 * 100.0;
    Some(format!("{share:.0} % of the misses {text}"))
}

fn counted(objects: u64) -> String {
    if objects == 1 {
        "1 object".to_owned()
    } else {
        format!("{objects} objects")
    }
}

/// Bytes for people: `37 kB`, `9.4 MB`.
pub(in crate::cache) fn bytes(bytes: f64) -> String {
    match bytes {
        small if small < 1000.0 => format!("{small:.0} B"),
        few if few < 1e4 => format!("{:.1} kB", few / 1e3),
        some if some < 1e6 => format!("{:.0} kB", some / 1e3),
        many if many < 1e9 => format!("{:.1} MB", many / 1e6),
        most => format!("{:.1} GB", most / 1e9),
    }
}
