//! What the control API can ask of the cache, carried out by the router.

use futures::future::BoxFuture;
use neo4j_operator_shared::{
    Kind,
    cache::{WarmupRequest, Warmups},
    switch::{By, Operation, Strategies, SwitchRequest},
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
            Refused::Over { .. } | Refused::TooLarge(_) => Self::Conflict(detail),
        }
    }
}

impl Acts for CacheActs {
    fn switch(&self, request: SwitchRequest) -> BoxFuture<'_, Result<SwitchAnswer, Refusal>> {
        Box::pin(async move {
            if request.dry_run {
                return Ok(SwitchAnswer::Forecast(self.cache.dry_run(&request).await?));
            }
            Ok(SwitchAnswer::Started(self.cache.switch(&request, By::User).await?))
        })
    }

    fn cancel(&self, id: &str) -> Result<Operation, Refusal> {
        self.cache.cancel(id).map_err(Into::into)
    }

    fn warm_up(&self, request: WarmupRequest) -> Result<Warmups, Refusal> {
        Ok(self.cache.warm(request.kinds.as_deref()))
    }

    fn strategies(&self, kinds: Option<Vec<Kind>>) -> BoxFuture<'_, Result<Strategies, Refusal>> {
        Box::pin(async { Ok(self.cache.strategies(kinds).await?) })
    }
}
