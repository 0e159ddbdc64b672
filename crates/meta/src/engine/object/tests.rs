//! The engine against the contract, dying and late writers, races, pauses, and a store that fails.

use super::envelope::{Course, Verdict};
use super::*;
use crate::engine::testing::{Site, conformance};
use crate::port::Body;
use bucket::key;
use frazil_base::clock::TokioClock;
use frazil_base::entropy::SeededEntropy;
use frazil_base::limits::META_RECORD_BYTES_MAX;
use frazil_store::testing::{Fault, FaultControls, FaultPlan, Faults, Mode, Point};
use frazil_store::{MemoryStorage, Operation, Reason};
use futures::future::join_all;
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

fn env(seed: u64) -> Env {
    Env { clock: Arc::new(TokioClock::starting_at(0)), entropy: Arc::new(SeededEntropy::new(seed)) }
}

/// A store that fails on command, and what was written to it.
struct Lab {
    store: Arc<dyn ObjectStorage>,
    faults: Arc<Faults>,
    controls: FaultControls,
    env: Env,
}

impl Lab {
    fn new(seed: u64) -> Lab {
        let env = env(seed);
        let store = Arc::new(MemoryStorage::new(env.clone()));
        let (faults, controls) = Faults::new(store.clone(), seed);
        Lab { store, faults, controls, env }
    }

    fn options(known: Seq, holder: &str) -> ObjectOptions {
        ObjectOptions { known, holder: holder.to_owned(), ..ObjectOptions::default() }
    }

    async fn try_open(&self, known: Seq, holder: &str) -> Result<Arc<ObjectLog>, OpenError> {
        let opened = ObjectLog::open(self.faults.clone(), self.env.clone(), Lab::options(known, holder)).await;
        opened.map(Arc::new)
    }

    async fn open(&self, holder: &str) -> Arc<ObjectLog> {
        self.try_open(Seq::ZERO, holder).await.expect("the log opens")
    }

    /// Objects of the log, by number.
    async fn numbers(&self) -> Vec<u64> {
        let listed = self.faults.list(bucket::PREFIX, None, 100_000).await.expect("list");
        let digits = |object: &frazil_store::ObjectMeta| object.key.as_str()[bucket::PREFIX.len()..].parse();
        listed.iter().map(|object| digits(object).expect("a number")).collect()
    }

    /// Lets other tasks run until these numbers are there.
    async fn wait_for(&self, numbers: &[u64]) {
        while !numbers.iter().all(|number| self.has(*number)) {
            tokio::task::yield_now().await;
        }
    }

    fn has(&self, number: u64) -> bool {
        use futures::FutureExt;
        self.numbers().now_or_never().is_some_and(|numbers| numbers.contains(&number))
    }

    /// What every reader must make of the objects, taken strictly in order up to the first hole.
    async fn judge(&self) -> Vec<(Seq, Bytes)> {
        let bucket = Bucket {
            store: self.faults.clone(),
            env: self.env.clone(),
            retry: Duration::from_millis(1)..Duration::from_millis(1),
            pause_limit: Duration::from_secs(60),
        };
        let (mut course, mut records) = (Course::default(), Vec::new());
        for (number, expected) in self.numbers().await.into_iter().zip(1..) {
            if number != expected {
                break;
            }
            let head = bucket.head(number).await.expect("an entry");
            if course.take(&head.envelope) == Verdict::Counts {
                records.push((Seq(number), head.record));
            }
        }
        records
    }
}

struct ObjectSite(Lab);

#[async_trait]
impl Site for ObjectSite {
    async fn open(&self, known: Seq) -> Arc<dyn CommitLog> {
        self.0.try_open(known, "the suite").await.expect("the log opens")
    }

