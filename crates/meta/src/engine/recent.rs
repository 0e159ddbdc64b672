//! The last records of a log, kept in memory for whoever follows its end.

use crate::port::{CommitLog, ReadError};
use bytes::Bytes;
use frazil_base::Seq;
use frazil_base::limits::META_RECORD_BYTES_MAX;
use std::collections::VecDeque;

/// Bytes of records kept.
const RECENT_BYTES_MAX: usize = 4 << 20;

/// All records beyond some number, up to the last.
#[derive(Debug)]
pub(crate) struct Recent {
    floor: Seq,
    records: VecDeque<(Seq, Bytes)>,
    bytes: usize,
}

impl Recent {
    /// Nothing yet; the records from here on will be complete beyond `floor`.
    pub(crate) fn new(floor: Seq) -> Recent {
        Recent { floor, records: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn push(&mut self, seq: Seq, record: Bytes) {
        self.bytes += record.len();
        self.records.push_back((seq, record));
        while self.bytes > RECENT_BYTES_MAX && self.records.len() > 1 {
            if let Some((seq, record)) = self.records.pop_front() {
                self.bytes -= record.len();
                self.floor = seq;
            }
        }
    }

    /// The records after `after`, about `max_bytes` of them; `None` if some of them are no longer here.
    pub(crate) fn after(&self, after: Seq, max_bytes: usize) -> Option<Vec<(Seq, Bytes)>> {
        if after < self.floor {
            return None;
        }
        let start = self.records.partition_point(|(seq, _)| *seq <= after);
        Some(up_to(max_bytes, self.records.iter().skip(start).cloned()).collect())
    }
}

/// The first of these records, at least one, until they reach `max_bytes`.
pub(crate) fn up_to(
    max_bytes: usize,
    records: impl Iterator<Item = (Seq, Bytes)>,
) -> impl Iterator<Item = (Seq, Bytes)> {
    let mut bytes = 0;
    records.take_while(move |(_, record)| {
        let wanted = bytes == 0 || bytes < max_bytes;
        bytes += record.len().max(1);
        wanted
    })
}

/// All records after `after` up to and including `last`.
pub(crate) async fn between(log: &dyn CommitLog, mut after: Seq, last: Seq) -> Result<Vec<(Seq, Bytes)>, ReadError> {
    let mut records = Vec::new();
    while after < last {
        let some = log.read(after, META_RECORD_BYTES_MAX).await?;
        let Some((read_to, _)) = some.last() else { return Err(ReadError::NotFound { seq: after.next() }) };
        after = *read_to;
        records.extend(some.into_iter().take_while(|(seq, _)| *seq <= last));
    }
    Ok(records)
}
