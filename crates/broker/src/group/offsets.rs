//! Commits of offsets, merged: however many members commit, few records are written.
//!
//! Commits gather while a record is under way, and on stores where an append costs a request also for as long as the
//! log lets data gather; then one record takes all of them. The first commit after a pause waits for nothing. Each has
//! an outcome of its own. A record of a group's next generation drives commits that arrived before it ahead of itself
//! (`flush`), so that nobody's commit is refused for a rebalance that it was in time for.

use super::GroupError;
use crate::stopping::Stopping;
use frazil_base::TopicPartition;
use frazil_log::{Log, ProposeError};
use frazil_meta::record::{Command, GroupCommit, OffsetCommit, TxnFence};
use frazil_meta::state::Outcome;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// About as many bytes of commits go into one record.
const RECORD_BYTES: usize = 1 << 20;
/// An offset in a record, without its text.
const OFFSET_BYTES: usize = 40;

/// Offsets that somebody commits.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub group: String,
    pub by: CommittedBy,
    /// Set by TxnOffsetCommit.
    pub txn: Option<TxnFence>,
    /// None is fine: then only the member is checked, and nothing is written unless a transaction is to be joined.
    pub offsets: Vec<(TopicPartition, OffsetCommit)>,
}

/// Who commits.
#[derive(Clone, Debug)]
pub(crate) struct CommittedBy {
    /// Empty for somebody who is no member.
    pub member_id: String,
    pub instance_id: Option<String>,
    /// Or a member epoch (KIP-848); negative for somebody who is no member.
    pub generation: i32,
}

/// Merges commits. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Committer(Arc<Inner>);

struct Inner {
    log: Log,
    window: Duration,
    queue: Mutex<Queue>,
    arrived: Notify,
    begun: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    under_way: Mutex<Option<mpsc::UnboundedReceiver<BoxFuture<'static, ()>>>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// Commits without an outcome, by group.
    unsettled: BTreeMap<String, usize>,
    /// The broker is stopping: nobody would write what comes now.
    is_closed: bool,
}

struct Waiting {
    commit: GroupCommit,
    waiter: oneshot::Sender<Result<(), GroupError>>,
}

/// The outcome of a commit to come.
#[must_use = "a commit may be refused"]
pub(crate) struct PendingCommit(Vec<oneshot::Receiver<Result<(), GroupError>>>);

impl PendingCommit {
    /// Waits until the offsets are durable, or refused.
    pub async fn settled(self) -> Result<(), GroupError> {
        for part in self.0 {
            part.await.unwrap_or(Err(GroupError::NotCoordinator))?;
        }
        Ok(())
    }
}

impl Committer {
    pub fn new(log: Log) -> Committer {
        let (begun, under_way) = mpsc::unbounded_channel();
        let window = log.flush_age();
        let (queue, arrived, under_way) = (Mutex::default(), Notify::new(), Mutex::new(Some(under_way)));
        Committer(Arc::new(Inner { log, window, queue, arrived, begun, under_way }))
    }

    /// Queues a commit whose member was checked.
    pub fn submit(&self, commit: GroupCommit) -> PendingCommit {
        let mut queue = self.0.queue.lock();
        let parts = split(commit).into_iter().map(|commit| {
            let (waiter, receiver) = oneshot::channel();
            if queue.is_closed {
                return receiver;
            }
            *queue.unsettled.entry(commit.group.clone()).or_default() += 1;
            queue.waiting.push(Waiting { commit, waiter });
            receiver
        });
        let pending = PendingCommit(parts.collect());
        drop(queue);
        self.0.arrived.notify_one();
        pending
    }

    /// Whether a commit of the group has no outcome yet.
    pub fn is_busy_with(&self, group: &str) -> bool {
        self.0.queue.lock().unsettled.contains_key(group)
    }

    /// Puts what has arrived into the log's queue now.
    pub fn flush(&self) {
        let mut queue = self.0.queue.lock();
        let mut waiting = std::mem::take(&mut queue.waiting).into_iter().peekable();
        while waiting.peek().is_some() {
            let mut bytes = 0;
            let mut batch = Vec::new();
            while let Some(next) =
                waiting.next_if(|next| batch.is_empty() || bytes + size(&next.commit) <= RECORD_BYTES)
            {
                bytes += size(&next.commit);
                batch.push(next);
            }
            self.begin(batch);
        }
    }

