//! A Kafka connection and plain HTTP to a real process.

pub use frazil_broker::testing::Client;

use bytes::Bytes;
use frazil_tests::FrazilProcess;
use frazil_wire::{BatchBuilder, Compression};
use std::time::{Duration, Instant};

/// Connects to a process that answered a moment ago.
pub async fn connect(process: &FrazilProcess) -> Client {
    Client::connect(process.bootstrap().parse().expect("an address")).await.expect("it listens")
}

/// A plain batch of records of now.
pub fn batch(values: &[&str]) -> Bytes {
    let now_ms = frazil_base::Env::system().clock.now_ms();
    let mut builder = BatchBuilder::new(Compression::None);
    values.iter().for_each(|value| builder.push(now_ms, None, Some(value.as_bytes()), &[]));
    builder.build()
}

/// Status and text of a page of the process.
pub async fn http(process: &FrazilProcess, path: &str) -> (u16, String) {
    frazil_tests::install_tls_provider();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().expect("a client");
    let response = client.get(format!("{}{path}", process.http())).send().await.expect("its HTTP side answers");
    (response.status().as_u16(), response.text().await.expect("text"))
}

/// Looks again and again until something holds.
pub async fn until_async(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(30), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
