//! `server::start` in this process: wiring, restart, fencing, health, and the client's way through it.

use bytes::Bytes;
use frazil_cli::client::{Acks, Client, ClientError, Consumer, NewRecord, Producer, ProducerOptions, ReadRecord};
use frazil_cli::server::{self, Server, StartError};
use frazil_cli::settings::{HostPort, Settings};
use frazil_cli::storage::{Vault, verify};
use frazil_wire::Compression;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(200);

fn settings(store: &str, more: &[(&str, &str)]) -> Settings {
    let basic = [("store.url", store), ("kafka.listen", "127.0.0.1:0"), ("http.listen", "127.0.0.1:0")];
    Settings::from_pairs(basic.into_iter().chain(more.iter().copied())).unwrap()
}

async fn start(store: &str) -> (Server, Client) {
    let server = server::start(settings(store, &[])).await.unwrap();
    let client = client(&server);
    (server, client)
}

fn client(server: &Server) -> Client {
    let address = HostPort { host: "127.0.0.1".into(), port: server.kafka_addr.port() };
    Client::new(vec![address], Duration::from_secs(20))
}

fn record(key: &str, value: &str) -> NewRecord {
    let (key, value) = (Some(Bytes::from(key.to_string())), Some(Bytes::from(value.to_string())));
    NewRecord { key, value, timestamp: 1_700_000_000_000, ..NewRecord::default() }
}

async fn produce(client: &Client, topic: &str, values: &[&str], options: ProducerOptions) {
    let mut producer = Producer::open(client.clone(), topic, options).await.unwrap();
    for value in values {
        producer.push(&record(value, value));
    }
    producer.flush().await.unwrap();
    assert!(producer.is_empty());
}

