//! Own segments between their commit and the cache.
//!
//! The moment a commit is applied, readers know its extents; the buffer with the bytes is still being patched with the
//! offsets. A reader that comes in between waits for the buffer here instead of reading what was just written.

use frazil_base::Signal;
use frazil_meta::state::BodyId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bodies on their way into the cache.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    expected: Mutex<BTreeMap<BodyId, Arc<Signal<bool>>>>,
}

/// A promise to publish a body; dropping it, after publishing or instead, lets the waiting readers go on.
#[derive(Debug)]
pub(crate) struct Arrival {
    arrivals: Arc<Arrivals>,
    body: BodyId,
    settled: Arc<Signal<bool>>,
}

impl Arrivals {
    pub(crate) fn expect(self: &Arc<Self>, body: BodyId) -> Arrival {
        let settled = Arc::new(Signal::new(false));
        self.expected.lock().insert(body, settled.clone());
        Arrival { arrivals: self.clone(), body, settled }
    }

    /// Waits until the body has arrived, if it is on its way. Returns whether it was.
    pub(crate) async fn settled(&self, body: BodyId) -> bool {
        let Some(settled) = self.expected.lock().get(&body).cloned() else { return false };
        settled.wait_for(|settled| *settled).await
    }
}

impl Arrival {
    pub(crate) fn body(&self) -> BodyId {
        self.body
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.arrivals.expected.lock().remove(&self.body);
        self.settled.set(true);
    }
}
