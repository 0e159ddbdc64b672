//! Every crash point of produce and commit, on every engine that has it, through the whole data path.
//!
//! An idempotent producer has acknowledged batches behind it and others under way when the broker dies. It is started
//! again on what it left: what was acknowledged must be there at its offset, what was not may be; the producer sends its
//! batches again, each must be stored once, and one that was there before gets its first offset. Engines are tested by
//! themselves in `frazil-meta`.

use crate::broker_client::{batch as plain, connect};
use crate::site::{Broker, Engine, Site, batch_of, on, produce, read_all, records_of, until};
use frazil_base::TopicPartition;
use frazil_log::{Health, NewBatch, Placed, ProduceError, Ticket};
use frazil_meta::engine::testing::Point as LogPoint;
use frazil_store::Operation;
use frazil_store::testing::{Fault, Point};
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings};
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PRODUCER: i64 = 77;

/// Batches that were acknowledged before anything happens, two records each.
const BEFORE: i32 = 3;

const RECORDS: i32 = 2;

/// What was under way when the broker died.
struct Wreck {
    /// Batches without an answer.
    under_way: i32,
    /// How many of them, from the first, are in the log.
    stored: i32,
}

impl Wreck {
    const LOST: Wreck = Wreck { under_way: 1, stored: 0 };
    const STORED: Wreck = Wreck { under_way: 1, stored: 1 };
}

/// Values of a batch, large enough that each batch fills a segment.
fn values(number: i32) -> [String; RECORDS as usize] {
    ["a", "b"].map(|record| format!("{number}{record}{}", "-".repeat(30_000)))
}

fn numbered(orders: TopicPartition, number: i32) -> NewBatch {
    batch_of(orders, PRODUCER, number * RECORDS, &values(number).each_ref().map(String::as_str))
}

fn all_values(numbers: Range<i32>) -> Vec<String> {
    numbers.flat_map(values).collect()
}

/// What a reader sees, without the filling.
fn short(values: &[String]) -> Vec<&str> {
    values.iter().map(|value| value.trim_end_matches('-')).collect()
}

async fn assert_holds(broker: &Broker, orders: TopicPartition, numbers: Range<i32>, when: &str) {
    let (read, expected) = (read_all(broker, orders).await, all_values(numbers));
    assert!(read == expected, "{when}: {:?} instead of {:?}", short(&read), short(&expected));
}

async fn submit(broker: &Broker, orders: TopicPartition, numbers: Range<i32>) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    for number in numbers {
        tickets.push(broker.submit(vec![numbered(orders, number)]).await);
    }
    tickets
}

/// Produces, lets `crash` kill the broker, and proves what must hold afterwards.
fn prove(engine: Engine, crash: impl AsyncFnOnce(&Site, Broker, TopicPartition) -> Wreck) {
    on(engine, async |site| {
        let broker = site.start().await;
        let orders = TopicPartition { topic: broker.create_topic("orders", 1).await, partition: 0 };
        for number in 0..BEFORE {
            let placed = produce(&broker, numbered(orders, number)).await.expect("stored");
            assert_eq!(placed.base_offset, i64::from(number * RECORDS), "{engine:?}");
        }
        let Wreck { under_way, stored } = crash(&site, broker, orders).await;

        let broker = site.start().await;
        assert_holds(&broker, orders, 0..BEFORE + stored, &format!("{engine:?} after the crash")).await;
        for number in BEFORE..BEFORE + under_way {
            let placed = produce(&broker, numbered(orders, number)).await.expect("stored");
            let expected = (i64::from(number * RECORDS), number < BEFORE + stored);
            assert_eq!((placed.base_offset, placed.duplicate), expected, "batch {number} again on {engine:?}");
        }
        let end = BEFORE + under_way + 1;
        let next = produce(&broker, numbered(orders, end - 1)).await.expect("stored");
        assert_eq!((next.base_offset, next.duplicate), (i64::from((end - 1) * RECORDS), false), "{engine:?}");
        broker.kill().await;

        let broker = site.start().await;
        assert_holds(&broker, orders, 0..end, &format!("{engine:?} after another restart")).await;
        // The log remembers five batches of a producer; the answers have not moved.
        for number in (end - 5).max(0)..end {
            let placed = produce(&broker, numbered(orders, number)).await.expect("stored before");
            assert_eq!((placed.base_offset, placed.duplicate), (i64::from(number * RECORDS), true), "{engine:?}");
        }
    });
}

/// The ticket of a broker that died: nothing was promised.
async fn assert_unanswered(tickets: Vec<Ticket>) {
    for ticket in tickets {
        let answer = ticket.await.remove(0);
        assert!(matches!(answer, Err(ProduceError::Storage { outcome_known: false, .. })), "{answer:?}");
    }
}

