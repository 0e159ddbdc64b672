//! The budget: 100,000 partitions in under 512 MiB, read in far less than 5 s.

use super::producers::Producer;
use super::*;

/// Topics of 1,000 partitions; each partition in three segments, each written by one idempotent producer.
fn large(partitions: i32) -> State {
    let mut cluster = Cluster::new();
    let epoch = cluster.join(1);
    let topics: Vec<TopicId> =
        (0..partitions / 1_000).map(|number| cluster.topic(epoch, &format!("topic-{number}"), 1_000)).collect();
    for round in 0..3 {
        for topic in &topics {
            let runs = [batch(4_000, 0, 2 * round, 2)];
            let parts: Vec<(TopicPartition, &[Run])> =
                (0..1_000).map(|number| (at(*topic, number), &runs[..])).collect();
            cluster.commit(epoch, &parts);
        }
        cluster.log.clear();
    }
    cluster.state
}

/// Bytes on the heap for one partition, without the allocator's own.
fn heap_bytes(partition: &Partition) -> usize {
    partition.extents.capacity() * size_of::<Extent>() + partition.producers.capacity() * size_of::<Producer>()
}

#[test]
fn a_partition_is_small() {
    assert_eq!((size_of::<Partition>(), size_of::<Extent>(), size_of::<Producer>()), (80, 56, 104));
    assert_eq!(heap_bytes(&Partition::default()), 0);
    let state = large(1_000);
    let topic = state.topics().next().expect("one topic");
    let bytes: usize = topic.partitions.iter().map(|partition| size_of::<Partition>() + heap_bytes(partition)).sum();
    assert!(bytes / 1_000 <= 410, "{} bytes a partition", bytes / 1_000);
}

#[test]
fn a_partition_takes_few_bytes_of_a_snapshot() {
    let state = large(2_000);
    let bytes = state.snapshot().len();
    assert!(bytes / 2_000 < 80, "{} bytes a partition", bytes / 2_000);
    let restored = State::from_snapshot(&state.snapshot()).expect("just written");
    assert_eq!(restored.content_hash(), state.content_hash());
}

#[test]
fn a_committed_offset_a_transactional_id_and_a_group_are_small() {
    let offset = size_of::<TopicPartition>() + size_of::<CommittedOffset>();
    assert_eq!((offset, size_of::<Transaction>(), size_of::<Group>()), (88, 168, 176));
}