async fn read_all(client: &Client, topic: &str) -> Vec<ReadRecord> {
    let offsets = client.offsets(topic).await.unwrap();
    let starts: BTreeMap<i32, i64> = offsets.iter().map(|(partition, offsets)| (*partition, offsets.start)).collect();
    let mut consumer = Consumer::new(client.clone(), topic, starts);
    let mut records = Vec::new();
    let ends: i64 = offsets.values().map(|offsets| offsets.end).sum();
    while consumer.positions().values().sum::<i64>() < ends {
        for fetched in consumer.poll(POLL).await.unwrap() {
            records.extend(fetched.records);
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

fn values(records: &[ReadRecord]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(record.value.as_deref().unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_over_memory_stores_and_gives_back_every_codec_and_acknowledgement() {
    let (server, client) = start("memory://").await;
    client.create_topic("t", Some(1), &[], false).await.unwrap();
    let mut expected = Vec::new();
    for (number, compression) in Compression::ALL.into_iter().enumerate() {
        let value = format!("v{number}");
        produce(&client, "t", &[&value], ProducerOptions { compression, ..ProducerOptions::default() }).await;
        expected.push(value);
    }
    produce(&client, "t", &["leader"], ProducerOptions { acks: Acks::Leader, ..ProducerOptions::default() }).await;
    expected.push("leader".to_string());
    let records = read_all(&client, "t").await;
    assert_eq!(values(&records), expected);
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(records[0].timestamp, 1_700_000_000_000);
    assert!(server.health().is_ready(), "{:?}", server.health());
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_stay_in_their_partition_and_headers_keep_order_and_duplicates() {
    let (server, client) = start("memory://").await;
    client.create_topic("t", Some(4), &[], false).await.unwrap();
    let mut producer = Producer::open(client.clone(), "t", ProducerOptions::default()).await.unwrap();
    let header = |value: &'static str| (Bytes::from_static(b"h"), Some(Bytes::from_static(value.as_bytes())));
    for round in 0..3 {
        for key in ["a", "b", "c", "d", "e"] {
            let record = NewRecord { headers: vec![header("1"), header("2")], ..record(key, &format!("{round}")) };
            producer.push(&record);
        }
        producer.flush().await.unwrap();
    }
    let records = read_all(&client, "t").await;
    let mut by_key: BTreeMap<Bytes, Vec<(i32, &str)>> = BTreeMap::new();
    for record in &records {
        let value = std::str::from_utf8(record.value.as_deref().unwrap()).unwrap();
        by_key.entry(record.key.clone().unwrap()).or_default().push((record.partition, value));
        assert_eq!(record.headers, [header("1"), header("2")]);
    }
    assert_eq!(by_key.len(), 5);
    for (key, seen) in by_key {
        let partition = seen[0].0;
        assert_eq!(seen, [(partition, "0"), (partition, "1"), (partition, "2")], "{key:?}");
    }
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_gives_everything_back_after_a_restart_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (server, client) = start(path).await;
    client.create_topic("orders", Some(3), &[("retention.ms".into(), "1000000".into())], false).await.unwrap();
    produce(&client, "orders", &["one", "two", "three", "four"], ProducerOptions::default()).await;
    let before = read_all(&client, "orders").await;
    let cluster_id = client.metadata(None, false).await.unwrap().cluster_id;
    assert!(server.stop().await);

    let report = verified(directory.path()).await;
    assert!(report.is_proved(), "{:?}", report.findings);
    assert_eq!((report.topics, report.partitions, report.records), (1, 3, 4));
    assert!(report.bodies >= 1 && report.bytes > 0);

    let (server, client) = start(path).await;
    assert_eq!(read_all(&client, "orders").await, before);
    assert_eq!(client.metadata(None, false).await.unwrap().cluster_id, cluster_id);
    let configs = client.topic_configs("orders").await.unwrap();
    let retention = configs.iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.is_own), (Some("1000000"), true));
    assert!(server.stop().await);
}

async fn verified(directory: &Path) -> verify::Report {
    let settings = settings(directory.to_str().unwrap(), &[]);
    verify::verify(&Vault::open(&settings.store).await.unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_a_flipped_byte_and_a_file_that_nobody_knows() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client) = start(directory.path().to_str().unwrap()).await;
    client.create_topic("t", Some(1), &[], false).await.unwrap();
    produce(&client, "t", &["needle-in-the-haystack"], ProducerOptions::default()).await;
    assert!(server.stop().await);
    std::fs::write(directory.path().join("stranger"), "x").unwrap();
    let report = verified(directory.path()).await;
    assert!(report.is_proved());
    assert!(report.findings.iter().any(|finding| finding.object == "stranger"), "{:?}", report.findings);

    let journal = std::fs::read_dir(directory.path().join("journal")).unwrap();
    let chunk = journal.map(|file| file.unwrap().path()).find(|path| path.extension().is_some()).unwrap();
    let mut bytes = std::fs::read(&chunk).unwrap();
    let needle = b"needle-in-the-haystack";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&chunk, bytes).unwrap();
    let report = verified(directory.path()).await;
    assert!(!report.is_proved(), "{report:?}");
    std::fs::remove_file(&chunk).unwrap();
    let report = verified(directory.path()).await;
    assert!(report.findings.iter().any(|finding| finding.severity == verify::Severity::Missing), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_altered_grown_listed_and_deleted() {
    let (server, client) = start("memory://").await;
    client.create_topic("dry", Some(1), &[], true).await.unwrap();
    client.create_topic("t", None, &[], false).await.unwrap();
    let exists = client.create_topic("t", None, &[], false).await.unwrap_err();
    assert!(exists.to_string().contains("TopicAlreadyExists"), "{exists}");
    client.create_partitions("t", 3, true).await.unwrap();
    client.create_partitions("t", 2, false).await.unwrap();
    let set = [("retention.ms".to_string(), Some("5000".to_string()))];
    client.alter_topic("t", &set, false).await.unwrap();
    let topics = client.topics(None).await.unwrap();
    assert_eq!(topics.iter().map(|topic| (topic.name.as_str(), topic.leaders.len())).collect::<Vec<_>>(), [("t", 2)]);
    let value = |configs: Vec<frazil_cli::client::ConfigEntry>| {
        configs.into_iter().find(|config| config.name == "retention.ms").unwrap().value.unwrap()
    };
    assert_eq!(value(client.topic_configs("t").await.unwrap()), "5000");
    client.alter_topic("t", &[("retention.ms".to_string(), None)], false).await.unwrap();
    assert_eq!(value(client.topic_configs("t").await.unwrap()), "604800000");
    client.delete_topic("t").await.unwrap();
    assert!(client.topics(None).await.unwrap().is_empty());
    let unknown = client.delete_topic("t").await.unwrap_err();
    assert!(matches!(&unknown, ClientError::Refused { .. }), "{unknown}");
    assert!(unknown.next_step().is_some());
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time() {
    let (server, client) = start("memory://").await;
    client.create_topic("t", Some(1), &[], false).await.unwrap();
    let mut producer = Producer::open(client.clone(), "t", ProducerOptions::default()).await.unwrap();
    for (number, timestamp) in [1_000, 2_000, 3_000].into_iter().enumerate() {
        producer.push(&NewRecord { timestamp, ..record("k", &format!("{number}")) });
    }
    producer.flush().await.unwrap();
    let at = async |timestamp| client.offsets_at("t", &[0], timestamp).await.unwrap()[&0];
    assert_eq!((at(0).await, at(1_001).await, at(3_000).await, at(3_001).await), (0, 1, 2, -1));
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_in_use_is_refused_with_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (server, _) = start(path).await;
    let error = server::start(settings(path, &[])).await.unwrap_err();
    assert!(matches!(&error, StartError::Engine { .. }), "{error:?}");
    assert!(error.to_string().contains("in use"), "{error}");
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_refused_and_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = server::start(settings("memory://", &[("kafka.listen", &address)])).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{address} is taken by another process"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_and_an_address_that_does_not_work_are_told_apart() {
    let nobody = HostPort { host: "127.0.0.1".into(), port: 1 };
    let lost = Client::new(vec![nobody.clone()], Duration::from_secs(1));
    assert!(matches!(lost.topics(None).await.unwrap_err(), ClientError::Unreachable { .. }));

    let server = server::start(settings("memory://", &[("kafka.advertise", "127.0.0.1:1")])).await.unwrap();
    let misled = client(&server);
    let error = misled.create_topic("t", Some(1), &[], false).await.unwrap_err();
    assert!(matches!(&error, ClientError::Advertised { advertised, .. } if *advertised == nobody), "{error:?}");
    assert!(error.next_step().unwrap().contains("FRAZIL__KAFKA__ADVERTISE"));
    assert!(server.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_no_kafka_is_recognised() {
    let server = server::start(settings("memory://", &[])).await.unwrap();
    let http = HostPort { host: "127.0.0.1".into(), port: server.http_addr.port() };
    let error = Client::new(vec![http], Duration::from_secs(2)).topics(None).await.unwrap_err();
    assert!(error.to_string().contains("no broker can be reached"), "{error}");
    assert!(server.stop().await);
}