#[test]
fn killed_before_the_write_the_batch_is_not_there() {
    for engine in [Engine::Memory, Engine::Journal] {
        prove(engine, async |site, broker, orders| {
            let hold = site.log_faults.hold(LogPoint::Before);
            let tickets = submit(&broker, orders, BEFORE..BEFORE + 1).await;
            hold.reached().await;
            broker.kill().await;
            assert_unanswered(tickets).await;
            Wreck::LOST
        });
    }
    for (engine, operation, prefix) in
        [(Engine::Object, Operation::PutIfAbsent, "log/"), (Engine::Cluster, Operation::Put, "wal/")]
    {
        prove(engine, async |site, broker, orders| {
            let gate = site.store_faults.hold(operation, prefix, Point::Before);
            let tickets = submit(&broker, orders, BEFORE..BEFORE + 1).await;
            gate.arrived(1).await;
            broker.kill().await;
            assert_unanswered(tickets).await;
            Wreck::LOST
        });
    }
}

/// The chunk of the journal that was written last, and its bytes.
fn newest_chunk(site: &Site) -> (PathBuf, Vec<u8>) {
    let chunks = fs::read_dir(site.journal()).expect("the journal").map(|entry| entry.expect("an entry").path());
    let chunks = chunks.filter(|path| path.extension().is_some_and(|extension| extension == "chunk"));
    let newest = chunks.max().expect("a chunk");
    let bytes = fs::read(&newest).expect("a chunk can be read");
    (newest, bytes)
}

/// Makes of what was written (first) and what was there before (second) what the disk holds afterwards.
type Tear = fn(&mut [u8], &[u8]);

/// How a write of blocks can tear: any part of it may have reached the disk.
const TEARS: [(&str, Tear); 5] = [
    ("the first half", |after, before| after[before.len() / 2..].copy_from_slice(&before[before.len() / 2..])),
    ("the second half", |after, before| after[..before.len() / 2].copy_from_slice(&before[..before.len() / 2])),
    ("all but the first block", |after, before| after[..4096].copy_from_slice(&before[..4096])),
    ("all but the last block", |after, before| {
        let last = before.len() - 4096;
        after[last..].copy_from_slice(&before[last..]);
    }),
    ("all but a bit", |after, _| after[10_000] ^= 1),
];

#[test]
fn a_torn_write_of_the_journal_is_void() {
    for (what, tear) in TEARS {
        prove(Engine::Journal, async |site, broker, orders| {
            let (chunk, mut before) = newest_chunk(site);
            let hold = site.log_faults.hold(LogPoint::After);
            let tickets = submit(&broker, orders, BEFORE..BEFORE + 1).await;
            hold.reached().await;
            broker.kill().await;
            assert_unanswered(tickets).await;
            let (same, mut after) = newest_chunk(site);
            assert_eq!(same, chunk, "one chunk holds all");
            before.resize(after.len(), 0);
            let first = before.iter().zip(&after).position(|(old, new)| old != new).expect("something was written");
            let last = before.iter().zip(&after).rposition(|(old, new)| old != new).expect("something was written");
            let (start, end) = (first / 4096 * 4096, (last / 4096 + 1) * 4096);
            assert!(end - start >= 60_000, "the whole segment was written: {start}..{end}");
            tear(&mut after[start..end], &before[start..end]);
            fs::write(&chunk, after).unwrap_or_else(|error| panic!("{what}: {error}"));
            Wreck::LOST
        });
    }
}

#[test]
fn a_journal_cut_short_in_its_last_write_loses_that_write_only() {
    for keep_blocks in [0, 1, 7] {
        prove(Engine::Journal, async |site, broker, orders| {
            let (chunk, before) = newest_chunk(site);
            let hold = site.log_faults.hold(LogPoint::After);
            let tickets = submit(&broker, orders, BEFORE..BEFORE + 1).await;
            hold.reached().await;
            broker.kill().await;
            assert_unanswered(tickets).await;
            let (_, after) = newest_chunk(site);
            let same = before.iter().zip(&after).position(|(old, new)| old != new).unwrap_or(before.len());
            let cut = same / 4096 * 4096 + keep_blocks * 4096;
            fs::File::options().write(true).open(chunk).and_then(|file| file.set_len(cut as u64)).expect("cut");
            Wreck::LOST
        });
    }
}

