//! The cluster's id: made once, kept in the store beside the data, so that it goes where the data goes.

use bytes::Bytes;
use frazil_base::Env;
use frazil_store::{Key, ObjectStorage, StoreError};
use std::time::Duration;

/// Name of the object that holds the id.
pub const CLUSTER_ID_KEY: &str = "cluster-id";

/// Characters of a cluster id: 128 random bits in URL-safe Base64, as in Kafka.
const LENGTH: usize = 22;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const PAUSE: Duration = Duration::from_secs(1);

/// Reads the id, or makes it. Waits while the store is away; a store that refuses gives the cluster an id that lasts
/// until the process ends, because no data depends on it.
pub async fn obtain(store: &dyn ObjectStorage, env: &Env) -> String {
    loop {
        match read_or_make(store, env).await {
            Ok(id) => return id,
            Err(error) if error.is_transient() => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                tracing::warn!(%error, "the cluster's id cannot be kept; it will change at the next start");
                return fresh(env);
            }
        }
    }
}

async fn read_or_make(store: &dyn ObjectStorage, env: &Env) -> Result<String, StoreError> {
    let key = Key::new(CLUSTER_ID_KEY);
    match store.get(&key, None).await {
        Ok(bytes) => return Ok(parse(&bytes).unwrap_or_else(|| fresh(env))),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let id = fresh(env);
    match store.put_if_absent(&key, Bytes::from(id.clone()).into()).await {
        Ok(()) => Ok(id),
        Err(StoreError::AlreadyExists { .. }) => Ok(parse(&store.get(&key, None).await?).unwrap_or(id)),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> Option<String> {
    let wellformed = bytes.len() == LENGTH && bytes.iter().all(|byte| ALPHABET.contains(byte));
    wellformed.then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn fresh(env: &Env) -> String {
    let mut bits = env.entropy.bits128();
    let mut id = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        id.push(char::from(ALPHABET[(bits & 63) as usize]));
        bits >>= 6;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use frazil_store::MemoryStorage;

    #[tokio::test]
    async fn the_id_is_made_once_and_found_again() {
        let env = Env::system();
        let store = MemoryStorage::new(env.clone());
        let first = obtain(&store, &env).await;
        assert_eq!(first.len(), LENGTH);
        assert_eq!(obtain(&store, &env).await, first);
        let other = MemoryStorage::new(env.clone());
        assert_ne!(obtain(&other, &env).await, first);
    }

    #[tokio::test]
    async fn an_object_that_is_no_id_does_not_become_one() {
        let env = Env::system();
        let store = MemoryStorage::new(env.clone());
        store.put(&Key::new(CLUSTER_ID_KEY), Bytes::from_static(b"<script>").into()).await.unwrap();
        assert_eq!(obtain(&store, &env).await.len(), LENGTH);
    }
}
