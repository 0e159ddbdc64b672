//! One log, one store, any number of brokers on them, and faults for all.

use crate::{
    BrokerIdentity, FetchPartition, FetchPlan, FetchedPartition, Isolation, Log, LogOptions, NewBatch, Placed,
    ProduceError,
};
use bytes::Bytes;
use frazil_base::clock::TokioClock;
use frazil_base::entropy::SeededEntropy;
use frazil_base::{BrokerId, Env, TopicId, TopicPartition};
use frazil_meta::engine::MemoryLog;
use frazil_meta::engine::testing::{Faults as LogFaults, FaultyLog};
use frazil_meta::record::{BatchProducer, Command, CreateTopic};
use frazil_meta::state::Mutation;
use frazil_meta::{CommitLog, Outcome};
use frazil_store::testing::{FaultControls, Faults};
use frazil_store::{MemoryStorage, ObjectStorage, Operation};
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Batches, Compression, Records};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;

/// 2024-02-29T13:00:00Z
pub const START_MS: i64 = 1_709_211_600_000;

/// Where segments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    InLog,
    InStore,
}

/// What outlives brokers.
pub struct World {
    pub env: Env,
    pub engine: MemoryLog,
    pub memory: Arc<MemoryStorage>,
    pub store: Arc<dyn ObjectStorage>,
    pub store_faults: FaultControls,
    pub log_faults: LogFaults,
    pub options: LogOptions,
}

impl World {
    pub fn new(bodies: Bodies) -> World {
        World::seeded(bodies, 42)
    }

    pub fn seeded(bodies: Bodies, seed: u64) -> World {
        World::over(MemoryLog::new(bodies == Bodies::InLog), seed)
    }

    pub fn exclusive(bodies: Bodies) -> World {
        World::over(MemoryLog::exclusive(bodies == Bodies::InLog), 42)
    }

    fn over(engine: MemoryLog, seed: u64) -> World {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let env = Env { clock: Arc::new(TokioClock::starting_at(START_MS)), entropy: entropy.clone() };
        let memory = Arc::new(MemoryStorage::new(env.clone()));
        let (store, store_faults) = Faults::new(memory.clone(), seed);
        let log_faults = LogFaults::new(entropy);
        let options = LogOptions {
            segment_bytes: 64 << 10,
            snapshots_kept_for: Duration::ZERO,
            in_flight_bytes: 1 << 20,
            ..LogOptions::default()
        };
        World { env, engine, memory, store, store_faults, log_faults, options }
    }

    /// A broker that starts now.
    pub async fn broker(&self, id: i32) -> Log {
        self.broker_with(id, self.options.clone()).await
    }

    pub async fn broker_with(&self, id: i32, options: LogOptions) -> Log {
        let engine: Arc<dyn CommitLog> =
            Arc::new(FaultyLog::new(Arc::new(self.engine.handle()), self.log_faults.clone()));
        self.open_on(engine, self.env.clone(), id, options).await
    }

    /// A broker on another engine or clock.
    pub async fn open_on(&self, engine: Arc<dyn CommitLog>, env: Env, id: i32, options: LogOptions) -> Log {
        let identity = BrokerIdentity { id: BrokerId(id), host: "localhost".into(), port: 9092, zone: None };
        let mut registry = Registry::default();
        Log::open(engine, self.store.clone(), env, identity, options, &mut registry).await.expect("it opens")
    }

    /// A broker with a clock of its own.
    pub async fn broker_in(&self, env: Env, id: i32) -> Log {
        let identity = BrokerIdentity { id: BrokerId(id), host: "localhost".into(), port: 9092, zone: None };
        let engine: Arc<dyn CommitLog> = Arc::new(self.engine.handle());
        let mut registry = Registry::default();
        let opened = Log::open(engine, self.store.clone(), env, identity, self.options.clone(), &mut registry).await;
        opened.expect("it opens")
    }

    /// A broker whose state breaks a rule.
    pub async fn broken_broker(&self, id: i32, rule: Mutation) -> Log {
        let identity = BrokerIdentity { id: BrokerId(id), host: "localhost".into(), port: 9092, zone: None };
        let engine: Arc<dyn CommitLog> = Arc::new(self.engine.handle());
        let options = self.options.clone();
        Log::open_with_broken_rule(engine, self.store.clone(), self.env.clone(), identity, options, rule)
            .await
            .expect("it opens")
    }

    pub fn requests(&self, operation: Operation) -> u64 {
        self.store_faults.requests().get(&operation).copied().unwrap_or(0)
    }

    pub fn all_requests(&self) -> u64 {
        self.store_faults.requests().values().sum()
    }

