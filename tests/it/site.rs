//! A data path on any engine, with faults, whose broker is killed and started again on what it left.
//!
//! A `Log` that is dropped loses its tasks at whatever point they are, as a killed process does. Time is virtual except
//! on the journal, which is written by a thread of its own.

use bytes::Bytes;
use frazil_base::clock::TokioClock;
use frazil_base::entropy::SeededEntropy;
use frazil_base::{BrokerId, Env, Seq, TopicId, TopicPartition};
use frazil_log::layout::{SNAPSHOT_PREFIX, snapshot_of_key};
use frazil_log::{
    BrokerIdentity, FetchPartition, FetchPlan, Isolation, Log, LogOptions, NewBatch, Placed, ProduceError,
};
use frazil_meta::engine::testing::{Faults as LogFaults, FaultyLog};
use frazil_meta::engine::{FileLog, FileOptions, MemoryLog, ObjectLog, ObjectOptions};
use frazil_meta::record::{BatchProducer, Command, CreateTopic};
use frazil_meta::{CommitLog, Outcome};
use frazil_store::testing::{FaultControls, Faults};
use frazil_store::{MemoryStorage, ObjectStorage, Operation, Retry, RetryPolicy};
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Batches, Compression, Records};
use prometheus_client::registry::Registry;
use std::future::Future;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// 2024-02-29T13:00:00Z
pub const START_MS: i64 = 1_709_211_600_000;

/// Most bytes of one fetch.
const FETCH_BYTES: usize = 1 << 20;

/// What a broker stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A log in memory that carries segments.
    Memory,
    /// The cluster's way: a log in memory without segments, and a store for them.
    Cluster,
    /// The journal on a local directory.
    Journal,
    /// Numbered objects in a bucket in memory.
    Object,
}

/// What outlives brokers.
pub struct Site {
    pub engine: Engine,
    pub env: Env,
    /// The bucket without its faults.
    pub memory: Arc<MemoryStorage>,
    pub store_faults: FaultControls,
    pub log_faults: LogFaults,
    pub options: LogOptions,
    store: Arc<dyn ObjectStorage>,
    shared: MemoryLog,
    folder: TempDir,
}

/// Runs a test on an engine, in a runtime of its own.
pub fn on<F: Future>(engine: Engine, test: impl FnOnce(Site) -> F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(engine != Engine::Journal).build().expect("a runtime");
    runtime.block_on(async { test(Site::new(engine)).await })
}

impl Site {
    fn new(engine: Engine) -> Site {
        let entropy = Arc::new(SeededEntropy::new(7));
        let env = Env { clock: Arc::new(TokioClock::starting_at(START_MS)), entropy: entropy.clone() };
        let memory = Arc::new(MemoryStorage::new(env.clone()));
        let (faults, store_faults) = Faults::new(memory.clone(), 7);
        let mut site = Site {
            engine,
            memory,
            store_faults,
            log_faults: LogFaults::new(entropy),
            options: LogOptions { segment_bytes: 64 << 10, in_flight_bytes: 1 << 20, ..LogOptions::default() },
            store: faults.clone(),
            shared: MemoryLog::new(engine == Engine::Memory),
            folder: TempDir::new().expect("a folder"),
            env,
        };
        site.stand_on(faults);
        site
    }

    /// Puts another store between the brokers and the bucket; retries stand above it, as in a server.
    pub fn stand_on(&mut self, store: Arc<dyn ObjectStorage>) {
        self.store = Arc::new(Retry::new(store, RetryPolicy::bounded(4), self.env.clone()));
    }

    /// Starts a broker. On an exclusive engine it fences the one before.
    pub async fn start(&self) -> Broker {
        self.start_as(0).await
    }

    /// Starts the broker with this id.
    pub async fn start_as(&self, id: i32) -> Broker {
        let engine = Arc::new(FaultyLog::new(self.open_engine(id).await, self.log_faults.clone()));
        let identity = BrokerIdentity { id: BrokerId(id), host: format!("host-{id}"), port: 9092, zone: None };
        let (store, env, options) = (self.store.clone(), self.env.clone(), self.options.clone());
        let log = Log::open(engine.clone(), store, env, identity, options, &mut Registry::default()).await;
        Broker { log: log.expect("it opens"), engine: Arc::downgrade(&engine) }
    }

    async fn open_engine(&self, id: i32) -> Arc<dyn CommitLog> {
        match self.engine {
            Engine::Memory | Engine::Cluster => Arc::new(self.shared.handle()),
            Engine::Journal => {
                let options = FileOptions { chunk_bytes: 8 << 20, ..FileOptions::default() };
                let opened = FileLog::open(&self.journal(), self.env.clone(), options).await;
                Arc::new(opened.expect("the journal opens"))
            }
            Engine::Object => {
                let snapshots = self.memory.list(SNAPSHOT_PREFIX, None, 1_000).await.expect("memory does not fail");
                let newest = snapshots.last().and_then(|snapshot| snapshot_of_key(&snapshot.key));
                let holder = format!("broker {id} at host-{id}");
                let options = ObjectOptions { known: newest.unwrap_or(Seq::ZERO), holder, ..ObjectOptions::default() };
                let opened = ObjectLog::open(self.store.clone(), self.env.clone(), options).await;
                Arc::new(opened.expect("the log opens"))
            }
        }
    }

