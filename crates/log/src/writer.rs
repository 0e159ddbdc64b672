//! The one task that fills segments.
//!
//! `submit` queues; the order of its calls is the order in the log. The task closes a segment when it is full, when it
//! is old enough, or, without an age limit, as soon as the engine is free to take it: what arrives meanwhile shares the
//! next one (group commit). A closed segment goes on as a flight of its own: where the engine carries bodies its record
//! and bytes are proposed together; else it is uploaded first, several at once, and flights take turns to propose in
//! the order in which their segments were opened. A failed upload fails its own batches and lets the next one pass.
//!
//! Bytes are budgeted from `submit` until their segment is settled: a slow store slows the callers of `submit` down.

use crate::arrivals::Arrival;
use crate::cache::Cache;
use crate::collector::Discards;
use crate::health::HealthCell;
use crate::layout::{ObjectIds, segment_key};
use crate::metrics::{Metrics, observe};
use crate::options::LogOptions;
use crate::produce::{NewBatch, ProduceError, Ticket};
use crate::replica::{Answer, Applied, Replica};
use crate::segment::{OpenSegment, SealedSegment, Submission};
use crate::sequencer::{ProposeError, Sequencer};
use frazil_base::{BufferPool, Env, TopicPartition, limits};
use frazil_meta::record::{Command, Commit};
use frazil_meta::state::{Outcome, RunOutcome};
use frazil_meta::{Body, CommitLog};
use frazil_store::{ObjectStorage, Payload};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Without an age limit a segment waits while so many are under way, unless it is filled to `OVERLAP_PART`: small ones
/// share one write, large ones overlap. With 20 requests of 64 KiB in flight two gave 470-720 MiB/s on a journal that writes
/// them at once, one 220, three 510-640, four 270-400: what is gained by more writes is lost by smaller ones.
const GROUPS_IN_FLIGHT: usize = 2;
/// The part of a full segment from which it goes at once.
const OVERLAP_PART: usize = 8;
/// Messages taken from the queue at once.
const INBOX: usize = 256;

/// A handle on the task.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    queue: mpsc::UnboundedSender<Message>,
    budget: Budget,
    health: HealthCell,
    env: Env,
}

#[derive(Debug)]
enum Message {
    Submit(Submission),
    /// Close what is open; answer when nothing is under way.
    Drain(oneshot::Sender<()>),
}

/// What a flight needs, shared by all.
pub(crate) struct Hangar {
    pub(crate) engine: Arc<dyn CommitLog>,
    pub(crate) store: Arc<dyn ObjectStorage>,
    pub(crate) sequencer: Sequencer,
    pub(crate) replica: Arc<Replica>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) discards: Discards,
    pub(crate) health: HealthCell,
    pub(crate) env: Env,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) buffers: Arc<BufferPool>,
}

impl Writer {
    /// The handle, and the task to spawn.
    pub(crate) fn new(hangar: Hangar, options: &LogOptions) -> (Writer, impl Future<Output = ()> + Send + 'static) {
        let (queue, messages) = mpsc::unbounded_channel();
        let budget = Budget::new(options.in_flight_bytes);
        let writer = Writer { queue, budget: budget.clone(), health: hangar.health.clone(), env: hangar.env.clone() };
        // One more than the engine takes, so that the next call's bytes are ready when it becomes free.
        let in_log = hangar.engine.carries_bodies();
        let flights_max = if in_log { hangar.engine.appends_in_flight() + 1 } else { options.uploads_in_flight.max(1) };
        let task = Task {
            ids: ObjectIds::new(hangar.replica.epoch()),
            in_log,
            flights_max,
            segment_bytes: options.segment_bytes,
            flush_age: options.flush_age,
            open: VecDeque::new(),
            flights: JoinSet::new(),
            turn: None,
            drains: Vec::new(),
            budget,
            hangar: Arc::new(hangar),
        };
        (writer, task.run(messages))
    }

    /// Waits for room in the budget, then queues the batches.
    pub(crate) async fn submit(&self, batches: Vec<NewBatch>) -> Ticket {
        let submitted = self.env.clock.since_boot();
        let bytes: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
        let count = batches.len();
        if let Some(cause) = self.health.fenced() {
            return Ticket::failed(count, ProduceError::Fenced { cause });
        }
        if bytes > limits::SEGMENT_BYTES_MAX - limits::SEGMENT_BYTES {
            return Ticket::failed(count, refused("the submission is larger than a segment may be"));
        }
        let Some(permit) = self.budget.take(bytes).await else {
            return Ticket::failed(count, refused("the broker is stopping"));
        };
        let (answer, ticket) = Ticket::new(count);
        match self.queue.send(Message::Submit(Submission { batches, bytes, answer, permit, submitted })) {
            Ok(()) => ticket,
            Err(_) => Ticket::failed(count, refused("the broker is stopping")),
        }
    }

