//! Equal shares, moving as little as possible.
//!
//! Where all members want the same topics, shares differ by at most one: a member keeps what it holds up to its quota,
//! and the rest fills up those below theirs. Where they want different topics, what is free goes to the least loaded
//! subscriber, the topics with the fewest subscribers first; then partitions move along the shortest path of members
//! from a loaded one to one that has at least two fewer. Without such a path no better balance exists (Harvey, Ladner,
//! Lovász, Tamir: "Semi-matchings for bipartite graphs and load balancing").

use super::{Assignment, PartitionCounts, Subscriber, subscribers_by_topic};
use frazil_base::{TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

/// Subscriptions looked at while levelling. Beyond it a large group with many different subscriptions stays a little
/// uneven, rather than holding up its coordinator.
const LOOKS_MAX: usize = 20_000_000;

/// One assignment per member, in the members' order.
pub(super) fn assign(members: &[&Subscriber], counts: &PartitionCounts) -> Vec<Assignment> {
    let mut plan = Plan::keeping(members, counts);
    if members.windows(2).all(|pair| pair[0].topics == pair[1].topics) {
        plan.shed_to_quotas();
        plan.fill_to_quotas();
    } else {
        plan.fill_least_loaded();
        plan.level();
    }
    plan.into_assignments()
}

struct Plan<'a> {
    members: &'a [&'a Subscriber],
    subscribers: BTreeMap<TopicId, Vec<usize>>,
    shares: Vec<Share>,
    free: BTreeSet<TopicPartition>,
    partitions: usize,
}

/// What one member is to have.
#[derive(Clone, Debug, Default)]
struct Share {
    partitions: BTreeMap<TopicId, BTreeSet<i32>>,
    load: usize,
}

impl Share {
    fn insert(&mut self, TopicPartition { topic, partition }: TopicPartition) {
        self.load += usize::from(self.partitions.entry(topic).or_default().insert(partition));
    }

    fn remove(&mut self, TopicPartition { topic, partition }: TopicPartition) {
        let Some(partitions) = self.partitions.get_mut(&topic) else { return };
        self.load -= usize::from(partitions.remove(&partition));
        if partitions.is_empty() {
            self.partitions.remove(&topic);
        }
    }

    /// Its last partition.
    fn last(&self) -> Option<TopicPartition> {
        let (topic, partitions) = self.partitions.last_key_value()?;
        Some(TopicPartition { topic: *topic, partition: *partitions.last()? })
    }
}