#[test]
fn a_write_that_broke_off_without_effect_is_sent_again() {
    for engine in [Engine::Memory, Engine::Cluster, Engine::Journal, Engine::Object] {
        prove(engine, async |site, broker, orders| {
            match engine {
                Engine::Object => site.store_faults.strike(Operation::PutIfAbsent, "log/", Fault::Torn),
                Engine::Cluster => {
                    site.store_faults.strike(Operation::Put, "wal/", Fault::Torn);
                    site.log_faults.lose_requests(1);
                }
                Engine::Memory | Engine::Journal => site.log_faults.lose_requests(1),
            }
            acknowledged_then_killed(broker, orders).await
        });
    }
}

#[test]
fn written_with_the_answer_lost_is_acknowledged_once() {
    for engine in [Engine::Memory, Engine::Cluster, Engine::Journal, Engine::Object] {
        prove(engine, async |site, broker, orders| {
            match engine {
                Engine::Object => site.store_faults.strike(Operation::PutIfAbsent, "log/", Fault::LostAnswer),
                Engine::Cluster => {
                    site.store_faults.strike(Operation::Put, "wal/", Fault::LostAnswer);
                    site.log_faults.lose_answers(1);
                }
                Engine::Memory | Engine::Journal => site.log_faults.lose_answers(1),
            }
            acknowledged_then_killed(broker, orders).await
        });
    }
}

/// The broker gets over the fault by itself: the batch is acknowledged at its offset, and counts as stored.
async fn acknowledged_then_killed(broker: Broker, orders: TopicPartition) -> Wreck {
    let placed: Placed = produce(&broker, numbered(orders, BEFORE)).await.expect("stored in spite of the fault");
    assert_eq!((placed.base_offset, placed.duplicate), (i64::from(BEFORE * RECORDS), false));
    broker.kill().await;
    Wreck::STORED
}

#[test]
fn what_stands_behind_a_hole_in_a_row_of_puts_is_void() {
    prove(Engine::Object, async |site, broker, orders| {
        let next = broker.state().applied().0 + 1;
        let gate = site.store_faults.hold(Operation::PutIfAbsent, &format!("{next:020}"), Point::Before);
        let tickets = submit(&broker, orders, BEFORE..BEFORE + 3).await;
        gate.arrived(1).await;
        let behind = [next + 1, next + 2].map(|number| format!("log/{number:020}"));
        while !all_exist(site, &behind).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        broker.kill().await;
        assert_unanswered(tickets).await;
        assert!(all_exist(site, &behind).await, "the row has a hole, and the rest of it is there");
        Wreck { under_way: 3, stored: 0 }
    });
}

async fn all_exist(site: &Site, keys: &[String]) -> bool {
    let present = site.keys("log/").await;
    keys.iter().all(|key| present.contains(key))
}

#[test]
fn a_late_put_of_a_killed_broker_changes_nothing() {
    for (engine, operation, prefix) in
        [(Engine::Object, Operation::PutIfAbsent, "log/"), (Engine::Cluster, Operation::Put, "wal/")]
    {
        prove(engine, async |site, broker, orders| {
            let late = Duration::from_secs(10);
            site.store_faults.strike(operation, prefix, Fault::Late(late));
            let tickets = submit(&broker, orders, BEFORE..BEFORE + 1).await;
            until("the packet is under way", || site.store_faults.faults() > 0).await;
            broker.kill().await;
            assert_unanswered(tickets).await;
            let successor = site.start().await;
            tokio::time::sleep(late * 2).await;
            assert_holds(&successor, orders, 0..BEFORE, &format!("{engine:?} after the late PUT")).await;
            successor.kill().await;
            Wreck::LOST
        });
    }
}

#[test]
fn uploads_behind_one_that_never_ended_are_not_committed() {
    prove(Engine::Cluster, async |site, broker, orders| {
        site.store_faults.strike(Operation::Put, "wal/", Fault::Delayed(Duration::from_secs(60)));
        let tickets = submit(&broker, orders, BEFORE..BEFORE + 3).await;
        while site.keys("wal/").await.len() < BEFORE as usize + 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        broker.kill().await;
        assert_unanswered(tickets).await;
        Wreck { under_way: 3, stored: 0 }
    });
}

#[test]
fn killed_after_the_append_before_the_answer_the_batch_is_there() {
    for engine in [Engine::Memory, Engine::Cluster, Engine::Journal, Engine::Object] {
        prove(engine, async |site, broker, orders| {
            let hold = site.log_faults.hold(LogPoint::After);
            let mut tickets = submit(&broker, orders, BEFORE..BEFORE + 1).await;
            hold.reached().await;
            broker.kill().await;
            match tickets.remove(0).await.remove(0) {
                Err(ProduceError::Storage { outcome_known: false, .. }) => {}
                // Where several brokers share a log, its follower may have read the record before the append's answer.
                Ok(placed) if matches!(engine, Engine::Memory | Engine::Cluster) => {
                    assert_eq!(placed.base_offset, i64::from(BEFORE * RECORDS));
                }
                other => panic!("{engine:?}: {other:?}"),
            }
            Wreck::STORED
        });
    }
    prove(Engine::Object, async |site, broker, orders| {
        let gate = site.store_faults.hold(Operation::PutIfAbsent, "log/", Point::After);
        let tickets = submit(&broker, orders, BEFORE..BEFORE + 3).await;
        gate.arrived(3).await;
        broker.kill().await;
        assert_unanswered(tickets).await;
        Wreck { under_way: 3, stored: 3 }
    });
}

