//! How a member gets from what it has to what it is to have (KIP-848, "reconciliation").
//!
//! ```text
//!                      partitions to give up                 owned list without them
//!            Stable ---------------------------> Unrevoked --------------------------+
//!              ^  ^                                  ^                               |
//!              |  +----------------------------------|---- nothing to wait for ------+
//!              |        partitions to give up        |                               |
//!              +----------------------------- Unreleased <--- others still own some -+
//! ```
//!
//! A member that has to give partitions up stays at its epoch until the client's own list no longer names them; only then
//! are they anybody else's. One that waits for others is at the new epoch already and takes partitions as they come free.
//! So the partitions in `assigned` and `revoking` of all members never overlap.

use super::assignment::{difference, filtered, intersection, intersects, union};
use super::{Assignment, ConsumerMember, MemberState};
use frazil_base::TopicId;

/// The member's next step towards its target; `None` if there is none to take now.
///
/// `owned` is the client's list, if it sent one. `is_taken` says whether any member owns a partition or has yet to give
/// it up.
pub(crate) fn step(
    member: &ConsumerMember,
    target_epoch: i32,
    owned: Option<&Assignment>,
    is_taken: impl Fn(TopicId, i32) -> bool,
) -> Option<ConsumerMember> {
    let owns_any = |partitions: &Assignment| owned.is_none_or(|owned| intersects(owned, partitions));
    let waits = match member.state {
        MemberState::Stable => member.member_epoch == target_epoch,
        MemberState::Unrevoked => owns_any(&member.revoking),
        MemberState::Unreleased => false,
    };
    if waits {
        return None;
    }
    let kept = intersection(&member.assigned, &member.target);
    let to_revoke = difference(&member.assigned, &kept);
    if !to_revoke.is_empty() && owns_any(&to_revoke) {
        return changed(member, MemberState::Unrevoked, member.member_epoch, kept, to_revoke);
    }
    let missing = difference(&member.target, &kept);
    // What it gave up itself a moment ago is nobody else's yet.
    let is_own = |topic, partition| super::assignment::contains(&member.revoking, topic, partition);
    let is_held_up = |topic, partition| is_taken(topic, partition) && !is_own(topic, partition);
    let free = filtered(&missing, |topic, partition| !is_held_up(topic, partition));
    let state = if free == missing { MemberState::Stable } else { MemberState::Unreleased };
    changed(member, state, target_epoch, union(&kept, &free), Assignment::new())
}

fn changed(
    member: &ConsumerMember,
    state: MemberState,
    member_epoch: i32,
    assigned: Assignment,
    revoking: Assignment,
) -> Option<ConsumerMember> {
    let is_new_epoch = member_epoch != member.member_epoch;
    // While the epoch stays, the epoch before it does: a client that missed two answers in a row is not fenced.
    let previous_member_epoch = if is_new_epoch { member.member_epoch } else { member.previous_member_epoch };
    let next = ConsumerMember { state, member_epoch, previous_member_epoch, assigned, revoking, ..member.clone() };
    (next != *member).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: TopicId = TopicId(1);

    fn partitions(numbers: &[i32]) -> Assignment {
        if numbers.is_empty() { Assignment::new() } else { [(TOPIC, numbers.to_vec())].into() }
    }

    fn member(epoch: i32, assigned: &[i32], target: &[i32]) -> ConsumerMember {
        let mut member = super::super::members::new_member("m");
        member.member_epoch = epoch;
        member.assigned = partitions(assigned);
        member.target = partitions(target);
        member
    }

    fn nobody(_: TopicId, _: i32) -> bool {
        false
    }

    #[test]
    fn a_stable_member_at_the_target_epoch_has_nothing_to_do() {
        assert_eq!(step(&member(3, &[0], &[0]), 3, None, nobody), None);
    }

    #[test]
    fn a_member_that_only_gains_takes_what_is_free_and_waits_for_the_rest() {
        let taken = |_, partition| partition == 2;
        let next = step(&member(3, &[0], &[0, 1, 2]), 4, None, taken).expect("a step");
        assert_eq!((next.state, next.member_epoch, next.previous_member_epoch), (MemberState::Unreleased, 4, 3));
        assert_eq!(next.assigned, partitions(&[0, 1]));
        assert_eq!(step(&next, 4, None, taken), None, "nothing came free: nothing changes");
        let last = step(&next, 4, None, nobody).expect("a step");
        assert_eq!((last.state, last.previous_member_epoch), (MemberState::Stable, 3));
        assert_eq!(last.assigned, partitions(&[0, 1, 2]));
    }

    #[test]
    fn a_member_that_loses_stays_at_its_epoch_until_its_list_no_longer_names_the_partitions() {
        let revoking = step(&member(3, &[0, 1], &[1, 2]), 4, Some(&partitions(&[0, 1])), nobody).expect("a step");
        assert_eq!((revoking.state, revoking.member_epoch), (MemberState::Unrevoked, 3));
        assert_eq!((&revoking.assigned, &revoking.revoking), (&partitions(&[1]), &partitions(&[0])));
        assert_eq!(step(&revoking, 4, None, nobody), None, "a heartbeat without a list proves nothing");
        assert_eq!(step(&revoking, 4, Some(&partitions(&[0, 1])), nobody), None);
        let done = step(&revoking, 4, Some(&partitions(&[1])), nobody).expect("a step");
        assert_eq!((done.state, done.member_epoch), (MemberState::Stable, 4));
        assert_eq!((&done.assigned, &done.revoking), (&partitions(&[1, 2]), &partitions(&[])));
    }

    #[test]
    fn a_target_that_changes_back_returns_the_partition_that_was_given_up() {
        let revoking = step(&member(3, &[0, 1], &[1]), 4, None, nobody).expect("a step");
        let back = ConsumerMember { target: partitions(&[0, 1]), ..revoking };
        let own = |_, partition| partition == 0 || partition == 1;
        let done = step(&back, 5, Some(&partitions(&[1])), own).expect("a step");
        assert_eq!((done.state, done.assigned), (MemberState::Stable, partitions(&[0, 1])));
    }

    #[test]
    fn a_member_that_waits_can_be_asked_to_give_up_more() {
        let waiting = ConsumerMember { state: MemberState::Unreleased, ..member(4, &[0, 1], &[1]) };
        let next = step(&waiting, 5, None, nobody).expect("a step");
        assert_eq!((next.state, next.member_epoch), (MemberState::Unrevoked, 4));
    }
}
