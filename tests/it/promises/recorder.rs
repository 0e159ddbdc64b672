//! A store that panics over a key written twice, a key used again after its deletion, and a deletion too early.

use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::{Env, Seq};
use frazil_log::Log;
use frazil_log::layout::{segment_of_key, snapshot_of_key};
use frazil_meta::state::BodyId;
use frazil_store::{Key, ObjectMeta, ObjectStorage, Payload, StoreError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
struct Record {
    /// Every key that was ever written.
    written: BTreeMap<Key, Bytes>,
    deleted: usize,
    /// Bodies that were alive when they were seen last, and when that was.
    alive_ms: BTreeMap<BodyId, i64>,
    log: Option<Log>,
}

/// The decorator.
pub struct Recorder {
    inner: Arc<dyn ObjectStorage>,
    env: Env,
    grace_ms: i64,
    record: Arc<Mutex<Record>>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({:?})", self.inner)
    }
}

impl Recorder {
    /// Watches what goes to `inner`.
    pub fn new(inner: Arc<dyn ObjectStorage>, env: Env, grace: Duration) -> Recorder {
        Recorder { inner, env, grace_ms: grace.as_millis() as i64, record: Arc::default() }
    }

    /// Asks this broker from now on which bodies are alive; looks every second.
    pub fn watch(&self, log: Log) {
        self.record.lock().log = Some(log);
        let (record, env) = (self.record.clone(), self.env.clone());
        tokio::spawn(async move {
            while record.lock().look(env.clock.now_ms()) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    /// Lets go of the broker.
    pub fn forget(&self) {
        self.record.lock().log = None;
    }

    /// Keys written, keys deleted.
    pub fn totals(&self) -> (usize, usize) {
        let record = self.record.lock();
        (record.written.len(), record.deleted)
    }

    fn note_write(&self, key: &Key, content: Bytes) {
        let before = self.record.lock().written.insert(key.clone(), content.clone());
        assert!(before.is_none_or(|before| before == content), "{key} was written twice, with another content");
    }

    fn check_deletion(&self, key: &Key) {
        let now_ms = self.env.clock.now_ms();
        let mut record = self.record.lock();
        record.look(now_ms);
        record.deleted += 1;
        let Some(body) = body_of(key) else {
            assert!(snapshot_of_key(key).is_some(), "{key}: nothing else is ever deleted");
            return;
        };
        let alive_ms = record.alive_ms.get(&body).copied();
        let young = alive_ms.is_some_and(|alive_ms| now_ms - alive_ms < self.grace_ms);
        assert!(!young, "{key} is deleted at {now_ms}, and was needed at {alive_ms:?}");
    }
}

impl Record {
    /// Notes which bodies are alive now; false when no broker is watched any more.
    fn look(&mut self, now_ms: i64) -> bool {
        let Some(log) = &self.log else { return false };
        let state = log.state();
        self.alive_ms.extend(state.bodies().filter(|(_, body)| body.live_extents > 0).map(|(id, _)| (id, now_ms)));
        true
    }
}

fn body_of(key: &Key) -> Option<BodyId> {
    let number = || key.as_str().strip_prefix("log/")?.parse().ok().map(|number| BodyId::Log(Seq(number)));
    segment_of_key(key).map(BodyId::Object).or_else(number)
}

#[async_trait]
impl ObjectStorage for Recorder {
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.note_write(key, payload.to_bytes().to_vec().into());
        self.inner.put(key, payload).await
    }

    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        let content: Bytes = payload.to_bytes().to_vec().into();
        self.inner.put_if_absent(key, payload).await?;
        self.note_write(key, content);
        Ok(())
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.inner.get(key, range).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        self.inner.list(prefix, start_after, most).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.check_deletion(key);
        self.inner.delete(key).await
    }
}
