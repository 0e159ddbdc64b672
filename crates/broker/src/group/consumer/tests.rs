mod classic;
mod heartbeats;
mod scenes;

use super::assignor::Assignor;
use super::heartbeat::Heartbeat;
use super::members::Rules;
use super::subscription::{TopicMap, TopicShape};
use super::{Assignment, ConsumerMember, MemberState};
use frazil_base::{Seq, TopicId};

fn rules() -> Rules {
    Rules {
        members_max: 1_000,
        assignors: Assignor::ALL.to_vec(),
        allows_upgrade: true,
        allows_downgrade: true,
        classic_members_max: 1_000,
    }
}

/// Topics by name, id and number of partitions.
fn topics(version: u64, topics: &[(&str, u128, i32)]) -> TopicMap {
    let shape = |(name, id, partitions): &(&str, u128, i32)| {
        (name.to_string(), TopicShape { id: TopicId(*id), partitions: *partitions })
    };
    TopicMap::new(Seq(version), topics.iter().map(shape))
}

/// Partitions of topic 1.
fn partitions(numbers: &[i32]) -> Assignment {
    if numbers.is_empty() { Assignment::new() } else { [(TopicId(1), numbers.to_vec())].into() }
}

/// A member that joins with a subscription to `t`.
fn join(member: &str) -> Heartbeat {
    Heartbeat {
        member_id: member.to_owned(),
        rebalance_timeout_ms: Some(60_000),
        topics: Some(vec!["t".to_owned()]),
        owned: Some(Assignment::new()),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        ..Heartbeat::default()
    }
}

/// A member that has nothing new to say.
fn beat(member: &str, epoch: i32) -> Heartbeat {
    let Heartbeat { member_id, client_id, client_host, .. } = join(member);
    Heartbeat { member_id, member_epoch: epoch, client_id, client_host, ..Heartbeat::default() }
}

fn owning(heartbeat: Heartbeat, numbers: &[i32]) -> Heartbeat {
    Heartbeat { owned: Some(partitions(numbers)), ..heartbeat }
}

fn is_stable(member: &ConsumerMember) -> bool {
    member.state == MemberState::Stable
}
