//! One clock for all groups of a broker: which group has something due, and when.
//!
//! A group has at most one alarm. Heartbeats do not move it: an alarm that comes too early finds nothing to do and is
//! set anew, so a group of any size wakes the broker about once per session timeout, and an empty one never.

use frazil_base::Signal;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use tokio::time::{Duration, Instant, sleep_until};

/// The alarms. Times are milliseconds since the alarms were made.
#[derive(Debug)]
pub(crate) struct Alarms {
    began: Instant,
    set: Mutex<BTreeSet<(u64, String)>>,
    earliest: Signal<Option<u64>>,
}

impl Alarms {
    pub fn new() -> Alarms {
        Alarms { began: Instant::now(), set: Mutex::default(), earliest: Signal::new(None) }
    }

    /// Milliseconds since the alarms were made; never goes back.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sets a group's alarm, in place of `old`.
    pub fn set(&self, group: &str, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        let mut set = self.set.lock();
        if let Some(at_ms) = old {
            set.remove(&(at_ms, group.to_owned()));
        }
        if let Some(at_ms) = new {
            set.insert((at_ms, group.to_owned()));
        }
        self.show_earliest(&set);
    }

    /// Waits until an alarm is due; gives those that are. They are no longer set.
    pub async fn ring(&self) -> Vec<(u64, String)> {
        loop {
            let Some(at_ms) = self.earliest.wait_for(|earliest| earliest.is_some()).await else { continue };
            let moved = self.earliest.wait_for(|earliest| earliest.is_none_or(|earliest| earliest < at_ms));
            let due = sleep_until(self.began + Duration::from_millis(at_ms));
            tokio::select! {
                biased;
                _ = moved => continue,
                () = due => return self.take_due(),
            }
        }
    }

    /// How many are set.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.set.lock().len()
    }

    fn take_due(&self) -> Vec<(u64, String)> {
        let mut set = self.set.lock();
        let later = set.split_off(&(self.now_ms().saturating_add(1), String::new()));
        let due = std::mem::replace(&mut *set, later);
        self.show_earliest(&set);
        due.into_iter().collect()
    }

    fn show_earliest(&self, set: &BTreeSet<(u64, String)>) {
        let earliest = set.first().map(|(at_ms, _)| *at_ms);
        self.earliest.update(|shown| std::mem::replace(shown, earliest) != earliest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn alarms_ring_in_order_and_once() {
        let alarms = Alarms::new();
        alarms.set("later", None, Some(5_000));
        alarms.set("sooner", None, Some(2_000));
        assert_eq!(alarms.ring().await, [(2_000, "sooner".to_owned())]);
        assert_eq!(alarms.now_ms(), 2_000);
        assert_eq!(alarms.ring().await, [(5_000, "later".to_owned())]);
        assert_eq!(alarms.ring().now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_is_set_earlier_rings_earlier() {
        let alarms = Alarms::new();
        alarms.set("g", None, Some(60_000));
        let ringing = alarms.ring();
        let resetting = async {
            tokio::task::yield_now().await;
            alarms.set("g", Some(60_000), Some(1_000));
        };
        let (rung, ()) = tokio::join!(ringing, resetting);
        assert_eq!(rung, [(1_000, "g".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_is_taken_back_does_not_ring() {
        let alarms = Alarms::new();
        alarms.set("g", None, Some(1_000));
        alarms.set("g", Some(1_000), None);
        let patience = tokio::time::timeout(Duration::from_secs(60), alarms.ring()).await;
        assert!(patience.is_err());
    }
}
