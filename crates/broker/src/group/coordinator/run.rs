//! The task behind the groups: outcomes of records, alarms, changes of the brokers, expiry.

use super::roles::Roles;
use super::{Alarm, GroupCoordinator, Recorded};
use crate::group::GroupError;
use crate::stopping::Stopping;
use frazil_log::ProposeError;
use frazil_meta::state::Outcome;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

/// An alarm that rings so late tells of a broker that stood still, not of members that were silent.
const PAUSE_MS: u64 = 2_000;

impl GroupCoordinator {
    /// Runs until the broker stops; then everybody who waits is told.
    pub async fn run(self, stopping: Stopping) {
        let committing = self.0.committer.clone().run(stopping.clone());
        let expiring = self.clone().expire(stopping.clone());
        futures::join!(self.handle(stopping), committing, expiring);
    }

    async fn handle(&self, mut stopping: Stopping) {
        let mut inbox = self.0.recorded.lock().take().expect("the task runs once");
        let mut records = FuturesUnordered::new();
        let mut roles = Roles::new(self.0.log.clone());
        loop {
            tokio::select! {
                biased;
                () = stopping.stopped() => break,
                Some(recorded) = records.next(), if !records.is_empty() => self.settle(recorded),
                Some(record) = inbox.recv() => records.push(record),
                () = roles.changed() => self.reconcile(),
                due = self.0.alarms.ring() => due.into_iter().for_each(|(at_ms, group)| self.ring(at_ms, &group)),
            }
        }
        self.abandon_all();
    }

    /// A record has an outcome. One that was not written takes the group's memory with it: the log knows better.
    fn settle(&self, Recorded { slot, id, result }: Recorded) {
        let now_ms = self.0.alarms.now_ms();
        let mut kept = slot.kept.lock();
        if kept.is_gone {
            return;
        }
        match outcome(&slot.group, result) {
            Ok(()) => {
                let effects = kept.protocol.recorded(now_ms, id, self.0.settings.rules);
                self.perform(&slot, &mut kept, effects);
                self.tidy(&slot, kept, Alarm::Check);
            }
            Err(error) => self.abandon(&slot, kept, error),
        }
    }

    fn ring(&self, at_ms: u64, group: &str) {
        let Some(slot) = self.0.groups.lock().get(group).cloned() else { return };
        let mut kept = slot.kept.lock();
        if kept.is_gone || kept.alarm_ms != Some(at_ms) {
            return;
        }
        kept.alarm_ms = None;
        let now_ms = self.0.alarms.now_ms();
        let late_ms = now_ms.saturating_sub(at_ms);
        if late_ms >= PAUSE_MS {
            kept.protocol.postpone(now_ms, late_ms);
        }
        let effects = kept.protocol.due(now_ms);
        self.perform(&slot, &mut kept, effects);
        self.tidy(&slot, kept, Alarm::Check);
    }
}

fn outcome(group: &str, result: Result<Outcome, ProposeError>) -> Result<(), GroupError> {
    match result {
        Ok(Outcome::Refused(refusal)) => {
            tracing::info!(group, ?refusal, "a record of a group was refused");
            Err(GroupError::of_refusal(refusal))
        }
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(group, %error, "a record of a group was not written");
            Err(GroupError::of_proposal(&error))
        }
    }
}
