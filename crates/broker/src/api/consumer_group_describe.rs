//! ConsumerGroupDescribe (API 69): groups of the consumer protocol, their members and who is to own what (KIP-848).

use super::{Answer, OPERATIONS_NOT_ASKED, Refused, Request, text, uuid};
use crate::error_code;
use crate::group::consumer::{HeartbeatRefused, state_name};
use crate::node::Node;
use frazil_meta::record::{Assignment, ConsumerMember};
use frazil_meta::state::{ConsumerGroup, Group, GroupKind, State};
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as Described, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName};

/// First version that says which protocol a member speaks (KIP-1099).
const MEMBER_TYPE_FROM: i16 = 1;
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;
const UNKNOWN_MEMBER_TYPE: i8 = -1;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: ConsumerGroupDescribeRequest = request.decode()?;
    let operations = match wanted.include_authorized_operations {
        true => super::describe_groups::GROUP_OPERATIONS,
        false => OPERATIONS_NOT_ASKED,
    };
    let describe = |group: GroupId| match node.groups.describe_consumer(&group) {
        Ok(Group { kind: GroupKind::Consumer(described), .. }) => {
            let state = node.log.state();
            success(&state, &described, request.header.api_version)
                .with_authorized_operations(operations)
                .with_group_id(group)
        }
        Ok(_) => failure(&HeartbeatRefused::NotOfThisProtocol(group.to_string())).with_group_id(group),
        Err(refused) => failure(&refused).with_group_id(group),
    };
    let groups: Vec<_> = wanted.group_ids.into_iter().map(describe).collect();
    let code = super::first_error(groups.iter().map(|group| group.error_code));
    request.answer(&ConsumerGroupDescribeResponse::default().with_groups(groups), code)
}

fn success(state: &State, group: &ConsumerGroup, version: i16) -> DescribedGroup {
    let ConsumerGroup { group_epoch, target_epoch, assignor, members } = group;
    DescribedGroup::default()
        .with_group_state(text(state_name(*group_epoch, *target_epoch, members.values())))
        .with_group_epoch(*group_epoch)
        .with_assignment_epoch(*target_epoch)
        .with_assignor_name(text(assignor.clone()))
        .with_members(members.values().map(|member| describe_member(state, member, version)).collect())
}

fn describe_member(state: &State, member: &ConsumerMember, version: i16) -> Member {
    let member_type = match &member.classic {
        _ if version < MEMBER_TYPE_FROM => UNKNOWN_MEMBER_TYPE,
        Some(_) => CLASSIC_MEMBER,
        None => CONSUMER_MEMBER,
    };
    Member::default()
        .with_member_id(text(member.member_id.clone()))
        .with_instance_id(member.instance_id.clone().map(text))
        .with_rack_id(member.rack.clone().map(text))
        .with_member_epoch(member.member_epoch)
        .with_client_id(text(member.client_id.clone()))
        .with_client_host(text(member.client_host.clone()))
        .with_subscribed_topic_names(member.topics.iter().map(|topic| TopicName(text(topic.clone()))).collect())
        .with_subscribed_topic_regex(Some(text(member.regex.clone().unwrap_or_default())))
        .with_assignment(describe_assignment(state, &member.assigned))
        .with_target_assignment(describe_assignment(state, &member.target))
        .with_member_type(member_type)
}

/// Topics that were deleted have no name and are left out.
fn describe_assignment(state: &State, assignment: &Assignment) -> Described {
    let topics = assignment.iter().filter_map(|(topic, partitions)| {
        let name = TopicName(text(state.topic(*topic)?.name.clone()));
        let described = TopicPartitions::default().with_topic_id(uuid(*topic)).with_topic_name(name);
        Some(described.with_partitions(partitions.clone()))
    });
    Described::default().with_topic_partitions(topics.collect())
}

fn failure(refused: &HeartbeatRefused) -> DescribedGroup {
    DescribedGroup::default()
        .with_error_code(error_code::of_consumer_group(refused).code())
        .with_error_message(Some(text(refused.to_string())))
        .with_authorized_operations(OPERATIONS_NOT_ASKED)
}