    fn admits_second_handle(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_in_a_bucket_conforms() {
    conformance(&|| Box::new(ObjectSite(Lab::new(1)))).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_in_a_bucket_that_fails_conforms() {
    let plan = FaultPlan {
        refused_permille: 30,
        lost_answer_permille: 30,
        torn_permille: 30,
        late_permille: 30,
        delayed_permille: 100,
        ..FaultPlan::default()
    };
    conformance(&|| {
        let lab = Lab::new(2);
        lab.controls.plan(plan.clone());
        Box::new(ObjectSite(lab))
    })
    .await;
}

fn entry(record: &str) -> Entry {
    Entry { record: Bytes::copy_from_slice(record.as_bytes()), body: Some(Bytes::from(record.repeat(100)).into()) }
}

async fn append(log: &ObjectLog, record: &str) -> Result<Seq, AppendError> {
    let known = log.core.tail();
    log.append(known, vec![entry(record)]).await.map(|appended| appended.first)
}

/// Starts appends one after the other, without waiting for any.
async fn start(log: &Arc<ObjectLog>, records: &[&str]) -> Vec<JoinHandle<Result<Seq, AppendError>>> {
    let mut tasks = Vec::new();
    for record in records {
        let (log, record) = (log.clone(), (*record).to_owned());
        tasks.push(tokio::spawn(async move { append(&log, &record).await }));
        tokio::task::yield_now().await;
    }
    tasks
}

async fn finish(tasks: Vec<JoinHandle<Result<Seq, AppendError>>>) -> Vec<Result<Seq, AppendError>> {
    join_all(tasks).await.into_iter().map(|done| done.expect("the append ends")).collect()
}

async fn texts(log: &ObjectLog) -> Vec<String> {
    let records = recent::between(log, Seq::ZERO, log.core.tail()).await.expect("read");
    records.into_iter().map(|(_, record)| String::from_utf8_lossy(&record).into_owned()).collect()
}

/// Kills the process: tasks, handle and all.
fn kill(log: Arc<ObjectLog>, tasks: Vec<JoinHandle<Result<Seq, AppendError>>>) {
    tasks.iter().for_each(JoinHandle::abort);
    log.writer.abort();
}

#[tokio::test(start_paused = true)]
async fn a_hole_in_the_row_ends_the_log_at_every_position() {
    for hole in 0..4 {
        let lab = Lab::new(3);
        let log = lab.open("first").await;
        append(&log, "a").await.expect("append");
        let row = ["b", "c", "d", "e"];
        let hold = lab.controls.hold(Operation::PutIfAbsent, key(3 + hole).as_str(), Point::Before);
        let tasks = start(&log, &row).await;
        let landed: Vec<u64> = (3..7).filter(|number| *number != 3 + hole).collect();
        lab.wait_for(&landed).await;
        kill(log, tasks);
        hold.open();
        let log = lab.open("second").await;
        let mut expected = vec!["a"];
        expected.extend(&row[..hole as usize]);
        assert_eq!(texts(&log).await, expected, "hole at {hole}");
        append(&log, "f").await.expect("append");
        expected.push("f");
        assert_eq!(texts(&*lab.open("third").await).await, expected, "hole at {hole}");
    }
}

/// The first writer dies with four PUTs under way that land in `landing` (by place in the row; the others never do),
/// before or after the second writer has opened; the second one then appends four.
async fn late_puts(landing: &[u64], before_opening: bool) -> (Vec<String>, Vec<Result<Seq, AppendError>>, Lab) {
    let lab = Lab::new(4);
    let log = lab.open("first").await;
    append(&log, "a").await.expect("append");
    let late = Duration::from_secs(1);
    for place in 0..4 {
        let fault = if landing.contains(&place) { Fault::Late(late) } else { Fault::Torn };
        lab.controls.strike(Operation::PutIfAbsent, key(3 + place).as_str(), fault);
    }
    let tasks = start(&log, &["b", "c", "d", "e"]).await;
    while lab.controls.faults() < 4 {
        tokio::task::yield_now().await;
    }
    kill(log, tasks);
    if before_opening {
        tokio::time::advance(late * 2).await;
        lab.wait_for(&landing.iter().map(|place| 3 + place).collect::<Vec<_>>()).await;
        let log = lab.open("second").await;
        let outcomes = finish(start(&log, &["f", "g", "h", "i"]).await).await;
        return (texts(&log).await, outcomes, lab);
    }
    let log = lab.open("second").await;
    // Its own PUTs wait until the late ones are there.
    let hold = lab.controls.hold(Operation::PutIfAbsent, "log/", Point::Before);
    let tasks = start(&log, &["f", "g", "h", "i"]).await;
    hold.arrived(4).await;
    tokio::time::advance(late * 2).await;
    let landed: Vec<u64> = landing.iter().map(|place| 3 + place).collect();
    lab.wait_for(&landed).await;
    hold.open();
    let outcomes = finish(tasks).await;
    (texts(&log).await, outcomes, lab)
}

#[tokio::test(start_paused = true)]
async fn late_puts_of_a_dead_writer_do_no_harm_whenever_they_land() {
    let old = ["b", "c", "d", "e"];
    for pattern in 1..16_u64 {
        let landing: Vec<u64> = (0..4).filter(|place| pattern >> place & 1 == 1).collect();
        for before_opening in [true, false] {
            let (texts, outcomes, lab) = late_puts(&landing, before_opening).await;
            let what = format!("landing {landing:?}, before opening: {before_opening}");
            let contiguous = (0..4).take_while(|place| before_opening && landing.contains(place)).count();
            let mut expected = vec!["a"];
            expected.extend(&old[..contiguous]);
            expected.extend(["f", "g", "h", "i"]);
            assert_eq!(texts, expected, "{what}");
            let seqs: Vec<Seq> = outcomes.into_iter().map(|outcome| outcome.expect("acknowledged")).collect();
            assert!(seqs.is_sorted(), "{what}: {seqs:?}");
            let judged = lab.judge().await;
            assert_eq!(judged.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>(), expected, "{what}");
            assert!(judged.ends_with(&seqs.into_iter().zip(["f", "g", "h", "i"].map(Bytes::from)).collect::<Vec<_>>()));
            assert_eq!(self::texts(&*lab.open("third").await).await, expected, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fenced_writer_is_told_who_took_over() {
    let lab = Lab::new(5);
    let first = lab.open("first on host a").await;
    append(&first, "a").await.expect("append");
    let second = lab.open("second on host b").await;
    let outcomes = finish(start(&first, &["b", "c", "d", "e", "f"]).await).await;
    for outcome in outcomes {
        let Err(AppendError::Fenced { cause }) = outcome else { panic!("expected a fence, got {outcome:?}") };
        assert!(cause.contains("second on host b") && cause.contains("epoch 2"), "{cause}");
    }
    append(&second, "g").await.expect("append");
    assert!(matches!(append(&first, "h").await, Err(AppendError::Fenced { .. })), "for ever");
    assert_eq!(texts(&second).await, ["a", "g"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_racing_openers_one_is_the_writer() {
    for seed in 0..50 {
        let lab = Lab::new(seed);
        append(&*lab.open("before").await, "a").await.expect("append");
        lab.controls.plan(FaultPlan {
            delayed_permille: 800,
            lost_answer_permille: 200,
            torn_permille: 100,
            ..FaultPlan::default()
        });
        let (one, two) = tokio::join!(lab.open("one"), lab.open("two"));
        let mut outcomes = Vec::new();
        for log in [&one, &two, &one, &two] {
            outcomes.push(append(log, &format!("{}", outcomes.len())).await);
        }
        let done: Vec<String> =
            (0..4).filter(|index| outcomes[*index].is_ok()).map(|index| index.to_string()).collect();
        let fenced = outcomes.iter().filter(|outcome| matches!(outcome, Err(AppendError::Fenced { .. }))).count();
        assert!(outcomes[0].is_ok() != outcomes[1].is_ok(), "seed {seed}: {outcomes:?}");
        assert_eq!((done.len(), fenced), (2, 2), "seed {seed}: {outcomes:?}");
        lab.controls.plan(FaultPlan::default());
        assert_eq!(texts(&*lab.open("third").await).await[1..], done, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_cost_a_retry_and_nothing_else() {
    let lab = Lab::new(6);
    for number in 1..=4 {
        lab.controls.strike(Operation::PutIfAbsent, key(number).as_str(), Fault::LostAnswer);
    }
    let log = lab.open("first").await;
    let outcomes = finish(start(&log, &["a", "b", "c"]).await).await;
    let seqs: Vec<Seq> = outcomes.into_iter().map(|outcome| outcome.expect("append")).collect();
    assert_eq!(seqs, [Seq(2), Seq(3), Seq(4)]);
    assert_eq!(lab.numbers().await, [1, 2, 3, 4]);
}

/// Lets `log` open and write far beyond `rival`'s position, and trims what the rival would write next.
async fn go_on_and_trim(lab: &Lab, log: &Arc<ObjectLog>) {
    for index in 0..300 {
        append(log, &format!("later {index}")).await.expect("append");
    }
    let tail = log.core.tail();
    log.trim(tail, &LiveBodies::default()).await.expect("trim");
    let numbers = lab.numbers().await;
    assert_eq!(numbers.len() as u64, KEPT_NUMBERS + 1, "{numbers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_writer_back_from_a_long_pause_does_not_fill_trimmed_numbers() {
    let lab = Lab::new(7);
    let paused = lab.open("paused").await;
    append(&paused, "a").await.expect("append");
    let next = paused.core.tail().0 + 1;
    go_on_and_trim(&lab, &lab.open("other").await).await;
    assert!(!lab.numbers().await.contains(&next), "the next number of the paused writer is free again");
    tokio::time::advance(Duration::from_secs(3 * 86_400)).await;
    let outcome = append(&paused, "b").await;
    let Err(AppendError::Fenced { cause }) = outcome else { panic!("expected a fence, got {outcome:?}") };
    // Its `Opened` entry is gone too; the epoch tells enough.
    assert!(cause.contains("epoch 2"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn a_put_that_was_under_way_for_long_is_not_believed() {
    let lab = Lab::new(8);
    let paused = lab.open("paused").await;
    append(&paused, "a").await.expect("append");
    let hold = lab.controls.hold(Operation::PutIfAbsent, key(paused.core.tail().0 + 1).as_str(), Point::Before);
    let tasks = start(&paused, &["b"]).await;
    hold.arrived(1).await;
    // The other one's requests pass no gate.
    let options = Lab::options(Seq::ZERO, "other");
    let other = ObjectLog::open(lab.store.clone(), lab.env.clone(), options).await.expect("the log opens");
    go_on_and_trim(&lab, &Arc::new(other)).await;
    tokio::time::advance(Duration::from_secs(3 * 86_400)).await;
    hold.open();
    let outcome = finish(tasks).await.remove(0);
    assert!(matches!(outcome, Err(AppendError::Fenced { .. })), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_is_named_and_nothing_of_the_row_comes_back() {
    for refused in 0..4 {
        for reason in [Reason::Denied, Reason::Full, Reason::Invalid] {
            let lab = Lab::new(9);
            let log = lab.open("first").await;
            append(&log, "a").await.expect("append");
            let refused_key = key(3 + refused);
            lab.controls.strike(Operation::PutIfAbsent, refused_key.as_str(), Fault::Refused(reason));
            // It is refused when all the others have landed.
            let hold = lab.controls.hold(Operation::PutIfAbsent, refused_key.as_str(), Point::Before);
            let tasks = start(&log, &["b", "c", "d", "e"]).await;
            let landed: Vec<u64> = (3..7).filter(|number| *number != 3 + refused).collect();
            lab.wait_for(&landed).await;
            hold.open();
            let outcomes = finish(tasks).await;
            let mut expected = vec!["a"];
            for (index, (outcome, record)) in outcomes.into_iter().zip(["b", "c", "d", "e"]).enumerate() {
                match outcome {
                    Ok(_) => expected.push(record),
                    Err(AppendError::NotDone { cause }) => assert!(cause.contains("log/"), "{cause}"),
                    Err(other) => panic!("{other:?}"),
                }
                assert!(index as u64 >= refused || expected.contains(&record));
                assert!(index as u64 != refused || !expected.contains(&record));
            }
            append(&log, "f").await.expect("append");
            expected.push("f");
            assert_eq!(texts(&log).await, expected, "{reason:?} at {refused}");
            assert_eq!(texts(&*lab.open("second").await).await, expected, "{reason:?} at {refused}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_only_bucket_and_a_full_one_are_named() {
    let lab = Lab::new(10);
    let log = lab.open("first").await;
    for (mode, word) in [(Mode::ReadOnly, "read-only"), (Mode::Full, "no space")] {
        lab.controls.mode(mode);
        for _ in 0..2 {
            let outcome = append(&log, "refused").await;
            let Err(AppendError::NotDone { cause }) = outcome else { panic!("expected NotDone, got {outcome:?}") };
            assert!(cause.contains(word), "{cause}");
        }
        lab.controls.mode(Mode::Normal);
        append(&log, word).await.expect("append");
    }
    assert_eq!(texts(&*lab.open("second").await).await, ["read-only", "no space"]);
    lab.controls.mode(Mode::ReadOnly);
    let error = lab.try_open(Seq::ZERO, "third").await.expect_err("a log cannot be opened read-only");
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_store_is_waited_out() {
    let lab = Lab::new(11);
    let log = lab.open("first").await;
    lab.controls.mode(Mode::Outage);
    let tasks = start(&log, &["a", "b", "c", "d", "e", "f"]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(tasks.iter().all(|task| !task.is_finished()));
    lab.controls.mode(Mode::Normal);
    assert!(finish(tasks).await.iter().all(Result::is_ok));
    assert_eq!(texts(&log).await, ["a", "b", "c", "d", "e", "f"]);
}

#[tokio::test(start_paused = true)]
async fn closing_during_an_outage_leaves_the_outcome_unknown() {
    let lab = Lab::new(12);
    let log = lab.open("first").await;
    lab.controls.mode(Mode::Outage);
    let tasks = start(&log, &["a"]).await;
    log.close().await;
    assert!(matches!(finish(tasks).await[0], Err(AppendError::Unknown { .. })));
}

#[tokio::test(start_paused = true)]
async fn one_put_makes_an_entry_durable_and_an_idle_log_asks_for_nothing() {
    let lab = Lab::new(13);
    let log = lab.open("first").await;
    let before = lab.controls.requests();
    finish(start(&log, &["a", "b", "c", "d", "e"]).await).await;
    let after = lab.controls.requests();
    let puts = |requests: &BTreeMap<Operation, u64>| requests.get(&Operation::PutIfAbsent).copied().unwrap_or(0);
    assert_eq!(puts(&after) - puts(&before), 5);
    assert_eq!(after.values().sum::<u64>() - before.values().sum::<u64>(), 5, "and nothing else");
    assert_eq!(log.wait_beyond(log.core.tail(), Duration::from_secs(3_600)).await.expect("wait"), Seq(6));
    assert_eq!(lab.controls.requests(), after);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_from_before_a_trim_is_refused() {
    let lab = Lab::new(14);
    let log = lab.open("first").await;
    for index in 0..200 {
        append(&log, &format!("{index}")).await.expect("append");
    }
    let live = [Seq(20)].into_iter().collect();
    log.trim(Seq(100), &live).await.expect("trim");
    let numbers = lab.numbers().await;
    assert_eq!(numbers[..2], [20, 99], "the live body, and the number right below the trim point");
    for known in [Seq(0), Seq(1), Seq(20), Seq(50)] {
        let error = lab.try_open(known, "stale").await.expect_err("numbers are missing");
        assert!(matches!(error, OpenError::Trimmed { .. }), "{error}");
    }
    let log = lab.try_open(Seq(99), "second").await.expect("the log opens");
    assert_eq!(log.read(Seq(99), usize::MAX).await.expect("read").len(), 102);
    assert_eq!(log.read_body(Seq(20), 0..2).await.expect("live"), "18");
    let after_trim = lab.controls.requests();
    log.trim(Seq(100), &live).await.expect("trim");
    log.trim(Seq(100), &live).await.expect("trim");
    assert_eq!(
        lab.controls.requests()[&Operation::Delete],
        after_trim[&Operation::Delete],
        "nothing is left to delete"
    );
}

#[tokio::test(start_paused = true)]
async fn long_records_and_damaged_objects_are_handled() {
    let lab = Lab::new(15);
    let log = lab.open("first").await;
    let long = Bytes::from(vec![7; META_RECORD_BYTES_MAX]);
    let body = Body::from(Bytes::from_static(b"body"));
    let appended = log.append(Seq::ZERO, vec![Entry { record: long.clone(), body: Some(body) }]).await.expect("append");
    let log = lab.open("second").await;
    assert_eq!(log.read(Seq::ZERO, 1).await.expect("read")[0].1, long);
    assert_eq!(log.read_body(appended.first, 0..4).await.expect("body"), "body");
    let number = append(&log, "x").await.expect("append").0;
    let bytes = lab.faults.get(&key(number), None).await.expect("get");
    for position in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 1;
        lab.faults.delete(&key(number)).await.expect("delete");
        lab.faults.put(&key(number), Bytes::from(damaged).into()).await.expect("put");
        let body = log.read_body(Seq(number), 0..100).await;
        let head = log.core.bucket.head(number).await;
        assert!(body.is_err() || head.is_err(), "byte {position}");
        for error in [body.err(), head.err()].into_iter().flatten() {
            assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
        }
    }
    lab.faults.put(&key(number + 1), Bytes::from_static(b"not ours").into()).await.expect("put");
    let outcome = append(&log, "y").await;
    assert!(outcome.as_ref().is_err_and(|error| error.to_string().contains("is not entry")), "{outcome:?}");
}

/// What a writer was told of one record.
#[derive(Clone, Debug)]
struct Told {
    record: String,
    outcome: Result<Seq, AppendError>,
}

/// One writer's life: it appends in bursts until it is fenced or its time is over.
async fn live(log: Arc<ObjectLog>, writer: usize, entropy: Arc<SeededEntropy>) -> Vec<Told> {
    use frazil_base::Entropy;
    let mut told = Vec::new();
    for burst in 0..1 + entropy.bits64() % 6 {
        let records: Vec<String> =
            (0..1 + entropy.bits64() % 9).map(|index| format!("{writer}-{burst}-{index}")).collect();
        let names: Vec<&str> = records.iter().map(String::as_str).collect();
        let outcomes = finish(start(&log, &names).await).await;
        told.extend(records.into_iter().zip(outcomes).map(|(record, outcome)| Told { record, outcome }));
        tokio::time::sleep(Duration::from_millis(entropy.bits64() % 2_000)).await;
    }
    told
}

/// Several writers take over from each other, at random moments, over a store that fails; some of the old ones are
/// killed, some live on. Returns what remained in the log.
async fn history(seed: u64) -> Vec<(Seq, Bytes)> {
    use frazil_base::Entropy;
    let lab = Lab::new(seed);
    let entropy = Arc::new(SeededEntropy::new(seed));
    lab.controls.plan(FaultPlan {
        refused_permille: 50,
        lost_answer_permille: 80,
        torn_permille: 80,
        late_permille: 100,
        delayed_permille: 300,
        delay: Duration::ZERO..=Duration::from_secs(1 + entropy.bits64() % 5),
    });
    let mut lives = Vec::new();
    for writer in 0..2 + entropy.bits64() as usize % 4 {
        let log = lab.open(&format!("writer {writer}")).await;
        let life = tokio::spawn(live(log.clone(), writer, entropy.clone()));
        tokio::time::sleep(Duration::from_millis(entropy.bits64() % 4_000)).await;
        if entropy.bits64().is_multiple_of(2) {
            life.abort();
            log.writer.abort();
        }
        lives.push(life);
    }
    let ends = join_all(lives).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    lab.controls.plan(FaultPlan::default());
    let log = lab.open("the judge").await;
    let records = recent::between(&*log, Seq::ZERO, log.core.tail()).await.expect("read");
    assert_eq!(records, lab.judge().await, "seed {seed}");
    check_history(seed, &records, ends.into_iter().flatten().flatten().collect());
    records
}

fn check_history(seed: u64, records: &[(Seq, Bytes)], told: Vec<Told>) {
    let mut places = BTreeMap::new();
    for (seq, record) in records {
        let text = String::from_utf8_lossy(record).into_owned();
        let writer = text.split('-').next().map(str::to_owned);
        assert_eq!(places.insert(text.clone(), *seq), None, "seed {seed}: {text} is there twice");
        let earlier = places.iter().filter(|(other, _)| other.split('-').next().map(str::to_owned) == writer);
        let in_order = earlier.into_iter().all(|(other, place)| order(other) <= order(&text) && place <= seq);
        assert!(in_order, "seed {seed}: {text} is out of order");
    }
    for Told { record, outcome } in told {
        match outcome {
            Ok(seq) => assert_eq!(places.get(&record), Some(&seq), "seed {seed}: {record} was acknowledged"),
            Err(AppendError::NotDone { .. } | AppendError::Fenced { .. } | AppendError::Unknown { .. }) => {}
        }
    }
}

fn order(record: &str) -> Vec<u64> {
    record.split('-').map(|part| part.parse().expect("a number")).collect()
}

#[tokio::test(start_paused = true)]
async fn any_history_of_writers_keeps_what_was_acknowledged_in_order() {
    let (mut records, mut voids) = (0, 0);
    for seed in 0..300 {
        let history = history(seed).await;
        records += history.len();
        voids += history.last().map_or(0, |(seq, _)| seq.0 as usize) - history.len();
    }
    assert!(records > 3_000 && voids > 1_000, "{records} records, {voids} other numbers: too tame");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_log() {
    for seed in [1, 17, 99] {
        assert_eq!(history(seed).await, history(seed).await, "seed {seed}");
    }
}
