//! The engine on a bucket: numbered objects, created with put-if-absent, each an entry with its record and body.
//!
//! One PUT makes an entry durable. Several PUTs of consecutive numbers are in flight and acknowledged in order ([`row`]).
//! Nothing is ever overwritten; only put-if-absent, GET, LIST and DELETE are used, and an idle log asks for nothing.
//!
//! **Who writes.** An opener puts `Opened(epoch + 1)` at the first missing number ([`opening`]). A reader takes the numbers
//! in order and counts an entry only if it is of the open epoch and has the next position in it ([`envelope`]).
//! - *An old writer cannot go on*: `Opened` stands on the first number that it has not filled, so it cannot acknowledge
//!   that number or any later one: it finds `Opened` there and is fenced. What it left behind that hole is void.
//! - *Its late PUTs cannot disturb*: on a later number they are void, their epoch is closed; the new writer finds its
//!   number taken, opens the next epoch behind it, and puts again what it had not acknowledged.
//! - *A lost answer* is cleared up by trying again: the object that is then there is one's own, bit for bit, or not.
//! - *Two openers*: both walk the same numbers; whoever finds the other's `Opened` goes beyond it with a higher epoch.
//! - *A writer back from a long pause* could fill a number that was trimmed meanwhile. So who was last known to be the
//!   writer more than a minute ago (boot time) looks behind its number before it acknowledges: a later writer's newest
//!   entries are never trimmed. This rests on numbers being trimmed much later than that minute.
//! - *A stale snapshot* must not take trimmed numbers for a hole: each entry says how far the log was acknowledged when it
//!   was written, and the newest `KEPT_NUMBERS`, more than fit into a row, stay.
//!
//! Format: `docs/format/log-entry.md`. Not solved here: two clusters on one prefix agree on one writer, not on peace.

mod bucket;
mod core;
mod envelope;
mod opening;
mod row;

#[cfg(test)]
mod tests;

use crate::engine::recent;
use crate::port::{AppendError, Appended, CommitLog, Entry, LiveBodies, ReadError};
use async_trait::async_trait;
use bucket::Bucket;
use bytes::Bytes;
use core::{Core, KEPT_NUMBERS};
pub(crate) use envelope::{Course, ENVELOPE_BYTES, Envelope, Verdict};
use frazil_base::{Env, Seq};
use frazil_store::ObjectStorage;
pub use opening::OpenError;
use opening::{Claim, catch_up, claim};
use parking_lot::Mutex;
use row::{Request, Row};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// PUTs in flight, at most; fewer than the numbers that are never trimmed.
const PUTS_IN_FLIGHT_MAX: usize = 32;
const _: () = assert!((PUTS_IN_FLIGHT_MAX as u64) < KEPT_NUMBERS, "the newest numbers must cover a row");

/// How a log in a bucket is kept.
#[derive(Clone, Debug)]
pub struct ObjectOptions {
    /// The last entry that the caller's snapshot covers: opening reads what follows it, and nothing before it is served.
    pub known: Seq,
    /// PUTs in flight, 1 to 32. More: more throughput on a distant store.
    pub puts_in_flight: usize,
    /// Who opens it (host, process, time), for the message to whoever is fenced by it.
    pub holder: String,
    /// First and longest pause before a failed request is sent again.
    pub retry: Range<Duration>,
    /// After a pause of more than this a writer makes sure that it is still the writer. Far less than the time for which
    /// entries are kept behind a snapshot.
    pub pause_limit: Duration,
    /// How long `close` waits for what is under way.
    pub close_within: Duration,
}

impl Default for ObjectOptions {
    fn default() -> ObjectOptions {
        ObjectOptions {
            known: Seq::ZERO,
            puts_in_flight: 4,
            holder: format!("process {}", std::process::id()),
            retry: Duration::from_millis(50)..Duration::from_secs(5),
            pause_limit: Duration::from_secs(60),
            close_within: Duration::from_secs(20),
        }
    }
}

/// The handle on a log in a bucket. Dropping it stops the writer where it is, as the death of the process would.
#[derive(Debug)]
pub struct ObjectLog {
    core: Arc<Core>,
    options: ObjectOptions,
    queue: Mutex<Option<mpsc::UnboundedSender<Request>>>,
    writer: tokio::task::AbortHandle,
    /// Ends when the writer has ended.
    ended: watch::Receiver<()>,
    /// Greatest number that some call has returned to its caller.
    returned: AtomicU64,
}

