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
/// Records of the topic that is deleted: more than a chunk of the journal, so that one becomes empty.
const RECORDS_OF_GONE: i64 = 110;
/// Small records at the end: on a bucket the newest numbers of the log stay whatever is in them.
const LATER_RECORDS: i64 = 70;
/// What topics of limited size keep, and what is left of the one whose records are deleted.
const KEPT: i64 = 5;

type Configs = &'static [(&'static str, &'static str)];

/// Topics, how many large records they get, and their settings: deletion of the topic, retention by age and by size,
/// deletion of records, and nothing.
const TOPICS: [(&str, i64, Configs); 6] = [
    ("gone", RECORDS_OF_GONE, &[("retention.ms", "-1")]),
    ("aged", RECORDS, &[("retention.ms", "1")]),
    ("sized", RECORDS, &[("retention.ms", "-1"), ("retention.bytes", "4000000")]),
    ("cut", RECORDS, &[("retention.ms", "-1")]),
    ("kept", RECORDS, &[("retention.ms", "-1")]),
    ("later", 0, &[("retention.ms", "-1")]),
];

/// Everything that waits, waits little; a snapshot on a bucket may be followed by trimming at once, since no other writer
/// sleeps here.
fn impatient(settings: FrazilSettings) -> FrazilSettings {
    settings
        .with("FRAZIL__KAFKA__LOG_RETENTION_CHECK_INTERVAL_MS", "50")
        .with("FRAZIL__LOG__MAINTENANCE_INTERVAL", "50ms")
        .with("FRAZIL__LOG__FLUSH_AGE", "10ms")
        .with("FRAZIL__LOG__DELETE_GRACE", "200ms")
        .with("FRAZIL__LOG__SNAPSHOTS_KEPT_FOR", "0s")
        .with("FRAZIL__LOG__RECLAIM_AFTER_BYTES", "1MiB")
}

#[tokio::test(flavor = "multi_thread")]
async fn space_comes_back_on_a_local_directory() {
    let folder = TempDir::new().expect("a folder");
    let url = format!("file://{}", folder.path().display());
    space_comes_back(&url, FrazilSettings::on_folder(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn space_comes_back_on_minio() {
    let minio = Minio::start().await;
    let url = minio.url("retention");
    space_comes_back(&url, FrazilSettings::on(&url)).await;
}

async fn space_comes_back(url: &str, settings: FrazilSettings) {
    let store = Settings::from_pairs([("store.url", url)]).expect("settings").store;
    let broker = FrazilProcess::start(impatient(settings)).expect("frazil starts");
    let mut client = connect(&broker).await;
    for (name, records, configs) in TOPICS {
        assert_eq!(client.create_topic(name, 1, configs).await.expect("answered"), 0);
        for number in 0..records {
            let stored = client.produce(name, 0, record(number)).await.expect("answered");
            assert_eq!((stored.error_code, stored.base_offset), (0, number));
        }
    }
    delete_records(&mut client, "cut", RECORDS - KEPT).await;
    delete_topic(&mut client, "gone").await;
    for _ in 0..LATER_RECORDS {
        assert_eq!(client.produce("later", 0, small_record()).await.expect("answered").error_code, 0);
    }
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
        let (stored, sent) = (fetched.records.expect("records"), record(number));
        // Base offset and leader epoch are the broker's; a fetch may give later batches too.
        assert!(stored.len() >= sent.len() && stored[16..sent.len()] == sent[16..], "record {number} changed");
    }
    let (status, said) = broker.terminate().expect("it drains");
    assert!(status.success(), "{said}");

    let report = verify::verify(&Vault::open(&store).await.expect("a store")).await.expect("readable");
    assert_eq!(report.findings, [], "nothing is missing, and nothing unreferenced stays");
    assert_eq!(report.records as i64, 2 * KEPT + RECORDS + LATER_RECORDS);
}

/// A plain batch of one large record of a day in 2023; each number has another content.
fn record(number: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    let value: Vec<u8> = (0..RECORD_BYTES).map(|at| (at as u64).wrapping_mul(number as u64 + 7) as u8).collect();
    builder.push(1_700_000_000_000, None, Some(&value), &[]);
    builder.build()
}

fn small_record() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(1_700_000_000_000, None, Some(b"later"), &[]);
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
    let live_bytes = (2 * KEPT + RECORDS) as u64 * RECORD_BYTES as u64;
    stored < live_bytes + live_bytes / 4 + (2 << 20)
}
