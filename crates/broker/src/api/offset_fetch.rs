//! OffsetFetch (API 9): where groups have got to; several groups at once from version 8 on (KIP-709).
//!
//! Who asks for stable offsets is about to read from there, perhaps exactly once. Offsets that are out of date, because
//! another broker keeps the group by now and this one has not heard of it, would let it read again what it has dealt with.
//! So the log confirms first that this broker is the coordinator; the record for that is merged with commits of offsets.
//! Tools do not ask for stable offsets and cost nothing.
//!
//! Version 10, with topic ids, is not stable in Kafka 4.1 and not served.

use super::{Answer, Refused, Request, text};
use crate::error_code;
use crate::group::GroupError;
use crate::node::Node;
use frazil_base::TopicPartition;
use frazil_meta::state::{Group, State};
use futures::future::join_all;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use std::collections::BTreeMap;

/// First version with an error for the whole answer.
const ERROR_FROM: i16 = 2;
/// First version that names several groups.
const BATCHED_FROM: i16 = 8;
/// What stands for no offset.
const NO_OFFSET: i64 = -1;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let mut wanted: OffsetFetchRequest = request.decode()?;
    let version = request.header.api_version;
    if version < BATCHED_FROM {
        let group = fetch(node, single(&mut wanted), wanted.require_stable).await;
        let code = group.error_code;
        return request.answer(&unbatched(group, version), code);
    }
    let groups = std::mem::take(&mut wanted.groups);
    let mut groups = join_all(groups.into_iter().map(|group| fetch(node, group, wanted.require_stable))).await;
    groups.iter_mut().filter(|group| group.error_code != 0).for_each(|group| group.topics.clear());
    let code = super::first_error(groups.iter().map(|group| group.error_code));
    request.answer(&OffsetFetchResponse::default().with_groups(groups), code)
}

/// The group of an old request in the new form.
fn single(wanted: &mut OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topics = wanted.topics.take().map(|topics| {
        let renamed = topics.into_iter().map(|topic| {
            OffsetFetchRequestTopics::default().with_name(topic.name).with_partition_indexes(topic.partition_indexes)
        });
        renamed.collect()
    });
    OffsetFetchRequestGroup::default().with_group_id(wanted.group_id.clone()).with_topics(topics).with_member_epoch(-1)
}

/// The answer in the old form. Version 1 has errors of partitions only.
fn unbatched(group: OffsetFetchResponseGroup, version: i16) -> OffsetFetchResponse {
    let code = group.error_code;
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let error_code = if version < ERROR_FROM && code != 0 { code } else { partition.error_code };
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(error_code)
        });
        let partitions = partitions.collect();
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let topics = if version >= ERROR_FROM && code != 0 { Vec::new() } else { topics.collect() };
    OffsetFetchResponse::default().with_topics(topics).with_error_code(if version < ERROR_FROM { 0 } else { code })
}

async fn fetch(node: &Node, wanted: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
    let response = OffsetFetchResponseGroup::default().with_group_id(wanted.group_id.clone());
    let confirmed = if require_stable { node.groups.confirm(&wanted.group_id).await } else { Ok(()) };
    if let Err(error) = confirmed.and_then(|()| check(node, &wanted)) {
        let topics = wanted.topics.unwrap_or_default().into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|partition| absent(*partition)).collect();
            OffsetFetchResponseTopics::default().with_name(topic.name).with_partitions(partitions)
        });
        return response.with_error_code(code_of(error).code()).with_topics(topics.collect());
    }
    let state = node.log.state();
    let group = state.group(&wanted.group_id);
    let topics = match wanted.topics {
        Some(topics) => topics.into_iter().map(|topic| asked(&state, group, topic, require_stable)).collect(),
        None => group.map(|group| all(&state, group, require_stable)).unwrap_or_default(),
    };
    response.with_topics(topics)
}

/// The clients of this API know one code for a coordinator that has to be asked again.
fn code_of(error: GroupError) -> ResponseError {
    match error {
        GroupError::CoordinatorNotAvailable => ResponseError::CoordinatorLoadInProgress,
        other => error_code::of_group(other),
    }
}

fn check(node: &Node, wanted: &OffsetFetchRequestGroup) -> Result<(), GroupError> {
    if wanted.member_id.is_none() && wanted.member_epoch < 0 {
        return node.groups.check_role(&wanted.group_id);
    }
    node.groups.check_fetch(&wanted.group_id, wanted.member_id.as_deref(), wanted.member_epoch)
}

fn asked(
    state: &State,
    group: Option<&Group>,
    wanted: OffsetFetchRequestTopics,
    require_stable: bool,
) -> OffsetFetchResponseTopics {
    let topic = state.topic_by_name(&wanted.name).map(|topic| topic.id);
    let partitions = wanted.partition_indexes.into_iter().map(|partition| {
        let place = topic.map(|topic| TopicPartition { topic, partition });
        match (group, place) {
            (Some(group), Some(place)) => offset(group, place, require_stable),
            _ => absent(partition),
        }
    });
    let partitions = partitions.collect();
    OffsetFetchResponseTopics::default().with_name(wanted.name).with_partitions(partitions)
}

fn all(state: &State, group: &Group, require_stable: bool) -> Vec<OffsetFetchResponseTopics> {
    let mut topics = BTreeMap::<&str, Vec<_>>::new();
    for place in group.offsets.keys() {
        if let Some(topic) = state.topic(place.topic) {
            topics.entry(&topic.name).or_default().push(offset(group, *place, require_stable));
        }
    }
    let named = topics.into_iter().map(|(name, partitions)| {
        let name = TopicName(text(name));
        OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
    });
    named.collect()
}

fn offset(group: &Group, place: TopicPartition, require_stable: bool) -> OffsetFetchResponsePartitions {
    if require_stable && group.is_pending(place) {
        return absent(place.partition).with_error_code(ResponseError::UnstableOffsetCommit.code());
    }
    let Some(committed) = group.offsets.get(&place) else { return absent(place.partition) };
    OffsetFetchResponsePartitions::default()
        .with_partition_index(place.partition)
        .with_committed_offset(committed.offset)
        .with_committed_leader_epoch(committed.leader_epoch)
        .with_metadata(Some(text(committed.metadata.clone())))
}

fn absent(partition: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(NO_OFFSET)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(text("")))
}
