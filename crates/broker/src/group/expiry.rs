//! Offsets that nobody has used for long are forgotten, and groups of which nothing is left.
//!
//! A group's offsets expire when it has had no members, and they were not committed again, for
//! `offsets.retention.minutes`. Every coordinator looks at its own groups now and then; an idle cluster writes nothing.

use super::coordinator::GroupCoordinator;
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
            let is_over = group.member_count() == 0
                && (group.offsets.is_empty() || !self.expired_offsets(group, now_ms).is_empty());
            is_over && self.is_coordinator(&state, id)
        });
        ours.map(|(id, _)| id.to_owned()).collect()
    }

    fn expired_offsets(&self, group: &Group, now_ms: i64) -> Vec<TopicPartition> {
        let retention_ms = i64::try_from(self.settings().offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let empty_since_ms = match &group.kind {
            GroupKind::Offsets => i64::MIN,
            GroupKind::Classic(_) | GroupKind::Consumer(_) => group.changed_ms,
        };
        let is_expired = |committed_ms: i64| now_ms.saturating_sub(committed_ms.max(empty_since_ms)) >= retention_ms;
        let expired = group
            .offsets
            .iter()
            .filter(|(partition, offset)| is_expired(offset.committed_ms) && !group.is_pending(**partition));
        expired.map(|(partition, _)| *partition).collect()
    }

    async fn expire_group(&self, group: &str, now_ms: i64) {
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

fn report(group: &str, what: &str, outcome: Result<Outcome, frazil_log::ProposeError>) {
    match outcome {
        Ok(Outcome::Refused(refusal)) => tracing::debug!(group, ?refusal, "{what} could not be deleted"),
        Ok(_) => (),
        Err(error) => tracing::warn!(group, %error, "{what} could not be deleted"),
    }
}
