//! Requests of the consumer protocol (KIP-848), and the groups that begin to speak it.

use super::{Answer, Effect, GroupCoordinator, Protocol, WaiterId, check_group_id, mismatched};
use crate::group::GroupError;
use crate::group::consumer::{Heartbeat, HeartbeatError, HeartbeatRefused, JOIN_EPOCH, Keeper, Reply};
use crate::group::membership::Membership;
use crate::stopping::Stopping;
use frazil_meta::state::{Group, GroupKind};

impl GroupCoordinator {
    /// ConsumerGroupHeartbeat: waits until the log has what the answer tells. `needs_member_id` is off for the version
    /// that let the coordinator choose it.
    pub async fn consumer_heartbeat(
        &self,
        group: &str,
        heartbeat: Heartbeat,
        needs_member_id: bool,
        stopping: &Stopping,
    ) -> Result<Reply, HeartbeatRefused> {
        heartbeat.check(group, needs_member_id, &self.0.outlook.rules().assignors)?;
        check_group_id(group)?;
        let event = |protocol: &mut Protocol, now_ms, waiter| match protocol {
            Protocol::Consumer(keeper) => keeper.consumer_heartbeat(now_ms, waiter, &heartbeat),
            Protocol::Classic(members) => match self.first_of_protocol(group, members, now_ms, waiter, &heartbeat) {
                Ok((keeper, mut effects)) => {
                    // Whoever waits for the others finds another group when it asks again.
                    effects.extend(members.abandon(GroupError::RebalanceInProgress));
                    *protocol = Protocol::Consumer(keeper);
                    effects
                }
                Err(refused) => vec![Effect::Answer(waiter, Answer::ConsumerHeartbeat(Err(refused)))],
            },
        };
        match self.ask(group, stopping, event).await? {
            Answer::ConsumerHeartbeat(reply) => reply,
            other => Err(mismatched(group, &other).into()),
        }
    }

    /// The group that a classic one, or one without members, becomes with its first member of the consumer protocol.
    fn first_of_protocol(
        &self,
        group: &str,
        members: &Membership,
        now_ms: u64,
        waiter: WaiterId,
        heartbeat: &Heartbeat,
    ) -> Result<(Keeper, Vec<Effect>), HeartbeatRefused> {
        if heartbeat.member_epoch != JOIN_EPOCH {
            return Err(self.no_member_of(group, members, heartbeat));
        }
        // A generation that is on its way to the log has to be there first.
        let classic = members.to_upgrade().ok_or(GroupError::CoordinatorNotAvailable)?;
        let outlook = self.0.outlook.clone();
        let keeper = match classic.members.is_empty() {
            true => Keeper::empty(group, classic.generation, outlook, now_ms),
            false => Keeper::upgrade(&classic, outlook, now_ms)?,
        };
        keeper.with_first(now_ms, waiter, heartbeat)
    }

    fn no_member_of(&self, group: &str, members: &Membership, heartbeat: &Heartbeat) -> HeartbeatRefused {
        let kind = self.0.log.state().group(group).map(|group| group.kind.clone());
        match kind {
            Some(GroupKind::Consumer(_)) => {
                let (member, group) = (heartbeat.member_id.clone(), group.to_owned());
                HeartbeatError::UnknownMember { member, group }.into()
            }
            None if members.members().next().is_none() => HeartbeatRefused::UnknownGroup(group.to_owned()),
            _ => HeartbeatRefused::NotOfThisProtocol(group.to_owned()),
        }
    }

    /// Whether somebody is a member of a group here and speaks the consumer protocol.
    pub fn is_consumer_member(&self, group: &str, member_id: &str) -> bool {
        let is_consumer = |protocol: &Protocol| match protocol {
            Protocol::Consumer(keeper) => keeper.is_consumer(member_id),
            Protocol::Classic(_) => false,
        };
        self.look(group, is_consumer).unwrap_or(false)
    }

    /// How often members of the group are to send heartbeats, milliseconds.
    pub fn heartbeat_interval_ms(&self, group: &str) -> i32 {
        self.0.outlook.timeouts(group).heartbeat_interval_ms
    }

    /// A group of the consumer protocol as the log has it, for ConsumerGroupDescribe.
    pub fn describe_consumer(&self, group: &str) -> Result<Group, HeartbeatRefused> {
        check_group_id(group)?;
        self.check_role(group)?;
        let known = self.0.log.state().group(group).cloned();
        match known {
            Some(known) if matches!(known.kind, GroupKind::Consumer(_)) => Ok(known),
            Some(_) => Err(HeartbeatRefused::NotOfThisProtocol(group.to_owned())),
            None => Err(HeartbeatRefused::UnknownGroup(group.to_owned())),
        }
    }
}
