//! Stores that are away, denied or full: producers wait or are told, memory stays bounded, and everything goes on.

use crate::broker_client::{Client, batch, connect, http, until_async};
use crate::site::{Engine, Site, batch_of, on, produce, read_all, until};
use bytes::Bytes;
use frazil_base::TopicPartition;
use frazil_log::{Health, Log, LogOptions, ProduceError};
use frazil_store::testing::{Mode, allow_anonymous_reads, allow_anonymous_writes};
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::LocalSet;

const PRODUCERS: i32 = 16;
const BATCHES: i32 = 40;
const IN_FLIGHT_BYTES: usize = 128 << 10;

fn value(producer: i32, number: i32) -> String {
    format!("{producer}/{number}{}", "-".repeat(16_000))
}

/// An idempotent producer with a partition of its own: sends each batch until it is acknowledged.
async fn produce_all(log: Log, orders: TopicPartition, acknowledged: Rc<Cell<i32>>) {
    for number in 0..BATCHES {
        let value = value(orders.partition, number);
        loop {
            let again = batch_of(orders, i64::from(orders.partition), number, &[&value]);
            match produce(&log, again).await {
                Ok(placed) => {
                    assert_eq!(placed.base_offset, i64::from(number), "once, and in order");
                    break acknowledged.set(acknowledged.get() + 1);
                }
                Err(ProduceError::Storage { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(other) => panic!("a producer must be able to try again, not: {other}"),
            }
        }
    }
}

/// A minute without the store, seen from the brokers' side.
async fn a_minute_away(site: &Site, log: &Log, acknowledged: &Cell<i32>) {
    // The log of a cluster is not the store, but a fault in its network takes both away.
    let log_outage = (site.engine == Engine::Cluster).then(|| site.log_faults.outage());
    site.store_faults.mode(Mode::Outage);
    let (mut most, mut seen) = (0, false);
    let before = acknowledged.get();
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(log.in_flight_bytes());
        seen |= matches!(log.health(), Health::StoreOutage { .. });
    }
    assert!(most <= IN_FLIGHT_BYTES && most > IN_FLIGHT_BYTES / 2, "{most} bytes in flight");
    assert!(seen, "the outage is shown");
    let since = acknowledged.get() - before;
    assert!(since <= PRODUCERS, "{since} batches acknowledged without a store");
    drop(log_outage);
    site.store_faults.mode(Mode::Normal);
}

#[test]
fn a_minute_without_the_store_stops_producers_and_loses_nothing() {
    for engine in [Engine::Object, Engine::Cluster] {
        on(engine, async |mut site| {
            site.options = LogOptions { in_flight_bytes: IN_FLIGHT_BYTES, ..site.options.clone() };
            let broker = site.start().await;
            let topic = broker.create_topic("orders", PRODUCERS).await;
            let acknowledged = Rc::new(Cell::new(0));
            // A store without latency would be done before the outage.
            let slow = frazil_store::testing::FaultPlan {
                delayed_permille: 1_000,
                delay: Duration::from_millis(20)..=Duration::from_millis(40),
                ..Default::default()
            };
            site.store_faults.plan(slow);
            let tasks = LocalSet::new();
            for partition in 0..PRODUCERS {
                let orders = TopicPartition { topic, partition };
                tasks.spawn_local(produce_all(broker.handle(), orders, acknowledged.clone()));
            }
            let outage = async {
                until("producing is under way", || acknowledged.get() >= PRODUCERS).await;
                assert!(acknowledged.get() < PRODUCERS * BATCHES / 2, "the outage comes in the middle");
                a_minute_away(&site, &broker.handle(), &acknowledged).await;
            };
            tasks.run_until(outage).await;
            tokio::time::timeout(Duration::from_secs(120), tasks).await.expect("everything goes on");
            assert_eq!(acknowledged.get(), PRODUCERS * BATCHES);
            assert_eq!((broker.health(), broker.in_flight_bytes()), (Health::Ok, 0));
            broker.kill().await;
            let broker = site.start().await;
            for partition in 0..PRODUCERS {
                let expected: Vec<String> = (0..BATCHES).map(|number| value(partition, number)).collect();
                assert!(read_all(&broker, TopicPartition { topic, partition }).await == expected, "{engine:?}");
            }
        });
    }
}

#[test]
fn a_store_that_denies_or_is_full_fails_producers_with_its_cause_and_is_used_again_afterwards() {
    for engine in [Engine::Object, Engine::Cluster] {
        on(engine, async |site| {
            let broker = site.start().await;
            let orders = TopicPartition { topic: broker.create_topic("orders", 1).await, partition: 0 };
            for (number, (mode, named)) in
                [(Mode::ReadOnly, "read-only"), (Mode::Full, "no space")].into_iter().enumerate()
            {
                let number = number as i32;
                let value = value(0, number);
                let batch = || batch_of(orders, 5, number, &[&value]);
                site.store_faults.mode(mode);
                match produce(&broker, batch()).await {
                    Err(ProduceError::Storage { cause, outcome_known: true }) => {
                        assert!(cause.contains(named), "{engine:?}: {cause}")
                    }
                    other => panic!("{engine:?} {mode:?}: {other:?}"),
                }
                assert!(matches!(broker.health(), Health::StoreOutage { .. }), "{engine:?} {mode:?}");
                site.store_faults.mode(Mode::Normal);
                let placed = produce(&broker, batch()).await.expect("stored");
                assert_eq!((placed.base_offset, placed.duplicate), (i64::from(number), false));
                assert_eq!(broker.health(), Health::Ok);
            }
        });
    }
}

/// Produces one record; the offset, or Kafka's code and the message.
async fn produce_one(client: &mut Client, value: &str) -> Result<i64, (i16, String)> {
    let answer = client.produce("orders", 0, batch(&[value])).await.expect("an answer");
    match answer.error_code {
        0 => Ok(answer.base_offset),
        code => Err((code, answer.error_message.map(|message| message.to_string()).unwrap_or_default())),
    }
}

async fn assert_values(client: &mut Client, expected: &[&str]) {
    let fetched = client.fetch("orders", 0, 0, 0).await.expect("an answer");
    assert_eq!(fetched.error_code, 0);
    let records = crate::site::records_of(&[fetched.records.unwrap_or_else(Bytes::new)]);
    let expected: Vec<_> = expected.iter().enumerate().map(|(at, value)| (at as i64, value.to_string())).collect();
    assert_eq!(records, expected);
}

const KAFKA_STORAGE_ERROR: i16 = 56;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_store_stands_still_stays_up_says_so_and_goes_on() {
    let minio = Minio::start().await;
    let url = format!("{}&timeout=1s&connect_timeout=1s", minio.url("still"));
    let mut process = FrazilProcess::start(FrazilSettings::on(&url)).expect("it starts");
    let mut client = connect(&process).await;
    assert_eq!(client.create_topic("orders", 1, &[]).await.expect("an answer"), 0);
    assert_eq!(produce_one(&mut client, "before").await, Ok(0));
    assert_eq!(http(&process, "/readyz").await.0, 200);

    minio.pause();
    let waiting = tokio::spawn(async move { (produce_one(&mut client, "meanwhile").await, client) });
    until_async("it is not ready", async || http(&process, "/readyz").await.0 == 503).await;
    let (_, said) = http(&process, "/readyz?verbose").await;
    assert!(said.contains("[-]log store outage") && said.contains("imed out"), "{said}");
    assert_eq!(http(&process, "/livez").await.0, 200, "restarting would help nobody");
    assert!(!waiting.is_finished(), "nothing is acknowledged without the store");

    minio.resume();
    let (answer, mut client) = waiting.await.expect("no panic");
    assert_eq!(answer, Ok(1), "the producer just waited");
    assert_eq!(produce_one(&mut client, "after").await, Ok(2));
    until_async("it is ready again", async || http(&process, "/readyz").await.0 == 200).await;
    assert!(process.is_running().expect("our own child"));
    assert_values(&mut client, &["before", "meanwhile", "after"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_becomes_read_only_is_named_to_producers_and_used_again_afterwards() {
    let minio = Minio::start().await;
    let owner = minio.url("shut");
    // The first request makes the bucket, which the visitor may not.
    let store =
        frazil_store::open(&owner, frazil_store::Options::new(frazil_base::Env::system())).await.expect("a store");
    store.list("", None, 1).await.expect("a listing");
    allow_anonymous_writes(&owner).await.expect("the owner may");
    let visitor = format!("{}&anonymous=true", minio.url_without_credentials("shut"));
    let mut process = FrazilProcess::start(FrazilSettings::on(&visitor)).expect("it starts");
    let mut client = connect(&process).await;
    assert_eq!(client.create_topic("orders", 1, &[]).await.expect("an answer"), 0);
    assert_eq!(produce_one(&mut client, "before").await, Ok(0));

    allow_anonymous_reads(&owner).await.expect("the owner may");
    let (code, message) = produce_one(&mut client, "refused").await.expect_err("the bucket is read-only");
    assert_eq!(code, KAFKA_STORAGE_ERROR, "{message}");
    assert!(message.contains("AccessDenied") || message.contains("Access Denied"), "{message}");
    let (status, said) = http(&process, "/readyz?verbose").await;
    assert!(status == 503 && said.contains("Denied"), "{status} {said}");
    assert_values(&mut client, &["before"]).await;
    assert!(process.is_running().expect("our own child"));

    allow_anonymous_writes(&owner).await.expect("the owner may");
    assert_eq!(produce_one(&mut client, "after").await, Ok(1));
    assert_values(&mut client, &["before", "after"]).await;
    process.terminate().expect("it drains");

    allow_anonymous_reads(&owner).await.expect("the owner may");
    let refused = FrazilProcess::start(FrazilSettings::on(&visitor)).expect_err("it cannot become the writer");
    assert!(refused.to_string().contains("Denied"), "{refused}");
}

/// A shell gives the process files of at most 2 MiB: what a full disk does, without the right to mount one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_space_is_named_to_producers_and_nothing_acknowledged_is_lost() {
    let folder = TempDir::new().expect("a folder");
    let (script, data) = (folder.path().join("limited"), folder.path().join("data"));
    let binary = frazil_tests::frazil::built_binary().expect("the binary");
    // A write beyond the limit fails, instead of ending the process, when the signal is ignored.
    let text = format!("#!/bin/bash\ntrap '' XFSZ\nulimit -f 2048\nexec {} \"$@\"\n", binary.display());
    fs::write(&script, text).expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("our own file");
    let settings = FrazilSettings::on_folder(&data);
    let mut process = FrazilProcess::start(settings.clone().with_binary(&script)).expect("it starts");
    let mut client = connect(&process).await;
    assert_eq!(client.create_topic("orders", 1, &[]).await.expect("an answer"), 0);

    let value = "x".repeat(100_000);
    let mut acknowledged = 0;
    let (code, message) = loop {
        match produce_one(&mut client, &value).await {
            Ok(offset) => assert_eq!(offset, acknowledged),
            Err(error) => break error,
        }
        acknowledged += 1;
        assert!(acknowledged < 100, "2 MiB do not hold that much");
    };
    assert!(acknowledged > 5, "{acknowledged}");
    assert_eq!(code, KAFKA_STORAGE_ERROR, "{message}");
    assert!(message.contains("File too large") || message.contains("space"), "{message}");
    assert!(process.is_running().expect("our own child"));
    assert_eq!(http(&process, "/livez").await.0, 200);
    let (status, said) = http(&process, "/readyz?verbose").await;
    assert!(status == 503 && said.contains("store outage"), "{status} {said}");

    let ports = process.kill().expect("killed");
    let process = FrazilProcess::start(ports.with_binary(&binary)).expect("it starts with space");
    let mut client = connect(&process).await;
    assert_eq!(produce_one(&mut client, "after").await, Ok(acknowledged), "what was refused is not there");
    let first = client.fetch("orders", 0, 0, 0).await.expect("an answer");
    assert_eq!((first.error_code, first.high_watermark), (0, acknowledged + 1));
}
