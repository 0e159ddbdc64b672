//! This broker's copy of the state.
//!
//! Records come from two sides: with the answers to our own appends, and from the tail of a log that other brokers
//! write too. Both go through `apply`, which takes each record once and in order. Whoever waits for the outcome of a
//! record of ours is answered here, so it does not matter from which side the record came, nor whether the append that
//! carried it was ever answered.

use crate::agreement::Hashes;
use crate::arrivals::{Arrival, Arrivals};
use crate::health::HealthCell;
use crate::invariant;
use crate::polls::Polls;
use crate::sequencer::ProposeError;
use bytes::Bytes;
use frazil_base::{Epoch, Seq, Signal, TopicPartition};
use frazil_meta::record::{Command, Commit, Record};
use frazil_meta::state::{BodyId, Outcome, Refusal, RunOutcome, State};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, oneshot};

/// What became of a proposal.
pub(crate) type Answer = Result<Applied, ProposeError>;

/// A record of ours took its place in the log.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    /// For a commit: the promise to put its body into the cache.
    pub(crate) arrival: Option<Arrival>,
}

/// The state, and everybody who waits for it to move on.
#[derive(Debug)]
pub(crate) struct Replica {
    state: RwLock<State>,
    hashes: Mutex<Hashes>,
    epoch: Epoch,
    waiters: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
    polls: Arc<Polls>,
    arrivals: Arc<Arrivals>,
    health: HealthCell,
    applied: Signal<Seq>,
    records_total: AtomicU64,
    bytes_total: AtomicU64,
    carried_total: AtomicU64,
    /// Beyond one of these somebody wants to be woken.
    records_mark: AtomicU64,
    bytes_mark: AtomicU64,
    mark_reached: Notify,
    /// Whether anything but comings and goings of brokers was applied since the start.
    has_changed: AtomicBool,
}

/// How much was applied since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TailVolume {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Bytes of the segments that came with them in the log.
    pub(crate) carried_bytes: u64,
}

impl TailVolume {
    /// Counts a record and what it carried.
    pub(crate) fn add(&mut self, record: &[u8], command: &Command, outcome: &Outcome) {
        self.records += 1;
        self.bytes += record.len() as u64;
        self.carried_bytes += carried_bytes(command, outcome);
    }
}

