//! JoinGroup: who is let in, and whether that takes a rebalance.

use super::answers::{Answer, JoinRefused, Joined, JoinedMember, WaiterId};
use super::{Effect, GROUP_METADATA_BYTES_MAX, Member, Membership, Phase, Recording};
use crate::group::GroupError;
use bytes::Bytes;

/// A new member whose join is not answered for so long is forgotten, as in Kafka: its client may be gone, and it could
/// not say so.
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// A JoinGroup request.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    /// Empty for a new member.
    pub member_id: String,
    /// The id that a new member gets.
    pub fresh_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    pub protocols: Vec<(String, Bytes)>,
    /// A new member has to come back with its id before it counts (KIP-394; JoinGroup 4).
    pub requires_member_id: bool,
    /// It understands `skip_assignment` (KIP-814; JoinGroup 9).
    pub can_skip_assignment: bool,
}

impl Membership {
    /// A member joins, or joins again.
    pub fn join(&mut self, now_ms: u64, waiter: WaiterId, join: Join) -> Vec<Effect> {
        if let Err(refused) = self.admit(now_ms, waiter, join) {
            self.answer(waiter, Answer::Join(Err(refused)));
        }
        self.take_effects()
    }

    fn admit(&mut self, now_ms: u64, waiter: WaiterId, join: Join) -> Result<(), JoinRefused> {
        let refuse = |error, member_id: &str| Err(JoinRefused { error, member_id: member_id.to_owned() });
        if !self.has_room_for(&join.member_id) || !self.has_bytes_for(&join) {
            self.turn_away(now_ms, &join.member_id);
            return refuse(GroupError::GroupMaxSizeReached, "");
        }
        if !self.supports(&join) {
            return refuse(GroupError::InconsistentGroupProtocol, &join.member_id);
        }
        if join.member_id.is_empty() {
            return self.join_without_id(now_ms, waiter, join);
        }
        let member_id = join.member_id.clone();
        self.join_with_id(now_ms, waiter, join).or_else(|error| refuse(error, &member_id))
    }

    /// The group is too large for this member, even if it is one.
    fn turn_away(&mut self, now_ms: u64, member_id: &str) {
        self.refuse_waiters(member_id, GroupError::GroupMaxSizeReached);
        let was_member = self.members.contains_key(member_id);
        self.remove(member_id);
        if was_member {
            self.rebalance_or_complete(now_ms);
        } else {
            self.complete_if_all_joined(now_ms);
        }
    }

    fn join_without_id(&mut self, now_ms: u64, waiter: WaiterId, join: Join) -> Result<(), JoinRefused> {
        let known = join.instance_id.as_ref().and_then(|instance| self.instances.get(instance).cloned());
        let member_id = join.fresh_id.clone();
        if let Some(replaced) = known {
            self.replace(now_ms, waiter, &replaced, join);
        } else if join.instance_id.is_none() && join.requires_member_id {
            let lapses_ms = now_ms.saturating_add(join.session_timeout_ms.max(0) as u64);
            self.pending.insert(member_id.clone(), lapses_ms);
            return Err(JoinRefused { error: GroupError::MemberIdRequired, member_id });
        } else {
            self.add(now_ms, waiter, member_id, join);
        }
        Ok(())
    }

    fn join_with_id(&mut self, now_ms: u64, waiter: WaiterId, join: Join) -> Result<(), GroupError> {
        let member_id = join.member_id.clone();
        if self.pending.contains_key(&member_id) {
            // Such an id was given to a dynamic member.
            let is_static = join.instance_id.is_some();
            return if is_static {
                Err(GroupError::UnknownMember)
            } else {
                self.add(now_ms, waiter, member_id, join);
                Ok(())
            };
        }
        let member = self.validated(&member_id, join.instance_id.as_deref())?;
        let has_changed = member.protocols != join.protocols;
        let is_leader = self.is_leader(&member_id);
        match self.phase {
            Phase::Empty => return Err(GroupError::UnknownMember),
            Phase::Preparing { .. } => self.rejoin(now_ms, waiter, join),
            // The answer to its first join may have been lost.
            Phase::Completing { .. } if !has_changed => self.answer_joined(waiter, &member_id, is_leader),
            // What a leader joins for may not show in its metadata: topics may have changed.
            Phase::Stable if !has_changed && !is_leader => self.answer_joined(waiter, &member_id, false),
            Phase::Completing { .. } | Phase::Stable => self.rejoin(now_ms, waiter, join),
        }
        Ok(())
    }

