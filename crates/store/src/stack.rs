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
