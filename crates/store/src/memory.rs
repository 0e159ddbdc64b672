//! Objects in memory: for tests and simulation, and for trying things out. Deterministic; gone with the process.

use crate::port::{Key, ObjectMeta, ObjectStorage, Payload, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::Env;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::Arc;

/// A map of objects. Clones share it.
#[derive(Clone)]
pub struct MemoryStorage {
    objects: Arc<Mutex<BTreeMap<Key, Object>>>,
    env: Env,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    modified_ms: i64,
}

impl MemoryStorage {
    /// An empty store; `env` dates the objects.
    pub fn new(env: Env) -> MemoryStorage {
        MemoryStorage { objects: Arc::default(), env }
    }

    /// Bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.objects.lock().values().map(|object| object.bytes.len() as u64).sum()
    }

    /// Copies the content: the caller wants its buffers back, and a slice may keep a far larger buffer alive.
    fn object(&self, payload: Payload) -> Object {
        Object { bytes: Bytes::from(payload.parts().concat()), modified_ms: self.env.clock.now_ms() }
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStorage({} objects)", self.objects.lock().len())
    }
}

/// The part of `range` that lies in `bytes`.
fn part(bytes: &Bytes, range: Option<Range<u64>>) -> Bytes {
    let Some(range) = range else { return bytes.clone() };
    let end = range.end.min(bytes.len() as u64);
    let start = range.start.min(end);
    bytes.slice(start as usize..end as usize)
}

#[async_trait]
impl ObjectStorage for MemoryStorage {
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.objects.lock().insert(key.clone(), self.object(payload));
        Ok(())
    }

    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        match self.objects.lock().entry(key.clone()) {
            Entry::Occupied(_) => Err(StoreError::AlreadyExists { key: key.clone() }),
            Entry::Vacant(place) => {
                place.insert(self.object(payload));
                Ok(())
            }
        }
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let objects = self.objects.lock();
        let object = objects.get(key).ok_or_else(|| StoreError::NotFound { key: key.clone() })?;
        Ok(part(&object.bytes, range))
    }

    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        let from = match start_after {
            Some(key) if key.as_str() >= prefix => Bound::Excluded(key.as_str()),
            _ => Bound::Included(prefix),
        };
        let objects = self.objects.lock();
        let found = objects.range::<str, _>((from, Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.as_str().starts_with(prefix)).take(most);
        Ok(found
            .map(|(key, object)| ObjectMeta {
                key: key.clone(),
                bytes: object.bytes.len() as u64,
                modified_ms: object.modified_ms,
            })
            .collect())
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.objects.lock().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory_conforms() {
        let memory = MemoryStorage::new(Env::system());
        crate::testing::conformance(|| Arc::new(memory.clone())).await;
        assert!(memory.bytes() > 0);
    }
}
