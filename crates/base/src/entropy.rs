//! The only door to randomness.

use std::fmt::Debug;

/// Random bits. Ids are made from them, so that a test with a seed sees the same ids again.
pub trait Entropy: Send + Sync + Debug {
    /// 64 random bits.
    fn bits64(&self) -> u64;

    /// 128 random bits, never zero.
    fn bits128(&self) -> u128 {
        let bits = (u128::from(self.bits64()) << 64) | u128::from(self.bits64());
        bits.max(1)
    }
}

/// The operating system's randomness, through the thread's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bits64(&self) -> u64 {
        rand::random()
    }
}

/// A generator with a seed (SplitMix64): the same seed gives the same bits.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct SeededEntropy {
    state: std::sync::atomic::AtomicU64,
}

#[cfg(feature = "testing")]
impl SeededEntropy {
    /// Starts the sequence that belongs to `seed`.
    pub fn new(seed: u64) -> SeededEntropy {
        SeededEntropy { state: std::sync::atomic::AtomicU64::new(seed) }
    }
}

#[cfg(feature = "testing")]
impl Entropy for SeededEntropy {
    fn bits64(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.state.fetch_add(GAMMA, std::sync::atomic::Ordering::Relaxed).wrapping_add(GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
