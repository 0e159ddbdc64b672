//! How decorators are put together, in one place.

use crate::counted::Counted;
use crate::health::StoreHealth;
use crate::port::ObjectStorage;
use crate::retry::{Retry, RetryPolicy};
use frazil_base::Env;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// An adapter with its decorators.
#[derive(Clone)]
pub struct Decorated {
    /// What everybody uses.
    pub storage: Arc<dyn ObjectStorage>,
    /// How its requests went lately.
    pub health: StoreHealth,
}

impl fmt::Debug for Decorated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decorated({:?})", self.storage)
    }
}

/// Puts the decorators around an adapter. From the caller to the store: `Retry`, `Counted`, the adapter.
///
/// Counting stands below retrying, because every attempt is a request that is paid for, and because health must show
/// an outage that retrying hides. Tests put [`crate::testing::Faults`] around the adapter before they decorate it, so
/// that both see the faults.
pub fn decorate(adapter: Arc<dyn ObjectStorage>, env: &Env, policy: RetryPolicy, registry: &mut Registry) -> Decorated {
    let counted = Counted::new(adapter, env.clone(), registry);
    let health = counted.health();
    Decorated { storage: Arc::new(Retry::new(Arc::new(counted), policy, env.clone())), health }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStorage;
    use crate::port::{Key, Payload, StoreError};
    use crate::testing::{Faults, Mode, conformance};

    fn decorated(adapter: Arc<dyn ObjectStorage>) -> Decorated {
        decorate(adapter, &Env::system(), RetryPolicy::bounded(2), &mut Registry::default())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_decorated_store_conforms() {
        let decorated = decorated(Arc::new(MemoryStorage::new(Env::system())));
        conformance(|| decorated.storage.clone()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn health_shows_an_outage_while_it_is_retried() {
        let (faults, controls) = Faults::new(Arc::new(MemoryStorage::new(Env::system())), 1);
        let Decorated { storage, health } = decorated(faults);
        let key = Key::new("a");
        storage.put(&key, Payload::default()).await.expect("the store works");
        assert!(health.status().failing.is_none());
        controls.mode(Mode::Outage);
        storage.get(&key, None).await.expect_err("the store is away");
        assert_eq!(health.status().failing.map(|failing| failing.requests), Some(2), "each attempt counts");
        controls.mode(Mode::Normal);
        let missing = storage.get(&Key::new("b"), None).await;
        assert!(matches!(missing, Err(StoreError::NotFound { .. })));
        assert!(health.status().failing.is_none(), "the store answers again");
    }
}
