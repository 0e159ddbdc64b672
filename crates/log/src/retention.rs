//! Retention: the oldest records of a partition stop being readable, by age and by size.
//!
//! What is kept is a topic's setting, and settings are not this crate's business: whoever opens the log hands it a
//! [`RetentionPolicy`]. At intervals the eldest broker looks at the state in memory, partition by partition, and
//! proposes the log starts that have to move, many in one record; when none has to, nothing is written. The rest
//! follows by itself: the state lets go of extents below a log start, and what no extent needs is deleted after its
//! grace.
//!
//! Whole extents go, never parts of one. An extent is as old as its newest record. A timestamp from after the commit is
//! a clock gone wrong: Kafka would keep the record, and every one behind it, until that time has come; here it is as old
//! as its commit. Extents without any timestamp age from their commit as well.

use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::sequencer::{ProposeError, Sequencer};
use frazil_base::{Env, TopicId, TopicPartition};
use frazil_meta::record::Command;
use frazil_meta::state::{Extent, Partition, State, Topic};
use std::fmt;
use std::sync::Arc;

/// Log starts that one record moves.
const STARTS_AT_ONCE: usize = 4096;
/// Partitions looked at before the state is let go of for a moment, so that commits do not wait for a large topic.
const PARTITIONS_AT_ONCE: usize = 1024;

/// How much of each partition of a topic is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this go, in milliseconds. `None` keeps them whatever their age.
    pub age_ms: Option<i64>,
    /// The oldest records go as long as what is left of the partition has at least this many bytes. `None` keeps them
    /// whatever their size.
    pub bytes: Option<u64>,
}

/// Says how much of a topic is kept: a function of the topic's settings, and of defaults that its implementor knows.
pub trait RetentionPolicy: fmt::Debug + Send + Sync {
    /// How much of `topic` is kept.
    fn of(&self, state: &State, topic: &Topic) -> Retention;
}

/// Keeps everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepEverything;

impl RetentionPolicy for KeepEverything {
    fn of(&self, _state: &State, _topic: &Topic) -> Retention {
        Retention::default()
    }
}

/// Owned by the maintenance task.
pub(crate) struct Retainer {
    pub(crate) replica: Arc<Replica>,
    pub(crate) sequencer: Sequencer,
    pub(crate) env: Env,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) policy: Arc<dyn RetentionPolicy>,
}

type Starts = Vec<(TopicPartition, i64)>;

impl Retainer {
    /// Moves every log start that has to move.
    pub(crate) async fn enforce(&self) -> Result<(), ProposeError> {
        if self.replica.rank() > 0 {
            return Ok(());
        }
        let topics: Vec<TopicId> = self.replica.state().topics().map(|topic| topic.id).collect();
        let mut starts = Starts::new();
        for topic in topics {
            let mut next = Some(0);
            while let Some(first) = next {
                next = self.look(topic, first, &mut starts);
                if starts.len() >= STARTS_AT_ONCE {
                    self.move_starts(std::mem::take(&mut starts)).await?;
                }
            }
        }
        if starts.is_empty() { Ok(()) } else { self.move_starts(starts).await }
    }

    /// Looks at some partitions of a topic, from `first` on; gives the next one that was not looked at.
    fn look(&self, topic: TopicId, first: usize, starts: &mut Starts) -> Option<usize> {
        let state = self.replica.state();
        let topic = state.topic(topic)?;
        let retention = self.policy.of(&state, topic);
        if retention == Retention::default() {
            return None;
        }
        let now_ms = self.env.clock.now_ms();
        for (index, partition) in topic.partitions.iter().enumerate().skip(first).take(PARTITIONS_AT_ONCE) {
            if let Some(start) = new_start(&state, partition, retention, now_ms) {
                self.metrics.expired_records.inc_by((start - partition.log_start) as u64);
                starts.push((TopicPartition { topic: topic.id, partition: index as i32 }, start));
            }
        }
        let next = first + PARTITIONS_AT_ONCE;
        (next < topic.partitions.len()).then_some(next)
    }

    async fn move_starts(&self, starts: Starts) -> Result<(), ProposeError> {
        let partitions = starts.len();
        self.sequencer.propose(Command::MoveLogStart { starts }, None).settled().await?;
        tracing::debug!(partitions, "log starts moved by retention");
        Ok(())
    }
}

/// Where a partition starts once its old and surplus extents are gone; `None` if it already starts there.
fn new_start(state: &State, partition: &Partition, retention: Retention, now_ms: i64) -> Option<i64> {
    let is_old = |extent: &&Extent| {
        retention.age_ms.is_some_and(|age_ms| now_ms.saturating_sub(time_of(state, extent)) > age_ms)
    };
    let old = partition.extents.iter().take_while(is_old).count();
    let mut rest = partition.extents.range(old..);
    let surplus = retention.bytes.map_or(0, |kept| surplus(rest.clone(), kept));
    let last_gone = match surplus {
        0 => old.checked_sub(1).map(|last| &partition.extents[last]),
        _ => rest.nth(surplus - 1),
    };
    last_gone.map(Extent::end_offset).filter(|start| *start > partition.log_start)
}

/// How many of the first extents can go so that the others still have `kept` bytes.
fn surplus<'a>(extents: impl Iterator<Item = &'a Extent> + Clone, kept: u64) -> usize {
    let total: u64 = extents.clone().map(|extent| u64::from(extent.bytes)).sum();
    let mut excess = total.saturating_sub(kept);
    let fits = |extent: &&Extent| match excess.checked_sub(u64::from(extent.bytes)) {
        Some(left) => {
            excess = left;
            true
        }
        None => false,
    };
    extents.take_while(fits).count()
}

/// When an extent's newest record is taken to be from.
fn time_of(state: &State, extent: &Extent) -> i64 {
    match state.body(extent.body) {
        Some(body) if extent.max_timestamp < 0 => body.committed_ms,
        Some(body) => extent.max_timestamp.min(body.committed_ms),
        None => extent.max_timestamp,
    }
}
