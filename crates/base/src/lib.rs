//! Ids, limits, and the seams to the outside world.
//!
//! Every other crate stands on this one. It holds the nouns that cross crate borders (`ids`), the numbers that
//! bound everything (`limits`), the only doors to clock, randomness and fresh ids (`clock`, `entropy`), and the
//! block-aligned buffer in which a segment is built, written with direct I/O and served from the cache (`buffer`).
//! It knows nothing of Kafka, of object storage, or of tasks.

pub mod buffer;
pub mod clock;
pub mod entropy;
pub mod ids;
pub mod limits;
pub mod signal;

pub use buffer::{AlignedBuffer, BufferPool};
pub use clock::{Clock, SystemClock};
pub use entropy::{Entropy, SystemEntropy};
pub use ids::{BrokerId, Epoch, ObjectId, Seq, TopicId, TopicPartition};
pub use signal::Signal;

use std::sync::Arc;

/// What a component may ask of the outside world: the time, and random bits.
#[derive(Clone, Debug)]
pub struct Env {
    /// Wall and boot time.
    pub clock: Arc<dyn Clock>,
    /// Random bits and fresh ids.
    pub entropy: Arc<dyn Entropy>,
}

impl Env {
    /// The machine's own clock and randomness.
    pub fn system() -> Env {
        Env { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }
}
