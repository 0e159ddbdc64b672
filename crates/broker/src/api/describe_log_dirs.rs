//! DescribeLogDirs (API 35): how much each partition takes.
//!
//! A broker keeps nothing, so its one "directory" is the store, under the name that the operator gave it. A broker shows
//! the partitions that clients see as its replicas, with the bytes that their readable records take in the store: so
//! tools that add up all brokers count each partition as often as it has replicas, as with Kafka.

use super::metadata::View;
use super::{Answer, Refused, Request, broker_id, text};
use crate::node::Node;
use frazil_meta::state::{State, Topic};
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use std::collections::{BTreeMap, BTreeSet};

/// First version that tells how large the volume is (KIP-827).
const VOLUMES_FROM: i16 = 4;
/// An object store has no size.
const UNKNOWN_BYTES: i64 = -1;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeLogDirsRequest = request.decode()?;
    let state = node.log.state();
    let view = View::new(&state, None);
    let topics: Vec<_> = match wanted.topics {
        None => state.topics().filter_map(|topic| describe(node, &state, &view, topic, None)).collect(),
        Some(topics) => {
            let mut asked = BTreeMap::<String, BTreeSet<i32>>::new();
            topics
                .into_iter()
                .for_each(|topic| asked.entry(topic.topic.to_string()).or_default().extend(topic.partitions));
            let described = asked.iter().filter_map(|(name, partitions)| {
                describe(node, &state, &view, state.topic_by_name(name)?, Some(partitions))
            });
            described.collect()
        }
    };
    let mut result =
        DescribeLogDirsResult::default().with_log_dir(text(node.settings.storage.clone())).with_topics(topics);
    if request.header.api_version >= VOLUMES_FROM {
        result = result.with_total_bytes(UNKNOWN_BYTES).with_usable_bytes(UNKNOWN_BYTES);
    }
    request.answer(&DescribeLogDirsResponse::default().with_results(vec![result]), 0)
}

/// The partitions of a topic (those asked for) that this broker shows; `None` if there are none.
fn describe(
    node: &Node,
    state: &State,
    view: &View<'_>,
    topic: &Topic,
    asked: Option<&BTreeSet<i32>>,
) -> Option<DescribeLogDirsTopic> {
    let own = broker_id(node.id);
    let partitions = topic.partitions.iter().zip(0..).filter(|(_, index)| {
        let is_asked = asked.is_none_or(|asked| asked.contains(index));
        is_asked && view.place(state, topic, *index).is_some_and(|placed| placed.replicas.contains(&own))
    });
    let partitions: Vec<_> = partitions
        .map(|(partition, index)| {
            let size = i64::try_from(partition.bytes()).unwrap_or(i64::MAX);
            DescribeLogDirsPartition::default().with_partition_index(index).with_partition_size(size)
        })
        .collect();
    let name = TopicName(text(topic.name.clone()));
    (!partitions.is_empty()).then(|| DescribeLogDirsTopic::default().with_name(name).with_partitions(partitions))
}
