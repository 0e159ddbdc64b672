//! The control batch that ends a transaction on a partition (KIP-98).
//!
//! One record without anything variable in its size. Its key is the version 0 and what it says (0 abort, 1 commit); its
//! value is the version 0 and the epoch of the coordinator, which is 0 here: the metadata log fences coordinators.

use super::{BatchBuilder, BatchHeader, ProducerFields};
use crate::compression::Compression;
use crate::record::Record;
use bytes::Bytes;

/// Bytes of every marker.
pub const MARKER_BYTES: usize = 78;

const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;
const COORDINATOR_EPOCH: i32 = 0;

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Id of the producer whose transaction ended.
    pub producer_id: i64,
    /// The epoch that ended it.
    pub producer_epoch: i16,
    /// Whether it was committed.
    pub commit: bool,
}

impl Marker {
    /// The batch at `base_offset`, with `timestamp` in milliseconds. The same bytes for the same arguments.
    pub fn build(&self, base_offset: i64, leader_epoch: i32, timestamp: i64) -> Bytes {
        let fields = ProducerFields { id: self.producer_id, epoch: self.producer_epoch, base_sequence: -1 };
        let mut builder = BatchBuilder::new(Compression::None)
            .producer(fields)
            .transactional()
            .control()
            .place(base_offset, leader_epoch);
        let kind = if self.commit { COMMIT } else { ABORT };
        let key = [VERSION.to_be_bytes(), kind.to_be_bytes()].concat();
        let value = [&VERSION.to_be_bytes()[..], &COORDINATOR_EPOCH.to_be_bytes()].concat();
        builder.push(timestamp, Some(&key), Some(&value), &[]);
        let batch = builder.build();
        assert_eq!(batch.len(), MARKER_BYTES, "a marker has one size");
        batch
    }

    /// What the record of a control batch says; `None` if it is no marker of a transaction.
    pub fn read(header: &BatchHeader, record: &Record) -> Option<Marker> {
        let key: [u8; 4] = record.key.as_deref()?.try_into().ok()?;
        let commit = match i16::from_be_bytes([key[2], key[3]]) {
            COMMIT => true,
            ABORT => false,
            _ => return None,
        };
        let BatchHeader { producer_id, producer_epoch, .. } = *header;
        header.is_control().then_some(Marker { producer_id, producer_epoch, commit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Records;

    /// Written by `MemoryRecords.withEndTransactionMarker` of Apache Kafka 4.1.1: offset 1234567, leader epoch 0,
    /// producer 9000000001 of epoch 7, coordinator epoch 0.
    const COMMITTED: &str = "000000000012d687000000420000000002f9f52b3c0030000000000000018df4f344800000018df4f344800000000218711a010007ffffffff000000012000000008000000010c00000000000000";
    const ABORTED: &str = "000000000012d6870000004200000000020dcbfd740030000000000000018df4f344800000018df4f344800000000218711a010007ffffffff000000012000000008000000000c00000000000000";

    fn marker(commit: bool) -> Marker {
        Marker { producer_id: 9_000_000_001, producer_epoch: 7, commit }
    }

    #[test]
    fn markers_are_byte_for_byte_those_of_kafka() {
        for (commit, golden) in [(true, COMMITTED), (false, ABORTED)] {
            let built = marker(commit).build(1_234_567, 0, 1_709_211_600_000);
            let hex: String = built.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, golden);
        }
    }

    #[test]
    fn a_marker_is_read_back_from_its_record() {
        for commit in [true, false] {
            let batch = marker(commit).build(5, 0, 1);
            let mut records = Records::new(&batch, 0).expect("a batch");
            let header = *records.header();
            let record = records.next().expect("one record").expect("whole");
            assert_eq!((record.offset, record.timestamp), (5, 1));
            assert_eq!(Marker::read(&header, &record), Some(marker(commit)));
        }
    }
}
