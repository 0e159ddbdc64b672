//! The handle on the data path, and how its tasks hang together.
//!
//! ```text
//! submit -> writer -> sequencer -> engine          fetch -> plan -> cache -> reader -> engine or store
//!             |           |                                   ^       ^
//!             |           +-> replica (apply, answer, wake) --+       |
//!             +-> patch, publish, answer -----------------------------+
//! ```
//!
//! Each task owns what it changes. They end when the last handle is dropped, at whatever point they are, as in a killed
//! process; `close` ends them in order.

use crate::cache::Cache;
use crate::collector::{Collector, Discards};
use crate::fetch::{FetchError, FetchPlan, FetchedPartition, Fetcher};
use crate::graveyard::Graveyard;
use crate::health::{Health, HealthCell};
use crate::invariant;
use crate::maintenance::{Finish, Maintenance};
use crate::metrics::Metrics;
use crate::open::{self, OpenError, Opened};
use crate::options::{BrokerIdentity, LogOptions};
use crate::pauses;
use crate::produce::{NewBatch, Ticket};
use crate::producer_ids::ProducerIds;
use crate::reader::Reader;
use crate::replica::Replica;
use crate::retention::Retainer;
use crate::sequencer::{self, ProposeError, Sequencer};
use crate::snapshot::Snapshots;
use crate::times::{TimedOffset, Times};
use crate::writer::{Hangar, Writer};
use frazil_base::{BufferPool, Env, Epoch, Seq, Signal, TopicPartition};
use frazil_meta::CommitLog;
use frazil_meta::record::Command;
use frazil_meta::state::{Outcome, State};
use frazil_store::ObjectStorage;
use futures::FutureExt;
use prometheus_client::registry::Registry;
use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

/// Memory kept for the segments and blocks to come.
const SPARE_BYTES: usize = 32 << 20;

/// A broker's data path. Clones share it.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    engine: Arc<dyn CommitLog>,
    env: Env,
    health: HealthCell,
    replica: Arc<Replica>,
    sequencer: Sequencer,
    writer: Writer,
    fetcher: Fetcher,
    times: Times,
    producer_ids: ProducerIds,
    flush_age: Duration,
    finish: mpsc::Sender<Finish>,
    _tasks: Vec<Task>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log(epoch {}, applied {})", self.epoch(), self.0.replica.applied())
    }
}

impl Log {
    /// Opens the data path: reads the newest snapshot and the tail of the log, registers the broker, starts the tasks.
    /// On an exclusive engine this fences whoever had the log before.
    pub async fn open(
        engine: Arc<dyn CommitLog>,
        store: Arc<dyn ObjectStorage>,
        env: Env,
        identity: BrokerIdentity,
        options: LogOptions,
        registry: &mut Registry,
    ) -> Result<Log, OpenError> {
        let health = HealthCell::new();
        let opened = open::open(engine.as_ref(), store.as_ref(), &env, &identity, None, health.clone()).await?;
        // Only now: whoever tries again registers no metric twice.
        let metrics = Arc::new(Metrics::register(registry));
        Ok(Parts { engine, store, env, health, metrics, options }.start(opened))
    }

    /// Opens the data path on a state that breaks a rule on purpose, to prove that a checker notices.
    #[cfg(any(test, feature = "testing"))]
    pub async fn open_with_broken_rule(
        engine: Arc<dyn CommitLog>,
        store: Arc<dyn ObjectStorage>,
        env: Env,
        identity: BrokerIdentity,
        options: LogOptions,
        rule: frazil_meta::state::Mutation,
    ) -> Result<Log, OpenError> {
        let health = HealthCell::new();
        let opened = open::open(engine.as_ref(), store.as_ref(), &env, &identity, Some(rule), health.clone()).await?;
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        Ok(Parts { engine, store, env, health, metrics, options }.start(opened))
    }

