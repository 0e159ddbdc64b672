//! Counts requests and bytes, measures how long requests take, and keeps the latest result.

use crate::health::StoreHealth;
use crate::port::{Key, ObjectMeta, ObjectStorage, Operation, Payload, Reason, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::Env;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Upper bounds of the duration histogram, in seconds: from a local disk to a store in trouble.
const SECONDS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Clone, Debug)]
struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<OperationLabels, Histogram>,
    written: Counter,
    read: Counter,
}

impl Metrics {
    fn registered(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            written: Counter::default(),
            read: Counter::default(),
        };
        let Metrics { requests, seconds, written, read } = metrics.clone();
        registry.register("frazil_store_requests", "Requests to the object store by result", requests);
        let help = "Time until the object store answered";
        registry.register_with_unit("frazil_store_request", help, Unit::Seconds, seconds);
        registry.register("frazil_store_written_bytes", "Bytes of objects sent to the object store", written);
        registry.register("frazil_store_read_bytes", "Bytes of objects received from the object store", read);
        metrics
    }
}

/// A decorator; see the module. Every attempt counts, so it belongs below [`crate::Retry`].
pub struct Counted {
    inner: Arc<dyn ObjectStorage>,
    metrics: Metrics,
    health: StoreHealth,
    env: Env,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counted({:?})", self.inner)
    }
}

impl Counted {
    /// Counts requests to `inner` in metrics that it registers in `registry`.
    pub fn new(inner: Arc<dyn ObjectStorage>, env: Env, registry: &mut Registry) -> Counted {
        Counted { inner, metrics: Metrics::registered(registry), health: StoreHealth::default(), env }
    }

    /// Where the latest result stands.
    pub fn health(&self) -> StoreHealth {
        self.health.clone()
    }

    async fn count<T>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let start = self.env.clock.since_boot();
        let result = request.await;
        let took = self.env.clock.since_boot().saturating_sub(start);
        let operation = operation.as_str();
        let labels = RequestLabels { operation, result: result_name(&result) };
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics.seconds.get_or_create(&OperationLabels { operation }).observe(took.as_secs_f64());
        self.health.note(self.env.clock.now_ms(), &result);
        result
    }
}

fn result_name<T>(result: &Result<T, StoreError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(StoreError::AlreadyExists { .. }) => "exists",
        Err(StoreError::NotFound { .. }) => "not_found",
        Err(StoreError::Unknown { .. }) => "unknown",
        Err(StoreError::NotDone { reason, .. }) => match reason {
            Reason::Denied => "denied",
            Reason::Full => "full",
            Reason::Throttled => "throttled",
            Reason::Unavailable => "unavailable",
            Reason::Invalid => "invalid",
        },
    }
}

#[async_trait]
impl ObjectStorage for Counted {
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.metrics.written.inc_by(payload.len() as u64);
        self.count(Operation::Put, self.inner.put(key, payload)).await
    }

    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.metrics.written.inc_by(payload.len() as u64);
        self.count(Operation::PutIfAbsent, self.inner.put_if_absent(key, payload)).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let bytes = self.count(Operation::Get, self.inner.get(key, range)).await?;
        self.metrics.read.inc_by(bytes.len() as u64);
        Ok(bytes)
    }

    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        self.count(Operation::List, self.inner.list(prefix, start_after, most)).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.count(Operation::Delete, self.inner.delete(key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStorage;

    #[tokio::test]
    async fn every_request_is_counted_with_its_result_and_bytes() {
        let mut registry = Registry::default();
        let memory = Arc::new(MemoryStorage::new(Env::system()));
        let counted = Counted::new(memory, Env::system(), &mut registry);
        let key = Key::new("a");
        counted.put_if_absent(&key, Bytes::from("12345").into()).await.expect("absent");
        counted.put_if_absent(&key, Bytes::from("123").into()).await.expect_err("there");
        counted.get(&key, Some(0..2)).await.expect("there");
        counted.get(&Key::new("b"), None).await.expect_err("not there");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text is written to memory");
        for line in [
            "frazil_store_requests_total{operation=\"put_if_absent\",result=\"ok\"} 1",
            "frazil_store_requests_total{operation=\"put_if_absent\",result=\"exists\"} 1",
            "frazil_store_requests_total{operation=\"get\",result=\"not_found\"} 1",
            "frazil_store_request_seconds_count{operation=\"get\"} 2",
            "frazil_store_written_bytes_total 8",
            "frazil_store_read_bytes_total 2",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
