//! Offsets by time, exact at record level (Kafka's ListOffsets; KIP-734 for the greatest timestamp).
//!
//! Extents whose greatest timestamp is too small are passed over without being read, then batches by their headers;
//! only the batch that must hold the record is opened.

use crate::cache::View;
use crate::fetch::FetchError;
use crate::reader::Reader;
use crate::replica::Replica;
use frazil_base::{TopicPartition, limits};
use frazil_meta::state::{Extent, Partition};
use frazil_wire::batch::{BatchHeader, Batches};
use frazil_wire::record::{RecordError, Records};
use std::sync::Arc;

/// A record's offset and timestamp.
pub type TimedOffset = (i64, i64);

/// Answers questions about time. One per broker.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) replica: Arc<Replica>,
    pub(crate) reader: Arc<Reader>,
}

impl Times {
    /// The first record whose timestamp is at least `timestamp`.
    pub(crate) async fn offset_for_time(
        &self,
        partition: TopicPartition,
        timestamp: i64,
    ) -> Result<Option<TimedOffset>, FetchError> {
        let mut from = i64::MIN;
        loop {
            let later = |extent: &&Extent| extent.max_timestamp >= timestamp;
            let choose = |state: &Partition| {
                let start = from.max(state.log_start);
                state.extents_from(start).find(later).map(|extent| (*extent, start))
            };
            let Some((extent, start)) = self.with_partition(partition, choose)? else { return Ok(None) };
            if let Some(found) = self.search(&extent, start, timestamp).await? {
                return Ok(Some(found));
            }
            from = extent.end_offset();
        }
    }

    /// The first record that has the greatest timestamp of the partition.
    pub(crate) async fn max_timestamp_offset(
        &self,
        partition: TopicPartition,
    ) -> Result<Option<TimedOffset>, FetchError> {
        let greatest = |state: &Partition| state.extents_from(state.log_start).map(|extent| extent.max_timestamp).max();
        match self.with_partition(partition, greatest)? {
            Some(timestamp) if timestamp >= 0 => self.offset_for_time(partition, timestamp).await,
            _ => Ok(None),
        }
    }

    fn with_partition<T>(
        &self,
        partition: TopicPartition,
        ask: impl FnOnce(&Partition) -> Option<T>,
    ) -> Result<Option<T>, FetchError> {
        let state = self.replica.state();
        state.partition(partition).map(ask).ok_or(FetchError::UnknownPartition)
    }

    /// The first record of an extent, from `start` on, that is late enough.
    async fn search(&self, extent: &Extent, start: i64, timestamp: i64) -> Result<Option<TimedOffset>, FetchError> {
        let found = self.reader.read(&[*extent]).await.pop().expect("one answer per extent")?;
        search_view(&found.view, start, timestamp).map_err(|error| FetchError::Storage {
            cause: format!("records of {extent:?} cannot be read: {error}").into(),
        })
    }
}

fn search_view(view: &View, start: i64, timestamp: i64) -> Result<Option<TimedOffset>, RecordError> {
    let bytes = view.bytes();
    for (position, header) in Batches::new(&bytes) {
        if header.last_offset() < start || header.max_timestamp < timestamp {
            continue;
        }
        let batch = bytes.slice(position..position + header.total_bytes());
        if let Some(found) = search_batch(&header, &batch, start, timestamp)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn search_batch(
    header: &BatchHeader,
    batch: &bytes::Bytes,
    start: i64,
    timestamp: i64,
) -> Result<Option<TimedOffset>, RecordError> {
    if header.has_log_append_time() {
        // All its records have the batch's time.
        return Ok(Some((header.base_offset.max(start), header.max_timestamp)));
    }
    for record in Records::new(batch, limits::DECOMPRESSED_BATCH_BYTES_MAX)? {
        let record = record?;
        if record.offset >= start && record.timestamp >= timestamp {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}
