//! Arithmetic of assignments: partitions by topic, ascending, no topic without partitions.

use super::Assignment;
use frazil_base::{TopicId, TopicPartition};

/// An assignment from partitions in any order, perhaps repeated.
pub(crate) fn from_partitions(partitions: impl IntoIterator<Item = TopicPartition>) -> Assignment {
    let mut assignment = Assignment::new();
    for TopicPartition { topic, partition } in partitions {
        assignment.entry(topic).or_default().push(partition);
    }
    for partitions in assignment.values_mut() {
        partitions.sort_unstable();
        partitions.dedup();
    }
    assignment
}

/// All its partitions, ascending.
pub(crate) fn partitions(assignment: &Assignment) -> impl Iterator<Item = TopicPartition> + '_ {
    assignment.iter().flat_map(|(topic, partitions)| {
        partitions.iter().map(|partition| TopicPartition { topic: *topic, partition: *partition })
    })
}

/// Whether it has the partition.
pub(crate) fn contains(assignment: &Assignment, topic: TopicId, partition: i32) -> bool {
    assignment.get(&topic).is_some_and(|partitions| partitions.binary_search(&partition).is_ok())
}

/// The partitions that pass.
pub(crate) fn filtered(assignment: &Assignment, mut passes: impl FnMut(TopicId, i32) -> bool) -> Assignment {
    let mut kept = assignment.clone();
    kept.retain(|topic, partitions| {
        partitions.retain(|partition| passes(*topic, *partition));
        !partitions.is_empty()
    });
    kept
}

/// What both have.
pub(crate) fn intersection(one: &Assignment, other: &Assignment) -> Assignment {
    filtered(one, |topic, partition| contains(other, topic, partition))
}

/// What `one` has and `other` has not.
pub(crate) fn difference(one: &Assignment, other: &Assignment) -> Assignment {
    filtered(one, |topic, partition| !contains(other, topic, partition))
}

/// What any of the two has.
pub(crate) fn union(one: &Assignment, other: &Assignment) -> Assignment {
    from_partitions(partitions(one).chain(partitions(other)))
}

/// Whether they share a partition.
pub(crate) fn intersects(one: &Assignment, other: &Assignment) -> bool {
    partitions(one).any(|TopicPartition { topic, partition }| contains(other, topic, partition))
}

/// Whether `whole` has everything that `part` has.
pub(crate) fn is_subset(part: &Assignment, whole: &Assignment) -> bool {
    partitions(part).all(|TopicPartition { topic, partition }| contains(whole, topic, partition))
}
