//! When brokers come and go, groups change hands.

use super::{Alarm, GroupCoordinator};
use crate::group::GroupError;
use frazil_base::{Epoch, Seq};
use frazil_log::Log;
use frazil_meta::state::CoordinatorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// While the log is busy, brokers are looked at this often at most.
const CHECK_PAUSE: Duration = Duration::from_millis(10);

/// Watches which brokers are open.
pub(super) struct Roles {
    log: Log,
    seen: Seq,
    brokers: Vec<Epoch>,
    not_before: Instant,
}

impl Roles {
    pub fn new(log: Log) -> Roles {
        Roles { log, seen: Seq::ZERO, brokers: Vec::new(), not_before: Instant::now() }
    }

    /// Waits until brokers joined or left. Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        loop {
            sleep_until(self.not_before).await;
            if self.has_changed() {
                return;
            }
            self.log.applied_changes().wait_for(|applied| *applied > self.seen).await;
            self.not_before = Instant::now() + CHECK_PAUSE;
        }
    }

    fn has_changed(&mut self) -> bool {
        let state = self.log.state();
        self.seen = state.applied();
        let open = || state.brokers().map(|broker| broker.epoch);
        if open().eq(self.brokers.iter().copied()) {
            return false;
        }
        self.brokers = open().collect();
        true
    }
}

impl GroupCoordinator {
    /// Gives up what others coordinate now, and takes over what this broker does.
    pub(super) fn reconcile(&self) {
        let slots: Vec<_> = self.0.groups.lock().values().cloned().collect();
        let (lost, gained) = {
            let state = self.0.log.state();
            let lost: Vec<_> = slots.into_iter().filter(|slot| !self.0.is_coordinator(&state, &slot.group)).collect();
            let populated = state.groups().filter(|(_, group)| group.member_count() > 0).map(|(id, _)| id);
            let named = |id: &&str| state.coordinator(CoordinatorKind::Group, id).map(|broker| broker.epoch);
            let gained: Vec<_> =
                populated.filter(|id| named(id) == Some(self.0.log.epoch())).map(ToString::to_string).collect();
            (lost, gained)
        };
        for slot in lost {
            let kept = slot.kept.lock();
            if !kept.is_gone {
                self.abandon(&slot, kept, GroupError::NotCoordinator);
            }
        }
        for group in gained {
            // Whoever lost the role again meanwhile needs nothing of it.
            let _ = self.with(&group, Alarm::Keep, |_, _| ());
        }
    }

    /// Tells everybody who waits that this broker goes.
    pub(super) fn abandon_all(&self) {
        let slots: Vec<Arc<_>> = self.0.groups.lock().values().cloned().collect();
        for slot in slots {
            let kept = slot.kept.lock();
            if !kept.is_gone {
                self.abandon(&slot, kept, GroupError::NotCoordinator);
            }
        }
    }
}
