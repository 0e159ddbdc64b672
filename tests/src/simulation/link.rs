//! The line between one broker and what it stands on: where a broker is cut off, paused, or given bad luck.
//!
//! Killing a process means that nothing it does from now on has an effect, while what it did last may or may not have
//! had one. Cutting its line means the same, at any await point, without ending its tasks: they hang for ever.

use super::chance::Chance;
use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::{Seq, Signal};
use frazil_meta::{AppendError, Appended, CommitLog, Entry, LiveBodies, ReadError};
use frazil_store::{Key, ObjectMeta, ObjectStorage, Operation, Payload, Reason, StoreError};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// What the line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Requests go through, each with its own luck.
    Up,
    /// Requests wait, and answers too.
    Paused,
    /// Nothing goes through any more, for ever.
    Cut,
}

/// How bad the luck is. Probabilities in a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Luck {
    /// A request fails without effect.
    pub refused: u64,
    /// A write has its effect, the answer is lost.
    pub lost: u64,
    /// A request takes up to this long; one in twenty ten times as long.
    pub delay_ms: u64,
}

impl Luck {
    /// Everything works at once.
    pub const GOOD: Luck = Luck { refused: 0, lost: 0, delay_ms: 1 };
}

/// How requests and answers get from clients to brokers and back. Probabilities in a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// A request does not arrive.
    pub lost: u64,
    /// Its answer does not arrive.
    pub unanswered: u64,
    /// A request arrives when its client has given it up, perhaps long ago.
    pub late: u64,
    /// A client stalls in the middle of what it does, or is killed there.
    pub stalled: u64,
}

impl Network {
    /// Everything arrives.
    pub const GOOD: Network = Network { lost: 0, unanswered: 0, late: 0, stalled: 0 };
    /// A bad day.
    pub const BAD: Network = Network { lost: 20, unanswered: 30, late: 40, stalled: 30 };
}

/// One broker's line.
#[derive(Debug)]
pub struct Link {
    mode: Signal<Mode>,
    luck: Mutex<Luck>,
    chance: Chance,
}

impl Link {
    /// A line that is up.
    pub fn new(chance: Chance, luck: Luck) -> Arc<Link> {
        Arc::new(Link { mode: Signal::new(Mode::Up), luck: Mutex::new(luck), chance })
    }

    /// Changes what the line does; a cut line stays cut.
    pub fn set(&self, mode: Mode) {
        self.mode.update(|current| {
            let changes = *current != Mode::Cut && *current != mode;
            if changes {
                *current = mode;
            }
            changes
        });
    }

    /// Changes the luck.
    pub fn set_luck(&self, luck: Luck) {
        *self.luck.lock() = luck;
    }

    /// Ends when the line is cut.
    pub async fn cut(&self) {
        self.mode.wait_for(|mode| *mode == Mode::Cut).await;
    }

    /// Whether it was cut.
    pub fn is_cut(&self) -> bool {
        self.mode.get() == Mode::Cut
    }

    /// Whether everything goes through.
    pub fn is_up(&self) -> bool {
        self.mode.get() == Mode::Up
    }

    /// Waits until the line is up; for ever when it is cut.
    pub async fn pass(&self) {
        self.mode.wait_for(|mode| *mode == Mode::Up).await;
    }

    fn refused(&self) -> bool {
        self.chance.per_mille(self.luck.lock().refused)
    }

    fn lost(&self) -> bool {
        self.chance.per_mille(self.luck.lock().lost)
    }

    async fn delay(&self) {
        let most = self.luck.lock().delay_ms.max(1);
        let slow = if self.chance.per_mille(50) { 10 } else { 1 };
        tokio::time::sleep(Duration::from_millis(self.chance.within(0..most * slow))).await;
    }
}

/// A store seen through a line.
#[derive(Debug)]
pub struct LinkedStore {
    /// The line.
    pub link: Arc<Link>,
    /// What is at its other end.
    pub inner: Arc<dyn ObjectStorage>,
}

impl LinkedStore {
    async fn before(&self, operation: Operation, key: &str) -> Result<(), StoreError> {
        self.link.pass().await;
        self.link.delay().await;
        self.link.pass().await;
        if self.link.refused() {
            return Err(StoreError::not_done(operation, key, Reason::Unavailable, "simulated 503"));
        }
        Ok(())
    }