    /// This broker's copy of the state, locked for reading: for short questions, never across an `await`.
    pub fn state(&self) -> impl Deref<Target = State> + '_ {
        self.0.replica.state()
    }

    /// This broker's registration.
    pub fn epoch(&self) -> Epoch {
        self.0.replica.epoch()
    }

    /// Clock and randomness.
    pub fn env(&self) -> &Env {
        &self.0.env
    }

    /// Whether writes are acknowledged.
    pub fn health(&self) -> Health {
        self.0.health.get()
    }

    /// Follows `health`.
    pub fn health_changes(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }

    /// Follows the number of the last record applied here.
    pub fn applied_changes(&self) -> &Signal<Seq> {
        self.0.replica.applied_changes()
    }

    /// Bytes submitted and not settled; bounded by `LogOptions::in_flight_bytes`.
    pub fn in_flight_bytes(&self) -> usize {
        self.0.writer.in_flight_bytes()
    }

    /// Appends a record and waits for its outcome. That a topic exists, or does not, is an outcome and not an error.
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        self.enqueue(command).await
    }

    /// Queues a record; the order of the calls is the order in the log. The outcome may be waited for anywhere, or not.
    pub fn enqueue(&self, command: Command) -> impl Future<Output = Result<Outcome, ProposeError>> + Send + use<> {
        let pending = self.0.sequencer.propose(command, None);
        async move { Ok(pending.settled().await?.outcome) }
    }

    /// How long batches gather before a segment is written; zero where an append costs no request.
    pub fn flush_age(&self) -> Duration {
        self.0.flush_age
    }

    /// Hands batches to the writer; waits while too many bytes are in flight. The order of the calls of one task is the
    /// order in the log. The ticket resolves when the batches are durable and committed, or failed.
    pub async fn submit(&self, batches: Vec<NewBatch>) -> Ticket {
        self.0.writer.submit(batches).await
    }

    /// Reads from partitions, waiting for data as the request says. One answer per partition, in the request's order.
    pub async fn fetch(&self, request: FetchPlan) -> Vec<FetchedPartition> {
        self.0.fetcher.fetch(request).await
    }

    /// Offset and timestamp of the first record whose timestamp is at least `timestamp`; `None` if there is none.
    pub async fn offset_for_time(
        &self,
        partition: TopicPartition,
        timestamp: i64,
    ) -> Result<Option<TimedOffset>, FetchError> {
        self.0.times.offset_for_time(partition, timestamp).await
    }

    /// Offset and timestamp of the first record with the partition's greatest timestamp; `None` if it is empty.
    pub async fn max_timestamp_offset(&self, partition: TopicPartition) -> Result<Option<TimedOffset>, FetchError> {
        self.0.times.max_timestamp_offset(partition).await
    }

    /// An id that no other idempotent producer has or had.
    pub async fn next_producer_id(&self) -> Result<i64, ProposeError> {
        self.0.producer_ids.next(&self.0.sequencer).await
    }

    /// Leaves in order: refuses new batches, settles and answers the earlier ones, writes a snapshot if anything
    /// changed, closes the registration and the engine. A step that an outage holds up is given up after a while, and
    /// what depended on it is left to the next start. Idempotent.
    pub async fn close(&self) {
        patiently("settling what is in flight", self.0.writer.drain()).await;
        patiently("the last snapshot", self.finish_maintenance()).await;
        if self.0.health.fenced().is_none() {
            patiently("closing the registration", self.close_registration()).await;
        }
        patiently("closing the engine", self.0.engine.close()).await;
    }

    async fn finish_maintenance(&self) {
        let (done, finished) = oneshot::channel();
        if self.0.finish.send(done).await.is_ok() {
            // An error means that the task is gone already.
            let _ = finished.await;
        }
    }

    async fn close_registration(&self) {
        if let Err(error) = self.propose(Command::CloseBroker { epoch: self.epoch() }).await {
            tracing::warn!(%error, "the registration stays open; the next start closes it");
        }
    }
}

/// Waits for one step of `close`, but not for ever.
async fn patiently(step: &'static str, work: impl Future<Output = ()>) {
    const PATIENCE: Duration = Duration::from_secs(5);
    if tokio::time::timeout(PATIENCE, work).await.is_err() {
        tracing::warn!(step, "given up after {PATIENCE:?}");
    }
}

/// What the tasks are made of.
struct Parts {
    engine: Arc<dyn CommitLog>,
    store: Arc<dyn ObjectStorage>,
    env: Env,
    health: HealthCell,
    metrics: Arc<Metrics>,
    options: LogOptions,
}

impl Parts {
    fn start(self, Opened { replica, snapshots }: Opened) -> Log {
        let replica = Arc::new(replica);
        let cache = Arc::new(Cache::new(self.options.cache_bytes, self.metrics.clone()));
        let buffers = BufferPool::new(self.options.segment_bytes, SPARE_BYTES);
        let (sequencer, sequencing) = self.sequencer(&replica);
        let (discards, discarded) = Discards::new();
        let (writer, writing) =
            Writer::new(self.hangar(&sequencer, &replica, &cache, &buffers, discards), &self.options);
        let (finish, finishing) = mpsc::channel(1);
        let snapshots = self.snapshots(&replica, snapshots);
        let maintenance = self.maintenance(&sequencer, &replica, snapshots);
        let mut tasks = vec![
            Task::start("sequencer", sequencing),
            Task::start("writer", writing),
            Task::start("maintenance", maintenance.run(discarded, finishing)),
        ];
        if !self.engine.is_exclusive() {
            let following = sequencer::follow(self.engine.clone(), replica.clone(), self.health.clone());
            tasks.push(Task::start("follower", following));
        }
        if self.engine.is_exclusive() {
            let (env, health) = (self.env.clone(), self.health.clone());
            tasks.push(Task::start("pauses", pauses::watch(sequencer.clone(), replica.clone(), env, health)));
        }
        let reader = Arc::new(self.reader(&replica, &cache, &buffers));
        let fetcher = self.fetcher(&replica, &reader);
        let times = Times { replica: replica.clone(), reader };
        let Parts { engine, env, health, options, .. } = self;
        let flush_age = options.flush_age;
        let producer_ids = ProducerIds::default();
        Log(Arc::new(Inner {
            engine,
            env,
            health,
            replica,
            sequencer,
            writer,
            fetcher,
            times,
            producer_ids,
            flush_age,
            finish,
            _tasks: tasks,
        }))
    }

