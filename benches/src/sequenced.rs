//! Prebuilt produce requests of an idempotent producer: only the sequence changes, and the CRC with it.
//!
//! Computing the CRC of 64 KiB for each request would charge the generator, and so the machine, for what a client does.
//! A CRC is linear: flipping a bit of the message flips the same bits of the CRC whatever the rest is. So each bit of the
//! sequence has a column that was worked out once.

use crate::protocol::produce_frame_of;
use bytes::Bytes;
use frazil_wire::batch::{ProducerFields, crc32c};
use frazil_wire::{BatchBuilder, Compression};

const CRC_AT: usize = 17;
const CRC_COVERS_FROM: usize = 21;
const SEQUENCE_AT: usize = 53;
const HEADER_BYTES: usize = 61;

/// Requests for one partition, in the order of their sequences.
#[derive(Clone, Debug)]
pub struct SequencedFrames {
    /// The request up to the end of the batch's header, with sequence 0.
    head: Vec<u8>,
    /// The records.
    rest: Bytes,
    batch_at: usize,
    crc: u32,
    columns: [u32; 32],
    records: i32,
    sequence: i32,
}

impl SequencedFrames {
    /// Requests of `records` records of `record_bytes` bytes for `partition`, from sequence 0 on.
    pub fn new(
        topic: &str,
        partition: i32,
        transactional_id: Option<&str>,
        (id, epoch): (i64, i16),
        records: usize,
        value: &[u8],
    ) -> SequencedFrames {
        let batch_of = |base_sequence| {
            let mut builder =
                BatchBuilder::new(Compression::None).producer(ProducerFields { id, epoch, base_sequence });
            if transactional_id.is_some() {
                builder = builder.transactional();
            }
            (0..records).for_each(|_| builder.push(1_700_000_000_000, None, Some(value), &[]));
            builder.build()
        };
        let batch = batch_of(0);
        let crc = crc32c(&batch[CRC_COVERS_FROM..]);
        let columns = std::array::from_fn(|bit| {
            let mut flipped = batch.to_vec();
            flipped[SEQUENCE_AT + 3 - bit / 8] ^= 1 << (bit % 8);
            crc ^ crc32c(&flipped[CRC_COVERS_FROM..])
        });
        let frame = produce_frame_of(topic, partition, transactional_id, &batch);
        let batch_at = frame.len() - batch.len();
        let (head, rest) = (frame[..batch_at + HEADER_BYTES].to_vec(), frame.slice(batch_at + HEADER_BYTES..));
        SequencedFrames { head, rest, batch_at, crc, columns, records: records as i32, sequence: 0 }
    }

    /// The next request: what to write first, and what after it.
    pub fn next(&mut self) -> (Bytes, Bytes) {
        let sequence = self.sequence;
        self.sequence = ((i64::from(sequence) + i64::from(self.records)) & i64::from(i32::MAX)) as i32;
        let flips = (0..32).filter(|bit| sequence >> bit & 1 == 1);
        let crc = flips.fold(self.crc, |crc, bit| crc ^ self.columns[bit]);
        let at = self.batch_at;
        self.head[at + SEQUENCE_AT..at + SEQUENCE_AT + 4].copy_from_slice(&sequence.to_be_bytes());
        self.head[at + CRC_AT..at + CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        (Bytes::copy_from_slice(&self.head), self.rest.clone())
    }

    /// Bytes of one batch.
    #[cfg(test)]
    fn batch_bytes(&self) -> usize {
        self.head.len() - self.batch_at + self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use frazil_wire::batch::check_stored;

    #[test]
    fn every_request_carries_a_batch_with_the_right_sequence_and_crc() {
        let mut frames = SequencedFrames::new("t", 3, Some("id"), (9, 1), 21_001, b"v");
        for number in 0..200_000_i64 / 21_001 {
            let (head, rest) = frames.next();
            let frame = [&head[..], &rest].concat();
            let header = check_stored(&frame[frame.len() - frames.batch_bytes()..]).expect("a batch with its CRC");
            assert_eq!((i64::from(header.base_sequence), header.producer_id), (number * 21_001, 9));
        }
    }
}
