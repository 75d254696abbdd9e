//! What the control API can ask of the cache, carried out by the router.

use futures::future::{BoxFuture, ready};
use neo4j_operator_shared::{
    Span,
    cache::{WarmupRequest, Warmups},
    switch::{By, Measured, Operation, Strategies, SwitchRequest},
};

use crate::{
    cache::{Refused, Router},
    control::acts::{Acts, Refusal, SwitchAnswer},
};

/// Acts on the router.
pub struct CacheActs {
    cache: Router,
}

impl CacheActs {
    /// Acts on this router.
    pub fn new(cache: Router) -> Self {
        Self { cache }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Running(operation) => Self::Running { operation, detail },
            Refused::TooSoon { wait, .. } => Self::TooSoon { wait, detail },
            Refused::Unfit(_) => Self::Bad(detail),
            Refused::Unknown(_) => Self::Unknown(detail),
            Refused::Over { .. } => Self::Conflict(detail),
        }
    }
}

impl Acts for CacheActs {
    fn switch(&self, request: SwitchRequest) -> BoxFuture<'_, Result<SwitchAnswer, Refusal>> {
        if request.dry_run {
            let refusal = Refusal::NotYet("there are no forecasts yet".to_owned());
            return Box::pin(ready(Err(refusal)));
        }
        let begun = self.cache.switch(&request, By::User);
        Box::pin(ready(begun.map(SwitchAnswer::Started).map_err(Into::into)))
    }

    fn cancel(&self, id: &str) -> Result<Operation, Refusal> {
        self.cache.cancel(id).map_err(Into::into)
    }

    fn warm_up(&self, request: WarmupRequest) -> Result<Warmups, Refusal> {
        Ok(self.cache.warm(request.kinds.as_deref()))
    }

    fn strategies(&self) -> BoxFuture<'_, Strategies> {
        let snapshot = self.cache.snapshot();
        Box::pin(ready(Strategies {
            current: snapshot.strategy,
            observed: Span::default(),
            reads: 0,
            now: Measured::default(),
            forecasts: Vec::new(),
            operation: snapshot.operation,
            record: Vec::new(),
            errors: Vec::new(),
            choices: Vec::new(),
        }))
    }
}
