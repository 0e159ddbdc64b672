//! The one task that appends to the metadata log.
//!
//! Proposals enter a queue; the task numbers them in the queue's order, encodes them and keeps as many append calls
//! under way as the engine finds useful, merging what is ready. Outcomes do not come back through here: the replica
//! answers whoever waits when it applies the record.
//!
//! When a call's outcome is unknown, no new call starts until the others have been answered; then the log is read to
//! its tail, which settles the records that arrived, and the others are appended again under their old numbers. Should
//! the first attempt turn up late, one of the two is refused as repeated, and the waiter has the other's outcome.

use crate::health::HealthCell;
use crate::metrics::Metrics;
use crate::replica::{Answer, Replica};
use frazil_base::Env;
use frazil_meta::record::{Command, Record};
use frazil_meta::{AppendError, Appended, Body, CommitLog, Entry, ReadError};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Bodies merged into one call stay below this, so that one call does not hold back the next for long.
const MERGED_BODY_BYTES: usize = 8 << 20;
/// Records merged into one call.
const MERGED_RECORDS: usize = 1024;
/// Bytes of records asked for in one read of the log.
pub(crate) const READ_BYTES: usize = 4 << 20;
/// An append that takes longer than this counts as an outage of the store.
const SLOW_APPEND: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Why a proposal has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Another broker took over; final for this process.
    #[error("this broker is fenced: {cause}")]
    Fenced {
        /// Who took over.
        cause: Arc<str>,
    },
    /// It certainly did not happen.
    #[error("the metadata log did not take the record: {cause}")]
    NotDone {
        /// What failed.
        cause: Arc<str>,
    },
    /// It may have happened.
    #[error("the outcome of the record is unknown: {cause}")]
    Unknown {
        /// What was seen.
        cause: Arc<str>,
    },
}

/// A handle on the task. The task ends when the last handle is gone and the queue is empty.
#[derive(Clone, Debug)]
pub(crate) struct Sequencer {
    queue: mpsc::UnboundedSender<Proposal>,
    health: HealthCell,
}

#[derive(Debug)]
struct Proposal {
    command: Command,
    body: Option<Body>,
    waiter: oneshot::Sender<Answer>,
}

impl Sequencer {
    /// The handle, and the task to spawn.
    pub(crate) fn new(
        engine: Arc<dyn CommitLog>,
        replica: Arc<Replica>,
        env: Env,
        health: HealthCell,
        metrics: Arc<Metrics>,
    ) -> (Sequencer, impl Future<Output = ()> + Send + 'static) {
        let (queue, proposals) = mpsc::unbounded_channel();
        let calls_max = engine.appends_in_flight().max(1);
        let task = Task {
            engine,
            replica,
            env,
            health: health.clone(),
            metrics,
            calls_max,
            last_number: 0,
            queue: VecDeque::new(),
            uncertain: VecDeque::new(),
            calls: FuturesOrdered::new(),
        };
        (Sequencer { queue, health }, task.run(proposals))
    }

    /// Queues a proposal: the order of calls is the order in the log. Bounded by the back-pressure of the callers.
    pub(crate) fn propose(&self, command: Command, body: Option<Body>) -> PendingOutcome {
        let (waiter, receiver) = oneshot::channel();
        if let Some(cause) = self.health.fenced() {
            let _ = waiter.send(Err(ProposeError::Fenced { cause }));
        } else if let Err(refused) = self.queue.send(Proposal { command, body, waiter }) {
            let error = ProposeError::NotDone { cause: "the broker is stopping".into() };
            let _ = refused.0.waiter.send(Err(error));
        }
        PendingOutcome { receiver }
    }
}

/// A proposal's outcome to come.
#[derive(Debug)]
#[must_use = "a proposal may fail"]
pub(crate) struct PendingOutcome {
    receiver: oneshot::Receiver<Answer>,
}

impl PendingOutcome {
    pub(crate) async fn settled(self) -> Answer {
        let stopped = || ProposeError::Unknown { cause: "the broker stopped".into() };
        self.receiver.await.unwrap_or_else(|_| Err(stopped()))
    }
}

/// A record with its number, kept until its append is answered.
#[derive(Clone, Debug)]
struct Numbered {
    number: u64,
    entry: Entry,
}

type Call = BoxFuture<'static, (Vec<Numbered>, Result<Appended, AppendError>)>;

struct Task {
    engine: Arc<dyn CommitLog>,
    replica: Arc<Replica>,
    env: Env,
    health: HealthCell,
    metrics: Arc<Metrics>,
    calls_max: usize,
    last_number: u64,
    queue: VecDeque<Numbered>,
    /// Records of calls with an unknown outcome.
    uncertain: VecDeque<Numbered>,
    calls: FuturesOrdered<Call>,
}