    fn sequencer(&self, replica: &Arc<Replica>) -> (Sequencer, impl Future<Output = ()> + Send + 'static) {
        let Parts { engine, env, health, metrics, .. } = self;
        Sequencer::new(engine.clone(), replica.clone(), env.clone(), health.clone(), metrics.clone())
    }

    fn hangar(
        &self,
        sequencer: &Sequencer,
        replica: &Arc<Replica>,
        cache: &Arc<Cache>,
        buffers: &Arc<BufferPool>,
        discards: Discards,
    ) -> Hangar {
        Hangar {
            engine: self.engine.clone(),
            store: self.store.clone(),
            sequencer: sequencer.clone(),
            replica: replica.clone(),
            cache: cache.clone(),
            discards,
            health: self.health.clone(),
            env: self.env.clone(),
            metrics: self.metrics.clone(),
            buffers: buffers.clone(),
        }
    }

    fn reader(&self, replica: &Arc<Replica>, cache: &Arc<Cache>, buffers: &Arc<BufferPool>) -> Reader {
        let Parts { engine, store, metrics, .. } = self;
        Reader::new(engine.clone(), store.clone(), replica.clone(), cache.clone(), metrics.clone(), buffers.clone())
    }

    fn fetcher(&self, replica: &Arc<Replica>, reader: &Arc<Reader>) -> Fetcher {
        Fetcher {
            replica: replica.clone(),
            reader: reader.clone(),
            metrics: self.metrics.clone(),
            read_ahead_bytes: self.options.read_ahead_bytes,
        }
    }

    fn snapshots(&self, replica: &Arc<Replica>, known: Vec<crate::snapshot::Snapshot>) -> Snapshots {
        let grace_ms = i64::try_from(self.options.delete_grace.as_millis()).unwrap_or(i64::MAX);
        let snapshots = Snapshots {
            engine: self.engine.clone(),
            store: self.store.clone(),
            replica: replica.clone(),
            env: self.env.clone(),
            metrics: self.metrics.clone(),
            options: self.options.clone(),
            known,
            past: Vec::new(),
            covered: Default::default(),
            graveyard: Graveyard::new(&replica.state(), grace_ms),
        };
        snapshots.set_mark();
        snapshots
    }

    fn maintenance(&self, sequencer: &Sequencer, replica: &Arc<Replica>, snapshots: Snapshots) -> Maintenance {
        let collector = Collector {
            store: self.store.clone(),
            sequencer: sequencer.clone(),
            replica: replica.clone(),
            env: self.env.clone(),
            metrics: self.metrics.clone(),
            options: self.options.clone(),
            discarded: BTreeSet::new(),
        };
        let retainer = Retainer {
            replica: replica.clone(),
            sequencer: sequencer.clone(),
            env: self.env.clone(),
            metrics: self.metrics.clone(),
            policy: self.options.retention.clone(),
        };
        let has_objects = !self.engine.carries_bodies();
        Maintenance {
            retainer,
            retention_interval: self.options.retention_interval,
            replica: replica.clone(),
            snapshots,
            collector,
            interval: self.options.maintenance_interval,
            has_objects,
            seen_open: replica.state().brokers().map(|broker| broker.epoch).collect(),
            orphans_due: has_objects,
            last_look: Seq::ZERO,
        }
    }
}

/// A task that ends with its handle. One that panics takes the process along: the others would wait for it for ever.
struct Task(AbortHandle);

impl Task {
    fn start(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> Task {
        let guarded = AssertUnwindSafe(future).catch_unwind().map(move |result| {
            if let Err(panic) = result {
                invariant::broken("tasks do not panic", format_args!("{name}: {}", message(panic.as_ref())));
            }
        });
        Task(tokio::spawn(guarded).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}