    /// Where the journal lies.
    pub fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Keys of all objects that start with `prefix`.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let objects = self.memory.list(prefix, None, usize::MAX).await.expect("memory does not fail");
        objects.into_iter().map(|object| object.key.as_str().to_owned()).collect()
    }

    /// Requests to the store so far, one kind or all.
    pub fn requests(&self, operation: Option<Operation>) -> u64 {
        let requests = self.store_faults.requests();
        requests
            .iter()
            .filter(|(kind, _)| operation.is_none_or(|wanted| wanted == **kind))
            .map(|(_, count)| count)
            .sum()
    }
}

/// Waits until something holds; the clock may be virtual, the patience is real.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A broker that runs.
pub struct Broker {
    log: Log,
    engine: Weak<FaultyLog>,
}

impl Deref for Broker {
    type Target = Log;

    fn deref(&self) -> &Log {
        &self.log
    }
}

impl Broker {
    /// `kill -9`: ends it where it stands, and waits until nothing of it is left.
    pub async fn kill(self) {
        let Broker { log, engine } = self;
        drop(log);
        until("the killed broker is gone", || engine.strong_count() == 0).await;
    }

    /// A further handle on its data path, for a task.
    pub fn handle(&self) -> Log {
        self.log.clone()
    }

    /// Makes a topic.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> TopicId {
        let topic = TopicId(self.env().entropy.bits128());
        let create = CreateTopic { topic, name: name.into(), partitions, replication_factor: 1, configs: Vec::new() };
        let outcome = self.propose(Command::CreateTopic(create)).await.expect("the log takes it");
        assert_eq!(outcome, Outcome::Done);
        topic
    }
}

/// Produces one batch and waits for what became of it.
pub async fn produce(log: &Log, batch: NewBatch) -> Result<Placed, ProduceError> {
    log.submit(vec![batch]).await.await.remove(0)
}

/// A plain batch of records.
pub fn batch(partition: TopicPartition, values: &[&str]) -> NewBatch {
    encoded(partition, BatchBuilder::new(Compression::None), None, values)
}

/// A batch of an idempotent producer.
pub fn batch_of(partition: TopicPartition, id: i64, first_sequence: i32, values: &[&str]) -> NewBatch {
    let fields = ProducerFields { id, epoch: 0, base_sequence: first_sequence };
    let producer = BatchProducer { id, epoch: 0, first_sequence, transactional: None };
    encoded(partition, BatchBuilder::new(Compression::None).producer(fields), Some(producer), values)
}

fn encoded(
    partition: TopicPartition,
    mut builder: BatchBuilder,
    producer: Option<BatchProducer>,
    values: &[&str],
) -> NewBatch {
    values.iter().for_each(|value| builder.push(START_MS, None, Some(value.as_bytes()), &[]));
    let (bytes, records) = (builder.build(), values.len() as u32);
    NewBatch { partition, bytes, records, max_timestamp: START_MS, producer }
}

/// Values of all records of a partition, by as many fetches as it takes; offsets must follow each other from 0.
pub async fn read_all(log: &Log, partition: TopicPartition) -> Vec<String> {
    let mut values = Vec::new();
    loop {
        let next = values.len() as i64;
        let partitions = vec![FetchPartition { partition, offset: next, max_bytes: FETCH_BYTES }];
        let plan = FetchPlan {
            max_wait: Duration::ZERO,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            isolation: Isolation::ReadUncommitted,
            partitions,
        };
        let fetched = log.fetch(plan).await.remove(0);
        fetched.result.clone().expect("readable");
        let records = records_of(&fetched.slices);
        if records.is_empty() {
            assert_eq!(next, fetched.high_watermark);
            return values;
        }
        for (offset, value) in records {
            assert_eq!(offset, values.len() as i64, "no gap, no overlap");
            values.push(value);
        }
    }
}

/// Offsets and values of all records in slices of whole batches.
pub fn records_of(slices: &[Bytes]) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for slice in slices {
        for (position, header) in Batches::new(slice) {
            let bytes = slice.slice(position..position + header.total_bytes());
            frazil_wire::batch::check_stored(&bytes).expect("a batch with its CRC");
            for record in Records::new(&bytes, 1 << 30).expect("records") {
                let record = record.expect("a record");
                found.push((record.offset, String::from_utf8_lossy(&record.value.expect("a value")).into_owned()));
            }
        }
    }
    found
}