    fn begin(&self, batch: Vec<Waiting>) {
        let (commits, waiters): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.commit, waiting.waiter)).unzip();
        let groups: Vec<_> = commits.iter().map(|commit| commit.group.clone()).collect();
        let outcome = self.0.log.enqueue(Command::CommitOffsets { commits });
        let inner = self.0.clone();
        let record = async move {
            let results = results(outcome.await, waiters.len());
            inner.settled(&groups);
            for (waiter, result) in waiters.into_iter().zip(results) {
                // A client that went away needs no answer.
                let _ = waiter.send(result);
            }
        };
        // Nobody takes it when the broker is stopping.
        let _ = self.0.begun.send(record.boxed());
    }

    /// Writes records as the module says, until the broker stops. What has arrived by then is still written: its senders
    /// wait for it, and with them the end of their connections.
    pub async fn run(self, mut stopping: Stopping) {
        let mut begun = self.0.under_way.lock().take().expect("the task runs once");
        let mut records = FuturesUnordered::new();
        let mut not_before = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stopping.stopped() => break,
                Some(()) = records.next(), if !records.is_empty() => (),
                Some(record) = begun.recv() => records.push(record),
                () = self.0.ready(not_before), if records.is_empty() => {
                    not_before = Instant::now() + self.0.window;
                    self.flush();
                }
            }
        }
        self.0.queue.lock().is_closed = true;
        self.flush();
        while let Ok(record) = begun.try_recv() {
            records.push(record);
        }
        while records.next().await.is_some() {}
    }
}

impl Inner {
    /// Waits for a commit, and for the time to write it.
    async fn ready(&self, not_before: Instant) {
        while self.queue.lock().waiting.is_empty() {
            self.arrived.notified().await;
        }
        sleep_until(not_before).await;
    }

    fn settled(&self, groups: &[String]) {
        let mut queue = self.queue.lock();
        for group in groups {
            if let Some(count) = queue.unsettled.get_mut(group) {
                *count -= 1;
                if *count == 0 {
                    queue.unsettled.remove(group);
                }
            }
        }
    }
}

/// One result per commit of a record.
fn results(outcome: Result<Outcome, ProposeError>, count: usize) -> Vec<Result<(), GroupError>> {
    match outcome {
        Ok(Outcome::PerItem(items)) => {
            items.into_iter().map(|item| item.map_err(GroupError::of_commit_refusal)).collect()
        }
        Ok(Outcome::Refused(refusal)) => vec![Err(GroupError::of_commit_refusal(refusal)); count],
        Ok(_) => vec![Err(GroupError::CoordinatorNotAvailable); count],
        Err(error) => {
            tracing::warn!(%error, commits = count, "offsets were not committed");
            vec![Err(GroupError::of_proposal(&error)); count]
        }
    }
}

/// A commit so large that it would fill a record becomes several; no offset depends on another.
fn split(mut commit: GroupCommit) -> Vec<GroupCommit> {
    let mut parts = Vec::new();
    loop {
        let mut bytes = 0;
        let fitting = commit.offsets.iter().take_while(|(_, offset)| {
            bytes += OFFSET_BYTES + offset.metadata.len();
            bytes <= RECORD_BYTES
        });
        let count = fitting.count().max(1);
        if count >= commit.offsets.len() {
            parts.push(commit);
            return parts;
        }
        let rest = commit.offsets.split_off(count);
        let (group, fence, txn) = (commit.group.clone(), commit.fence.clone(), commit.txn.clone());
        parts.push(std::mem::replace(&mut commit, GroupCommit { group, fence, txn, offsets: rest }));
    }
}

fn size(commit: &GroupCommit) -> usize {
    commit.group.len() + commit.offsets.iter().map(|(_, offset)| OFFSET_BYTES + offset.metadata.len()).sum::<usize>()
}
