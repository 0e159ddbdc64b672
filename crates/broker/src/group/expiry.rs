//! Offsets that nobody has used for long are forgotten, and groups of which nothing is left.
//!
//! A group's offsets expire when it has had no members, and they were not committed again, for
//! `offsets.retention.minutes`; while consumers are in it, those of topics that no member is subscribed to. Every
//! coordinator looks at its own groups now and then; an idle cluster writes nothing.

use super::coordinator::{GroupCoordinator, Protocol};
use super::describe::{has_opaque_members, is_subscribed};
use super::membership::GroupState;
use crate::stopping::Stopping;
use frazil_base::TopicPartition;
use frazil_meta::record::Command;
use frazil_meta::state::{Group, GroupKind, Outcome};
use tokio::time::sleep;

impl GroupCoordinator {
    /// Looks for what has expired until the broker stops.
    pub(super) async fn expire(self, mut stopping: Stopping) {
        loop {
            tokio::select! {
                biased;
                () = stopping.stopped() => return,
                () = sleep(self.settings().retention_check_interval) => self.expire_now().await,
            }
        }
    }

    /// Forgets everything that has expired by now.
    pub(super) async fn expire_now(&self) {
        let now_ms = self.log().env().clock.now_ms();
        for group in self.expired_groups(now_ms) {
            self.expire_group(&group, now_ms).await;
        }
    }

    fn expired_groups(&self, now_ms: i64) -> Vec<String> {
        let state = self.log().state();
        let ours = state.groups().filter(|(id, group)| {
            let is_void = group.member_count() == 0 && group.offsets.is_empty();
            (is_void || !self.expired_offsets(group, now_ms).is_empty()) && self.is_coordinator(&state, id)
        });
        ours.map(|(id, _)| id.to_owned()).collect()
    }

    fn expired_offsets(&self, group: &Group, now_ms: i64) -> Vec<TopicPartition> {
        let retention_ms = i64::try_from(self.settings().offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let empty_since_ms = match &group.kind {
            GroupKind::Classic(_) | GroupKind::Consumer(_) if group.member_count() == 0 => group.changed_ms,
            GroupKind::Offsets | GroupKind::Classic(_) | GroupKind::Consumer(_) => i64::MIN,
        };
        let is_expired = |committed_ms: i64| now_ms.saturating_sub(committed_ms.max(empty_since_ms)) >= retention_ms;
        let expired = group
            .offsets
            .iter()
            .filter(|(partition, offset)| is_expired(offset.committed_ms) && !group.is_pending(**partition));
        expired.map(|(partition, _)| *partition).collect()
    }

    async fn expire_group(&self, group: &str, now_ms: i64) {
        if self.log().state().group(group).is_some_and(|group| group.member_count() > 0) {
            return self.expire_unused(group, now_ms).await;
        }
        // Whoever joins or commits from here on comes later in the log.
        let queued = self.with_idle(group, || {
            let state = self.log().state();
            let known = state.group(group)?;
            let partitions = self.expired_offsets(known, now_ms);
            let is_void = partitions.len() == known.offsets.len() && known.pending.is_empty();
            drop(state);
            let count = partitions.len();
            let offsets = Command::DeleteOffsets { group: group.to_owned(), partitions };
            let offsets = (count > 0).then(|| self.log().enqueue(offsets));
            let groups = Command::DeleteGroups { groups: vec![group.to_owned()] };
            Some((count, offsets, is_void.then(|| self.log().enqueue(groups))))
        });
        let Some((count, offsets, deletion)) = queued.flatten() else { return };
        if let Some(offsets) = offsets {
            report(group, "expired offsets", offsets.await);
        }
        if let Some(deletion) = deletion {
            report(group, "the empty group", deletion.await);
        }
        tracing::debug!(group, offsets = count, "expired");
    }
}

/// Of a group with members: offsets of topics that none of them is subscribed to.
impl GroupCoordinator {
    async fn expire_unused(&self, group: &str, now_ms: i64) {
        let queued = self.while_no_commit(group, |protocol| {
            let state = self.log().state();
            let expired = self.expired_offsets(state.group(group)?, now_ms).into_iter();
            let is_unused = |place: &TopicPartition| {
                state.topic(place.topic).is_some_and(|topic| may_be_forgotten(protocol, &topic.name))
            };
            let partitions: Vec<_> = expired.filter(is_unused).collect();
            drop(state);
            let count = partitions.len();
            let command = Command::DeleteOffsets { group: group.to_owned(), partitions };
            (count > 0).then(|| (count, self.log().enqueue(command)))
        });
        let Some((count, deletion)) = queued.flatten() else { return };
        report(group, "expired offsets of topics without subscribers", deletion.await);
        tracing::debug!(group, offsets = count, "expired, of topics that no member is subscribed to");
    }
}

/// Whether it is known that nobody in the group reads the topic: not while a classic group changes, nor of members whose
/// protocol is their own.
fn may_be_forgotten(protocol: &Protocol, topic: &str) -> bool {
    let is_settled = match protocol {
        Protocol::Classic(group) => group.state() == GroupState::Stable,
        Protocol::Consumer(_) => true,
    };
    is_settled && !has_opaque_members(protocol) && !is_subscribed(protocol, topic)
}

fn report(group: &str, what: &str, outcome: Result<Outcome, frazil_log::ProposeError>) {
    match outcome {
        Ok(Outcome::Refused(refusal)) => tracing::debug!(group, ?refusal, "{what} could not be deleted"),
        Ok(_) => (),
        Err(error) => tracing::warn!(group, %error, "{what} could not be deleted"),
    }
}