    /// Keys of all objects that start with `prefix`.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let objects = self.memory.list(prefix, None, usize::MAX).await.expect("memory does not fail");
        objects.into_iter().map(|object| object.key.as_str().to_string()).collect()
    }
}

pub async fn create_topic(log: &Log, name: &str, partitions: i32) -> TopicId {
    let topic = TopicId(log.env().entropy.bits128());
    let create = CreateTopic { topic, name: name.into(), partitions, replication_factor: 1, configs: Vec::new() };
    let outcome = log.propose(Command::CreateTopic(create)).await.expect("the log takes it");
    assert_eq!(outcome, Outcome::Done);
    topic
}

pub fn partition(topic: TopicId, partition: i32) -> TopicPartition {
    TopicPartition { topic, partition }
}

/// A plain batch of records with these values, all of one timestamp.
pub fn batch_at(partition: TopicPartition, values: &[&str], timestamp: i64) -> NewBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    values.iter().for_each(|value| builder.push(timestamp, None, Some(value.as_bytes()), &[]));
    let records = values.len() as u32;
    NewBatch { partition, bytes: builder.build(), records, max_timestamp: timestamp, producer: None }
}

pub fn batch(partition: TopicPartition, values: &[&str]) -> NewBatch {
    batch_at(partition, values, START_MS)
}

/// A batch of an idempotent producer.
pub fn batch_of(partition: TopicPartition, id: i64, epoch: i16, first_sequence: i32, values: &[&str]) -> NewBatch {
    let fields = ProducerFields { id, epoch, base_sequence: first_sequence };
    let mut builder = BatchBuilder::new(Compression::None).producer(fields);
    values.iter().for_each(|value| builder.push(START_MS, None, Some(value.as_bytes()), &[]));
    NewBatch {
        partition,
        bytes: builder.build(),
        records: values.len() as u32,
        max_timestamp: START_MS,
        producer: Some(BatchProducer { id, epoch, first_sequence, transactional: None }),
    }
}

/// A plain batch of one record of `bytes` bytes.
pub fn large_batch(partition: TopicPartition, bytes: usize) -> NewBatch {
    batch(partition, &["x".repeat(bytes).as_str()])
}

pub async fn produce(log: &Log, batch: NewBatch) -> Result<Placed, ProduceError> {
    let mut placements = log.submit(vec![batch]).await.await;
    assert_eq!(placements.len(), 1);
    placements.remove(0)
}

/// The base offset at which a plain batch of these values was stored.
pub async fn produce_values(log: &Log, partition: TopicPartition, values: &[&str]) -> i64 {
    produce(log, batch(partition, values)).await.expect("it is stored").base_offset
}

/// What one partition gives from `offset` on, now.
pub async fn fetch_once(log: &Log, partition: TopicPartition, offset: i64) -> FetchedPartition {
    fetch_with(log, partition, offset, usize::MAX, Duration::ZERO).await
}

pub async fn fetch_with(
    log: &Log,
    partition: TopicPartition,
    offset: i64,
    max_bytes: usize,
    max_wait: Duration,
) -> FetchedPartition {
    let partitions = vec![FetchPartition { partition, offset, max_bytes }];
    let mut fetched =
        log.fetch(FetchPlan { max_wait, min_bytes: 1, max_bytes, isolation: Isolation::default(), partitions }).await;
    assert_eq!(fetched.len(), 1);
    fetched.remove(0)
}

/// Offsets and values of all records in slices of whole batches.
pub fn records_of(slices: &[Bytes]) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for slice in slices {
        let mut batches = Batches::new(slice);
        for (position, header) in &mut batches {
            let bytes = slice.slice(position..position + header.total_bytes());
            frazil_wire::batch::check_stored(&bytes).expect("a batch with its CRC");
            assert_eq!(header.leader_epoch, crate::LEADER_EPOCH);
            for record in Records::new(&bytes, 1 << 30).expect("records") {
                let record = record.expect("a record");
                found.push((record.offset, String::from_utf8_lossy(&record.value.expect("a value")).into_owned()));
            }
        }
        assert_eq!(batches.position(), slice.len(), "whole batches only");
    }
    found
}

/// All records of a partition, by as many fetches as it takes; checks that offsets follow each other.
pub async fn read_all(log: &Log, partition: TopicPartition) -> Vec<String> {
    let mut values = Vec::new();
    let mut next = 0;
    loop {
        let fetched = fetch_with(log, partition, next, 1 << 20, Duration::ZERO).await;
        fetched.result.clone().expect("readable");
        let records = records_of(&fetched.slices);
        if records.is_empty() {
            assert_eq!(next, fetched.high_watermark);
            return values;
        }
        for (offset, value) in records {
            assert_eq!(offset, next, "no gap, no overlap");
            next += 1;
            values.push(value);
        }
    }
}
