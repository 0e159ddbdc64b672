//! Bytes in memory over all connections: one budget for requests, one for fetched records on their way out.
//!
//! A frame takes from the budget before its memory is allocated, large ones step by step as their bytes arrive, so a
//! length that lies holds next to nothing. Holders that have a part and wait for the rest could wait for each other for
//! ever; therefore one of them at a time may overdraw, and so finishes.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
    in_flight: Gauge,
    waits: Counter,
    waiting: Arc<AtomicUsize>,
}

/// What one holder has taken; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedSemaphorePermit>,
    in_flight: Option<Gauge>,
}

const NEVER_CLOSED: &str = "the budget's semaphores are never closed";

impl Budget {
    /// A budget that shows in `in_flight` what is taken, and counts in `waits` who had to wait.
    pub fn new(bytes: usize, in_flight: Gauge, waits: Counter) -> Budget {
        let bytes = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Budget { bytes, overdraft: Arc::new(Semaphore::new(1)), in_flight, waits, waiting: Arc::default() }
    }

    /// Adds `bytes` to what is held, if they are there now. Returns whether they were.
    pub fn try_take(&self, held: &mut Held, bytes: usize) -> bool {
        if held.overdraft.is_none() {
            match self.bytes.clone().try_acquire_many_owned(permits(bytes)) {
                Ok(permit) => held.add(permit),
                Err(_) => return false,
            }
        }
        self.count(held, bytes);
        true
    }

    /// Adds `bytes` to what is held; waits until they are there.
    pub async fn take(&self, held: &mut Held, bytes: usize) {
        if self.try_take(held, bytes) {
            return;
        }
        self.waits.inc();
        let waiting = Waiting::new(&self.waiting);
        tokio::select! {
            biased;
            permit = self.bytes.clone().acquire_many_owned(permits(bytes)) => held.add(permit.expect(NEVER_CLOSED)),
            turn = self.overdraft.clone().acquire_owned() => held.overdraft = Some(turn.expect(NEVER_CLOSED)),
        }
        drop(waiting);
        self.count(held, bytes);
    }

    /// Whether anybody waits.
    pub fn is_contended(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn count(&self, held: &mut Held, bytes: usize) {
        held.bytes += bytes;
        self.in_flight.inc_by(bytes as i64);
        held.in_flight.get_or_insert_with(|| self.in_flight.clone());
    }
}

/// Counts somebody who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn new(count: &AtomicUsize) -> Waiting<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a request or an answer is shorter than 4 GiB")
}

impl Held {
    fn add(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(in_flight) = &self.in_flight {
            in_flight.dec_by(self.bytes as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn frames_that_wait_for_each_other_finish_one_after_the_other() {
        let budget = Budget::new(100, Gauge::default(), Counter::default());
        let (mut first, mut second) = (Held::default(), Held::default());
        budget.take(&mut first, 60).await;
        budget.take(&mut second, 40).await;
        budget.take(&mut first, 60).await;
        assert!(first.overdraft.is_some(), "the first waiter may overdraw");
        assert!(budget.take(&mut second, 60).now_or_never().is_none(), "only one may");
        assert!(!budget.try_take(&mut second, 60));
        drop(first);
        budget.take(&mut second, 60).await;
        assert_eq!(second.bytes, 100);
        drop(second);
        assert_eq!((budget.bytes.available_permits(), budget.in_flight.get()), (100, 0));
    }
}
