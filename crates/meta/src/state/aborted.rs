//! Transactions of one partition: which are open, and which were aborted.
//!
//! Readers of committed data stop at the last stable offset, the first offset of the transaction that has been open for
//! longest. Of an aborted one they need its producer and its first offset, to pass its batches over until its marker.
//! An aborted transaction is forgotten when its marker lies below the log start: the list is as long as the partition
//! has aborted markers, and each of those is an extent anyway.

use super::{BodyId, Extent, Partition};
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of the control batch that a marker is fetched as: a batch header, and one record with a key of 4 and a value
/// of 6 bytes.
pub const CONTROL_BATCH_BYTES: u32 = 78;

/// The end of a transaction, at one offset of each of its partitions. No body holds it: the batch follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControlMarker {
    /// Whose transaction.
    pub producer_id: i64,
    /// The producer's epoch; the next one where the end raised it (KIP-890).
    pub epoch: i16,
    /// Committed, or aborted.
    pub commit: bool,
}

/// An aborted transaction of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Offset of its first record here.
    pub first_offset: i64,
    /// Offset of its marker.
    pub last_offset: i64,
    /// The last stable offset behind its marker: whatever was aborted later begins there or behind.
    pub(super) stable_offset: i64,
}

/// A transaction that has written to the partition and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenTransaction {
    pub(super) producer_id: i64,
    pub(super) first_offset: i64,
}

/// What a partition knows of transactions. Most partitions have none, so that it stands behind a box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PartitionTransactions {
    /// By ascending first offset.
    pub(super) open: Vec<OpenTransaction>,
    /// By ascending last offset.
    pub(super) aborted: VecDeque<AbortedTransaction>,
}

impl Partition {
    /// Readers of committed data read up to here (Kafka's LSO): the first offset of an open transaction, else the next
    /// offset.
    pub fn last_stable_offset(&self) -> i64 {
        let oldest = self.transactions.as_ref().and_then(|transactions| transactions.open.first());
        oldest.map_or(self.next_offset, |oldest| oldest.first_offset.max(self.log_start))
    }

    /// The aborted transactions that a reader of these offsets must know, by ascending last offset.
    pub fn aborted_in(&self, offsets: Range<i64>) -> Vec<AbortedTransaction> {
        let Some(transactions) = &self.transactions else { return Vec::new() };
        let aborted = &transactions.aborted;
        let first = aborted.partition_point(|aborted| aborted.last_offset < offsets.start);
        let mut found = Vec::new();
        for aborted in aborted.range(first..) {
            if aborted.first_offset < offsets.end {
                found.push(*aborted);
            }
            if aborted.stable_offset >= offsets.end {
                break;
            }
        }
        found
    }

    /// First offset of the producer's open transaction, if that has written here.
    pub(super) fn open_since(&self, producer_id: i64) -> Option<i64> {
        let open = &self.transactions.as_ref()?.open;
        open.iter().find(|open| open.producer_id == producer_id).map(|open| open.first_offset)
    }

    /// A batch of the producer's transaction was stored at this offset.
    pub(super) fn note_open(&mut self, producer_id: i64, base_offset: i64) {
        if self.open_since(producer_id).is_none() {
            let transactions = self.transactions.get_or_insert_default();
            transactions.open.push(OpenTransaction { producer_id, first_offset: base_offset });
        }
    }

    /// Puts the marker of the producer's transaction at the next offset.
    pub(super) fn end_transaction(&mut self, marker: ControlMarker, now_ms: i64) {
        let last_offset = self.next_offset;
        self.push(Extent {
            base_offset: last_offset,
            records: 1,
            body: BodyId::Marker(marker),
            position: 0,
            bytes: CONTROL_BATCH_BYTES,
            max_timestamp: now_ms,
        });
        let Some(transactions) = &mut self.transactions else { return };
        let index = transactions.open.iter().position(|open| open.producer_id == marker.producer_id);
        let Some(index) = index else { return };
        let OpenTransaction { producer_id, first_offset } = transactions.open.remove(index);
        if !marker.commit {
            let stable_offset = self.last_stable_offset();
            let aborted = AbortedTransaction { producer_id, first_offset, last_offset, stable_offset };
            self.transactions.get_or_insert_default().aborted.push_back(aborted);
        }
        self.forget_aborted();
    }

    /// The mutation `ReuseOffset` took offsets back.
    pub(super) fn truncate_transactions(&mut self) {
        let Some(transactions) = &mut self.transactions else { return };
        transactions.open.retain(|open| open.first_offset < self.next_offset);
        transactions.aborted.retain(|aborted| aborted.last_offset < self.next_offset);
        self.forget_aborted();
    }

    /// Forgets aborted transactions that lie below the log start.
    pub(super) fn forget_aborted(&mut self) {
        let Some(transactions) = &mut self.transactions else { return };
        while transactions.aborted.pop_front_if(|aborted| aborted.last_offset < self.log_start).is_some() {}
        if transactions.aborted.is_empty() && transactions.open.is_empty() {
            self.transactions = None;
        } else if transactions.aborted.len() * 4 < transactions.aborted.capacity() {
            transactions.aborted.shrink_to(transactions.aborted.len() * 2);
        }
    }
}
