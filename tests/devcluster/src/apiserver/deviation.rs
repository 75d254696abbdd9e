//! Planted deviations: single wrong decisions, to prove that the conformance suite would notice them.
//!
//! They exist only with the feature `deviations`, which no program of ours is built with; without it [`Planted::is`] is a constant and the
//! branches are gone. A server has at most one, named in its options.

/// One wrong decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "deviations"), allow(dead_code, reason = "named where it would act"))]
pub enum Deviation {
    /// An update that changes nothing makes a new version.
    EqualUpdateIsStored,
    /// A DELETED event carries the version of the last change.
    DeletedKeepsItsVersion,
    /// A write that names an old version passes.
    StaleVersionPasses,
    /// An apply forgets what others own.
    ApplyForgetsOthers,
    /// Marking for deletion does not count as a generation.
    DeletionIsNoGeneration,
    /// The removal of the last finalizer leaves the object.
    LastFinalizerLeavesObject,
    /// New objects get no defaults.
    NoDefaults,
    /// Immutable fields change.
    ImmutableFieldsChange,
    /// Later pages list the present.
    PagesAreNotPinned,
    /// An object that leaves a selector does so silently.
    LeavingASelectorIsSilent,
}

/// The deviation of a server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Planted(#[cfg(feature = "deviations")] pub Option<Deviation>);

impl Planted {
    #[cfg(feature = "deviations")]
    pub(super) fn is(self, deviation: Deviation) -> bool {
        self.0 == Some(deviation)
    }

    #[cfg(not(feature = "deviations"))]
    #[allow(clippy::unused_self, reason = "the other form uses it")]
    pub(super) const fn is(self, _: Deviation) -> bool {
        false
    }
}
