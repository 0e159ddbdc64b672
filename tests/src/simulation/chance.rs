//! Decisions of a run, all from one seed.

use frazil_base::Entropy;
use frazil_base::entropy::SeededEntropy;
use std::ops::Range;
use std::time::Duration;

/// A generator for one actor. Forks are independent, so that one actor's choices do not shift another's.
#[derive(Debug)]
pub struct Chance {
    bits: SeededEntropy,
}

impl Chance {
    /// The choices that belong to `seed`.
    pub fn new(seed: u64) -> Chance {
        Chance { bits: SeededEntropy::new(seed) }
    }

    /// Choices for another actor.
    pub fn fork(&self) -> Chance {
        Chance::new(self.bits.bits64())
    }

    /// A number in `range`, which is not empty.
    pub fn within(&self, range: Range<u64>) -> u64 {
        range.start + self.bits.bits64() % (range.end - range.start)
    }

    /// An index below `len`.
    pub fn index(&self, len: usize) -> usize {
        self.within(0..len as u64) as usize
    }

    /// True in so many of a thousand cases.
    pub fn per_mille(&self, cases: u64) -> bool {
        self.within(0..1_000) < cases
    }

    /// A time in milliseconds.
    pub fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }
}
