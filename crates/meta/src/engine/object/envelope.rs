//! The envelope around an entry in a bucket (`docs/format/log-entry.md`), and which entries count.

use crate::engine::checksum::{self, u16_at, u32_at, u64_at};
use frazil_base::limits::META_RECORD_BYTES_MAX;

/// Length of an envelope; the record follows, then the body.
pub(crate) const ENVELOPE_BYTES: usize = 96;

const MAGIC: &[u8; 4] = b"FRZL";
const VERSION: u16 = 1;
const HAS_BODY: u16 = 1;
const OPENED: u16 = 2;
const CHECKED_BYTES: usize = 88;

/// What stands before record and body of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The object's number, as in its name.
    pub number: u64,
    /// Counts the writers of this log, from 1.
    pub epoch: u64,
    /// Counts the entries of this epoch; 0 is its `Opened` entry.
    pub position: u64,
    /// Random; tells the writer's own entries from another's.
    pub nonce: u128,
    /// When this was written, all numbers up to here were there and acknowledged.
    pub durable: u64,
    /// Whether it opens its epoch; its record then says who did, as text.
    pub opened: bool,
    pub record_bytes: u32,
    pub record_crc: u64,
    /// Length and checksum of the body.
    pub body: Option<(u64, u64)>,
}

impl Envelope {
    pub(crate) fn encode(&self) -> [u8; ENVELOPE_BYTES] {
        let (body_bytes, body_crc) = self.body.unwrap_or_default();
        let has_body = if self.body.is_some() { HAS_BODY } else { 0 };
        let flags = has_body | if self.opened { OPENED } else { 0 };
        let mut bytes = [0; ENVELOPE_BYTES];
        bytes[0..4].copy_from_slice(MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.position.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.durable.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.record_bytes.to_le_bytes());
        bytes[64..72].copy_from_slice(&body_bytes.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.record_crc.to_le_bytes());
        bytes[80..88].copy_from_slice(&body_crc.to_le_bytes());
        let crc = checksum::of(&bytes[..CHECKED_BYTES]);
        bytes[88..96].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None`: these bytes are no envelope.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Envelope> {
        let wellformed = bytes.len() >= ENVELOPE_BYTES
            && bytes.starts_with(MAGIC)
            && u16_at(bytes, 4) == VERSION
            && u64_at(bytes, CHECKED_BYTES) == checksum::of(&bytes[..CHECKED_BYTES])
            && u32_at(bytes, 56) as usize <= META_RECORD_BYTES_MAX;
        let flags = u16_at(bytes.get(..ENVELOPE_BYTES)?, 6);
        wellformed.then(|| Envelope {
            number: u64_at(bytes, 8),
            epoch: u64_at(bytes, 16),
            position: u64_at(bytes, 24),
            nonce: u128::from_le_bytes(bytes[32..48].try_into().expect("sixteen bytes")),
            durable: u64_at(bytes, 48),
            opened: flags & OPENED != 0,
            record_bytes: u32_at(bytes, 56),
            record_crc: u64_at(bytes, 72),
            body: (flags & HAS_BODY != 0).then(|| (u64_at(bytes, 64), u64_at(bytes, 80))),
        })
    }

    /// Where the body starts in the object.
    pub(crate) fn body_start(&self) -> u64 {
        (ENVELOPE_BYTES + self.record_bytes as usize) as u64
    }
}

/// Where a reader is in the log: which epoch is open, and which of its entries comes next. Every reader that takes the
/// numbers in order comes to the same verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Course {
    pub epoch: u64,
    pub next_position: u64,
}

/// What an object at its number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A new epoch begins; earlier ones are closed.
    Opens,
    /// An entry of the log.
    Counts,
    /// Left by a writer whose epoch was closed, or behind a hole in its row.
    Void,
}

impl Course {
    /// The course right behind an entry that counts.
    pub(crate) fn behind(envelope: &Envelope) -> Course {
        Course { epoch: envelope.epoch, next_position: envelope.position + 1 }
    }

    /// Takes the next number.
    pub(crate) fn take(&mut self, envelope: &Envelope) -> Verdict {
        let verdict = match envelope {
            Envelope { opened: true, position: 0, epoch, .. } if *epoch > self.epoch => Verdict::Opens,
            Envelope { opened: false, epoch, position, .. }
                if *epoch == self.epoch && *position == self.next_position =>
            {
                Verdict::Counts
            }
            _ => Verdict::Void,
        };
        if verdict != Verdict::Void {
            *self = Course::behind(envelope);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            number: 0x0102,
            epoch: 3,
            position: 4,
            nonce: 0x1112_1314_1516_1718_191a_1b1c_1d1e_1f20,
            durable: 0x0101,
            opened: false,
            record_bytes: 3,
            record_crc: checksum::of(b"abc"),
            body: Some((5, checksum::of(b"hello"))),
        }
    }

    #[test]
    fn yesterdays_envelope_is_read_today() {
        let bytes = envelope().encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "46525a4c01000100020100000000000003000000000000000400000000000000201f1e1d1c1b1a191817161514131211010100000000000003",
                "000000000000000500000000000000ebfac13fbbcae505574252067085773380c383f363bd3d9b"
            )
        );
        assert_eq!(Envelope::parse(&bytes), Some(envelope()));
        let opened = Envelope { opened: true, position: 0, body: None, ..envelope() };
        assert_eq!(Envelope::parse(&opened.encode()), Some(opened));
    }

    #[test]
    fn an_envelope_with_any_byte_changed_is_refused() {
        for position in 0..ENVELOPE_BYTES {
            let mut damaged = envelope().encode();
            damaged[position] ^= 0x10;
            assert_eq!(Envelope::parse(&damaged), None, "byte {position}");
        }
        assert_eq!(Envelope::parse(&envelope().encode()[..95]), None);
    }

    fn entry(epoch: u64, position: u64) -> Envelope {
        Envelope { epoch, position, opened: position == 0, ..envelope() }
    }

    #[test]
    fn an_entry_counts_in_the_open_epoch_at_the_next_position_only() {
        let mut course = Course::default();
        assert_eq!(course.take(&entry(1, 0)), Verdict::Opens);
        assert_eq!(course.take(&entry(1, 1)), Verdict::Counts);
        assert_eq!(course.take(&entry(1, 3)), Verdict::Void);
        assert_eq!(course.take(&entry(1, 2)), Verdict::Counts);
        assert_eq!(course.take(&entry(3, 0)), Verdict::Opens);
        assert_eq!(course.take(&entry(1, 3)), Verdict::Void);
        assert_eq!(course.take(&entry(2, 0)), Verdict::Void);
        assert_eq!(course.take(&entry(1, 1)), Verdict::Void);
        assert_eq!(course.take(&entry(3, 1)), Verdict::Counts);
        assert_eq!(course, Course { epoch: 3, next_position: 2 });
    }
}
