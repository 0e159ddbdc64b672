//! Brokers, their lines, and what they stand on.

use super::chance::Chance;
use super::clients;
use super::history::{Event, History};
use super::link::{Link, LinkedLog, LinkedStore, Luck, Mode, Network};
use super::plan::{Engine, Plan};
use frazil_base::clock::TokioClock;
use frazil_base::entropy::SeededEntropy;
use frazil_base::{BrokerId, Clock, Env, Epoch, Seq, TopicId, TopicPartition};
use frazil_broker::BrokerSettings;
use frazil_broker::testing::Door;
use frazil_log::layout::{SNAPSHOT_PREFIX, snapshot_of_key};
use frazil_log::{BrokerIdentity, Isolation, Log, LogOptions};
use frazil_meta::engine::{MemoryLog, ObjectLog, ObjectOptions};
use frazil_meta::record::{Command, CreateTopic};
use frazil_meta::{CommitLog, Outcome};
use frazil_store::{MemoryStorage, ObjectStorage, Retry, RetryPolicy};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

const TOPIC: TopicId = TopicId(0x5eed);
/// The topics' names.
pub const TOPICS: [&str; 3] = ["simulated", "input", "output"];
/// The partition of a topic after it begins so much further on.
pub const TOPIC_STEP: i32 = 10;
const PARTITIONS: i32 = 3;
/// What plain producers write to, by way of the log's own door.
pub const PLAIN: Range<i32> = 0..PARTITIONS;
/// What transactional producers write to.
pub const INPUT: Range<i32> = TOPIC_STEP..TOPIC_STEP + PARTITIONS;
/// Where copiers copy it to.
pub const OUTPUT: Range<i32> = 2 * TOPIC_STEP..2 * TOPIC_STEP + PARTITIONS;
/// The group of copiers.
pub const COPIERS: &str = "copiers";
/// The group of consumers.
pub const CONSUMERS: &str = "consumers";
/// All groups.
pub const GROUPS: [&str; 2] = [COPIERS, CONSUMERS];
/// When a run begins, in milliseconds since 1970.
pub const START_MS: i64 = 1_800_000_000_000;

/// A broker that runs, or did.
#[derive(Debug)]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// Its data path.
    pub log: Log,
    /// The Kafka server on it.
    pub door: Door,
    /// Its line to everything else.
    pub link: Arc<Link>,
}

/// What actors share.
#[derive(Debug)]
pub struct World {
    pub(super) plan: Plan,
    pub(super) clock: Arc<JumpingClock>,
    pub(super) chance: Chance,
    pub(super) history: Mutex<History>,
    pub(super) network: Mutex<Network>,
    pub(super) calls: AtomicU64,
    transactions: AtomicU32,
    connections: AtomicU64,
    store: Arc<dyn ObjectStorage>,
    shared: Option<MemoryLog>,
    /// Per place the broker that clients find there; on one bucket the newest comes last and older ones linger.
    pub(super) brokers: Mutex<Vec<Arc<Broker>>>,
    pub(super) luck: Mutex<Luck>,
    pub(super) links: Mutex<Vec<Arc<Link>>>,
    pub(super) finished: AtomicBool,
}

/// Tokio's clock, with a wall time that can be set.
#[derive(Debug)]
pub(super) struct JumpingClock {
    steady: TokioClock,
    pub(super) ahead_ms: AtomicI64,
}

impl Clock for JumpingClock {
    fn now_ms(&self) -> i64 {
        self.steady.now_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    fn since_boot(&self) -> Duration {
        self.steady.since_boot()
    }
}

impl World {
    pub(super) fn new(plan: Plan) -> Arc<World> {
        let steady = TokioClock::starting_at(START_MS);
        let clock = Arc::new(JumpingClock { steady, ahead_ms: AtomicI64::new(0) });
        let chance = Chance::new(plan.seed);
        let env = Env { clock: clock.clone(), entropy: Arc::new(SeededEntropy::new(plan.seed)) };
        let shared = match plan.engine {
            Engine::Object => None,
            Engine::Shared => Some(MemoryLog::new(false)),
            Engine::SharedWithBodies => Some(MemoryLog::new(true)),
        };
        Arc::new(World {
            plan,
            clock,
            chance,
            history: Mutex::new(History::default()),
            network: Mutex::new(Network::GOOD),
            calls: AtomicU64::new(0),
            transactions: AtomicU32::new(0),
            connections: AtomicU64::new(0),
            store: Arc::new(MemoryStorage::new(env)),
            shared,
            brokers: Mutex::new(Vec::new()),
            luck: Mutex::new(Luck::GOOD),
            links: Mutex::new(Vec::new()),
            finished: AtomicBool::new(false),
        })
    }

