//! Space comes back: after retention by age and by size, deleted records, a deleted topic, and a kill, the store holds
//! what is readable and little more, and `storage verify` proves that nothing referenced is missing and nothing
//! unreferenced stays.

use crate::broker_client::{Client, connect, until_async};
use bytes::Bytes;
use frazil_cli::settings::{Settings, StoreUrl};
use frazil_cli::storage::{Vault, verify};
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings};
use frazil_wire::{BatchBuilder, Compression};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteTopicsRequest};
use tempfile::TempDir;

const RECORDS: i64 = 24;
const RECORD_BYTES: usize = 900_000;
/// What topics of limited size keep, and what is left of the one whose records are deleted.
const KEPT: i64 = 5;

/// Topics, and their settings: retention by age and by size, deletion of records and of the topic, and nothing.
const TOPICS: [(&str, &[(&str, &str)]); 5] = [
    ("aged", &[("retention.ms", "1")]),
    ("gone", &[("retention.ms", "-1")]),
    ("sized", &[("retention.ms", "-1"), ("retention.bytes", "4600000")]),
    ("cut", &[("retention.ms", "-1")]),
    ("kept", &[("retention.ms", "-1")]),
];

/// Everything that waits, waits little; a snapshot on a bucket may be followed by trimming at once, since no other writer
/// sleeps here.
fn impatient(settings: FrazilSettings) -> FrazilSettings {
    settings
        .with("FRAZIL__KAFKA__LOG_RETENTION_CHECK_INTERVAL_MS", "50")
        .with("FRAZIL__LOG__MAINTENANCE_INTERVAL", "50ms")
        .with("FRAZIL__LOG__DELETE_GRACE", "200ms")
        .with("FRAZIL__LOG__SNAPSHOTS_KEPT_FOR", "0s")
        .with("FRAZIL__LOG__RECLAIM_AFTER_BYTES", "1MiB")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "unfinished: the log start does not move in time in a whole process; log::tests::retention does it in virtual time"]
async fn space_comes_back_on_a_local_directory() {
    let folder = TempDir::new().expect("a folder");
    let url = format!("file://{}", folder.path().display());
    space_comes_back(&url, FrazilSettings::on_folder(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "unfinished: the log start does not move in time in a whole process; log::tests::retention does it in virtual time"]
async fn space_comes_back_on_minio() {
    let minio = Minio::start().await;
    let url = minio.url("retention");
    space_comes_back(&url, FrazilSettings::on(&url)).await;
}

async fn space_comes_back(url: &str, settings: FrazilSettings) {
    let store = Settings::from_pairs([("store.url", url)]).expect("settings").store;
    let broker = FrazilProcess::start(impatient(settings)).expect("frazil starts");
    let mut client = connect(&broker).await;
    for (name, configs) in TOPICS {
        assert_eq!(client.create_topic(name, 1, configs).await.expect("answered"), 0);
        for number in 0..RECORDS {
            let stored = client.produce(name, 0, record(number)).await.expect("answered");
            assert_eq!((stored.error_code, stored.base_offset), (0, number));
        }
    }
    delete_records(&mut client, "cut", RECORDS - KEPT).await;
    delete_topic(&mut client, "gone").await;
    let all = RECORDS;
    for (topic, start) in [("aged", all), ("sized", all - KEPT), ("cut", all - KEPT), ("kept", 0)] {
        until_async("the log start moves", async || log_start(&broker, topic).await == start).await;
    }
    // Dead or alive: the next process finds what this one has not yet given back.
    let broker = broker.kill_and_restart().expect("frazil starts again");
    for (topic, start) in [("aged", all), ("sized", all - KEPT), ("cut", all - KEPT), ("kept", 0)] {
        assert_eq!(log_start(&broker, topic).await, start, "{topic}");
    }
    until_async("space comes back", async || is_lean(&store).await).await;
    let mut client = connect(&broker).await;
    for number in 0..RECORDS {
        let fetched = client.fetch("kept", 0, number, 0).await.expect("answered");
        assert_eq!(fetched.records.expect("records").slice(8..), record(number).slice(8..));
    }
    let (status, said) = broker.terminate().expect("it drains");
    assert!(status.success(), "{said}");

    let report = verify::verify(&Vault::open(&store).await.expect("a store")).await.expect("readable");
    assert_eq!(report.findings, [], "nothing is missing, and nothing unreferenced stays");
    assert_eq!(report.records as i64, 2 * KEPT + RECORDS);
}

/// A plain batch of one large record of a day in 2023; each number has another content.
fn record(number: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let value: Vec<u8> = (0..RECORD_BYTES).map(|at| (at as u64).wrapping_mul(number as u64 + 7) as u8).collect();
    builder.push(1_700_000_000_000, None, Some(&value), &[]);
    builder.build()
}

async fn log_start(broker: &FrazilProcess, topic: &str) -> i64 {
    let mut client = connect(broker).await;
    client.fetch(topic, 0, RECORDS, 0).await.expect("answered").log_start_offset
}

async fn delete_records(client: &mut Client, topic: &str, offset: i64) {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let topic = DeleteRecordsTopic::default()
        .with_name(frazil_broker::testing::topic_name(topic))
        .with_partitions(vec![partition]);
    let response = client.call(2, &DeleteRecordsRequest::default().with_topics(vec![topic])).await.expect("answered");
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.low_watermark), (0, offset));
}

async fn delete_topic(client: &mut Client, topic: &str) {
    let names = vec![frazil_broker::testing::topic_name(topic)];
    let response = client.call(5, &DeleteTopicsRequest::default().with_topic_names(names)).await.expect("answered");
    assert_eq!(response.responses[0].error_code, 0);
}

/// Whether the store holds what is readable and little more: on a bucket one object per live segment and some records, on
/// a directory no chunk of the journal from before the first live record.
async fn is_lean(store: &StoreUrl) -> bool {
    let vault = Vault::open(store).await.expect("a store");
    if vault.journal.is_some() {
        let chunks = vault.chunks().expect("readable");
        return chunks.first().is_some_and(|(first, _)| first.0 > 1);
    }
    let stored: u64 = vault.list("").await.expect("listed").iter().map(|object| object.bytes).sum();
    stored < (2 * KEPT + RECORDS + 2) as u64 * RECORD_BYTES as u64
}
