//! Clients that work in transactions and in groups, and go on until everything is copied and consumed.

use super::chance::Chance;
use super::clients::{Seen, fetch};
use super::history::{COPIES, Event, Value};
use super::member::{Member, Rejoin};
use super::transactional::{Failed, Protocol, Transactional};
use super::world::{CONSUMERS, COPIERS, INPUT, OUTPUT, World};
use frazil_log::Isolation;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Transactional producers are numbered from here on.
const FIRST_PRODUCER: u32 = 1_000;

fn protocol(number: u32) -> Protocol {
    if number.is_multiple_of(2) { Protocol::After } else { Protocol::Before }
}

/// Writes `count` transactions to the input partitions; some are aborted, some left behind.
pub async fn produce(world: Arc<World>, number: u32, count: u32, chance: Chance) {
    let id = format!("producer-{number}");
    let start = || Transactional::start(world.clone(), id.clone(), protocol(number), chance.fork());
    let mut producer = start().await;
    let mut next = 0;
    for _ in 0..count {
        let txn = world.next_transaction();
        match write(&mut producer, FIRST_PRODUCER + number, txn, &mut next, &chance).await {
            Ok(true) => drop(producer.end(txn, chance.per_mille(850)).await),
            Ok(false) => producer = start().await,
            Err(failed) => producer.recover(txn, failed).await,
        }
        tokio::time::sleep(chance.millis(0..world.plan.pace_ms)).await;
    }
}

/// Some batches for some partitions. `false`: the producer died.
async fn write(
    producer: &mut Transactional,
    number: u32,
    txn: u32,
    next: &mut u32,
    chance: &Chance,
) -> Result<bool, Failed> {
    for _ in 0..chance.within(1..4) {
        let mut records: BTreeMap<i32, Vec<Value>> = BTreeMap::new();
        for _ in 0..chance.within(1..6) {
            let partition = INPUT.start + chance.within(0..INPUT.len() as u64) as i32;
            records.entry(partition).or_default().push(Value { producer: number, number: *next, txn });
            *next += 1;
        }
        producer.produce(records).await?;
        if producer.stalls().await {
            return Ok(false);
        }
        tokio::time::sleep(chance.millis(0..100)).await;
    }
    Ok(true)
}

/// What a member of a group does with the records that it owns.
struct Work {
    positions: BTreeMap<i32, i64>,
    committed: BTreeMap<i32, i64>,
}

impl Work {
    async fn begin(member: &mut Member) -> Result<Work, Rejoin> {
        let committed = member.offsets().await?;
        Ok(Work { positions: committed.clone(), committed })
    }

    /// Positions that are not committed yet.
    fn progress(&self) -> BTreeMap<i32, i64> {
        let moved = self.positions.iter().filter(|(at, position)| self.committed.get(at) != Some(position));
        moved.map(|(at, position)| (*at, *position)).collect()
    }

    /// The next records of one of the partitions.
    async fn poll(&mut self, world: &World, chance: &Chance) -> Vec<(i32, i64, Value)> {
        if self.positions.is_empty() {
            tokio::time::sleep(chance.millis(50..500)).await;
            return Vec::new();
        }
        let index = chance.index(self.positions.len());
        let (partition, offset) = self.positions.iter().nth(index).map(|(at, offset)| (*at, *offset)).expect("one");
        let broker = world.any_broker(chance).await;
        let wait = Duration::from_millis(200);
        let seen = fetch(&broker, world.partition(partition), offset, Isolation::ReadCommitted, wait).await;
        let Some(Seen { records, next, .. }) = seen else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Vec::new();
        };
        self.positions.insert(partition, next);
        records.into_iter().filter_map(|(offset, value)| Some((partition, offset, value?))).collect()
    }
}

/// Copies input to output with the offsets in the same transactions, until all is copied.
pub async fn copy(world: Arc<World>, number: u32, chance: Chance) {
    let id = format!("copier-{number}");
    let start = || Transactional::start(world.clone(), id.clone(), protocol(number), chance.fork());
    let mut producer = start().await;
    let mut member = Member::new(world.clone(), COPIERS, chance.fork());
    while !is_done(&world, COPIERS, &chance) {
        member.join().await;
        while let Ok(mut work) = Work::begin(&mut member).await {
            match copy_on(&world, &mut member, &mut producer, &mut work, &chance).await {
                Ok(()) => return,
                Err(Interrupted::Rejoin) => break,
                Err(Interrupted::Died) => {
                    producer = start().await;
                    break;
                }
                // With the positions that are committed.
                Err(Interrupted::Again) => {}
            }
        }
        member.leaves().await;
    }
}