    /// Refuses new submissions and waits until all earlier ones are settled.
    pub(crate) async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        self.budget.close();
        if self.queue.send(Message::Drain(done)).is_ok() {
            // An error means that the task is gone, and with it everything that could be waited for.
            let _ = drained.await;
        }
    }

    /// Bytes submitted and not settled.
    pub(crate) fn in_flight_bytes(&self) -> usize {
        self.budget.in_use()
    }
}

/// How many bytes may be in flight.
#[derive(Clone, Debug)]
struct Budget {
    free: Arc<Semaphore>,
    bytes: usize,
}

impl Budget {
    fn new(bytes: usize) -> Budget {
        let bytes = bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Budget { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// Waits for room, first come, first served. `None` once it is closed.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        // One larger than the whole budget takes all of it.
        let permits = bytes.min(self.bytes) as u32;
        self.free.clone().acquire_many_owned(permits).await.ok()
    }

    fn in_use(&self) -> usize {
        self.bytes - self.free.available_permits()
    }

    fn close(&self) {
        self.free.close();
    }
}

fn refused(cause: &str) -> ProduceError {
    ProduceError::Storage { cause: cause.into(), outcome_known: true }
}

struct Task {
    hangar: Arc<Hangar>,
    budget: Budget,
    ids: ObjectIds,
    in_log: bool,
    flights_max: usize,
    segment_bytes: usize,
    flush_age: Duration,
    /// The last one takes new batches; those before it are full and wait for a place among the flights.
    open: VecDeque<(Instant, OpenSegment)>,
    /// Dropped with the task: a writer that dies takes its flights along, as a killed process would.
    flights: JoinSet<()>,
    /// Closes when the flight before has proposed or failed.
    turn: Option<oneshot::Receiver<()>>,
    drains: Vec<oneshot::Sender<()>>,
}

impl Task {
    /// Ends when all handles are gone and everything is settled.
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut inbox = Vec::with_capacity(INBOX);
        let mut is_open = true;
        while is_open || !self.is_idle() {
            self.start_flights();
            self.answer_drains();
            self.hangar.metrics.in_flight_bytes.set(self.budget.in_use() as i64);
            let deadline = self.deadline();
            tokio::select! {
                biased;
                // A flight that ends makes room for the next.
                Some(flight) = self.flights.join_next(), if !self.flights.is_empty() => forward_panic(flight),
                received = messages.recv_many(&mut inbox, INBOX), if is_open => is_open = received > 0,
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
            inbox.drain(..).for_each(|message| self.take_in(message));
        }
    }

    fn is_idle(&self) -> bool {
        self.open.is_empty() && self.flights.is_empty()
    }

    fn take_in(&mut self, message: Message) {
        let submission = match message {
            Message::Submit(submission) => submission,
            Message::Drain(done) => return self.drains.push(done),
        };
        let now = self.hangar.env.clock.since_boot();
        observe(&self.hangar.metrics.queue_seconds, submission.submitted, now);
        let has_room = |(_, open): &(Instant, OpenSegment)| open.has_room_for(&submission, self.segment_bytes);
        if !self.open.back().is_some_and(has_room) {
            self.open.push_back((Instant::now(), OpenSegment::new(now)));
        }
        let (_, open) = self.open.back_mut().expect("one was opened if there was none");
        open.push(submission);
    }

