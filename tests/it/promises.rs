//! The promises of the design, one test each, named after them.

mod recorder;
mod survival;

use crate::broker_client::{connect, http};
use crate::site::{Broker, Engine, Site, batch, batch_of, on, produce, read_all, until};
use crate::walls;
use bytes::Bytes;
use frazil_base::{TopicId, TopicPartition};
use frazil_log::{FetchPartition, FetchPlan, Isolation, Log, LogOptions, NewBatch};
use frazil_meta::engine::testing::Point as LogPoint;
use frazil_meta::record::Command;
use frazil_store::Operation;
use frazil_store::testing::Point;
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings, Tools, run, run_with_input};
use futures::future::join_all;
use recorder::Recorder;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const ENGINES_IN_MEMORY: [Engine; 3] = [Engine::Memory, Engine::Cluster, Engine::Object];

fn partition(topic: TopicId, partition: i32) -> TopicPartition {
    TopicPartition { topic, partition }
}

/// `kill -9` in the middle of producing, again and again: whatever was acknowledged is there, at its offset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_before_acknowledged() {
    let folder = TempDir::new().expect("a folder");
    survival::prove(FrazilSettings::on_folder(folder.path())).await;
    let minio = Minio::start().await;
    survival::prove(FrazilSettings::on(&minio.url("durable"))).await;
}

/// Three brokers hand out the offsets of one partition, at once: each offset once, and all see the same.
#[test]
fn one_place_decides() {
    for engine in [Engine::Memory, Engine::Cluster] {
        on(engine, async |site| {
            let brokers = [site.start_as(0).await, site.start_as(1).await, site.start_as(2).await];
            let orders = partition(brokers[0].create_topic("orders", 1).await, 0);
            in_step(&brokers).await;
            let values: Vec<String> = (0..300).map(|number| format!("value {number}")).collect();
            let placements = values.iter().enumerate().map(|(at, value)| {
                let log = brokers[at % 3].handle();
                async move { produce(&log, batch(orders, &[value])).await.expect("stored").base_offset }
            });
            let offsets = join_all(placements).await;
            let distinct: BTreeSet<i64> = offsets.iter().copied().collect();
            assert_eq!(distinct, (0..300).collect(), "{engine:?}: each offset once");

            let mut placed = Vec::new();
            for broker in &brokers {
                placed.push(produce(broker, batch_of(orders, 9, 0, &["retried everywhere"])).await.expect("stored"));
            }
            let answers: Vec<_> = placed.iter().map(|placed| (placed.base_offset, placed.duplicate)).collect();
            assert_eq!(answers, [(300, false), (300, true), (300, true)], "{engine:?}");

            in_step(&brokers).await;
            let hashes: BTreeSet<u64> = brokers.iter().map(|broker| broker.state().hash()).collect();
            assert_eq!(hashes.len(), 1, "{engine:?}: one history, one state");
            for broker in &brokers {
                let read = read_all(broker, orders).await;
                for (value, offset) in values.iter().zip(&offsets) {
                    assert_eq!(&read[*offset as usize], value, "{engine:?}: what was answered is what is read");
                }
            }
        });
    }
}

/// Waits until all brokers have applied the same.
async fn in_step(brokers: &[Broker]) {
    let applied = || brokers.iter().map(|broker| broker.state().applied()).collect::<BTreeSet<_>>();
    until("all brokers are in step", || applied().len() == 1).await;
}

/// Brokers come and go while nothing is moved; and a process leaves nothing on its own disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_are_disposable() {
    std::thread::scope(|scope| scope.spawn(no_data_moves_when_brokers_come_and_go).join().expect("it holds"));
    let minio = Minio::start().await;
    let mut process = FrazilProcess::start(FrazilSettings::on(&minio.url("disposable"))).expect("it starts");
    let mut client = connect(&process).await;
    assert_eq!(client.create_topic("orders", 1, &[]).await.expect("an answer"), 0);
    for number in 0..3 {
        let value = format!("value {number}");
        let placed = client.produce("orders", 0, crate::broker_client::batch(&[&value])).await.expect("an answer");
        assert_eq!((placed.error_code, placed.base_offset), (0, number));
        let left = std::fs::read_dir(format!("/proc/{}/cwd", process.id())).expect("its working folder").count();
        assert_eq!(left, 0, "it keeps nothing on its disk");
        process = process.kill_and_restart().expect("it starts anywhere");
        client = connect(&process).await;
    }
    let fetched = client.fetch("orders", 0, 0, 0).await.expect("an answer");
    assert_eq!(crate::site::records_of(&[fetched.records.expect("records")]).len(), 3);
}

