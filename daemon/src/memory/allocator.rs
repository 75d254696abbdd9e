//! The allocator of the binary (feature `jemalloc`): its figures, its settings, returning free pages.
//!
//! Whoever links this library without making jemalloc the allocator of the program (as tests do) has an
//! allocator that nothing is allocated from: its figures would be true and useless, so they are absent.

use neo4j_operator_shared::memory::Sizes;

/// How the allocator is set up before `main`: the program exports a pointer to this text as `_rjem_malloc_conf`.
///
/// By default jemalloc returns pages only while the program goes on allocating, so that an idle daemon would keep
/// the peak of its start for ever. A background thread returns them after a second. Two arenas serve the few
/// threads of a daemon, and fragment less than four per core.
pub const START_CONFIGURATION: [u8; 70] = *b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:2\0";

/// The settings in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether a thread returns free pages by itself.
    pub background_thread: bool,
    /// Milliseconds after which free pages are returned; -1 is never.
    pub dirty_decay_ms: i64,
    /// Milliseconds after which pages that the system may take anyway are returned.
    pub muzzy_decay_ms: i64,
    /// Arenas that threads share.
    pub arenas: u32,
}

/// How fast free pages are returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// As it was set up.
    Usual,
    /// At once, at the cost of the next allocation.
    AtOnce,
}

/// The allocator refused; the number is the error code of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It answered with an error.
    #[error("the allocator refuses {what}: error {code}")]
    Code {
        /// What was asked of it.
        what: &'static str,
        /// Why, as an error code of the operating system.
        code: i32,
    },
    /// The program does not run on it.
    #[error("this program does not run on jemalloc, which alone can be told to return its free pages")]
    NotOurs,
}

/// The figures, without resident bytes of the operating system; all absent if the allocator is not ours.
pub fn sizes() -> Sizes {
    imp::sizes()
}

/// The settings in force; absent if the allocator is not ours.
pub fn settings() -> Option<Settings> {
    imp::settings()
}

/// Returns every free page to the operating system: some 200 ms per GB, so on a thread that may block.
pub fn purge() -> Result<(), Refused> {
    imp::purge()
}

/// Changes how fast free pages are returned; at once also means now.
pub fn set_decay(decay: Decay) -> Result<(), Refused> {
    imp::set_decay(decay)
}

/// Says in the log how the allocator is set up, or that there is none.
pub fn log_settings() {
    if let Some(settings) = settings() {
        tracing::info!(
            background_thread = settings.background_thread,
            dirty_decay_ms = settings.dirty_decay_ms,
            muzzy_decay_ms = settings.muzzy_decay_ms,
            arenas = settings.arenas,
            "allocator jemalloc"
        );
    } else {
        tracing::info!("allocator of the system: free pages are returned as it sees fit");
    }
}

#[cfg(feature = "jemalloc")]
mod imp {
    use std::sync::OnceLock;

    use tikv_jemalloc_ctl::{background_thread, epoch, stats};

    use super::{Decay, Refused, Settings, Sizes, control};

    /// Whether the program allocates from jemalloc: then an allocation shows in its figures.
    fn ours() -> bool {
        static OURS: OnceLock<bool> = OnceLock::new();
        *OURS.get_or_init(|| {
            const PROBE: usize = 1 << 20;
            let allocated = || epoch::advance().and_then(|_| stats::allocated::read()).unwrap_or(0);
            let before = allocated();
            let probe = std::hint::black_box(vec![1_u8; PROBE]);
            // Other threads may free as much meanwhile, but only where there was as much.
            let shows = before >= PROBE || allocated() >= before + PROBE / 2;
            drop(probe);
            shows
        })
    }

    pub(super) fn sizes() -> Sizes {
        // The figures are a copy that only an epoch refreshes.
        if !ours() || epoch::advance().is_err() {
            return Sizes::default();
        }
        let bytes = |figure: tikv_jemalloc_ctl::Result<usize>| figure.ok().map(|bytes| bytes as u64);
        Sizes {
            rss: None,
            allocated: bytes(stats::allocated::read()),
            active: bytes(stats::active::read()),
            resident: bytes(stats::resident::read()),
            retained: bytes(stats::retained::read()),
            metadata: bytes(stats::metadata::read()),
        }
    }

