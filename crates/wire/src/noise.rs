//! Hostile bytes for tests, from a seed: the same seed gives the same bytes, so a failure can be repeated.

/// A generator (SplitMix64).
#[derive(Debug)]
pub(crate) struct Noise {
    state: u64,
}

impl Noise {
    pub(crate) fn new(seed: u64) -> Noise {
        Noise { state: seed }
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `end`; 0 if there is nothing below.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.bits() % end.max(1) as u64) as usize
    }

    /// Up to `max` random bytes.
    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        let length = self.below(max + 1);
        let mut bytes: Vec<u8> =
            std::iter::repeat_with(|| self.bits().to_ne_bytes()).take(length / 8 + 1).flatten().collect();
        bytes.truncate(length);
        bytes
    }

    /// Damages bytes in one to four places: bits, whole integers that lie, cuts, repetitions.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            self.damage_once(bytes);
        }
    }

    fn damage_once(&mut self, bytes: &mut Vec<u8>) {
        const LIES: [i32; 8] = [-1, -2, 0, 1, 0xff, i32::MAX, i32::MIN, 0x0001_0000];
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let lie = LIES[self.below(LIES.len())].to_be_bytes();
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&lie[..end - at]);
            }
            2 => bytes.extend_from_within(at..),
            3 if at < bytes.len() => bytes[at] = self.bits() as u8,
            _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            _ => {}
        }
    }
}
