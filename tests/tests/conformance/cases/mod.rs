//! The cases by theme.

use std::{future::Future, pin::Pin};

use crate::session::Session;

mod apply;
mod custom;
mod errors;
mod fields;
mod garbage;
mod grace;
pub mod life;
mod watch;

/// A future that borrows the session.
pub type Run = for<'a> fn(&'a mut Session) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One case.
pub struct Case {
    pub name: &'static str,
    pub run: Run,
}

/// Cases that share a golden file.
pub struct Theme {
    pub name: &'static str,
    /// Whether the cluster's controllers have to run.
    pub controllers: bool,
    pub cases: &'static [Case],
}

/// The table of a theme: names of its functions.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub const CASES: &[crate::cases::Case] = &[$(crate::cases::Case {
            name: stringify!($name),
            run: |s| Box::pin($name(s)),
        }),*];
    };
}
use cases;

const fn theme(name: &'static str, cases: &'static [Case]) -> Theme {
    Theme {
        name,
        controllers: false,
        cases,
    }
}

pub const THEMES: &[Theme] = &[
    theme("life", life::CASES),
    theme("watch", watch::CASES),
    theme("apply", apply::CASES),
    theme("fields", fields::CASES),
    theme("errors", errors::CASES),
    theme("custom", custom::CASES),
    theme("grace", grace::CASES),
    Theme {
        name: "garbage",
        controllers: true,
        cases: garbage::CASES,
    },
];
