//! Bytes of requests in memory, over all connections.
//!
//! A frame takes from the budget before its memory is allocated, large ones step by step as their bytes arrive, so a
//! length that lies holds next to nothing. Frames that hold a part and wait for the rest could wait for each other for
//! ever; therefore one of them at a time may overdraw, and so finishes.

use crate::metrics::Metrics;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    overdraft: Arc<Semaphore>,
    metrics: Metrics,
}

/// What one frame has taken; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedSemaphorePermit>,
    metrics: Option<Metrics>,
}

impl Budget {
    pub fn new(bytes: usize, metrics: Metrics) -> Budget {
        let bytes = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Budget { bytes, overdraft: Arc::new(Semaphore::new(1)), metrics }
    }

    /// Adds `bytes` to what a frame holds; waits until they are there.
    pub async fn take(&self, held: &mut Held, bytes: usize) {
        held.metrics.get_or_insert_with(|| self.metrics.clone());
        if held.overdraft.is_none() {
            let permits = u32::try_from(bytes).expect("a frame is shorter than 4 GiB");
            match self.bytes.clone().try_acquire_many_owned(permits) {
                Ok(permit) => held.add(permit),
                Err(_) => self.wait(held, permits).await,
            }
        }
        held.bytes += bytes;
        self.metrics.request_bytes_in_flight.inc_by(bytes as i64);
    }

    async fn wait(&self, held: &mut Held, permits: u32) {
        self.metrics.back_pressure_waits.inc();
        tokio::select! {
            biased;
            permit = self.bytes.clone().acquire_many_owned(permits) => held.add(permit.expect(NEVER_CLOSED)),
            turn = self.overdraft.clone().acquire_owned() => held.overdraft = Some(turn.expect(NEVER_CLOSED)),
        }
    }
}

const NEVER_CLOSED: &str = "the budget's semaphores are never closed";

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
        if let Some(metrics) = &self.metrics {
            metrics.request_bytes_in_flight.dec_by(self.bytes as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn frames_that_wait_for_each_other_finish_one_after_the_other() {
        let budget = Budget::new(100, Metrics::default());
        let (mut first, mut second) = (Held::default(), Held::default());
        budget.take(&mut first, 60).await;
        budget.take(&mut second, 40).await;
        budget.take(&mut first, 60).await;
        assert!(first.overdraft.is_some(), "the first waiter may overdraw");
        assert!(budget.take(&mut second, 60).now_or_never().is_none(), "only one may");
        drop(first);
        budget.take(&mut second, 60).await;
        assert_eq!(second.bytes, 100);
        drop(second);
        assert_eq!(budget.bytes.available_permits(), 100);
        assert_eq!(budget.metrics.request_bytes_in_flight.get(), 0);
    }
}