impl Task {
    async fn run(mut self, mut proposals: mpsc::UnboundedReceiver<Proposal>) {
        let mut inbox = Vec::new();
        let mut is_open = true;
        while is_open || !self.is_idle() {
            self.start_calls();
            tokio::select! {
                biased;
                // Answers first: they free a place for the next call.
                Some((batch, result)) = self.calls.next(), if !self.calls.is_empty() => self.finish_call(batch, result),
                received = proposals.recv_many(&mut inbox, MERGED_RECORDS), if is_open => is_open = received > 0,
                () = tokio::time::sleep(SLOW_APPEND), if !self.calls.is_empty() => self.note_slow_append(),
            }
            self.enqueue(&mut inbox);
            if self.calls.is_empty() && !self.uncertain.is_empty() {
                self.settle_uncertain().await;
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.calls.is_empty() && self.uncertain.is_empty()
    }

    fn enqueue(&mut self, inbox: &mut Vec<Proposal>) {
        for Proposal { command, body, waiter } in inbox.drain(..) {
            if let Some(cause) = self.health.fenced() {
                let _ = waiter.send(Err(ProposeError::Fenced { cause }));
                continue;
            }
            self.last_number += 1;
            let number = self.last_number;
            let time_ms = self.env.clock.now_ms();
            let record = Record { epoch: self.replica.epoch(), number, time_ms, command };
            self.replica.await_outcome(number, waiter);
            self.queue.push_back(Numbered { number, entry: Entry { record: record.encode(), body } });
        }
    }

    fn start_calls(&mut self) {
        while !self.queue.is_empty() && self.calls.len() < self.calls_max && self.uncertain.is_empty() {
            let batch = self.take_batch();
            let entries = batch.iter().map(|numbered| numbered.entry.clone()).collect();
            let (engine, known) = (self.engine.clone(), self.replica.applied());
            self.metrics.append_calls.inc();
            self.calls.push_back(Box::pin(async move {
                let result = engine.append(known, entries).await;
                (batch, result)
            }));
        }
    }

    /// What is ready, in order, up to the size of one call.
    fn take_batch(&mut self) -> Vec<Numbered> {
        let mut body_bytes = 0;
        let fits = |numbered: &Numbered| {
            let bytes = numbered.entry.body.as_ref().map_or(0, Body::len);
            let is_first = body_bytes == 0;
            body_bytes += bytes;
            is_first || body_bytes <= MERGED_BODY_BYTES
        };
        let count = self.queue.iter().take(MERGED_RECORDS).map(fits).take_while(|fits| *fits).count();
        self.queue.drain(..count).collect()
    }

    fn finish_call(&mut self, batch: Vec<Numbered>, result: Result<Appended, AppendError>) {
        match result {
            Ok(appended) => {
                // The waiters want their buffers back, unshared.
                drop(batch);
                self.replica.apply(&appended.records);
                self.health.set_ok();
            }
            Err(AppendError::NotDone { cause }) => {
                self.health.set_outage(cause.clone());
                for Numbered { number, .. } in batch {
                    self.replica.give_up(number, ProposeError::NotDone { cause: cause.clone() });
                }
            }
            Err(AppendError::Unknown { cause }) => {
                tracing::warn!(%cause, "an append has an unknown outcome; reading the log to find out");
                self.uncertain.extend(batch);
            }
            Err(AppendError::Fenced { cause }) => self.fence(cause),
        }
    }

    fn fence(&mut self, cause: Arc<str>) {
        self.health.set_fenced(cause.clone());
        self.queue.clear();
        self.uncertain.clear();
        self.replica.give_up_all(&ProposeError::Fenced { cause });
    }

    fn note_slow_append(&self) {
        self.health.set_outage(format!("an append to the log takes longer than {SLOW_APPEND:?}").into());
    }

    /// Reads the log to its tail. What arrived is applied, and so answered; the rest goes to the head of the queue.
    async fn settle_uncertain(&mut self) {
        while let Err(error) = read_to_tail(self.engine.as_ref(), &self.replica).await {
            self.health.set_outage(error.to_string().into());
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        let uncertain = std::mem::take(&mut self.uncertain);
        for numbered in uncertain.into_iter().rev() {
            if self.replica.is_awaited(numbered.number) {
                self.queue.push_front(numbered);
            }
        }
        if let Some(cause) = self.health.fenced() {
            self.fence(cause);
        }
    }
}

/// Applies everything that stands in the log now.
async fn read_to_tail(engine: &dyn CommitLog, replica: &Replica) -> Result<(), ReadError> {
    let tail = engine.tail().await?;
    while replica.applied() < tail {
        let records = engine.read(replica.applied(), READ_BYTES).await?;
        if records.is_empty() {
            break;
        }
        replica.apply(&records);
    }
    Ok(())
}

/// Follows a log that other brokers write too. Ends when the task is dropped, or when this broker fell so far behind
/// that what it missed was trimmed.
pub(crate) async fn follow(engine: Arc<dyn CommitLog>, replica: Arc<Replica>, health: HealthCell) {
    const WAIT: Duration = Duration::from_secs(30);
    loop {
        let known = replica.applied();
        match engine.wait_beyond(known, WAIT).await {
            Ok(tail) if tail <= known => continue,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot wait for the log");
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
        }
        match engine.read(known, READ_BYTES).await {
            Ok(records) => replica.apply(&records),
            Err(error @ (ReadError::NotFound { .. } | ReadError::Corrupt { .. })) if replica.applied() == known => {
                return health.set_fenced(format!("the log cannot be followed: {error}").into());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot follow the log");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}
