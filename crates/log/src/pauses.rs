//! A process that was stopped for a while may have been replaced meanwhile.
//!
//! On an exclusive log nobody follows the tail: a broker learns of its successor with its next append. One that was
//! stopped (SIGSTOP, a suspended machine) and goes on would serve reads and heartbeats from its old state for as long as
//! nobody writes through it. So after every pause it appends a record that changes nothing, which its successor's entry
//! refuses. A broker that was not stopped asks for nothing.

use crate::health::HealthCell;
use crate::replica::Replica;
use crate::sequencer::Sequencer;
use frazil_base::Env;
use frazil_meta::record::Command;
use std::sync::Arc;
use std::time::Duration;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that comes so late means that the process did not run. Shorter than any session of a client.
const PAUSE: Duration = Duration::from_secs(4);

/// Ends when the broker is fenced, or is dropped.
pub(crate) async fn watch(sequencer: Sequencer, replica: Arc<Replica>, env: Env, health: HealthCell) {
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
        // A level that is in force already. Repeated by whoever does it until the outcome is certain.
        let level = replica.state().feature_level();
        match sequencer.propose(Command::FeatureLevel { level }, None).settled().await {
            Ok(_) => seen = env.clock.since_boot(),
            Err(error) => tracing::warn!(%error, "it is not certain that no other broker took over; trying again"),
        }
    }
}