    fn answer_drains(&mut self) {
        if self.is_idle() {
            for done in self.drains.drain(..) {
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
    }

    /// When the oldest open segment has to close although it is not full.
    fn deadline(&self) -> Option<Instant> {
        let may_fly = self.flights.len() < self.flights_max && self.flush_age > Duration::ZERO;
        self.open.front().filter(|_| may_fly).map(|(opened, _)| *opened + self.flush_age)
    }

    fn is_due(&self) -> bool {
        let Some((opened, open)) = self.open.front() else { return false };
        let is_full = self.open.len() > 1 || open.encoded_bytes() >= self.segment_bytes;
        if self.flights.len() >= self.flights_max {
            false
        } else if is_full || !self.drains.is_empty() {
            true
        } else if self.flush_age == Duration::ZERO {
            self.flights.len() < GROUPS_IN_FLIGHT || open.encoded_bytes() >= self.segment_bytes / OVERLAP_PART
        } else {
            Instant::now() >= *opened + self.flush_age
        }
    }

    fn start_flights(&mut self) {
        while self.is_due() {
            let (_, open) = self.open.pop_front().expect("a segment that is due");
            let opened = open.opened;
            let object = self.ids.next(self.hangar.env.clock.now_ms());
            let sealed = open.seal(object, self.in_log, &self.hangar.buffers);
            observe(&self.hangar.metrics.batch_wait_seconds, opened, self.hangar.env.clock.since_boot());
            if self.in_log {
                self.fly_with_body(sealed);
            } else {
                self.fly_with_upload(sealed);
            }
        }
    }

    /// Record and body in one append: the sequencer's queue keeps the order.
    fn fly_with_body(&mut self, mut sealed: SealedSegment) {
        let hangar = self.hangar.clone();
        let proposed = hangar.env.clock.since_boot();
        let (commit, body) = (sealed.take_commit(), Body::from(sealed.bytes()));
        let partitions = partitions_of(&commit);
        let pending = hangar.sequencer.propose(Command::Commit(commit), Some(body));
        self.flights.spawn(async move {
            let answer = pending.settled().await;
            hangar.land(sealed, partitions, answer, proposed).await;
        });
    }

    /// The upload first, then the record when it is this flight's turn.
    fn fly_with_upload(&mut self, mut sealed: SealedSegment) {
        let hangar = self.hangar.clone();
        let (done, next_turn) = oneshot::channel::<()>();
        let turn = self.turn.replace(next_turn);
        self.flights.spawn(async move {
            let uploaded = hangar.upload(&sealed).await;
            if let Some(turn) = turn {
                // Never carries a value: it closes when the flight before has had its turn.
                let _ = turn.await;
            }
            if let Err(error) = uploaded {
                drop(done);
                hangar.discards.discard(sealed.object);
                return sealed.fail(&error);
            }
            let proposed = hangar.env.clock.since_boot();
            let commit = sealed.take_commit();
            let partitions = partitions_of(&commit);
            let pending = hangar.sequencer.propose(Command::Commit(commit), None);
            drop(done);
            let answer = pending.settled().await;
            hangar.land(sealed, partitions, answer, proposed).await;
        });
    }
}

fn partitions_of(commit: &Commit) -> Vec<TopicPartition> {
    commit.parts.iter().map(|part| part.partition).collect()
}

/// A flight never panics unless a rule is broken; then the writer must not go on as if it had landed.
fn forward_panic(flight: Result<(), tokio::task::JoinError>) {
    if let Err(error) = flight
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl Hangar {
    async fn upload(&self, sealed: &SealedSegment) -> Result<(), ProduceError> {
        let started = self.env.clock.since_boot();
        let result = self.store.put(&segment_key(sealed.object), Payload::from(sealed.bytes())).await;
        observe(&self.metrics.put_seconds, started, self.env.clock.since_boot());
        match result {
            Ok(()) => {
                self.health.set_ok();
                Ok(())
            }
            Err(error) => {
                let cause: Arc<str> = error.to_string().into();
                self.health.set_outage(cause.clone());
                // Whatever became of the object, nothing refers to it: the batches are certainly not in the log.
                Err(ProduceError::Storage { cause, outcome_known: true })
            }
        }
    }

    /// The commit has its outcome: patch, publish, answer.
    async fn land(&self, sealed: SealedSegment, partitions: Vec<TopicPartition>, answer: Answer, proposed: Duration) {
        let applied = self.env.clock.since_boot();
        observe(&self.metrics.commit_seconds, proposed, applied);
        match answer.and_then(committed) {
            Ok((outcomes, arrival)) => {
                self.count(&sealed);
                let log_starts = self.log_starts(&partitions);
                let (buffer, marks, answers) = sealed.place(&outcomes, &log_starts, &self.buffers);
                if let Some(arrival) = arrival {
                    self.cache.publish(arrival, buffer, marks).await;
                }
                answers.send();
            }
            Err(error) => self.crash(sealed, error),
        }
        observe(&self.metrics.ack_seconds, applied, self.env.clock.since_boot());
        self.metrics.applied_seq.set(self.replica.applied().0 as i64);
    }

    fn crash(&self, sealed: SealedSegment, error: ProposeError) {
        if matches!(error, ProposeError::NotDone { .. }) && !self.engine.carries_bodies() {
            self.discards.discard(sealed.object);
        }
        sealed.fail(&error.into());
    }

    fn count(&self, sealed: &SealedSegment) {
        self.metrics.segments.inc();
        self.metrics.segment_bytes.inc_by(sealed.len() as u64);
        self.metrics.produced_batches.inc_by(sealed.batches() as u64);
    }

    fn log_starts(&self, partitions: &[frazil_base::TopicPartition]) -> Vec<i64> {
        let state = self.replica.state();
        let log_start = |partition| state.partition(partition).map_or(0, |partition| partition.log_start);
        partitions.iter().map(|partition| log_start(*partition)).collect()
    }
}

type Committed = (Vec<Vec<RunOutcome>>, Option<Arrival>);

fn committed(applied: Applied) -> Result<Committed, ProposeError> {
    match applied.outcome {
        Outcome::Committed(outcomes) => Ok((outcomes, applied.arrival)),
        other => Err(ProposeError::NotDone { cause: format!("the commit was answered with {other:?}").into() }),
    }
}

impl From<ProposeError> for ProduceError {
    fn from(error: ProposeError) -> ProduceError {
        match error {
            ProposeError::Fenced { cause } => ProduceError::Fenced { cause },
            ProposeError::NotDone { cause } => ProduceError::Storage { cause, outcome_known: true },
            ProposeError::Unknown { cause } => ProduceError::Storage { cause, outcome_known: false },
        }
    }
}
