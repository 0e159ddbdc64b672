//! Brokers, their lines, and what is done to them.

use super::chance::Chance;
use super::checker::{Violation, check};
use super::clients;
use super::history::{Event, History};
use super::link::{Link, LinkedLog, LinkedStore, Luck, Mode};
use frazil_base::clock::TokioClock;
use frazil_base::entropy::SeededEntropy;
use frazil_base::{BrokerId, Clock, Env, Seq, TopicId, TopicPartition};
use frazil_log::layout::{SNAPSHOT_PREFIX, snapshot_of_key};
use frazil_log::{BrokerIdentity, Log, LogOptions};
use frazil_meta::engine::{MemoryLog, ObjectLog, ObjectOptions};
use frazil_meta::record::{Command, CreateTopic};
use frazil_meta::state::Mutation;
use frazil_meta::{CommitLog, Outcome};
use frazil_store::{MemoryStorage, ObjectStorage, Retry, RetryPolicy};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

const TOPIC: TopicId = TopicId(0x5eed);
const START_MS: i64 = 1_800_000_000_000;

/// What the brokers stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One bucket: a single broker, taken over now and then by another.
    Object,
    /// One shared log and one bucket, several brokers: the cluster's way.
    Shared,
    /// One shared log that carries segments, several brokers.
    SharedWithBodies,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything else.
    pub seed: u64,
    /// What the brokers stand on.
    pub engine: Engine,
    /// Producers; two of three are idempotent.
    pub producers: u32,
    /// Batches of each.
    pub batches: u32,
    /// Whether anything bad happens.
    pub chaos: bool,
    /// A rule broken on purpose.
    pub mutation: Option<Mutation>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Everything that clients saw.
    pub history: History,
    /// What must never be, and was.
    pub violations: Vec<Violation>,
}

/// A broker that runs, or did.
#[derive(Debug)]
pub struct Broker {
    /// Its door.
    pub log: Log,
    /// Its line to everything else.
    pub link: Arc<Link>,
}

/// What actors share.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    clock: Arc<JumpingClock>,
    chance: Chance,
    history: Mutex<History>,
    store: Arc<dyn ObjectStorage>,
    shared: Option<MemoryLog>,
    /// Per place the broker that clients find there; on one bucket the newest comes last and older ones linger.
    brokers: Mutex<Vec<Arc<Broker>>>,
    luck: Mutex<Luck>,
    links: Mutex<Vec<Arc<Link>>>,
    finished: AtomicBool,
}

/// Tokio's clock, with a wall time that can be set.
#[derive(Debug)]
struct JumpingClock {
    steady: TokioClock,
    ahead_ms: AtomicI64,
}

