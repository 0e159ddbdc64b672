//! Bare PUTs and ranged GETs of the same object-store client that Frazil uses.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use frazil_base::Env;
use frazil_store::{Key, ObjectStorage, Options, Payload, open};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a row of requests gave.
#[derive(Debug)]
pub struct BucketFigures {
    /// MiB a second over all clients.
    pub mib_per_second: f64,
    /// The 99th percentile of one request, in milliseconds.
    pub p99_ms: f64,
}

const OBJECT_BYTES: usize = 8 << 20;
const RANGE_BYTES: u64 = 4 << 20;

/// Opens the bucket at `url`.
pub async fn bucket(url: &str) -> Result<Arc<dyn ObjectStorage>> {
    open(url, Options::new(Env::system())).await.with_context(|| format!("opening {url}"))
}

/// Puts `objects` objects of 8 MiB by `writers` writers.
pub async fn put(bucket: &Arc<dyn ObjectStorage>, objects: u64, writers: usize) -> Result<BucketFigures> {
    let content: Bytes = (0..OBJECT_BYTES as u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    each(objects, writers, OBJECT_BYTES as u64, |number| {
        let (bucket, content) = (Arc::clone(bucket), content.clone());
        async move { Ok(bucket.put(&key(number), Payload::from(content)).await?) }
    })
    .await
}

/// Reads the objects that [`put`] left in ranges of 4 MiB by `readers` readers.
pub async fn get(bucket: &Arc<dyn ObjectStorage>, objects: u64, readers: usize) -> Result<BucketFigures> {
    let ranges_of_one = OBJECT_BYTES as u64 / RANGE_BYTES;
    each(objects * ranges_of_one, readers, RANGE_BYTES, |number| {
        let bucket = Arc::clone(bucket);
        async move {
            let start = number % ranges_of_one * RANGE_BYTES;
            bucket.get(&key(number / ranges_of_one), Some(start..start + RANGE_BYTES)).await?;
            Ok(())
        }
    })
    .await
}

fn key(number: u64) -> Key {
    Key::new(format!("floor/{number:08}"))
}

async fn each<F: Future<Output = Result<()>>>(
    requests: u64,
    clients: usize,
    request_bytes: u64,
    act: impl Fn(u64) -> F,
) -> Result<BucketFigures> {
    let next = AtomicU64::new(0);
    let latency_us = std::cell::RefCell::new(Histogram::<u64>::new_with_bounds(1, 600_000_000, 3)?);
    let began = Instant::now();
    let client = || async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= requests {
                return anyhow::Ok(());
            }
            let asked = Instant::now();
            act(number).await?;
            latency_us.borrow_mut().saturating_record(duration_us(asked.elapsed()));
        }
    };
    futures::future::try_join_all((0..clients).map(|_| client())).await?;
    let mib = (requests * request_bytes) as f64 / f64::from(1 << 20);
    let p99_ms = latency_us.borrow().value_at_quantile(0.99) as f64 / 1_000.0;
    Ok(BucketFigures { mib_per_second: mib / began.elapsed().as_secs_f64(), p99_ms })
}

fn duration_us(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
