//! The assignors that run in the coordinator (KIP-848): which member is to own which partition.
//!
//! Both are pure and keep what they can: an assignor sees what every member is to own now, and changes as little of it
//! as balance allows. Equal input gives equal output on every broker, so a coordinator that takes a group over computes
//! what its predecessor computed.

mod range;
mod uniform;

#[cfg(test)]
mod tests;

use super::Assignment;
use frazil_base::TopicId;
use std::collections::{BTreeMap, BTreeSet};

/// An assignor of the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assignor {
    /// Equal numbers of partitions, whatever their topics.
    Uniform,
    /// The same partition numbers of every co-partitioned topic to the same member, for joins.
    Range,
}

/// A member as an assignor sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriber {
    /// The topics it wants.
    pub topics: BTreeSet<TopicId>,
    /// What it is to own so far.
    pub held: Assignment,
}

/// How many partitions the topics have.
pub(crate) type PartitionCounts = BTreeMap<TopicId, i32>;

impl Assignor {
    /// All of them, the default first.
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// The assignor that clients and configurations call so.
    pub fn named(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// What clients and configurations call it.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// What each member is to own. Every partition of a topic in `counts` with a subscriber has exactly one owner.
    pub fn assign(
        self,
        members: &BTreeMap<String, Subscriber>,
        counts: &PartitionCounts,
    ) -> BTreeMap<String, Assignment> {
        let subscribers: Vec<_> = members.values().collect();
        let assignments = match self {
            Assignor::Uniform => uniform::assign(&subscribers, counts),
            Assignor::Range => range::assign(&subscribers, counts),
        };
        members.keys().cloned().zip(assignments).collect()
    }
}

/// The members that want each topic, by position; topics that do not exist are left out.
fn subscribers_by_topic(members: &[&Subscriber], counts: &PartitionCounts) -> BTreeMap<TopicId, Vec<usize>> {
    let mut by_topic: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (position, member) in members.iter().enumerate() {
        for topic in member.topics.iter().filter(|topic| counts.contains_key(topic)) {
            by_topic.entry(*topic).or_default().push(position);
        }
    }
    by_topic
}
