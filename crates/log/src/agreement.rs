//! Whether the brokers agree on the state.
//!
//! Every broker remembers its state's hash at fixed places of the log. The eldest writes one of them into the log now and
//! then; whoever has another hash at that place has another state, and must not go on handing out offsets from it. A
//! broker that started behind the place has nothing to compare. The same happens to a single broker that reads its log
//! again: a newer version that applies old records differently is found out.

use frazil_base::Seq;
use std::collections::VecDeque;

/// Distance of the places.
const PLACE_RECORDS: u64 = 256;
/// Places remembered: a comparison waits in the log while a broker is behind, but not for longer than these.
const PLACES: usize = 256;

/// The hashes at the last places.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    places: VecDeque<(Seq, u64)>,
    /// The last place that some broker wrote into the log.
    compared: Seq,
}

/// Another broker's state was another one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "after record {seq} the state has the hash {own:016x} here and {theirs:016x} at the broker that wrote the comparison"
)]
pub(crate) struct Disagreement {
    seq: Seq,
    own: u64,
    theirs: u64,
}

impl Hashes {
    /// The state's hash after record `seq`, remembered if that is one of the places.
    pub(crate) fn note(&mut self, seq: Seq, hash: u64) {
        if seq.0.is_multiple_of(PLACE_RECORDS) {
            if self.places.len() == PLACES {
                self.places.pop_front();
            }
            self.places.push_back((seq, hash));
        }
    }

    /// The last place, if nobody has compared it yet.
    pub(crate) fn due(&self) -> Option<(Seq, u64)> {
        self.places.back().copied().filter(|(seq, _)| *seq > self.compared)
    }

    /// A broker had this hash after record `seq`.
    pub(crate) fn compare(&mut self, seq: Seq, theirs: u64) -> Result<(), Disagreement> {
        self.compared = self.compared.max(seq);
        match self.places.iter().find(|(place, _)| *place == seq) {
            Some((_, own)) if *own != theirs => Err(Disagreement { seq, own: *own, theirs }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_compared_once() {
        let mut hashes = Hashes::default();
        (1..=600).for_each(|seq| hashes.note(Seq(seq), seq * 10));
        assert_eq!(hashes.due(), Some((Seq(512), 5120)));
        assert_eq!(hashes.compare(Seq(512), 5120), Ok(()));
        assert_eq!(hashes.due(), None);
        assert_eq!(hashes.compare(Seq(256), 2560), Ok(()), "late, and right");
        (601..=800).for_each(|seq| hashes.note(Seq(seq), seq * 10));
        assert_eq!(hashes.due(), Some((Seq(768), 7680)));
    }

    #[test]
    fn another_hash_is_a_disagreement_and_an_unknown_place_is_none() {
        let mut hashes = Hashes::default();
        (1000..=1100).for_each(|seq| hashes.note(Seq(seq), 7));
        assert_eq!(hashes.compare(Seq(1024), 8), Err(Disagreement { seq: Seq(1024), own: 7, theirs: 8 }));
        assert_eq!(hashes.compare(Seq(768), 8), Ok(()), "from before the start");
    }

    #[test]
    fn memory_is_bounded() {
        let mut hashes = Hashes::default();
        (1..=PLACE_RECORDS * 1000).for_each(|seq| hashes.note(Seq(seq), 1));
        assert_eq!(hashes.places.len(), PLACES);
    }
}