impl Replica {
    /// A replica that continues from `state`, in which `epoch` is our registration. `tail` was read to get there.
    pub(crate) fn new(state: State, epoch: Epoch, health: HealthCell, tail: TailVolume) -> Replica {
        let applied = Signal::new(state.applied());
        Replica {
            state: RwLock::new(state),
            hashes: Mutex::default(),
            epoch,
            waiters: Mutex::new(BTreeMap::new()),
            polls: Arc::new(Polls::default()),
            arrivals: Arc::new(Arrivals::default()),
            health,
            applied,
            records_total: AtomicU64::new(tail.records),
            bytes_total: AtomicU64::new(tail.bytes),
            carried_total: AtomicU64::new(tail.carried_bytes),
            records_mark: AtomicU64::new(u64::MAX),
            bytes_mark: AtomicU64::new(u64::MAX),
            mark_reached: Notify::new(),
            has_changed: AtomicBool::new(false),
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    pub(crate) fn applied(&self) -> Seq {
        self.applied.get()
    }

    /// Follows the number of the last record applied.
    pub(crate) fn applied_changes(&self) -> &Signal<Seq> {
        &self.applied
    }

    pub(crate) fn polls(&self) -> &Arc<Polls> {
        &self.polls
    }

    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    pub(crate) fn volume(&self) -> TailVolume {
        TailVolume {
            records: self.records_total.load(Ordering::Relaxed),
            bytes: self.bytes_total.load(Ordering::Relaxed),
            carried_bytes: self.carried_total.load(Ordering::Relaxed),
        }
    }

    /// From this volume on, `volume_reached` returns.
    pub(crate) fn notify_beyond(&self, mark: TailVolume) {
        self.records_mark.store(mark.records, Ordering::Relaxed);
        self.bytes_mark.store(mark.bytes, Ordering::Relaxed);
    }

    /// Waits until the mark of `notify_beyond` is reached.
    pub(crate) async fn volume_reached(&self) {
        self.mark_reached.notified().await;
    }

    /// Whether anything but comings and goings of brokers was applied since the start.
    pub(crate) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    /// How many open registrations are older than ours: background work is the eldest's.
    pub(crate) fn rank(&self) -> usize {
        self.rank_in(&self.state())
    }

    pub(crate) fn rank_in(&self, state: &State) -> usize {
        state.brokers().filter(|broker| broker.epoch < self.epoch).count()
    }

    /// The outcome of our record `number` goes to `waiter`.
    pub(crate) fn await_outcome(&self, number: u64, waiter: oneshot::Sender<Answer>) {
        self.waiters.lock().insert(number, waiter);
    }

    /// Whether nobody has learnt yet what became of our record `number`.
    pub(crate) fn is_awaited(&self, number: u64) -> bool {
        self.waiters.lock().contains_key(&number)
    }

    /// Our record `number` will not be applied, or nobody can say.
    pub(crate) fn give_up(&self, number: u64, error: ProposeError) {
        if let Some(waiter) = self.waiters.lock().remove(&number) {
            // A waiter that went away needs no answer.
            let _ = waiter.send(Err(error));
        }
    }

    /// The same for all that are still awaited.
    pub(crate) fn give_up_all(&self, error: &ProposeError) {
        let waiters = std::mem::take(&mut *self.waiters.lock());
        for waiter in waiters.into_values() {
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// Applies those of `records` that were not applied before.
    pub(crate) fn apply(&self, records: &[(Seq, Bytes)]) {
        for (seq, bytes) in records {
            self.apply_one(*seq, bytes);
        }
    }

    fn apply_one(&self, seq: Seq, bytes: &Bytes) {
        let mut state = self.state.write();
        if seq <= state.applied() {
            return;
        }
        // Readers that see the new extents must also see that their bytes are on the way.
        let (record, outcome) = match state.apply_encoded(seq, bytes) {
            Ok(applied) => applied,
            Err(error) => invariant::broken("records of the log decode", format_args!("record {seq}: {error}")),
        };
        check_shape(seq, &record, &outcome);
        let arrival = self.arrival(seq, &record, &outcome);
        let is_open = state.is_open(self.epoch);
        let hash = state.hash();
        drop(state);
        self.agree(seq, hash, &record.command);
        self.carried_total.fetch_add(carried_bytes(&record.command, &outcome), Ordering::Relaxed);
        self.count(&record.command, bytes.len() as u64);
        self.applied.set(seq);
        if !is_open {
            self.note_closed(seq, &record);
        }
        self.wake_polls(&record.command, &outcome);
        if record.epoch == self.epoch {
            self.answer(record.number, outcome, arrival);
        }
    }

    /// Remembers the state's hash, and compares it with another broker's.
    fn agree(&self, seq: Seq, hash: u64, command: &Command) {
        let mut hashes = self.hashes.lock();
        hashes.note(seq, hash);
        if let Command::CompareState { seq, hash } = command
            && let Err(disagreement) = hashes.compare(*seq, *hash)
        {
            invariant::broken("all brokers have the same state", format_args!("{disagreement}"));
        }
    }

    /// A record and the state's hash after it, for the other brokers to compare theirs with, if that is due.
    pub(crate) fn comparison_due(&self) -> Option<Command> {
        let (seq, hash) = self.hashes.lock().due()?;
        Some(Command::CompareState { seq, hash })
    }

    fn count(&self, command: &Command, bytes: u64) {
        let records = self.records_total.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes_total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if records >= self.records_mark.load(Ordering::Relaxed) || bytes >= self.bytes_mark.load(Ordering::Relaxed) {
            self.mark_reached.notify_one();
        }
        if !matches!(command, Command::RegisterBroker(_) | Command::CloseBroker { .. } | Command::CompareState { .. }) {
            self.has_changed.store(true, Ordering::Relaxed);
        }
    }

    /// A commit of ours that somebody here waits for will put its body into the cache.
    fn arrival(&self, seq: Seq, record: &Record, outcome: &Outcome) -> Option<Arrival> {
        let (Command::Commit(commit), Outcome::Committed(_)) = (&record.command, outcome) else { return None };
        let is_ours = record.epoch == self.epoch && self.is_awaited(record.number);
        is_ours.then(|| self.arrivals.expect(body_of(seq, commit)))
    }

    fn note_closed(&self, seq: Seq, record: &Record) {
        if record.epoch == self.epoch {
            return self.health.set_left();
        }
        let cause = match &record.command {
            Command::RegisterBroker(by) => {
                format!("broker {} at {}:{} took over at record {seq}", by.broker, by.host, by.port)
            }
            _ => format!("the registration {} was closed by record {seq}", self.epoch),
        };
        self.health.set_fenced(cause.into());
    }

    fn wake_polls(&self, command: &Command, outcome: &Outcome) {
        match (command, outcome) {
            (Command::Commit(commit), Outcome::Committed(parts)) => {
                let touched = commit.parts.iter().zip(parts).filter(|(_, runs)| has_accepted(runs));
                self.polls.wake(touched.map(|(part, _)| part.partition));
            }
            (Command::MoveLogStart { starts }, Outcome::Done) => {
                self.polls.wake(starts.iter().map(|(partition, _): &(TopicPartition, i64)| *partition));
            }
            // The end of a transaction makes what was written in it, and after it, visible to readers of committed data.
            (_, Outcome::TransactionEnded { partitions, .. } | Outcome::Producer { aborted: partitions, .. }) => {
                self.polls.wake(partitions.iter().copied());
            }
            (Command::DeleteTopic { topic }, Outcome::Done) => self.polls.wake_topic(*topic),
            _ => {}
        }
    }

    fn answer(&self, number: u64, outcome: Outcome, arrival: Option<Arrival>) {
        let Some(waiter) = self.waiters.lock().remove(&number) else { return };
        let answer = match outcome {
            Outcome::Refused(Refusal::ClosedEpoch) => Err(ProposeError::Fenced { cause: self.closed_cause() }),
            // The first outcome of a number answers its waiter. One that still waits was overtaken by a later record
            // of ours while it was lost on the way: it never took effect and never will.
            Outcome::Refused(Refusal::Repeated) => {
                Err(ProposeError::NotDone { cause: "the record was lost and then overtaken by a later one".into() })
            }
            outcome => Ok(Applied { outcome, arrival }),
        };
        let _ = waiter.send(answer);
    }

    fn closed_cause(&self) -> Arc<str> {
        self.health.fenced().unwrap_or_else(|| format!("registration {} is closed", self.epoch).into())
    }
}

/// Where a commit's bytes are.
fn body_of(seq: Seq, commit: &Commit) -> BodyId {
    if commit.in_log { BodyId::Log(seq) } else { BodyId::Object(commit.object) }
}

/// How many bytes of a segment stand in the log beside a record that took effect.
fn carried_bytes(command: &Command, outcome: &Outcome) -> u64 {
    match (command, outcome) {
        (Command::Commit(commit), Outcome::Committed(_)) if commit.in_log => commit.bytes.into(),
        _ => 0,
    }
}

fn has_accepted(runs: &[RunOutcome]) -> bool {
    runs.iter().any(|run| matches!(run, RunOutcome::Accepted { .. }))
}

/// A commit's outcome has one entry per run, in the record's order: offsets are handed out by position in it.
fn check_shape(seq: Seq, record: &Record, outcome: &Outcome) {
    let (Command::Commit(commit), Outcome::Committed(parts)) = (&record.command, outcome) else { return };
    let fits = commit.parts.len() == parts.len()
        && commit.parts.iter().zip(parts).all(|(part, outcomes)| part.runs.len() == outcomes.len());
    if !fits {
        invariant::broken("a commit has an outcome per run", format_args!("record {seq}: {record:?} gave {outcome:?}"));
    }
}