impl ObjectLog {
    /// Reads the log beyond `options.known` and becomes its writer; who was it before is fenced. Waits outages out.
    pub async fn open(store: Arc<dyn ObjectStorage>, env: Env, options: ObjectOptions) -> Result<ObjectLog, OpenError> {
        assert!((1..=PUTS_IN_FLIGHT_MAX).contains(&options.puts_in_flight), "{options:?}");
        let nonce = env.entropy.bits128();
        let bucket = Bucket { store, env, retry: options.retry.clone(), pause_limit: options.pause_limit };
        let core = Arc::new(Core::new(bucket, options.known));
        let standing = catch_up(&core, options.known).await?;
        let newcomer = Claim { nonce, holder: options.holder.clone().into(), epoch: None };
        let standing = claim(&core, standing, &newcomer).await?;
        let (queue, requests) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(());
        let row = Row::new(core.clone(), requests, newcomer, standing, options.puts_in_flight);
        let writer = tokio::spawn(async move {
            row.run().await;
            drop(end);
        });
        let (queue, writer) = (Mutex::new(Some(queue)), writer.abort_handle());
        Ok(ObjectLog { core, options, queue, writer, ended, returned: AtomicU64::new(0) })
    }

    /// Queues the entries; the order of these calls is the order in the log.
    fn submit(&self, entries: Vec<Entry>) -> Result<oneshot::Receiver<Result<row::Span, AppendError>>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let closed = || AppendError::NotDone { cause: "the log is closed".into() };
        let queue = self.queue.lock();
        queue.as_ref().ok_or_else(closed)?.send(Request { entries, answer }).map_err(|_| closed())?;
        Ok(answered)
    }

    fn check_known(&self, known: Seq) -> Result<(), AppendError> {
        let floor = self.core.floor();
        if known >= floor {
            return Ok(());
        }
        let cause = format!("the log is served beyond {floor} only, the caller knows it up to {known}");
        Err(AppendError::NotDone { cause: cause.into() })
    }
}

#[async_trait]
impl CommitLog for ObjectLog {
    fn carries_bodies(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn appends_in_flight(&self) -> usize {
        self.options.puts_in_flight
    }

    async fn append(&self, known: Seq, entries: Vec<Entry>) -> Result<Appended, AppendError> {
        assert!(!entries.is_empty(), "an append has at least one entry");
        let known = known.max(Seq(self.returned.load(Ordering::Acquire)));
        self.check_known(known)?;
        let answered = self.submit(entries)?;
        let gone = |_| AppendError::Unknown { cause: "the log was closed before the append was answered".into() };
        let (first, last) = answered.await.map_err(gone)??;
        // What other calls have returned meanwhile, their callers know.
        let known = known.max(Seq(self.returned.load(Ordering::Acquire)).min(Seq(first.0 - 1)));
        let unread = |error: ReadError| AppendError::Unknown { cause: format!("appended, but {error}").into() };
        let records = recent::between(self, known, last).await.map_err(unread)?;
        self.returned.fetch_max(last.0, Ordering::AcqRel);
        Ok(Appended { first, records })
    }

    async fn read(&self, after: Seq, max_bytes: usize) -> Result<Vec<(Seq, Bytes)>, ReadError> {
        self.core.read(after, max_bytes).await
    }

    async fn read_body(&self, seq: Seq, range: Range<u64>) -> Result<Bytes, ReadError> {
        self.core.read_body(seq, range).await
    }

    async fn wait_beyond(&self, seq: Seq, timeout: Duration) -> Result<Seq, ReadError> {
        let mut tail = self.core.tail.subscribe();
        // Running out of time is an answer too: the tail is what it is.
        let _ = tokio::time::timeout(timeout, tail.wait_for(|tail| *tail > seq)).await;
        Ok(*tail.borrow())
    }

    async fn tail(&self) -> Result<Seq, ReadError> {
        Ok(self.core.tail())
    }

    async fn trim(&self, below: Seq, live: &LiveBodies) -> Result<(), ReadError> {
        self.core.trim(below, live).await
    }

    async fn close(&self) {
        drop(self.queue.lock().take());
        let mut ended = self.ended.clone();
        // An error means that the writer has dropped its end: it is done.
        if tokio::time::timeout(self.options.close_within, ended.changed()).await.is_err() {
            tracing::warn!("closing the log with appends of unknown outcome: the store does not answer");
            self.writer.abort();
        }
    }
}

impl Drop for ObjectLog {
    fn drop(&mut self) {
        self.writer.abort();
    }
}