    /// Where a partition lies: [`PLAIN`], [`INPUT`] and [`OUTPUT`] number the partitions of three topics.
    pub fn partition(&self, partition: i32) -> TopicPartition {
        let (topic, index) = (partition / TOPIC_STEP, partition % TOPIC_STEP);
        TopicPartition { topic: TopicId(TOPIC.0 + topic as u128), partition: index }
    }

    /// How many brokers there are to be.
    pub fn places(&self) -> usize {
        if self.shared.is_some() { 3 } else { 1 }
    }

    /// A number for a transaction.
    pub fn next_transaction(&self) -> u32 {
        self.transactions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A number for a connection: greater than those before.
    pub fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many events there are.
    pub fn moment(&self) -> usize {
        self.history.lock().len()
    }

    /// The wall clock.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Whether the producers are done.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Notes an event.
    pub fn note(&self, event: Event) {
        let at_ms = self.clock.since_boot().as_millis() as u64;
        self.history.lock().note(at_ms, event);
    }

    pub(super) fn chaos_note(&self, what: String) {
        self.note(Event::Chaos { what });
    }

    /// A broker that a client finds; waits while there is none.
    pub async fn any_broker(&self, chance: &Chance) -> Arc<Broker> {
        loop {
            match self.found_broker(chance) {
                Some(broker) => return broker,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    pub(super) fn found_broker(&self, chance: &Chance) -> Option<Arc<Broker>> {
        self.found(chance, |_| true)
    }

    /// A broker of this id that is no older than `epoch`; `None` if it is not there, or not any more.
    pub fn broker(&self, id: i32, epoch: Epoch, chance: &Chance) -> Option<Arc<Broker>> {
        self.found(chance, |broker| broker.id == id && broker.log.epoch() >= epoch)
    }

    /// A broker that is wanted; `None` if there is none.
    pub(super) fn found(&self, chance: &Chance, is_wanted: impl Fn(&Broker) -> bool) -> Option<Arc<Broker>> {
        let brokers = self.brokers.lock();
        let mut found: Vec<_> =
            brokers.iter().filter(|broker| !broker.link.is_cut() && is_wanted(broker)).cloned().collect();
        if found.is_empty() { None } else { Some(found.swap_remove(chance.index(found.len()))) }
    }

    /// Starts a broker, however often it takes.
    async fn start(&self, id: i32) -> Arc<Broker> {
        loop {
            let link = Link::new(self.chance.fork(), *self.luck.lock());
            self.links.lock().push(link.clone());
            if let Ok(log) = self.open(id, &link).await {
                let door = Door::open(log.clone(), settings());
                return Arc::new(Broker { id, log, door, link });
            }
            link.set(Mode::Cut);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn open(&self, id: i32, link: &Arc<Link>) -> Result<Log, String> {
        let env =
            Env { clock: self.clock.clone(), entropy: Arc::new(SeededEntropy::new(self.chance.within(0..u64::MAX))) };
        let store = LinkedStore { link: link.clone(), inner: self.store.clone() };
        let retrying = Retry::new(Arc::new(store), RetryPolicy::bounded(4), env.clone());
        let store: Arc<dyn ObjectStorage> = Arc::new(retrying);
        let engine = self.engine(&store, &env, link).await?;
        let identity = BrokerIdentity { id: BrokerId(id), host: format!("broker-{id}"), port: 9092, zone: None };
        let opened = match self.plan.mutation {
            None => Log::open(engine, store, env, identity, options(), &mut Registry::default()).await,
            Some(rule) => Log::open_with_broken_rule(engine, store, env, identity, options(), rule).await,
        };
        opened.map_err(|error| error.to_string())
    }

    async fn engine(
        &self,
        store: &Arc<dyn ObjectStorage>,
        env: &Env,
        link: &Arc<Link>,
    ) -> Result<Arc<dyn CommitLog>, String> {
        let Some(log) = &self.shared else {
            let snapshots = store.list(SNAPSHOT_PREFIX, None, 1_000).await.map_err(|error| error.to_string())?;
            let newest = snapshots.last().and_then(|snapshot| snapshot_of_key(&snapshot.key));
            let options = ObjectOptions {
                known: newest.unwrap_or(Seq::ZERO),
                holder: "simulated".to_owned(),
                ..ObjectOptions::default()
            };
            let opened = ObjectLog::open(store.clone(), env.clone(), options).await;
            return opened.map(|log| Arc::new(log) as Arc<dyn CommitLog>).map_err(|error| error.to_string());
        };
        Ok(Arc::new(LinkedLog::new(link.clone(), Arc::new(log.handle()))))
    }

    /// Starts the first brokers and makes the topic.
    pub(super) async fn create(&self) {
        for id in 0..self.places() as i32 {
            let broker = self.start(id).await;
            self.brokers.lock().push(broker);
        }
        let first = self.brokers.lock()[0].clone();
        for (index, name) in TOPICS.iter().enumerate() {
            let topic = CreateTopic {
                topic: TopicId(TOPIC.0 + index as u128),
                name: (*name).to_owned(),
                partitions: PARTITIONS,
                replication_factor: 1,
                configs: Vec::new(),
            };
            let outcome = first.log.propose(Command::CreateTopic(topic)).await.expect("nothing bad happens yet");
            assert_eq!(outcome, Outcome::Done);
        }
        let all = self.brokers.lock().clone();
        for broker in all {
            while broker.log.state().topics().count() < TOPICS.len() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Starts another broker at `place`, which takes as long as it takes. The one before is killed first, or lingers:
    /// clients that know its address go on talking to it.
    pub(super) fn replace(self: &Arc<Self>, place: usize, kill_first: bool) {
        let old = self.brokers.lock()[place].clone();
        if kill_first {
            old.link.set(Mode::Cut);
        }
        let world = self.clone();
        tokio::spawn(async move {
            let new = world.start(place as i32).await;
            let mut brokers = world.brokers.lock();
            // None when the run came to its end meanwhile.
            let Some(before) = brokers.get_mut(place).map(|broker| std::mem::replace(broker, new)) else { return };
            if !before.link.is_cut() {
                brokers.push(before);
            }
        });
    }

    /// Heals everything, restarts every broker from nothing, and reads everything from each.
    pub(super) async fn last_look(&self) {
        *self.luck.lock() = Luck::GOOD;
        self.brokers.lock().clear();
        self.links.lock().iter().for_each(|link| link.set(Mode::Cut));
        for id in 0..self.places() as i32 {
            let broker = self.start(id).await;
            for partition in [PLAIN, INPUT, OUTPUT].into_iter().flatten() {
                for isolation in [Isolation::ReadUncommitted, Isolation::ReadCommitted] {
                    clients::read_all(self, &broker, 1_000 + id as u32, partition, isolation).await;
                }
            }
            self.note_groups(&broker);
        }
    }

    fn note_groups(&self, broker: &Broker) {
        for group in GROUPS {
            for partition in INPUT {
                let place = self.partition(partition);
                let state = broker.log.state();
                let committed = state.group(group).and_then(|group| group.offsets.get(&place));
                let offset = committed.map_or(0, |committed| committed.offset);
                drop(state);
                self.note(Event::GroupEnd { group, partition, offset });
            }
        }
    }
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 1024,
        flush_age: Duration::from_millis(25),
        // Never full: what moka evicts when depends on the machine's clock. Cold caches come from restarts.
        cache_bytes: 64 << 20,
        snapshot_after_records: 40,
        delete_grace: Duration::from_secs(60),
        snapshots_kept_for: Duration::from_secs(600),
        ..LogOptions::default()
    }
}

fn settings() -> BrokerSettings {
    let kafka = [("group.initial.rebalance.delay.ms", "100"), ("group.min.session.timeout.ms", "1000")];
    let kafka = kafka.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    BrokerSettings { kafka, auto_create_topics: false, ..BrokerSettings::default() }
}
