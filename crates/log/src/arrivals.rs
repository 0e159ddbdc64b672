//! Own segments between their commit and the cache.
//!
//! The moment a commit is applied, readers know its extents; the buffer with the bytes is still being patched with the
//! offsets. A reader that comes in between waits for the buffer here instead of reading what was just written.

use frazil_meta::state::BodyId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Bodies on their way into the cache.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    expected: Mutex<BTreeMap<BodyId, watch::Receiver<()>>>,
}

/// A promise to publish a body; dropping it, after publishing or instead, lets the waiting readers go on.
#[derive(Debug)]
pub(crate) struct Arrival {
    arrivals: Arc<Arrivals>,
    body: BodyId,
    _open: watch::Sender<()>,
}

impl Arrivals {
    pub(crate) fn expect(self: &Arc<Self>, body: BodyId) -> Arrival {
        let (sender, receiver) = watch::channel(());
        self.expected.lock().insert(body, receiver);
        Arrival { arrivals: self.clone(), body, _open: sender }
    }

    /// Waits until the body has arrived, if it is on its way. Returns whether it was.
    pub(crate) async fn settled(&self, body: BodyId) -> bool {
        let Some(mut receiver) = self.expected.lock().get(&body).cloned() else { return false };
        // The channel never carries a value: it closes when the promise is dropped.
        while receiver.changed().await.is_ok() {}
        true
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
    }
}
