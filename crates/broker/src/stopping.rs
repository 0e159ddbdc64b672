//! The signal that the broker stops.

use tokio::sync::watch;

/// Gives the signal.
#[derive(Debug, Default)]
pub(crate) struct StopSignal(watch::Sender<bool>);

/// Waits for it; clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl StopSignal {
    pub fn give(&self) {
        self.0.send_replace(true);
    }

    pub fn subscribe(&self) -> Stopping {
        Stopping(self.0.subscribe())
    }
}

impl Stopping {
    /// Resolves when the broker stops; also when nobody is left who could stop it.
    pub async fn stopped(&mut self) {
        drop(self.0.wait_for(|stopping| *stopping).await);
    }
}
