//! Ranges that stay where they are.
//!
//! Topics with the same number of partitions and the same subscribers are co-partitioned: one mapping from partition
//! numbers to members serves all of them, so that a member that has partition 3 of one has partition 3 of the others.
//! A mapping is made of what members hold already, up to their quota; what is left goes out in ascending ranges.

use super::{Assignment, PartitionCounts, Subscriber, subscribers_by_topic};
use frazil_base::TopicId;
use std::collections::BTreeMap;

/// One assignment per member, in the members' order.
pub(super) fn assign(members: &[&Subscriber], counts: &PartitionCounts) -> Vec<Assignment> {
    let mut assignments = vec![Assignment::new(); members.len()];
    let mut classes: BTreeMap<(i32, Vec<usize>), Vec<TopicId>> = BTreeMap::new();
    for (topic, subscribers) in subscribers_by_topic(members, counts) {
        classes.entry((counts[&topic], subscribers)).or_default().push(topic);
    }
    for ((count, subscribers), topics) in classes {
        let ranges = ranges(members, &subscribers, &topics, count);
        for (subscriber, range) in subscribers.into_iter().zip(ranges).filter(|(_, range)| !range.is_empty()) {
            assignments[subscriber].extend(topics.iter().map(|topic| (*topic, range.clone())));
        }
    }
    assignments
}

/// The partition numbers of each subscriber, ascending, in the subscribers' order.
fn ranges(members: &[&Subscriber], subscribers: &[usize], topics: &[TopicId], count: i32) -> Vec<Vec<i32>> {
    let count = usize::try_from(count).unwrap_or(0);
    let (quota, mut extra) = (count / subscribers.len(), count % subscribers.len());
    let mut ranges = vec![Vec::new(); subscribers.len()];
    let mut free = Vec::new();
    for (number, holder) in holders(members, subscribers, topics, count).into_iter().enumerate() {
        let room = holder.map(|holder| (holder, ranges[holder].len()));
        let number = i32::try_from(number).expect("partitions are numbered by i32");
        match room {
            Some((holder, held)) if held < quota => ranges[holder].push(number),
            Some((holder, held)) if held == quota && extra > 0 => {
                extra -= 1;
                ranges[holder].push(number);
            }
            _ => free.push(number),
        }
    }
    let mut free = free.into_iter();
    for range in &mut ranges {
        let mut wanted = quota.saturating_sub(range.len());
        if range.len() <= quota && extra > 0 {
            extra -= 1;
            wanted += 1;
        }
        range.extend(free.by_ref().take(wanted));
        range.sort_unstable();
    }
    ranges
}

/// Per partition number the subscriber (by its place among them) that holds it in most of the topics, the first of several.
fn holders(members: &[&Subscriber], subscribers: &[usize], topics: &[TopicId], count: usize) -> Vec<Option<usize>> {
    let mut votes: Vec<BTreeMap<usize, usize>> = vec![BTreeMap::new(); count];
    for (place, subscriber) in subscribers.iter().enumerate() {
        let held = topics.iter().filter_map(|topic| members[*subscriber].held.get(topic)).flatten();
        for number in held.filter_map(|number| usize::try_from(*number).ok()) {
            if let Some(votes) = votes.get_mut(number) {
                *votes.entry(place).or_default() += 1;
            }
        }
    }
    let most = |votes: BTreeMap<usize, usize>| {
        votes.into_iter().max_by_key(|(place, votes)| (*votes, std::cmp::Reverse(*place))).map(|(place, _)| place)
    };
    votes.into_iter().map(most).collect()
}