impl<'a> Plan<'a> {
    /// Everybody keeps what they hold and still want; the rest is free.
    fn keeping(members: &'a [&'a Subscriber], counts: &PartitionCounts) -> Plan<'a> {
        let subscribers = subscribers_by_topic(members, counts);
        let mut free: BTreeSet<_> =
            subscribers.keys().flat_map(|topic| partitions_of(*topic, 0..counts[topic])).collect();
        let partitions = free.len();
        let mut shares = vec![Share::default(); members.len()];
        for (member, share) in members.iter().zip(&mut shares) {
            let wanted = member.held.iter().filter(|(topic, _)| member.topics.contains(topic));
            let wanted = wanted.flat_map(|(topic, held)| partitions_of(*topic, held.iter().copied()));
            wanted.filter(|partition| free.remove(partition)).for_each(|partition| share.insert(partition));
        }
        Plan { members, subscribers, shares, free, partitions }
    }

    /// The quota of everybody, and how many may have one more.
    fn quotas(&self) -> (usize, usize) {
        let members = self.members.len().max(1);
        (self.partitions / members, self.partitions % members)
    }

    fn shed_to_quotas(&mut self) {
        let (quota, mut extra) = self.quotas();
        for share in &mut self.shares {
            let mut most = quota;
            if share.load > quota && extra > 0 {
                extra -= 1;
                most += 1;
            }
            while share.load > most {
                let last = share.last().expect("a load is a number of partitions");
                share.remove(last);
                self.free.insert(last);
            }
        }
    }

    fn fill_to_quotas(&mut self) {
        let (quota, extra) = self.quotas();
        let mut extra = extra - self.shares.iter().filter(|share| share.load > quota).count();
        for share in &mut self.shares {
            let mut wanted = quota.saturating_sub(share.load);
            if share.load <= quota && extra > 0 {
                extra -= 1;
                wanted += 1;
            }
            for _ in 0..wanted {
                let Some(partition) = self.free.pop_first() else { return };
                share.insert(partition);
            }
        }
    }

    fn fill_least_loaded(&mut self) {
        let mut topics: Vec<_> = self.subscribers.iter().collect();
        topics.sort_by_key(|(_, subscribers)| subscribers.len());
        for (topic, subscribers) in topics {
            let first = TopicPartition { topic: *topic, partition: 0 };
            let last = TopicPartition { topic: *topic, partition: i32::MAX };
            let free: Vec<_> = self.free.range(first..=last).copied().collect();
            let mut by_load: BTreeSet<_> =
                subscribers.iter().map(|member| (self.shares[*member].load, *member)).collect();
            for partition in free {
                let (load, member) = by_load.pop_first().expect("a topic in the map has a subscriber");
                self.shares[member].insert(partition);
                by_load.insert((load + 1, member));
            }
        }
        self.free.clear();
    }

    /// Moves partitions until no path leads from a member to one that has at least two fewer.
    fn level(&mut self) {
        let mut looks = 0;
        let mut has_moved = true;
        while has_moved {
            has_moved = false;
            let loads = self.shares.iter().enumerate().map(|(member, share)| (share.load, member));
            let mut starts: BinaryHeap<_> = loads.collect();
            while let Some((load, start)) = starts.pop() {
                if load != self.shares[start].load {
                    continue;
                }
                if looks > LOOKS_MAX {
                    return;
                }
                if let Some(path) = self.path_from(start, &mut looks) {
                    self.shift(&path);
                    has_moved = true;
                    starts.push((self.shares[start].load, start));
                }
            }
        }
    }

    /// The shortest way to hand one partition's worth of load to a member that has at least two fewer: who gives, of which
    /// topic, and who takes.
    fn path_from(&self, start: usize, looks: &mut usize) -> Option<Vec<(usize, TopicId, usize)>> {
        let mut reached: BTreeMap<usize, (usize, TopicId)> = BTreeMap::new();
        let mut topics_seen = BTreeSet::new();
        let mut queue = VecDeque::from([start]);
        while let Some(giver) = queue.pop_front() {
            for topic in self.shares[giver].partitions.keys().filter(|topic| topics_seen.insert(**topic)) {
                for taker in &self.subscribers[topic] {
                    *looks += 1;
                    if *taker == start || reached.contains_key(taker) {
                        continue;
                    }
                    reached.insert(*taker, (giver, *topic));
                    if self.shares[*taker].load + 2 <= self.shares[start].load {
                        return Some(trace(start, *taker, &reached));
                    }
                    queue.push_back(*taker);
                }
            }
        }
        None
    }

    fn shift(&mut self, path: &[(usize, TopicId, usize)]) {
        for (giver, topic, taker) in path {
            let partition = self.to_give(*giver, *topic);
            self.shares[*giver].remove(partition);
            self.shares[*taker].insert(partition);
        }
    }

    /// The partition of a topic that a member gives away: rather one that it did not hold before.
    fn to_give(&self, giver: usize, topic: TopicId) -> TopicPartition {
        let partitions = &self.shares[giver].partitions[&topic];
        let held = self.members[giver].held.get(&topic).map(Vec::as_slice).unwrap_or_default();
        let new = partitions.iter().rev().find(|partition| held.binary_search(partition).is_err());
        let partition = new.or(partitions.last()).expect("a topic in a share has partitions");
        TopicPartition { topic, partition: *partition }
    }

    fn into_assignments(self) -> Vec<Assignment> {
        let ascending = |(topic, partitions): (TopicId, BTreeSet<i32>)| (topic, partitions.into_iter().collect());
        self.shares.into_iter().map(|share| share.partitions.into_iter().map(ascending).collect()).collect()
    }
}

fn partitions_of(topic: TopicId, numbers: impl Iterator<Item = i32>) -> impl Iterator<Item = TopicPartition> {
    numbers.map(move |partition| TopicPartition { topic, partition })
}

/// The steps from `start` to `end`.
fn trace(start: usize, end: usize, reached: &BTreeMap<usize, (usize, TopicId)>) -> Vec<(usize, TopicId, usize)> {
    let mut steps = Vec::new();
    let mut taker = end;
    while taker != start {
        let (giver, topic) = reached[&taker];
        steps.push((giver, topic, taker));
        taker = giver;
    }
    steps.reverse();
    steps
}
