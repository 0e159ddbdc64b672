//! Samples of the APIs around groups.

use super::text;
use crate::api;
use bytes::Bytes;
use kafka_protocol::messages as m;
use kafka_protocol::messages::RequestKind;

fn offset_commit(version: i16) -> m::OffsetCommitRequest {
    use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let partition = OffsetCommitRequestPartition::default().with_partition_index(1).with_committed_offset(7);
    let partition = partition.with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default().with_name(text("t").into()).with_partitions(vec![partition; 2]);
    let request = m::OffsetCommitRequest::default().with_group_id(text("g").into()).with_member_id(text("m"));
    let request = request.with_generation_id_or_member_epoch(3).with_topics(vec![topic; 2]);
    if version >= 7 { request.with_group_instance_id(Some(text("i"))) } else { request }
}

fn offset_fetch(version: i16) -> m::OffsetFetchRequest {
    use m::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
    let request = m::OffsetFetchRequest::default();
    if version < 8 {
        let topic = OffsetFetchRequestTopic::default().with_name(text("t").into()).with_partition_indexes(vec![1, 2]);
        return request.with_group_id(text("g").into()).with_topics(Some(vec![topic; 2]));
    }
    let topic = OffsetFetchRequestTopics::default().with_name(text("t").into()).with_partition_indexes(vec![1, 2]);
    let group = OffsetFetchRequestGroup::default().with_group_id(text("g").into());
    let some = group.clone().with_topics(Some(vec![topic; 2]));
    let some = if version >= 9 { some.with_member_id(Some(text("m"))).with_member_epoch(4) } else { some };
    request.with_groups(vec![some, group.with_topics(None)]).with_require_stable(true)
}

fn join_group(version: i16) -> m::JoinGroupRequest {
    use m::join_group_request::JoinGroupRequestProtocol;
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let protocol = protocol.with_metadata(Bytes::from_static(b"metadata"));
    let request = m::JoinGroupRequest::default().with_group_id(text("g").into()).with_member_id(text("m"));
    let request = request.with_protocol_type(text("consumer")).with_protocols(vec![protocol; 2]);
    let request = if version >= 5 { request.with_group_instance_id(Some(text("i"))) } else { request };
    if version >= 8 { request.with_reason(Some(text("why"))) } else { request }
}

fn heartbeat(version: i16) -> m::HeartbeatRequest {
    let request = m::HeartbeatRequest::default().with_group_id(text("g").into()).with_member_id(text("m"));
    if version >= 3 { request.with_group_instance_id(None) } else { request }
}

fn leave_group(version: i16) -> m::LeaveGroupRequest {
    use m::leave_group_request::MemberIdentity;
    let request = m::LeaveGroupRequest::default().with_group_id(text("g").into());
    if version < 3 {
        return request.with_member_id(text("m"));
    }
    let member = MemberIdentity::default().with_member_id(text("m")).with_group_instance_id(Some(text("i")));
    let member = if version >= 5 { member.with_reason(Some(text("why"))) } else { member };
    request.with_members(vec![member; 2])
}

fn sync_group(version: i16) -> m::SyncGroupRequest {
    use m::sync_group_request::SyncGroupRequestAssignment;
    let assignment = SyncGroupRequestAssignment::default().with_member_id(text("m"));
    let assignment = assignment.with_assignment(Bytes::from_static(b"partitions"));
    let request = m::SyncGroupRequest::default().with_group_id(text("g").into()).with_member_id(text("m"));
    let request = request.with_assignments(vec![assignment; 2]);
    match version {
        5.. => request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range"))),
        _ => request,
    }
}

fn list_groups(version: i16) -> m::ListGroupsRequest {
    let request = m::ListGroupsRequest::default();
    let request = if version >= 4 { request.with_states_filter(vec![text("Stable"); 2]) } else { request };
    if version >= 5 { request.with_types_filter(vec![text("classic")]) } else { request }
}

fn offset_delete() -> m::OffsetDeleteRequest {
    use m::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(2);
    let topic = OffsetDeleteRequestTopic::default().with_name(text("t").into()).with_partitions(vec![partition; 2]);
    m::OffsetDeleteRequest::default().with_group_id(text("g").into()).with_topics(vec![topic; 2])
}

fn consumer_group_heartbeat(version: i16) -> m::ConsumerGroupHeartbeatRequest {
    use m::consumer_group_heartbeat_request::TopicPartitions;
    let owned = TopicPartitions::default().with_partitions(vec![0, 1]);
    let request = m::ConsumerGroupHeartbeatRequest::default().with_group_id(text("g").into()).with_member_id(text("m"));
    let request = request.with_instance_id(Some(text("i"))).with_server_assignor(Some(text("uniform")));
    let request = request.with_subscribed_topic_names(Some(vec![text("t").into(); 2]));
    let request = request.with_topic_partitions(Some(vec![owned; 2]));
    if version >= 1 { request.with_subscribed_topic_regex(Some(text("t.*"))) } else { request }
}

fn consumer_group_describe() -> m::ConsumerGroupDescribeRequest {
    m::ConsumerGroupDescribeRequest::default().with_group_ids(vec![text("g").into(); 2])
}

/// A request of an API around groups, with something in every array.
pub(super) fn sample(key: i16, version: i16) -> Option<RequestKind> {
    Some(match key {
        api::OFFSET_COMMIT => RequestKind::OffsetCommit(offset_commit(version)),
        api::OFFSET_FETCH => RequestKind::OffsetFetch(offset_fetch(version)),
        api::JOIN_GROUP => RequestKind::JoinGroup(join_group(version)),
        api::HEARTBEAT => RequestKind::Heartbeat(heartbeat(version)),
        api::LEAVE_GROUP => RequestKind::LeaveGroup(leave_group(version)),
        api::SYNC_GROUP => RequestKind::SyncGroup(sync_group(version)),
        api::DESCRIBE_GROUPS => {
            RequestKind::DescribeGroups(m::DescribeGroupsRequest::default().with_groups(vec![text("g").into(); 2]))
        }
        api::LIST_GROUPS => RequestKind::ListGroups(list_groups(version)),
        api::DELETE_GROUPS => {
            RequestKind::DeleteGroups(m::DeleteGroupsRequest::default().with_groups_names(vec![text("g").into(); 2]))
        }
        api::OFFSET_DELETE => RequestKind::OffsetDelete(offset_delete()),
        api::CONSUMER_GROUP_HEARTBEAT => RequestKind::ConsumerGroupHeartbeat(consumer_group_heartbeat(version)),
        api::CONSUMER_GROUP_DESCRIBE => RequestKind::ConsumerGroupDescribe(consumer_group_describe()),
        _ => return None,
    })
}
