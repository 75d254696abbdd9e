//! How the memory of a container is divided: heap, page cache and what the rest of the process needs
//! (neo4j.md §6.1). Whole MiB, never rounded GiB: a heap that rounds up beyond the limit never starts.

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Sizes for neo4j.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Heap, initial and maximal alike.
    pub heap_mib: u64,
    /// Page cache.
    pub page_cache_mib: u64,
}

/// Divides a container limit in bytes. `heap_mib` is what the user fixed, if anything.
pub fn divide(limit: u64, heap_mib: Option<u64>) -> Memory {
    if let Some(heap_mib) = heap_mib {
        return Memory {
            heap_mib,
            page_cache_mib: (heap_mib / 2).max(128),
        };
    }
    let (heap, cache, reserve) = if limit >= 4 * GIB {
        (60, 30, 512)
    } else if limit > 2 * GIB {
        (50, 25, 512)
    } else {
        (50, 25, 256)
    };
    let limit = limit / MIB;
    let (mut heap, mut cache) = (limit * heap / 100, limit * cache / 100);
    let available = limit.saturating_sub(reserve);
    if heap + cache > available {
        let wanted = heap + cache;
        heap = heap * available / wanted;
        cache = cache * available / wanted;
    }
    Memory {
        heap_mib: heap.clamp(256, 31 * 1024),
        page_cache_mib: cache.max(128),
    }
}

/// A memory size as neo4j.conf takes it: `512m`, `2g`, `1048576`, `512MiB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" | "kb" => 1 << 10,
        "m" | "mib" | "mb" => MIB,
        "g" | "gib" | "gb" => GIB,
        "t" | "tib" | "tb" => 1 << 40,
        _ => return None,
    };
    let bytes = number * unit as f64;
    (bytes.is_finite() && (0.0..=1e18).contains(&bytes)).then_some(bytes as u64)
}

/// Whether heap, page cache and what the process needs besides (a quarter of the limit, at least 512 MiB) fit.
pub fn fits(memory: Memory, limit: u64) -> bool {
    let limit = limit / MIB;
    memory.heap_mib + memory.page_cache_mib + (limit / 4).max(512) <= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heap_and_cache_leave_the_reserve_and_are_whole_mebibytes() {
        let cases = [
            (3 * GIB / 2, (768, 384)),
            (2 * GIB, (1024, 512)),
            (3 * GIB, (1536, 768)),
            (4 * GIB, (2389, 1194)),
            (16 * GIB, (9830, 4915)),
            (128 * GIB, (31 * 1024, 39321)),
            (256 * MIB, (256, 128)),
        ];
        for (limit, (heap_mib, page_cache_mib)) in cases {
            assert_eq!(
                divide(limit, None),
                Memory {
                    heap_mib,
                    page_cache_mib
                },
                "{} MiB",
                limit / MIB
            );
        }
    }

    #[test]
    fn a_heap_of_the_user_halves_into_the_cache() {
        assert_eq!(
            divide(8 * GIB, Some(3000)),
            Memory {
                heap_mib: 3000,
                page_cache_mib: 1500
            }
        );
    }

    #[test]
    fn sizes_of_neo4j_conf_are_read() {
        assert_eq!(parse_size("512m"), Some(512 * MIB));
        assert_eq!(parse_size("1.5G"), Some(1536 * MIB));
        assert_eq!(parse_size("2GiB"), Some(2 * GIB));
        assert_eq!(parse_size("1048576"), Some(MIB));
        assert_eq!(parse_size("lots"), None);
        assert_eq!(parse_size(""), None);
    }
}
