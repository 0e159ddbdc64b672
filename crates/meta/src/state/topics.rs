//! Topics, their partitions, and where the bytes of every readable offset are.

use super::Extent;
use super::aborted::PartitionTransactions;
use super::producers::Producers;
use frazil_base::{TopicId, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id; another incarnation of the name has another one.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its partitions; the index is the partition's number.
    pub partitions: Vec<Partition>,
    /// What the client asked for; without effect.
    pub replication_factor: i16,
    /// Settings that differ from the defaults.
    pub configs: BTreeMap<String, String>,
    /// Wall clock of its creation, milliseconds since 1970.
    pub created_ms: i64,
}

/// A partition.
///
/// The extents are contiguous, in ascending order, and reach from `log_start` (or a little below: an extent whose first
/// records are no longer readable stays whole) to `next_offset`. There is none if the two are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// The offset that the next record gets; Kafka's high watermark and log end offset.
    pub next_offset: i64,
    /// The first readable offset.
    pub log_start: i64,
    /// Where the bytes are.
    pub extents: VecDeque<Extent>,
    pub(super) producers: Producers,
    pub(super) transactions: Option<Box<PartitionTransactions>>,
}

/// A producer as a partition knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerView {
    /// Producer id.
    pub id: i64,
    /// Epoch of its last batch.
    pub epoch: i16,
    /// Sequence of its last record; -1 if that is forgotten.
    pub last_sequence: i32,
    /// The state's clock at its last batch, milliseconds since 1970.
    pub last_ms: i64,
    /// First offset of its open transaction here.
    pub txn_start: Option<i64>,
}

impl Partition {
    /// Extents that hold `offset` or later ones, ascending.
    pub fn extents_from(&self, offset: i64) -> impl DoubleEndedIterator<Item = &Extent> + ExactSizeIterator {
        let first = self.extents.partition_point(|extent| extent.end_offset() <= offset);
        self.extents.range(first..)
    }

    /// Idempotent producers that wrote here lately, by id.
    pub fn producers(&self) -> impl Iterator<Item = ProducerView> {
        self.producers.iter().map(|producer| ProducerView {
            id: producer.id,
            epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_ms: producer.last_ms,
            txn_start: self.open_since(producer.id),
        })
    }

    /// Bytes of all extents.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.bytes)).sum()
    }

    /// Appends an extent, or widens the last one if the new bytes follow it in the same body. Returns whether it was
    /// appended.
    pub(super) fn push(&mut self, extent: Extent) -> bool {
        assert_eq!(extent.base_offset, self.next_offset, "extents are contiguous: {extent:?}");
        self.next_offset = extent.end_offset();
        if let Some(last) = self.extents.back_mut()
            && last.widen(&extent)
        {
            return false;
        }
        self.extents.push_back(extent);
        true
    }

    /// Takes the first extent out if all of it lies below the log start.
    pub(super) fn pop_unreadable(&mut self) -> Option<Extent> {
        let first = self.extents.front()?;
        if first.end_offset() > self.log_start {
            return None;
        }
        let popped = self.extents.pop_front();
        if self.extents.len() * 4 < self.extents.capacity() {
            self.extents.shrink_to(self.extents.len() * 2);
        }
        popped
    }
}

/// All topics, by id and by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topics {
    by_id: BTreeMap<TopicId, Topic>,
    by_name: BTreeMap<String, TopicId>,
}

impl Topics {
    pub(super) fn get(&self, topic: TopicId) -> Option<&Topic> {
        self.by_id.get(&topic)
    }

    pub(super) fn get_mut(&mut self, topic: TopicId) -> Option<&mut Topic> {
        self.by_id.get_mut(&topic)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name).and_then(|id| self.by_id.get(id))
    }

    pub(super) fn iter_by_name(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    pub(super) fn iter_by_id(&self) -> impl Iterator<Item = &Topic> {
        self.by_id.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.by_id.values_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds a topic unless its name or id is taken. Returns whether it was added.
    pub(super) fn insert(&mut self, topic: Topic) -> bool {
        if self.by_name.contains_key(&topic.name) || self.by_id.contains_key(&topic.id) {
            return false;
        }
        self.by_name.insert(topic.name.clone(), topic.id);
        self.by_id.insert(topic.id, topic);
        true
    }

    pub(super) fn remove(&mut self, topic: TopicId) -> Option<Topic> {
        let topic = self.by_id.remove(&topic)?;
        self.by_name.remove(&topic.name);
        Some(topic)
    }

    pub(super) fn partition(&self, partition: TopicPartition) -> Option<&Partition> {
        let index = usize::try_from(partition.partition).ok()?;
        self.by_id.get(&partition.topic)?.partitions.get(index)
    }

    pub(super) fn partition_mut(&mut self, partition: TopicPartition) -> Option<&mut Partition> {
        let index = usize::try_from(partition.partition).ok()?;
        self.by_id.get_mut(&partition.topic)?.partitions.get_mut(index)
    }
}
