//! Measures the data path without network: `cargo test -p frazil-log hot_path -- --ignored --nocapture`, best with
//! `--config profile.dev.opt-level=3`. Prints MiB/s and CPU seconds per GiB of this process, the producing side included.

use super::world::{batch_at, create_topic, partition};
use crate::{BrokerIdentity, FetchPartition, FetchPlan, Log, LogOptions, NewBatch};
use frazil_base::{BrokerId, Clock, Env, SystemClock, TopicPartition};
use frazil_meta::engine::{FileLog, FileOptions};
use frazil_store::MemoryStorage;
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: i32 = 6;

async fn open(directory: &std::path::Path) -> Log {
    let env = Env::system();
    let engine = FileLog::open(directory, env.clone(), FileOptions::default()).await.expect("a journal");
    let store = Arc::new(MemoryStorage::new(env.clone()));
    let identity = BrokerIdentity { id: BrokerId(0), host: "localhost".into(), port: 9092, zone: None };
    let mut registry = prometheus_client::registry::Registry::default();
    Log::open(Arc::new(engine), store, env, identity, LogOptions::default(), &mut registry).await.expect("it opens")
}

/// CPU time of this process, from `/proc/self/stat`.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a line").split_whitespace().collect();
    let ticks: f64 = [11, 12].map(|index| fields[index].parse::<f64>().expect("a number")).iter().sum();
    ticks / 100.0
}

/// What a caller does between reading the clock and reading it again.
struct Measure {
    start: Duration,
    cpu: f64,
}

impl Measure {
    fn start() -> Measure {
        Measure { start: SystemClock.since_boot(), cpu: cpu_seconds() }
    }

    fn print(&self, what: &str, bytes: u64, requests: u64) {
        let seconds = (SystemClock.since_boot() - self.start).as_secs_f64();
        let (mib, gib) = (bytes as f64 / f64::from(1 << 20), bytes as f64 / f64::from(1 << 30));
        let cpu = cpu_seconds() - self.cpu;
        println!(
            "{what}: {:.0} MiB/s, {:.0} requests/s, {:.2} CPU s/GiB, {:.1} us CPU a request",
            mib / seconds,
            requests as f64 / seconds,
            cpu / gib,
            cpu / requests as f64 * 1e6
        );
    }
}

/// One connection: keeps `depth` requests of one batch in flight, `count` in all.
async fn connection(log: Log, template: NewBatch, depth: usize, count: usize) {
    let mut tickets = std::collections::VecDeque::new();
    for _ in 0..count {
        if tickets.len() == depth {
            let ticket: crate::Ticket = tickets.pop_front().expect("not empty");
            assert!(ticket.await[0].is_ok());
        }
        // A frame of its own, as from a socket.
        let bytes = bytes::Bytes::from(template.bytes.to_vec());
        tickets.push_back(log.submit(vec![NewBatch { bytes, ..template.clone() }]).await);
    }
    for ticket in tickets {
        assert!(ticket.await[0].is_ok());
    }
}

async fn produce(log: &Log, topic: frazil_base::TopicId, batch_bytes: usize, connections: usize, total: u64) {
    let value = "x".repeat(1000);
    let records = (batch_bytes / 1024).max(1);
    let count = (total / batch_bytes as u64) as usize / connections;
    let measure = Measure::start();
    let mut tasks = Vec::new();
    for index in 0..connections {
        let template = batch_at(partition(topic, index as i32 % PARTITIONS), &vec![value.as_str(); records], 1);
        tasks.push(tokio::spawn(connection(log.clone(), template, 5, count)));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let requests = (count * connections) as u64;
    measure.print(&format!("produce {batch_bytes} x {connections}"), requests * batch_bytes as u64, requests);
}

async fn consume(log: &Log, partitions: Vec<TopicPartition>, from: Vec<i64>, what: &str) {
    let mut next = from;
    let (mut bytes, mut requests) = (0, 0);
    let measure = Measure::start();
    loop {
        let wanted = partitions.iter().zip(&next).map(|(partition, offset)| FetchPartition {
            partition: *partition,
            offset: *offset,
            max_bytes: 1 << 20,
        });
        let plan =
            FetchPlan { max_wait: Duration::ZERO, min_bytes: 1, max_bytes: 50 << 20, partitions: wanted.collect() };
        let fetched = log.fetch(plan).await;
        let got: usize = fetched.iter().flat_map(|fetched| &fetched.slices).map(bytes::Bytes::len).sum();
        if got == 0 {
            break;
        }
        for (next, fetched) in next.iter_mut().zip(&fetched) {
            let Some(last) = fetched.slices.last() else { continue };
            let (_, header) = frazil_wire::Batches::new(last).last().expect("whole batches");
            *next = header.last_offset() + 1;
        }
        bytes += got as u64;
        requests += 1;
    }
    measure.print(what, bytes, requests);
}

#[test]
#[ignore = "a measurement"]
fn hot_path() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let directory =
        tempfile::tempdir_in(std::env::var("FRAZIL_MEASURE_DIR").unwrap_or(".".into())).expect("a directory");
    runtime.block_on(async {
        let log = open(directory.path()).await;
        let topic = create_topic(&log, "load", PARTITIONS).await;
        let partitions: Vec<TopicPartition> = (0..PARTITIONS).map(|index| partition(topic, index)).collect();
        produce(&log, topic, 64 << 10, 4, 1 << 30).await;
        produce(&log, topic, 64 << 10, 4, 2 << 30).await;
        produce(&log, topic, 16 << 10, 16, 1 << 30).await;
        consume(&log, partitions.clone(), vec![0; PARTITIONS as usize], "catch-up").await;
        produce(&log, topic, 1 << 10, 64, 128 << 20).await;
        let ends: Vec<i64> =
            partitions.iter().map(|at| log.state().partition(*at).expect("there").next_offset - 20_000).collect();
        consume(&log, partitions.clone(), ends.clone(), "fetch from the cache").await;
        consume(&log, partitions, ends, "fetch from the cache").await;
        log.close().await;
    });
}
