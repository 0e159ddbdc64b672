//! AlterReplicaLogDirs (API 34): moves a replica to another directory of its broker.
//!
//! A broker keeps nothing and shows one "directory", the store (see DescribeLogDirs): what is there already may be moved
//! there, and nothing may be moved anywhere else. As with Kafka, the directory is looked at before the partition.

use super::metadata::View;
use super::{Answer, Refused, Request, broker_id, partition_named};
use crate::node::Node;
use frazil_meta::state::State;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, TopicName};
use std::collections::BTreeMap;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: AlterReplicaLogDirsRequest = request.decode()?;
    // Named twice, a partition goes to the directory that was named last.
    let mut moves = BTreeMap::<TopicName, BTreeMap<i32, String>>::new();
    for directory in wanted.dirs {
        for topic in directory.topics {
            let partitions = topic.partitions.into_iter().map(|partition| (partition, directory.path.to_string()));
            moves.entry(topic.name).or_default().extend(partitions);
        }
    }
    let state = node.log.state();
    let view = View::new(&state, None);
    let results = moves.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, path)| {
            let moved = check(node, &state, &view, &name, partition, &path);
            AlterReplicaLogDirPartitionResult::default()
                .with_partition_index(partition)
                .with_error_code(moved.err().map_or(0, |error| error.code()))
        });
        AlterReplicaLogDirTopicResult::default().with_partitions(partitions.collect()).with_topic_name(name.clone())
    });
    let results: Vec<_> = results.collect();
    let codes = results.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let error_code = super::first_error(codes);
    request.answer(&AlterReplicaLogDirsResponse::default().with_results(results), error_code)
}

fn check(
    node: &Node,
    state: &State,
    view: &View<'_>,
    topic: &str,
    partition: i32,
    path: &str,
) -> Result<(), ResponseError> {
    if path != node.settings.storage {
        return Err(ResponseError::LogDirNotFound);
    }
    let found = partition_named(state, topic, partition).and_then(|_| state.topic_by_name(topic));
    let topic = found.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let is_shown_here =
        view.place(state, topic, partition).is_some_and(|placed| placed.replicas.contains(&broker_id(node.id)));
    if is_shown_here { Ok(()) } else { Err(ResponseError::ReplicaNotAvailable) }
}
