//! The background task of a broker: retention, snapshots, trimming, deleting.
//!
//! It wakes when enough was applied for a snapshot, when the writer discards an object, and at intervals; at intervals
//! it looks at the state in memory first, and asks the log or the store for something only when there is something to
//! do.

use crate::collector::Collector;
use crate::replica::Replica;
use crate::retention::Retainer;
use crate::snapshot::Snapshots;
use frazil_base::{Epoch, ObjectId, Seq};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior};

pub(crate) struct Maintenance {
    pub(crate) replica: Arc<Replica>,
    pub(crate) snapshots: Snapshots,
    pub(crate) collector: Collector,
    pub(crate) retainer: Retainer,
    pub(crate) retention_interval: Duration,
    pub(crate) interval: Duration,
    /// Segments are objects of their own, so that orphans can exist.
    pub(crate) has_objects: bool,
    /// Open registrations at the last look; one that is missing later may have left orphans.
    pub(crate) seen_open: BTreeSet<Epoch>,
    pub(crate) orphans_due: bool,
    /// What had been applied at the last look; zero before the first, which finds what earlier processes left.
    pub(crate) last_look: Seq,
}

/// A last snapshot before the broker leaves.
pub(crate) type Finish = oneshot::Sender<()>;

impl Maintenance {
    /// Ends with a `Finish`, or when the broker is dropped.
    pub(crate) async fn run(
        mut self,
        mut discards: mpsc::UnboundedReceiver<ObjectId>,
        mut finish: mpsc::Receiver<Finish>,
    ) {
        let (mut ticks, mut retention_ticks) = (every(self.interval), every(self.retention_interval));
        let mut look_for_orphans = self.orphans_due;
        loop {
            if std::mem::take(&mut look_for_orphans) {
                self.delete_orphans().await;
            }
            tokio::select! {
                biased;
                Some(done) = finish.recv() => {
                    self.last_snapshot().await;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                    return;
                }
                Some(object) = discards.recv() => {
                    self.collector.discarded.insert(object);
                    self.delete_discarded().await;
                }
                () = self.replica.volume_reached() => self.write_snapshot_if_due().await,
                _ = retention_ticks.tick() => self.enforce_retention().await,
                _ = ticks.tick() => self.tick().await,
            }
        }
    }

    async fn tick(&mut self) {
        self.delete_discarded().await;
        if self.has_objects {
            report(self.collector.delete_dead().await);
            if std::mem::take(&mut self.orphans_due) || self.somebody_left() {
                self.delete_orphans().await;
            }
        }
        self.write_snapshot_if_due().await;
        let applied = self.replica.applied();
        if applied != self.last_look || self.snapshots.somebody_is_dying() {
            self.last_look = applied;
            self.snapshots.reclaim().await;
            self.move_snapshots_on().await;
            self.compare_states().await;
        }
    }

    /// The eldest broker tells the others what its state was.
    async fn compare_states(&mut self) {
        let Some(comparison) = self.replica.comparison_due().filter(|_| self.replica.rank() == 0) else { return };
        if let Err(error) = self.collector.sequencer.propose(comparison, None).settled().await {
            tracing::warn!(%error, "the brokers' states are compared later");
        }
    }

    async fn enforce_retention(&self) {
        if let Err(error) = self.retainer.enforce().await {
            tracing::warn!(%error, "retention goes on later");
        }
    }

    /// Dead segments wait behind the older snapshot. Two new ones let them go; the second needs a record of its own.
    async fn move_snapshots_on(&mut self) {
        if !self.snapshots.wastes_space() {
            return;
        }
        if self.snapshots.pending_records() == 0
            && let Err(error) = self.collector.write_empty_record().await
        {
            return tracing::warn!(%error, "space is reclaimed later");
        }
        self.write_snapshot().await;
        self.snapshots.set_mark();
        self.last_look = Seq::ZERO;
    }

    /// Whether a registration was closed since the last look.
    fn somebody_left(&mut self) -> bool {
        let open: BTreeSet<Epoch> = self.replica.state().brokers().map(|broker| broker.epoch).collect();
        let left = !self.seen_open.is_subset(&open);
        self.seen_open = open;
        left && self.replica.rank() == 0
    }

    async fn delete_orphans(&mut self) {
        let result = self.collector.delete_orphans().await;
        self.orphans_due = result.is_err();
        report(result);
    }

    async fn delete_discarded(&mut self) {
        report(self.collector.delete_discarded().await);
    }

    async fn write_snapshot_if_due(&mut self) {
        if self.snapshots.is_due() {
            self.write_snapshot().await;
        }
        self.snapshots.set_mark();
    }

    async fn write_snapshot(&mut self) {
        if let Err(error) = self.snapshots.write().await {
            tracing::warn!(%error, "no snapshot for now");
        }
    }

    /// Registrations come and go with every start; by themselves they are not worth a snapshot.
    async fn last_snapshot(&mut self) {
        const COMINGS_AND_GOINGS: u64 = 16;
        if self.snapshots.pending_records() > COMINGS_AND_GOINGS || self.replica.has_changed() {
            self.write_snapshot().await;
        }
    }
}

fn every(interval: Duration) -> Interval {
    let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn report(result: Result<(), crate::collector::CollectError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "collecting goes on later");
    }
}
