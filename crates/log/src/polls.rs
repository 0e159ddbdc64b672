//! Long polls: who waits for which partition.
//!
//! A fetch that finds too little enrols with its partitions before it plans again, so nothing that is committed between
//! the two is missed. A commit wakes exactly those that wait for a partition it touched.

use frazil_base::{TopicId, TopicPartition};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// All waiting fetches of a broker.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    waiting: Mutex<BTreeMap<TopicPartition, Vec<Arc<Notify>>>>,
    /// Lets a commit pass without the lock while nobody waits.
    enrolled: AtomicUsize,
}

/// One waiting fetch; leaves the list when dropped.
#[derive(Debug)]
pub(crate) struct Poll {
    polls: Arc<Polls>,
    partitions: Vec<TopicPartition>,
    notify: Arc<Notify>,
}

impl Polls {
    pub(crate) fn enrol(self: &Arc<Self>, partitions: Vec<TopicPartition>) -> Poll {
        let notify = Arc::new(Notify::new());
        self.enrolled.fetch_add(1, Ordering::SeqCst);
        let mut waiting = self.waiting.lock();
        for partition in &partitions {
            waiting.entry(*partition).or_default().push(notify.clone());
        }
        drop(waiting);
        Poll { polls: self.clone(), partitions, notify }
    }

    /// Something about these partitions has changed.
    pub(crate) fn wake(&self, partitions: impl Iterator<Item = TopicPartition>) {
        if self.enrolled.load(Ordering::SeqCst) == 0 {
            return;
        }
        let waiting = self.waiting.lock();
        for partition in partitions {
            waiting.get(&partition).into_iter().flatten().for_each(|notify| notify.notify_one());
        }
    }

    /// Something about all partitions of a topic has changed.
    pub(crate) fn wake_topic(&self, topic: TopicId) {
        let [first, last] = [i32::MIN, i32::MAX].map(|partition| TopicPartition { topic, partition });
        let waiting = self.waiting.lock();
        waiting.range(first..=last).flat_map(|(_, polls)| polls).for_each(|notify| notify.notify_one());
    }

    /// Fetches waiting now.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.enrolled.load(Ordering::SeqCst)
    }
}

impl Poll {
    /// Returns once something has changed since `enrol` or the last call.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let mut waiting = self.polls.waiting.lock();
        for partition in &self.partitions {
            if let Some(polls) = waiting.get_mut(partition) {
                polls.retain(|notify| !Arc::ptr_eq(notify, &self.notify));
                if polls.is_empty() {
                    waiting.remove(partition);
                }
            }
        }
        drop(waiting);
        self.polls.enrolled.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn partition(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicId(1), partition }
    }

    #[test]
    fn a_poll_wakes_for_its_own_partitions_only() {
        let polls = Arc::new(Polls::default());
        let poll = polls.enrol(vec![partition(1), partition(2)]);
        polls.wake([partition(3)].into_iter());
        assert_eq!(poll.changed().now_or_never(), None);
        polls.wake([partition(2)].into_iter());
        assert_eq!(poll.changed().now_or_never(), Some(()));
    }

    #[test]
    fn a_dropped_poll_leaves_nothing_behind() {
        let polls = Arc::new(Polls::default());
        drop(polls.enrol(vec![partition(1), partition(1)]));
        assert_eq!(polls.len(), 0);
        assert!(polls.waiting.lock().is_empty());
    }

    #[test]
    fn deleting_a_topic_wakes_all_its_partitions() {
        let polls = Arc::new(Polls::default());
        let poll = polls.enrol(vec![partition(5)]);
        polls.wake_topic(TopicId(2));
        assert_eq!(poll.changed().now_or_never(), None);
        polls.wake_topic(TopicId(1));
        assert_eq!(poll.changed().now_or_never(), Some(()));
    }
}