    pub(super) fn settings() -> Option<Settings> {
        if !ours() {
            return None;
        }
        Some(Settings {
            background_thread: background_thread::read().ok()?,
            dirty_decay_ms: control::read::<isize>(c"arenas.dirty_decay_ms").ok()? as i64,
            muzzy_decay_ms: control::read::<isize>(c"arenas.muzzy_decay_ms").ok()? as i64,
            arenas: control::read::<u32>(c"opt.narenas").ok()?,
        })
    }

    pub(super) fn purge() -> Result<(), Refused> {
        if !ours() {
            return Err(Refused::NotOurs);
        }
        // 4096 stands for all arenas.
        control::command(c"arena.4096.purge").map_err(|code| Refused::Code {
            what: "to return its free pages",
            code,
        })
    }

    pub(super) fn set_decay(decay: Decay) -> Result<(), Refused> {
        if !ours() {
            return Err(Refused::NotOurs);
        }
        let refused = |code| Refused::Code {
            what: "another decay",
            code,
        };
        let milliseconds = match decay {
            Decay::AtOnce => 0,
            Decay::Usual => control::read::<isize>(c"opt.dirty_decay_ms").map_err(refused)?,
        };
        // For arenas to come, then for those that are. One that was never used has no decay to set.
        control::write(c"arenas.dirty_decay_ms", milliseconds).map_err(refused)?;
        for arena in 0..control::read::<u32>(c"arenas.narenas").map_err(refused)? {
            let name = std::ffi::CString::new(format!("arena.{arena}.dirty_decay_ms")).unwrap_or_default();
            let _ = control::write(&name, milliseconds);
        }
        Ok(())
    }
}

#[cfg(not(feature = "jemalloc"))]
mod imp {
    use super::{Decay, Refused, Settings, Sizes};

    pub(super) fn sizes() -> Sizes {
        Sizes::default()
    }

    pub(super) fn settings() -> Option<Settings> {
        None
    }

    pub(super) fn purge() -> Result<(), Refused> {
        Err(Refused::NotOurs)
    }

    pub(super) fn set_decay(_: Decay) -> Result<(), Refused> {
        Err(Refused::NotOurs)
    }
}

/// The one call that has no safe wrapper. The wrapper crate passes pointers for values that are not there, which
/// the allocator takes for an error, and which goes unnoticed if nobody looks at the code.
#[cfg(feature = "jemalloc")]
#[allow(unsafe_code)] // a foreign function with pointers; each is null or of a local with its true size
mod control {
    use std::{ffi::CStr, mem::MaybeUninit, ptr};

    use tikv_jemalloc_sys::mallctl;

    /// Types as the allocator's manual gives them for a name: a wrong size is refused by it.
    pub(super) trait Word: Copy {}
    impl Word for isize {}
    impl Word for u32 {}

    /// Does what the name says.
    pub(super) fn command(name: &CStr) -> Result<(), i32> {
        // SAFETY: no value goes in or out; the name ends with a zero.
        code(unsafe { mallctl(name.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) })
    }

    /// Reads a value.
    pub(super) fn read<T: Word>(name: &CStr) -> Result<T, i32> {
        let mut value = MaybeUninit::<T>::uninit();
        let mut size = size_of::<T>();
        // SAFETY: the allocator writes at most `size` bytes, and fails if the value has another size; a word has
        // no bits that are no value.
        unsafe {
            code(mallctl(
                name.as_ptr(),
                value.as_mut_ptr().cast(),
                &raw mut size,
                ptr::null_mut(),
                0,
            ))?;
            Ok(value.assume_init())
        }
    }

    /// Changes a value.
    pub(super) fn write<T: Word>(name: &CStr, mut value: T) -> Result<(), i32> {
        // SAFETY: the allocator reads `size_of::<T>()` bytes of a local, and fails if the value has another size.
        code(unsafe {
            mallctl(
                name.as_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
                (&raw mut value).cast(),
                size_of::<T>(),
            )
        })
    }

    fn code(code: i32) -> Result<(), i32> {
        if code == 0 { Ok(()) } else { Err(code) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit tests run on the system's allocator. What is done on jemalloc is shown by `tests/reclaim.rs`.
    #[test]
    fn without_the_allocator_nothing_is_claimed() {
        assert_eq!(sizes(), Sizes::default());
        assert_eq!(settings(), None);
        assert_eq!(purge(), Err(Refused::NotOurs));
        assert_eq!(set_decay(Decay::AtOnce), Err(Refused::NotOurs));
    }
}