    fn rejoin(&mut self, now_ms: u64, waiter: WaiterId, join: Join) {
        if let Some(member) = self.members.get_mut(&join.member_id) {
            member.update(join);
            member.joining.push(waiter);
        }
        self.rebalance_or_complete(now_ms);
    }

    fn add(&mut self, now_ms: u64, waiter: WaiterId, member_id: String, join: Join) {
        if let Phase::Preparing { opening: Some(opening), .. } = &mut self.phase {
            opening.has_grown = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Some(instance) = &join.instance_id {
            self.instances.insert(instance.clone(), member_id.clone());
        }
        self.pending.remove(&member_id);
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id, Member::new(now_ms, waiter, join));
        self.rebalance_or_complete(now_ms);
    }

    /// A static member came back and gets another id; whoever holds the old one is fenced. A stable group stays stable
    /// if its protocol does.
    fn replace(&mut self, now_ms: u64, waiter: WaiterId, replaced: &str, join: Join) {
        let member_id = join.fresh_id.clone();
        let can_skip = join.can_skip_assignment;
        self.refuse_waiters(replaced, GroupError::FencedInstanceId);
        let Some(mut member) = self.members.remove(replaced) else { return };
        let (was_leader, old_leader) = (self.is_leader(replaced), self.leader.clone());
        if was_leader {
            self.leader = Some(member_id.clone());
        }
        if let Some(wait) = &mut self.sync_wait {
            wait.members.remove(replaced);
        }
        self.instances.extend(join.instance_id.clone().map(|instance| (instance, member_id.clone())));
        member.update(join);
        member.is_new = false;
        member.stays_until(now_ms);
        member.joining.push(waiter);
        self.members.insert(member_id.clone(), member);
        match self.phase {
            Phase::Stable if self.protocol == self.chosen_protocol() => {
                let joined = Joined {
                    leader: if can_skip { self.leader.clone() } else { old_leader }.unwrap_or_default(),
                    skip_assignment: can_skip && was_leader,
                    ..self.joined(&member_id, can_skip && was_leader)
                };
                self.record(Recording::Replacement { member_id, joined });
            }
            // The old id may be with the leader already: it would be assigned to nobody.
            Phase::Stable | Phase::Completing { .. } => self.prepare(now_ms),
            Phase::Preparing { .. } | Phase::Empty => self.complete_if_all_joined(now_ms),
        }
    }

    /// Whether the group may have this member, within `group.max.size`.
    fn has_room_for(&self, member_id: &str) -> bool {
        let member = self.members.get(member_id);
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing { .. } => {
                let joining = self.members.values().filter(|member| member.is_joining()).count();
                member.is_some_and(Member::is_joining) || joining < self.rules.members_max
            }
            Phase::Completing { .. } | Phase::Stable => member.is_some() || self.members.len() < self.rules.members_max,
        }
    }

    /// Whether the members' metadata fits into one record.
    fn has_bytes_for(&self, join: &Join) -> bool {
        let others = self.members.iter().filter(|(id, _)| **id != join.member_id);
        let bytes: usize = others.map(|(_, member)| member.metadata_bytes()).sum();
        let own: usize = join.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
        bytes + own <= GROUP_METADATA_BYTES_MAX
    }

    /// Whether all members (the joining one as it is known so far) support one of the protocols.
    fn supports(&self, join: &Join) -> bool {
        if self.phase == Phase::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let is_common = |name: &str| self.members.values().all(|member| member.supports(name));
        self.protocol_type.as_deref() == Some(&join.protocol_type)
            && join.protocols.iter().any(|(name, _)| is_common(name))
    }

    fn answer_joined(&mut self, waiter: WaiterId, member_id: &str, with_members: bool) {
        let joined = self.joined(member_id, with_members);
        self.answer(waiter, Answer::Join(Ok(joined)));
    }

    /// The answer to a member of the generation.
    pub(super) fn joined(&self, member_id: &str, with_members: bool) -> Joined {
        let all = self.members.iter().filter(|_| with_members).map(|(id, member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol.as_deref()),
        });
        Joined {
            member_id: member_id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members: all.collect(),
        }
    }
}

impl Member {
    fn new(now_ms: u64, waiter: WaiterId, join: Join) -> Member {
        Member {
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            expires_ms: now_ms.saturating_add(NEW_MEMBER_JOIN_TIMEOUT_MS),
            is_new: true,
            joining: vec![waiter],
            syncing: Vec::new(),
        }
    }

    fn update(&mut self, join: Join) {
        self.protocols = join.protocols;
        self.rebalance_timeout_ms = join.rebalance_timeout_ms;
        self.session_timeout_ms = join.session_timeout_ms;
    }
}
