//! Snapshots of the state: what bounds the tail that a starting broker reads.
//!
//! A snapshot is an object `snap/<seq>.snap` with the state after that record. It is written when enough records follow
//! the last one, never by an idle broker, and at least two are kept: should the newest be unreadable, the one before
//! and the log from there on give the same state. The log is trimmed up to the older of the two, but not before that
//! snapshot has the age at which no writer can still be filling a number below it.
//!
//! On engines that carry segments, dead segments behind the older snapshot cannot be trimmed. When they add up to much
//! (retention, a deleted topic), snapshots are written early until they lie below it.

use crate::graveyard::Graveyard;
use crate::layout::{SNAPSHOT_PREFIX, snapshot_key, snapshot_of_key};
use crate::metrics::Metrics;
use crate::options::LogOptions;
use crate::replica::{Replica, TailVolume};
use bytes::Bytes;
use frazil_base::{Env, Seq};
use frazil_meta::CommitLog;
use frazil_meta::state::{BodyId, BodyState, State};
use frazil_store::{ObjectStorage, Payload, StoreError};
use std::sync::Arc;

/// Kept whatever their age.
const KEPT_MIN: usize = 2;
/// Taken for the size of a dead segment where no live one tells.
const DEAD_BYTES_GUESSED: u64 = 64 << 10;
/// Objects asked for in one listing.
const PAGE: usize = 1000;

/// A snapshot in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) seq: Seq,
    pub(crate) taken_ms: i64,
    /// Bytes of segments that the log carried up to it, as far as this process knows: of what earlier ones wrote, what was
    /// alive when it started.
    pub(crate) carried_bytes: u64,
}

/// All snapshots, ascending.
pub(crate) async fn list(store: &dyn ObjectStorage) -> Result<Vec<Snapshot>, StoreError> {
    let mut snapshots = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(SNAPSHOT_PREFIX, after.as_ref(), PAGE).await?;
        let of = |object: &frazil_store::ObjectMeta| {
            snapshot_of_key(&object.key).map(|seq| Snapshot { seq, taken_ms: object.modified_ms, carried_bytes: 0 })
        };
        snapshots.extend(page.iter().filter_map(of));
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(snapshots),
        }
    }
}

/// The state of the newest snapshot that can be read; the empty state if there is none.
pub(crate) async fn newest_state(store: &dyn ObjectStorage, snapshots: &[Snapshot]) -> Result<State, StoreError> {
    for snapshot in snapshots.iter().rev() {
        let bytes = match store.get(&snapshot_key(snapshot.seq), None).await {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        match State::from_snapshot(&bytes) {
            Ok(state) => return Ok(state),
            Err(error) => {
                tracing::error!(seq = %snapshot.seq, %error, "a snapshot cannot be read; trying an older one")
            }
        }
    }
    Ok(State::new())
}

/// Counts what earlier processes had carried, so that its end will be noticed: what is alive in `state`, and what died between
/// the two newest snapshots and so waits behind the older. Nobody remembers the size of the dead: each number without a live
/// segment is taken for one of average size. An estimate that is too high costs two snapshots once. Gives the bytes in all.
pub(crate) fn count_carried(state: &State, snapshots: &mut [Snapshot]) -> u64 {
    let live: Vec<(Seq, u64)> = state.bodies().filter_map(in_log).collect();
    let carried_bytes: u64 = live.iter().map(|(_, bytes)| bytes).sum();
    for snapshot in &mut *snapshots {
        let carried = live.iter().filter(|(seq, _)| *seq <= snapshot.seq);
        snapshot.carried_bytes = carried.map(|(_, bytes)| bytes).sum();
    }
    let [.., older, newest] = snapshots else { return carried_bytes };
    let between = live.iter().filter(|(seq, _)| older.seq < *seq && *seq <= newest.seq).count() as u64;
    let dead = (newest.seq.0 - older.seq.0).saturating_sub(between);
    let dead_bytes = dead * carried_bytes.checked_div(live.len() as u64).unwrap_or(DEAD_BYTES_GUESSED);
    newest.carried_bytes += dead_bytes;
    carried_bytes + dead_bytes
}

fn in_log((body, held): (BodyId, &BodyState)) -> Option<(Seq, u64)> {
    match body {
        BodyId::Log(seq) => Some((seq, held.bytes.into())),
        BodyId::Object(_) | BodyId::Marker(_) => None,
    }
}

/// Writes snapshots and trims the log. Owned by the maintenance task.
pub(crate) struct Snapshots {
    pub(crate) engine: Arc<dyn CommitLog>,
    pub(crate) store: Arc<dyn ObjectStorage>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) env: Env,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) options: LogOptions,
    /// In the store, as far as known, ascending.
    pub(crate) known: Vec<Snapshot>,
    /// Older ones that were deleted, whose age still tells how far the log may be trimmed.
    pub(crate) past: Vec<Snapshot>,
    /// What had been applied when the last snapshot was written.
    pub(crate) covered: TailVolume,
    pub(crate) graveyard: Graveyard,
}

impl Snapshots {
    /// Whether enough records follow the last snapshot. With several brokers they take turns by rank: a broker whose
    /// elders are alive comes too late.
    pub(crate) fn is_due(&self) -> bool {
        let patience = 1 + self.replica.rank() as u64;
        let now = self.replica.volume();
        now.bytes - self.covered.bytes >= self.options.snapshot_after_bytes.saturating_mul(patience)
            || now.records - self.covered.records >= self.options.snapshot_after_records.saturating_mul(patience)
    }