/// Why a copier does not simply go on.
enum Interrupted {
    Rejoin,
    Again,
    Died,
}

async fn copy_on(
    world: &Arc<World>,
    member: &mut Member,
    producer: &mut Transactional,
    work: &mut Work,
    chance: &Chance,
) -> Result<(), Interrupted> {
    while !is_done(world, COPIERS, chance) {
        member.beat().await.map_err(|Rejoin| Interrupted::Rejoin)?;
        let records = work.poll(world, chance).await;
        let progress = work.progress();
        if progress.is_empty() {
            continue;
        }
        let txn = world.next_transaction();
        match copy_records(world, member, producer, txn, records, &progress).await {
            Ok(true) => work.committed.extend(progress),
            Ok(false) => return Err(Interrupted::Died),
            Err(failed) => {
                producer.recover(txn, failed).await;
                let rejoins = failed == Failed::Rejoin;
                return Err(if rejoins { Interrupted::Rejoin } else { Interrupted::Again });
            }
        }
    }
    Ok(())
}

/// One transaction. `false`: the copier died in it.
async fn copy_records(
    world: &Arc<World>,
    member: &Member,
    producer: &mut Transactional,
    txn: u32,
    records: Vec<(i32, i64, Value)>,
    progress: &BTreeMap<i32, i64>,
) -> Result<bool, Failed> {
    let mut copies: BTreeMap<i32, Vec<Value>> = BTreeMap::new();
    for (partition, offset, _) in records {
        let copy = Value { producer: COPIES + partition as u32, number: offset as u32, txn };
        copies.entry(partition - INPUT.start + OUTPUT.start).or_default().push(copy);
    }
    if !copies.is_empty() {
        producer.produce(copies).await?;
    }
    if producer.stalls().await {
        return Ok(false);
    }
    let since = world.moment();
    producer.commit_offsets(&member.identity(), progress).await?;
    member.note_committed(progress, since, txn);
    if producer.stalls().await {
        return Ok(false);
    }
    if producer.end(txn, true).await { Ok(true) } else { Err(Failed::Fenced) }
}

/// Reads the input as a member of a group and commits how far it got, until all is consumed.
pub async fn consume(world: Arc<World>, chance: Chance) {
    let mut member = Member::new(world.clone(), CONSUMERS, chance.fork());
    while !is_done(&world, CONSUMERS, &chance) {
        member.join().await;
        if let Ok(mut work) = Work::begin(&mut member).await
            && consume_on(&world, &mut member, &mut work, &chance).await.is_ok()
        {
            return;
        }
        member.leaves().await;
    }
}

async fn consume_on(world: &World, member: &mut Member, work: &mut Work, chance: &Chance) -> Result<(), Rejoin> {
    while !is_done(world, CONSUMERS, chance) {
        member.beat().await?;
        for (partition, offset, _) in work.poll(world, chance).await {
            world.note(Event::Consumed { group: CONSUMERS, partition, offset });
        }
        let progress = work.progress();
        if !progress.is_empty() && chance.per_mille(300) {
            member.commit(&progress).await?;
            work.committed.extend(progress);
        }
        if member.leaves().await {
            return Err(Rejoin);
        }
    }
    Ok(())
}

/// Whether all that was produced is done with by the group, as far as some broker knows.
fn is_done(world: &World, group: &str, chance: &Chance) -> bool {
    let Some(broker) = world.found_broker(chance).filter(|_| world.is_finished()) else { return false };
    let state = broker.log.state();
    INPUT.map(|partition| world.partition(partition)).all(|place| {
        let next_offset = state.partition(place).map_or(0, |partition| partition.next_offset);
        let offsets = state.group(group).map(|group| &group.offsets);
        let committed = offsets.and_then(|offsets| offsets.get(&place)).map_or(0, |committed| committed.offset);
        committed >= next_offset
    })
}

/// Waits until the coordinators have aborted what dead producers left open.
pub async fn transactions_end(world: &World) {
    let chance = Chance::new(world.plan.seed);
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let broker = world.any_broker(&chance).await;
        let state = broker.log.state();
        if !state.transactions().any(|transaction| transaction.is_ongoing()) {
            return;
        }
    }
    world.note(Event::Stuck { what: "a transaction that nobody ends".to_owned() });
}