fn no_data_moves_when_brokers_come_and_go() {
    for engine in [Engine::Memory, Engine::Cluster] {
        on(engine, async |site| {
            let first = site.start_as(0).await;
            let topic = first.create_topic("orders", 100).await;
            for index in 0..100 {
                produce(&first, batch(partition(topic, index), &["value"])).await.expect("stored");
            }
            let writes = |site: &Site| {
                [Operation::Put, Operation::PutIfAbsent, Operation::Delete].map(|kind| site.requests(Some(kind)))
            };
            let (before, applied) = (writes(&site), first.state().applied());
            let others = [site.start_as(1).await, site.start_as(2).await];
            assert_eq!(writes(&site), before, "{engine:?}: joining moves nothing");
            first.kill().await;
            let read = join_all((0..100).map(|index| read_all(&others[1], partition(topic, index)))).await;
            assert!(read.iter().all(|values| values == &["value"]), "{engine:?}");
            assert_eq!(writes(&site), before, "{engine:?}: losing one moves nothing");
            assert_eq!(others[0].state().applied().0, applied.0 + 2, "{engine:?}: a record for each that joined");
        });
    }
}

/// Everything that is ever written or deleted, over restarts, snapshots and deleted topics, goes past a recorder.
#[test]
fn objects_are_immutable() {
    for engine in [Engine::Cluster, Engine::Object] {
        on(engine, async |mut site| {
            site.options = LogOptions {
                snapshot_after_records: 20,
                snapshots_kept_for: Duration::from_secs(600),
                ..site.options.clone()
            };
            let grace = site.options.delete_grace;
            let recorder = Arc::new(Recorder::new(site.memory.clone(), site.env.clone(), grace));
            site.stand_on(recorder.clone());
            for round in 0..4 {
                let broker = site.start().await;
                recorder.watch(broker.handle());
                write_and_delete(&broker, round).await;
                tokio::time::sleep(grace * 4).await;
                recorder.forget();
                broker.kill().await;
            }
            let (written, deleted) = recorder.totals();
            assert!(written > 200 && deleted > 100, "{engine:?}: {written} written, {deleted} deleted");
            let broker = site.start().await;
            let kept = broker.state().topics().map(|topic| topic.id).collect::<Vec<_>>();
            assert_eq!(kept.len(), 4);
            for topic in kept {
                assert_eq!(read_all(&broker, partition(topic, 0)).await.len(), 45, "{engine:?}");
            }
        });
    }
}

/// Three rounds of records into a topic that goes and a topic that stays; some segments hold both.
async fn write_and_delete(broker: &Broker, round: i32) {
    let kept = partition(broker.create_topic(&format!("kept-{round}"), 1).await, 0);
    for part in 0..3 {
        let gone = broker.create_topic(&format!("gone-{round}-{part}"), 1).await;
        for _ in 0..15 {
            produce(broker, batch(partition(gone, 0), &["short-lived"])).await.expect("stored");
            let both = vec![batch(partition(gone, 0), &["short-lived"]), batch(kept, &["kept"])];
            assert!(broker.submit(both).await.await.iter().all(Result::is_ok));
        }
        broker.propose(Command::DeleteTopic { topic: gone }).await.expect("the log takes it");
        tokio::time::sleep(Duration::from_secs(700)).await;
    }
}

