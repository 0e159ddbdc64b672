//! A process that was stopped for a while may have been replaced meanwhile.
//!
//! On an exclusive log nobody follows the tail: a broker learns of its successor with its next append. One that was
//! stopped (SIGSTOP, a suspended machine) and goes on would serve reads and heartbeats from its old state for as long as
//! nobody writes through it. So after every pause it reads the log to its tail once. A broker that was not stopped asks
//! for nothing.

use crate::health::HealthCell;
use crate::replica::Replica;
use crate::sequencer::read_to_tail;
use frazil_base::Env;
use frazil_meta::CommitLog;
use std::sync::Arc;
use std::time::Duration;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that comes so late means that the process did not run. Shorter than any session of a client.
const PAUSE: Duration = Duration::from_secs(4);

/// Ends when the broker is fenced, or is dropped.
pub(crate) async fn watch(engine: Arc<dyn CommitLog>, replica: Arc<Replica>, env: Env, health: HealthCell) {
    let mut seen = env.clock.since_boot();
    while health.fenced().is_none() {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = env.clock.since_boot();
        let paused = now.saturating_sub(seen);
        if paused < PAUSE {
            seen = now;
            continue;
        }
        tracing::warn!(?paused, "the process did not run for a while; looking whether another broker took over");
        match read_to_tail(engine.as_ref(), &replica).await {
            Ok(()) => seen = env.clock.since_boot(),
            Err(error) => tracing::warn!(%error, "cannot look whether another broker took over; trying again"),
        }
    }
}
