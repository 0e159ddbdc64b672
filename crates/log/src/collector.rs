//! Deletes objects that nobody needs: segments without live extents, and orphans that no commit refers to.
//!
//! No clock decides about orphans. An object's name carries the registration that wrote it; once that is closed in the
//! log, `apply` refuses its commits, so an object of a closed registration that the state does not know can never be
//! known. What a living broker failed to upload or to commit it deletes itself.
//!
//! Dead segments wait for a grace, since a reader may have planned with them; then they are deleted, and only then
//! does a record let the state forget them: a broker that dies in between deletes them again.

use crate::invariant;
use crate::layout::{SEGMENT_PREFIX, segment_key, segment_of_key};
use crate::metrics::Metrics;
use crate::options::LogOptions;
use crate::replica::Replica;
use crate::sequencer::{ProposeError, Sequencer};
use frazil_base::{Env, Epoch, ObjectId};
use frazil_meta::record::Command;
use frazil_meta::state::{BodyId, State};
use frazil_store::{ObjectStorage, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Objects asked for in one listing.
const PAGE: usize = 1000;
/// Objects that one record makes the state forget.
const FORGOTTEN_AT_ONCE: usize = 1000;

/// Takes objects of our own that no commit will ever name.
#[derive(Clone, Debug)]
pub(crate) struct Discards(mpsc::UnboundedSender<ObjectId>);

impl Discards {
    /// The handle, and where the discarded objects come out. Bounded by what can be in flight.
    pub(crate) fn new() -> (Discards, mpsc::UnboundedReceiver<ObjectId>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Discards(sender), receiver)
    }

    pub(crate) fn discard(&self, object: ObjectId) {
        // Without a collector the object is an orphan, found after the registration is closed.
        let _ = self.0.send(object);
    }
}

/// Owned by the maintenance task.
pub(crate) struct Collector {
    pub(crate) store: Arc<dyn ObjectStorage>,
    pub(crate) sequencer: Sequencer,
    pub(crate) replica: Arc<Replica>,
    pub(crate) env: Env,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) options: LogOptions,
    /// Own objects whose deletion has not succeeded yet.
    pub(crate) discarded: BTreeSet<ObjectId>,
}

/// Why a round of collecting ended early; the next round goes on.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CollectError {
    #[error("the store does not delete: {0}")]
    Store(#[from] StoreError),
    #[error("the log does not take the record: {0}")]
    Log(#[from] ProposeError),
}

impl Collector {
    /// Deletes what we wrote in vain. The writer says so when no record can name the object any more; that no record does
    /// is asked of the state again, because a mistake here would cost acknowledged records.
    pub(crate) async fn delete_discarded(&mut self) -> Result<(), CollectError> {
        while let Some(object) = self.discarded.first().copied() {
            if self.replica.state().body(BodyId::Object(object)).is_some() {
                invariant::broken("a discarded segment is not committed", format_args!("{object}"));
            }
            self.delete(object).await?;
            self.discarded.remove(&object);
        }
        Ok(())
    }

    /// Deletes dead segments whose grace is over, and lets the state forget them.
    pub(crate) async fn delete_dead(&self) -> Result<(), CollectError> {
        let due = self.due(&self.replica.state());
        for objects in due.chunks(FORGOTTEN_AT_ONCE) {
            for object in objects {
                self.delete(*object).await?;
            }
            self.sequencer.propose(Command::ForgetObjects { objects: objects.to_vec() }, None).settled().await?;
        }
        Ok(())
    }

    /// Brokers take turns by rank, so that one of them does the work.
    fn due(&self, state: &State) -> Vec<ObjectId> {
        let patience = 1 + self.replica.rank_in(state) as i64;
        let grace_ms = i64::try_from(self.options.delete_grace.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.env.clock.now_ms().saturating_sub(grace_ms.saturating_mul(patience));
        let is_due = |(object, died_ms): (ObjectId, i64)| (died_ms <= before_ms).then_some(object);
        state.dead_objects().filter_map(is_due).collect()
    }

    /// Lets the log move on by a record without effect.
    pub(crate) async fn write_empty_record(&self) -> Result<(), ProposeError> {
        let command = Command::ForgetObjects { objects: Vec::new() };
        self.sequencer.propose(command, None).settled().await.map(|_| ())
    }

    /// Lists all segments and deletes those of closed registrations that the state does not know.
    pub(crate) async fn delete_orphans(&self) -> Result<(), CollectError> {
        let mut after = None;
        loop {
            let page = self.store.list(SEGMENT_PREFIX, after.as_ref(), PAGE).await?;
            let listed: Vec<ObjectId> = page.iter().filter_map(|object| segment_of_key(&object.key)).collect();
            // The state is asked after the listing: what is committed by now is known by now.
            let orphans = orphans(&self.replica.state(), listed);
            for object in orphans {
                tracing::info!(%object, "deleting a segment that was never committed");
                self.delete(object).await?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }

    async fn delete(&self, object: ObjectId) -> Result<(), StoreError> {
        self.store.delete(&segment_key(object)).await?;
        self.metrics.objects_deleted.inc();
        Ok(())
    }
}

/// A registration that this replica has not heard of yet is no closed one: another broker may have joined and uploaded
/// since, and the replica may be behind.
fn orphans(state: &State, listed: Vec<ObjectId>) -> Vec<ObjectId> {
    let dead: BTreeSet<ObjectId> = state.dead_objects().map(|(object, _)| object).collect();
    let is_known = |object: &ObjectId| dead.contains(object) || state.body(BodyId::Object(*object)).is_some();
    let is_closed = |epoch: Epoch| epoch.0 <= state.applied().0 && !state.is_open(epoch);
    listed.into_iter().filter(|object| is_closed(object.epoch) && !is_known(object)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use frazil_base::{BrokerId, Seq};
    use frazil_meta::record::{Record, RegisterBroker};

    fn register(state: &mut State, seq: u64) {
        let register = RegisterBroker {
            broker: BrokerId(0),
            incarnation: seq.into(),
            host: "broker".to_owned(),
            port: 9092,
            zone: None,
            exclusive: false,
        };
        let command = Command::RegisterBroker(register);
        state.apply(Seq(seq), &Record { epoch: Epoch::default(), number: 0, time_ms: 0, command });
    }

    /// Found by the simulation (shared log, seed 11): a replica that was behind listed the segments of a broker whose
    /// registration it had not applied yet, took them for orphans, and deleted acknowledged records.
    #[test]
    fn segments_of_a_registration_not_heard_of_yet_are_no_orphans() {
        let mut state = State::new();
        register(&mut state, 1);
        register(&mut state, 2);
        let of = |epoch| ObjectId { epoch: Epoch(epoch), number: 1 };
        assert_eq!(orphans(&state, vec![of(1), of(2), of(3)]), vec![of(1)], "closed, open, not heard of");
    }
}
