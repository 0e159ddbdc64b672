//! What a run does, and running it.

use super::chaos;
use super::checker::{Violation, check};
use super::clients;
use super::history::{Event, History};
use super::streams;
use super::world::{INPUT, OUTPUT, PLAIN, World};
use frazil_log::Isolation;
use frazil_meta::state::Mutation;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Virtual time after which a client is said not to get on.
const PATIENCE: Duration = Duration::from_secs(900);

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

/// A class of bad things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Store and log refuse, are slow, and lose their answers.
    Outages,
    /// Brokers are killed and started again, or another one starts beside them.
    Kills,
    /// Brokers stop for a while, some for so long that another one closes their registration.
    Pauses,
    /// A coordinator dies, its successor grows slow and stops while the first one is back, and goes on as if nothing had
    /// happened, perhaps after the first one died again.
    Coordinators,
    /// The wall clock jumps.
    Clocks,
    /// Requests of clients are lost or arrive late, answers are lost, clients stall and die.
    Network,
}

impl Fault {
    /// All of them.
    pub const ALL: &'static [Fault] =
        &[Fault::Outages, Fault::Kills, Fault::Pauses, Fault::Coordinators, Fault::Clocks, Fault::Network];
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything else.
    pub seed: u64,
    /// What the brokers stand on.
    pub engine: Engine,
    /// Plain producers; two of three are idempotent.
    pub producers: u32,
    /// Batches of each.
    pub batches: u32,
    /// Transactional producers, copiers and consumers: so many of each.
    pub streams: u32,
    /// Transactions of each transactional producer.
    pub transactions: u32,
    /// They follow each other after up to so many milliseconds.
    pub pace_ms: u64,
    /// What bad things happen.
    pub faults: &'static [Fault],
    /// So many of them.
    pub rounds: u32,
    /// A rule broken on purpose.
    pub mutation: Option<Mutation>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Everything that clients saw.
    pub history: History,
    /// Requests that clients made through the Kafka server.
    pub calls: u64,
    /// What must never be, and was.
    pub violations: Vec<Violation>,
}

/// Runs a plan from its first to its last event, in virtual time.
pub fn run(plan: Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing from the machine");
    let (history, calls) = runtime.block_on(live(plan));
    let violations = check(&history);
    Report { history, calls, violations }
}

async fn live(plan: Plan) -> (History, u64) {
    let world = World::new(plan);
    world.create().await;
    let producers = producers(&world);
    let readers = readers(&world);
    let groups = members(&world);
    let chaos = tokio::spawn(chaos::rage(world.clone(), world.chance.fork()));
    all_end(&world, producers).await;
    world.finished.store(true, Ordering::Relaxed);
    chaos.await.expect("chaos does not panic");
    for reader in readers {
        reader.await.expect("readers do not panic");
    }
    all_end(&world, groups).await;
    streams::transactions_end(&world).await;
    world.last_look().await;
    let calls = world.calls.load(Ordering::Relaxed);
    (std::mem::take(&mut *world.history.lock()), calls)
}

type Actors = Vec<(String, JoinHandle<()>)>;

async fn all_end(world: &World, actors: Actors) {
    let until = tokio::time::Instant::now() + PATIENCE;
    for (name, actor) in actors {
        match tokio::time::timeout_at(until, actor).await {
            Ok(ended) => ended.expect("clients do not panic"),
            Err(_) => world.note(Event::Stuck { what: name }),
        }
    }
}

fn producers(world: &Arc<World>) -> Actors {
    let Plan { producers, batches, streams, transactions, .. } = world.plan;
    let mut actors = Actors::new();
    for number in 0..producers {
        let partition = number as i32 % PLAIN.end;
        let actor = clients::produce(world.clone(), number, partition, number % 3 != 2, batches, world.chance.fork());
        actors.push((format!("producer {number}"), tokio::spawn(actor)));
    }
    for number in 0..streams {
        let actor = streams::produce(world.clone(), number, transactions, world.chance.fork());
        actors.push((format!("transactional producer {number}"), tokio::spawn(actor)));
    }
    actors
}

fn readers(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let mut readers = Vec::new();
    let mut read = |partition: i32, isolation| {
        let reader = readers.len() as u32;
        readers.push(tokio::spawn(clients::read(world.clone(), reader, partition, isolation, world.chance.fork())));
    };
    PLAIN.for_each(|partition| read(partition, Isolation::ReadUncommitted));
    if world.plan.streams > 0 {
        for partition in INPUT.chain(OUTPUT) {
            read(partition, Isolation::ReadUncommitted);
            read(partition, Isolation::ReadCommitted);
        }
    }
    readers
}

fn members(world: &Arc<World>) -> Actors {
    let mut actors = Actors::new();
    for number in 0..world.plan.streams {
        let copier = streams::copy(world.clone(), number, world.chance.fork());
        actors.push((format!("copier {number}"), tokio::spawn(copier)));
        let consumer = streams::consume(world.clone(), world.chance.fork());
        actors.push((format!("consumer {number}"), tokio::spawn(consumer)));
    }
    actors
}