#[test]
fn an_upload_without_its_append_is_garbage_and_is_collected() {
    prove(Engine::Cluster, async |site, broker, orders| {
        let hold = site.log_faults.hold(LogPoint::Before);
        let tickets = submit(&broker, orders, BEFORE..BEFORE + 1).await;
        hold.reached().await;
        assert_eq!(site.keys("wal/").await.len() as i32, BEFORE + 1, "it is in the store");
        broker.kill().await;
        assert_unanswered(tickets).await;
        drop(hold);
        let successor = site.start().await;
        tokio::time::sleep(site.options.maintenance_interval * 2).await;
        assert_eq!(site.keys("wal/").await.len() as i32, BEFORE, "it is gone");
        successor.kill().await;
        Wreck::LOST
    });
}

#[test]
fn a_second_broker_on_the_bucket_fences_the_first_whose_put_is_under_way() {
    on(Engine::Object, async |site| {
        let first = site.start_as(1).await;
        let orders = TopicPartition { topic: first.create_topic("orders", 1).await, partition: 0 };
        produce(&first, numbered(orders, 0)).await.expect("stored");
        site.store_faults.strike(Operation::PutIfAbsent, "log/", Fault::Delayed(Duration::from_secs(5)));
        let under_way = submit(&first, orders, 1..2).await.remove(0);
        until("the PUT is under way", || site.store_faults.faults() > 0).await;

        let second = site.start_as(2).await;
        for answer in [under_way.await.remove(0), produce(&first, numbered(orders, 1)).await] {
            match answer {
                Err(ProduceError::Fenced { cause }) => assert!(cause.contains("broker 2 at host-2"), "{cause}"),
                other => panic!("the first broker must not acknowledge: {other:?}"),
            }
        }
        assert!(matches!(first.health(), Health::Fenced { .. }), "{:?}", first.health());

        let placed = produce(&second, numbered(orders, 1)).await.expect("stored");
        assert_eq!((placed.base_offset, placed.duplicate), (i64::from(RECORDS), false));
        assert_holds(&second, orders, 0..2, "through the second").await;
        second.kill().await;
        assert_holds(&site.start_as(3).await, orders, 0..2, "through a third").await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_bucket_fences_the_first_which_says_who_took_over() {
    const NOT_LEADER_OR_FOLLOWER: i16 = 6;
    let minio = Minio::start().await;
    let url = minio.url("taken-over");
    let mut first = FrazilProcess::start(FrazilSettings::on(&url)).expect("it starts");
    let mut old = connect(&first).await;
    assert_eq!(old.create_topic("orders", 1, &[]).await.expect("an answer"), 0);
    let before = old.produce("orders", 0, plain(&["before"])).await.expect("an answer");
    assert_eq!((before.error_code, before.base_offset), (0, 0));

    let second = FrazilProcess::start(FrazilSettings::on(&url)).expect("it starts");
    // The first learns it with its next write; it answers, or is gone before the answer, but acknowledges nothing.
    if let Ok(refused) = old.produce("orders", 0, plain(&["too late"])).await {
        assert_eq!(refused.error_code, NOT_LEADER_OR_FOLLOWER);
        let message = refused.error_message.map(|message| message.to_string()).unwrap_or_default();
        assert!(message.contains("fenced") && message.contains(&second.bootstrap()), "{message}");
    }
    let patience = Instant::now() + Duration::from_secs(20);
    while first.is_running().expect("our own child") {
        assert!(Instant::now() < patience, "the first goes on: {}", first.stderr());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let said = first.stderr();
    let names_it = said.contains("another broker took over") && said.contains(&second.bootstrap());
    assert!(names_it, "it must say who took over: {said}");

    let mut new = connect(&second).await;
    let after = new.produce("orders", 0, plain(&["after"])).await.expect("an answer");
    assert_eq!((after.error_code, after.base_offset), (0, 1));
    let fetched = new.fetch("orders", 0, 0, 0).await.expect("an answer");
    let records = records_of(&[fetched.records.expect("records")]);
    assert_eq!(records, [(0, "before".to_owned()), (1, "after".to_owned())]);
}