/// The same records at the same pace over one partition and over ten thousand; then hours of nothing.
#[test]
fn requests_do_not_grow_with_topics() {
    const RECORDS: usize = 10_000;
    for engine in [Engine::Object, Engine::Cluster] {
        let puts = [1, 10_000].map(|partitions| {
            on(engine, async |mut site| {
                site.options = LogOptions {
                    flush_age: Duration::from_millis(250),
                    segment_bytes: 8 << 20,
                    in_flight_bytes: 48 << 20,
                    ..site.options.clone()
                };
                let broker = site.start().await;
                let topic = broker.create_topic("orders", partitions).await;
                let before = site.requests(None);
                let mut tickets = Vec::with_capacity(RECORDS);
                for number in 0..RECORDS {
                    tickets.push(
                        broker.submit(vec![batch(partition(topic, number as i32 % partitions), &["value"])]).await,
                    );
                    if number % 10 == 0 {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                for ticket in tickets {
                    assert!(ticket.await[0].is_ok());
                }
                let busy = site.requests(None) - before;
                // What still has to be done after the last record is done; then silence.
                tokio::time::sleep(Duration::from_secs(3600)).await;
                let before = site.requests(None);
                tokio::time::sleep(Duration::from_secs(8 * 3600)).await;
                assert_eq!(site.requests(None), before, "{engine:?}: requests of an idle broker");
                busy
            })
        });
        // Five seconds of segments that close every 250 ms.
        assert!(puts[0] <= 25 && puts[1] <= puts[0] + 1, "{engine:?}: {puts:?} requests for 1 and 10,000 partitions");
    }
}

/// Nothing of analytics is linked, and bytes that nobody can decode are stored and read as they are.
#[test]
fn fetch_never_needs_parquet() {
    let metadata = walls::metadata();
    for product in ["log", "broker"] {
        let reached = walls::reached_from(&metadata, product);
        for banned in walls::ANALYTICS {
            assert!(!reached.contains(banned), "{product} reaches {banned}");
        }
    }
    for engine in ENGINES_IN_MEMORY {
        on(engine, async |site| {
            let broker = site.start().await;
            let orders = partition(broker.create_topic("orders", 1).await, 0);
            let sent = undecodable(orders);
            let bytes = sent.bytes.clone();
            produce(&broker, sent).await.expect("stored");
            broker.kill().await;
            let broker = site.start().await;
            let partitions = vec![FetchPartition { partition: orders, offset: 0, max_bytes: 1 << 20 }];
            let plan = FetchPlan {
                max_wait: Duration::ZERO,
                min_bytes: 1,
                max_bytes: 1 << 20,
                isolation: Isolation::ReadUncommitted,
                partitions,
            };
            let fetched = broker.fetch(plan).await.remove(0);
            fetched.result.expect("readable");
            let read: Vec<u8> = fetched.slices.concat();
            // Base offset and leader epoch are the broker's; they stand before byte 16 and outside the checksum.
            assert_eq!(read.len(), bytes.len());
            assert!(read[16..] == bytes[16..], "{engine:?}: every byte as it was sent");
        });
    }
}

/// A batch that calls itself zstd and is not.
fn undecodable(orders: TopicPartition) -> NewBatch {
    let mut sent = batch(orders, &["no schema knows me"]);
    let mut bytes = sent.bytes.to_vec();
    bytes[22] |= 4;
    bytes[61..].fill(0xfe);
    // The checksum covers everything from the attributes on.
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    sent.bytes = Bytes::from(bytes);
    sent
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Many producers against a store that answers nobody: bytes in flight stay within the budget, the producers wait, and
/// all of them are served afterwards. The same through sockets: the memory of a process stays bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_has_a_limit() {
    std::thread::scope(|scope| scope.spawn(bytes_in_flight_stay_within_the_budget).join().expect("it holds"));
    survival::prove_memory_is_bounded().await;
}

fn bytes_in_flight_stay_within_the_budget() {
    const BUDGET: usize = 256 << 10;
    for engine in ENGINES_IN_MEMORY {
        on(engine, async |mut site| {
            site.options = LogOptions { in_flight_bytes: BUDGET, ..site.options.clone() };
            let broker = site.start().await;
            let topic = broker.create_topic("orders", 200).await;
            let hold = site.log_faults.hold(LogPoint::Before);
            let gates =
                (engine == Engine::Cluster).then(|| site.store_faults.hold(Operation::Put, "wal/", Point::Before));
            let producers: Vec<_> =
                (0..200).map(|index| tokio::spawn(produce_some(broker.handle(), partition(topic, index)))).collect();
            for _ in 0..600 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                assert!(broker.in_flight_bytes() <= BUDGET, "{engine:?}: {}", broker.in_flight_bytes());
            }
            assert!(broker.in_flight_bytes() > BUDGET / 2, "{engine:?}: {}", broker.in_flight_bytes());
            assert!(producers.iter().all(|producer| !producer.is_finished()));
            drop((hold, gates));
            for producer in producers {
                producer.await.expect("every producer is served");
            }
            assert_eq!(broker.in_flight_bytes(), 0);
        });
    }
}

/// 5 batches of 10 kB, one after the other.
async fn produce_some(log: Log, orders: TopicPartition) {
    for number in 0..5 {
        let placed = produce(&log, batch(orders, &["x".repeat(10_000).as_str()])).await.expect("stored");
        assert_eq!(placed.base_offset, number);
    }
}

/// kcat, kafka-python and confluent-kafka write and read each other's records. (`clients` tries them and the Java tools
/// at length.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_need_no_change() {
    const PATIENCE: Duration = Duration::from_secs(60);
    let tools = Tools::locate().expect("the tools");
    let folder = TempDir::new().expect("a folder");
    let process = FrazilProcess::start(FrazilSettings::on_folder(folder.path())).expect("it starts");
    let bootstrap = process.bootstrap();
    run_with_input(tools.kcat(&bootstrap).args(["-P", "-t", "shared", "-K", ":"]), b"kcat:one\n", PATIENCE)
        .expect("kcat");
    let script = "tests/it/promises/both_clients.py";
    let seen = run(tools.python(script).arg(&bootstrap), PATIENCE).expect("kafka-python and confluent-kafka").text();
    assert_eq!(seen, "kcat:one\nkafka-python:two\nconfluent-kafka:three\n".repeat(2));
    let read =
        run(tools.kcat(&bootstrap).args(["-C", "-t", "shared", "-o", "beginning", "-e", "-q", "-K", ":"]), PATIENCE);
    assert_eq!(read.expect("kcat").text(), "kcat:one\nkafka-python:two\nconfluent-kafka:three\n");
    assert_eq!(http(&process, "/readyz").await.0, 200);
}