    async fn after<T>(&self, operation: Operation, key: &str, answer: T) -> Result<T, StoreError> {
        self.link.pass().await;
        if operation.is_write() && self.link.lost() {
            return Err(StoreError::unknown(operation, key, Reason::Unavailable, "simulated lost answer"));
        }
        Ok(answer)
    }
}

#[async_trait]
impl ObjectStorage for LinkedStore {
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.before(Operation::Put, key.as_str()).await?;
        self.inner.put(key, payload).await?;
        self.after(Operation::Put, key.as_str(), ()).await
    }

    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        self.before(Operation::PutIfAbsent, key.as_str()).await?;
        self.inner.put_if_absent(key, payload).await?;
        self.after(Operation::PutIfAbsent, key.as_str(), ()).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        self.before(Operation::Get, key.as_str()).await?;
        let bytes = self.inner.get(key, range).await?;
        self.after(Operation::Get, key.as_str(), bytes).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        self.before(Operation::List, prefix).await?;
        let found = self.inner.list(prefix, start_after, most).await?;
        self.after(Operation::List, prefix, found).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.before(Operation::Delete, key.as_str()).await?;
        self.inner.delete(key).await?;
        self.after(Operation::Delete, key.as_str(), ()).await
    }
}

/// A shared log seen through a line. Appends keep their order, as the port's contract wants.
#[derive(Debug)]
pub struct LinkedLog {
    link: Arc<Link>,
    inner: Arc<dyn CommitLog>,
    /// A fair queue: who began first goes first.
    turn: tokio::sync::Mutex<()>,
}

impl LinkedLog {
    /// Puts a line before a log.
    pub fn new(link: Arc<Link>, inner: Arc<dyn CommitLog>) -> LinkedLog {
        LinkedLog { link, inner, turn: tokio::sync::Mutex::new(()) }
    }
}

#[async_trait]
impl CommitLog for LinkedLog {
    fn carries_bodies(&self) -> bool {
        self.inner.carries_bodies()
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }

    fn appends_in_flight(&self) -> usize {
        self.inner.appends_in_flight()
    }

    async fn append(&self, known: Seq, entries: Vec<Entry>) -> Result<Appended, AppendError> {
        let turn = self.turn.lock().await;
        self.link.pass().await;
        self.link.delay().await;
        self.link.pass().await;
        let refused = self.link.refused();
        if refused && self.link.chance.per_mille(500) {
            return Err(AppendError::NotDone { cause: "simulated refusal".into() });
        }
        if refused {
            return Err(AppendError::Unknown { cause: "simulated torn connection, nothing happened".into() });
        }
        let appended = self.inner.append(known, entries).await?;
        drop(turn);
        self.link.pass().await;
        if self.link.lost() {
            return Err(AppendError::Unknown { cause: "simulated lost answer".into() });
        }
        Ok(appended)
    }

    async fn read(&self, after: Seq, max_bytes: usize) -> Result<Vec<(Seq, Bytes)>, ReadError> {
        self.read_luck().await?;
        self.inner.read(after, max_bytes).await
    }

    async fn read_body(&self, seq: Seq, range: Range<u64>) -> Result<Bytes, ReadError> {
        self.read_luck().await?;
        self.inner.read_body(seq, range).await
    }

    async fn wait_beyond(&self, seq: Seq, timeout: Duration) -> Result<Seq, ReadError> {
        self.link.pass().await;
        self.inner.wait_beyond(seq, timeout).await
    }

    async fn tail(&self) -> Result<Seq, ReadError> {
        self.read_luck().await?;
        self.inner.tail().await
    }

    async fn trim(&self, below: Seq, live: &LiveBodies) -> Result<(), ReadError> {
        self.read_luck().await?;
        self.inner.trim(below, live).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

impl LinkedLog {
    async fn read_luck(&self) -> Result<(), ReadError> {
        self.link.pass().await;
        self.link.delay().await;
        self.link.pass().await;
        if self.link.refused() {
            return Err(ReadError::Unavailable { cause: "simulated outage".into() });
        }
        Ok(())
    }
}