    /// Records since the last snapshot.
    pub(crate) fn pending_records(&self) -> u64 {
        self.replica.volume().records - self.covered.records
    }

    /// Asks to be woken when the next snapshot may be due.
    pub(crate) fn set_mark(&self) {
        let patience = 1 + self.replica.rank() as u64;
        let now = self.replica.volume();
        let mark = |covered: u64, step: u64, now: u64| {
            let step = step.saturating_mul(patience);
            // One that failed is tried again after another step, or at the next tick.
            covered.saturating_add(step).max(if now >= covered.saturating_add(step) {
                now.saturating_add(step)
            } else {
                0
            })
        };
        self.replica.notify_beyond(TailVolume {
            records: mark(self.covered.records, self.options.snapshot_after_records, now.records),
            bytes: mark(self.covered.bytes, self.options.snapshot_after_bytes, now.bytes),
            carried_bytes: u64::MAX,
        });
    }

    /// Writes one if there is anything new, deletes old ones, trims.
    pub(crate) async fn write(&mut self) -> Result<(), StoreError> {
        if !self.engine.is_exclusive() && self.somebody_else_did().await? {
            return Ok(());
        }
        let (covered, seq, bytes) = self.take();
        if self.known.last().is_some_and(|last| last.seq >= seq) {
            return Ok(());
        }
        self.store.put(&snapshot_key(seq), Payload::from(bytes)).await?;
        self.metrics.snapshots.inc();
        self.covered = covered;
        let (taken_ms, carried_bytes) = (self.env.clock.now_ms(), covered.carried_bytes);
        self.known.push(Snapshot { seq, taken_ms, carried_bytes });
        self.delete_old().await;
        self.trim().await;
        Ok(())
    }

    fn take(&self) -> (TailVolume, Seq, Bytes) {
        let volume = self.replica.volume();
        let state = self.replica.state();
        (volume, state.applied(), state.snapshot())
    }

    async fn somebody_else_did(&mut self) -> Result<bool, StoreError> {
        let known = self.known.last().map_or(Seq::ZERO, |snapshot| snapshot.seq);
        let listed = list(self.store.as_ref()).await?;
        let is_newer = listed.last().is_some_and(|newest| newest.seq > known);
        self.learn(listed);
        if is_newer {
            self.covered = self.replica.volume();
        }
        Ok(is_newer)
    }

    /// Takes a listing over; keeps what only this process knows of its own snapshots.
    fn learn(&mut self, listed: Vec<Snapshot>) {
        let before = std::mem::replace(&mut self.known, listed);
        for snapshot in &mut self.known {
            if let Some(known) = before.iter().find(|known| known.seq == snapshot.seq) {
                snapshot.carried_bytes = known.carried_bytes;
            }
        }
    }

    async fn delete_old(&mut self) {
        while self.known.len() > KEPT_MIN {
            let oldest = self.known[0];
            if let Err(error) = self.store.delete(&snapshot_key(oldest.seq)).await {
                tracing::warn!(%error, "an old snapshot stays for now");
                return;
            }
            self.past.push(self.known.remove(0));
        }
    }

    /// The log may go below this.
    fn trim_point(&mut self) -> Option<Seq> {
        let oldest_kept = self.known.len().checked_sub(KEPT_MIN).map(|index| self.known[index].seq)?;
        let kept_ms = i64::try_from(self.options.snapshots_kept_for.as_millis()).unwrap_or(i64::MAX);
        let old_enough = self.env.clock.now_ms().saturating_sub(kept_ms);
        let aged = self.past.iter().chain(&self.known).filter(|snapshot| snapshot.taken_ms <= old_enough);
        let point = aged.map(|snapshot| snapshot.seq).max()?.min(oldest_kept);
        self.past.retain(|snapshot| snapshot.seq >= point);
        Some(point)
    }

    /// Hands the engine what the log no longer needs.
    pub(crate) async fn trim(&mut self) {
        let Some(below) = self.trim_point() else { return };
        let live = self.graveyard.needed(&self.replica.state(), self.env.clock.now_ms());
        if let Err(error) = self.engine.trim(below, &live).await {
            tracing::warn!(%error, "the log is trimmed later");
        }
    }

    /// Bodies of the log died and their grace is over: trims again, so that their space comes back.
    pub(crate) async fn reclaim(&mut self) {
        if self.engine.carries_bodies() && self.graveyard.look(&self.replica.state(), self.env.clock.now_ms()) {
            self.trim().await;
        }
    }

    /// Whether bodies that died wait for their end.
    pub(crate) fn somebody_is_dying(&self) -> bool {
        !self.graveyard.is_empty()
    }

    /// Whether so many bytes of dead segments lie behind the older snapshot that it is worth to move it on.
    pub(crate) fn wastes_space(&self) -> bool {
        if !self.engine.carries_bodies() || self.replica.rank() > 0 {
            return false;
        }
        let older = self.known.len().checked_sub(KEPT_MIN).map(|index| self.known[index]);
        let (behind, carried_before) = older.map_or((Seq::ZERO, 0), |older| (older.seq, older.carried_bytes));
        let carried = self.replica.volume().carried_bytes.saturating_sub(carried_before);
        let (mut live, mut live_behind) = (0, 0);
        for (body, held) in self.replica.state().bodies() {
            if let BodyId::Log(seq) = body {
                live += u64::from(held.bytes);
                live_behind += if seq > behind { u64::from(held.bytes) } else { 0 };
            }
        }
        carried.saturating_sub(live_behind) > self.options.reclaim_after_bytes.saturating_add(live / 4)
    }
}