impl Clock for JumpingClock {
    fn now_ms(&self) -> i64 {
        self.steady.now_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    fn since_boot(&self) -> Duration {
        self.steady.since_boot()
    }
}

/// Runs a plan from its first to its last event, in virtual time.
pub fn run(plan: Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing from the machine");
    let history = runtime.block_on(live(plan));
    let violations = check(&history);
    Report { history, violations }
}

async fn live(plan: Plan) -> History {
    let world = World::new(plan);
    world.create().await;
    let mut producers = Vec::new();
    for number in 0..plan.producers {
        let partition = number as i32 % world.partitions();
        let actor =
            clients::produce(world.clone(), number, partition, number % 3 != 2, plan.batches, world.chance.fork());
        producers.push(tokio::spawn(actor));
    }
    let readers: Vec<_> = (0..world.partitions())
        .map(|partition| tokio::spawn(clients::read(world.clone(), partition as u32, partition, world.chance.fork())))
        .collect();
    let chaos = tokio::spawn(chaos(world.clone(), world.chance.fork()));
    for (number, producer) in producers.into_iter().enumerate() {
        if tokio::time::timeout(Duration::from_secs(3_600), producer).await.is_err() {
            world.note(Event::Stuck { what: format!("producer {number}") });
        }
    }
    world.finished.store(true, Ordering::Relaxed);
    chaos.await.expect("chaos does not panic");
    for reader in readers {
        reader.await.expect("readers do not panic");
    }
    world.last_look().await;
    std::mem::take(&mut *world.history.lock())
}

impl World {
    fn new(plan: Plan) -> Arc<World> {
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
            store: Arc::new(MemoryStorage::new(env)),
            shared,
            brokers: Mutex::new(Vec::new()),
            luck: Mutex::new(Luck::GOOD),
            links: Mutex::new(Vec::new()),
            finished: AtomicBool::new(false),
        })
    }

    /// Partitions of the one topic.
    pub fn partitions(&self) -> i32 {
        3
    }

    /// One of them.
    pub fn partition(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: TOPIC, partition }
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

    fn chaos_note(&self, what: String) {
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

    fn found_broker(&self, chance: &Chance) -> Option<Arc<Broker>> {
        let found: Vec<_> = self.brokers.lock().iter().filter(|broker| !broker.link.is_cut()).cloned().collect();
        if found.is_empty() { None } else { Some(found[chance.index(found.len())].clone()) }
    }

    /// Starts a broker, however often it takes.
    async fn start(&self, id: i32) -> Arc<Broker> {
        loop {
            let link = Link::new(self.chance.fork(), *self.luck.lock());
            self.links.lock().push(link.clone());
            if let Ok(log) = self.open(id, &link).await {
                return Arc::new(Broker { log, link });
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
    async fn create(&self) {
        let brokers = if self.shared.is_some() { 3 } else { 1 };
        for id in 0..brokers {
            let broker = self.start(id).await;
            self.brokers.lock().push(broker);
        }
        let first = self.brokers.lock()[0].clone();
        let topic = CreateTopic {
            topic: TOPIC,
            name: "simulated".to_owned(),
            partitions: self.partitions(),
            replication_factor: 1,
            configs: Vec::new(),
        };
        let outcome = first.log.propose(Command::CreateTopic(topic)).await.expect("nothing bad happens yet");
        assert_eq!(outcome, Outcome::Done);
        let all = self.brokers.lock().clone();
        for broker in all {
            while broker.log.state().topic(TOPIC).is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Starts another broker at `place`, which takes as long as it takes. The one before is killed first, or lingers:
    /// clients that know its address go on talking to it.
    fn replace(self: &Arc<Self>, place: usize, kill_first: bool) {
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
    async fn last_look(&self) {
        *self.luck.lock() = Luck::GOOD;
        let places = if self.shared.is_some() { 3 } else { 1 };
        self.brokers.lock().clear();
        self.links.lock().iter().for_each(|link| link.set(Mode::Cut));
        for id in 0..places {
            let broker = self.start(id).await;
            for partition in 0..self.partitions() {
                clients::read_all(self, &broker, 1_000 + id as u32, partition).await;
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

/// Does bad things until the producers are done or a number of them has been done; then heals everything.
async fn chaos(world: Arc<World>, chance: Chance) {
    let rounds = if world.plan.chaos { 40 } else { 0 };
    for _ in 0..rounds {
        tokio::time::sleep(chance.millis(50..1_500)).await;
        if world.is_finished() {
            break;
        }
        match chance.within(0..10) {
            0..3 => kill(&world, &chance),
            3 => take_over(&world, &chance),
            4..6 => pause(&world, &chance),
            6..9 => change_luck(&world, &chance),
            _ => jump(&world, &chance),
        }
    }
    heal(&world);
}

fn places(world: &World) -> usize {
    if world.shared.is_some() { 3 } else { 1 }
}

fn kill(world: &Arc<World>, chance: &Chance) {
    let place = chance.index(places(world));
    world.chaos_note(format!("kill -9 of the broker at place {place}"));
    world.replace(place, true);
}

fn take_over(world: &Arc<World>, chance: &Chance) {
    let place = chance.index(places(world));
    world.chaos_note(format!("a second broker starts at place {place}"));
    world.replace(place, false);
}

fn pause(world: &World, chance: &Chance) {
    let Some(broker) = world.found_broker(chance) else { return };
    let pause = if chance.per_mille(200) { chance.millis(60_000..200_000) } else { chance.millis(100..20_000) };
    world.chaos_note(format!("a broker is paused for {pause:?}"));
    broker.link.set(Mode::Paused);
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        broker.link.set(Mode::Up);
    });
}

fn change_luck(world: &World, chance: &Chance) {
    let luck = match chance.within(0..4) {
        0 => Luck::GOOD,
        1 => Luck { refused: 100, lost: 100, delay_ms: 50 },
        2 => Luck { refused: 700, lost: 20, delay_ms: 20 },
        _ => Luck { refused: 20, lost: 20, delay_ms: 2_000 },
    };
    world.chaos_note(format!("luck is now {luck:?}"));
    set_luck(world, luck);
}

fn set_luck(world: &World, luck: Luck) {
    *world.luck.lock() = luck;
    world.links.lock().iter().for_each(|link| link.set_luck(luck));
}

fn jump(world: &World, chance: &Chance) {
    let ahead_ms = chance.within(0..7_200_000) as i64 - 3_600_000;
    world.chaos_note(format!("the wall clock is now {ahead_ms} ms ahead"));
    world.clock.ahead_ms.store(ahead_ms, Ordering::Relaxed);
}

fn heal(world: &World) {
    world.chaos_note("everything is healed".to_owned());
    set_luck(world, Luck::GOOD);
    world.links.lock().iter().for_each(|link| link.set(Mode::Up));
}
