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
            if let Some(found) = self.read(&extent, |view| search_view(view, start, timestamp)).await? {
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
        let ask = |state: &Partition| {
            let mut extents = state.extents_from(state.log_start).peekable();
            // Of the first extent only a part may be readable; its greatest timestamp is then that of its records.
            let torn = extents.next_if(|extent| extent.base_offset < state.log_start).copied();
            Some((torn, state.log_start, extents.map(|extent| extent.max_timestamp).max().unwrap_or(-1)))
        };
        let Some((torn, log_start, mut greatest)) = self.with_partition(partition, ask)? else { return Ok(None) };
        if let Some(extent) = torn.filter(|extent| extent.max_timestamp > greatest) {
            let found = self.read(&extent, |view| greatest_of(view, log_start)).await?;
            greatest = greatest.max(found);
        }
        if greatest < 0 { Ok(None) } else { self.offset_for_time(partition, greatest).await }
    }

    fn with_partition<T>(
        &self,
        partition: TopicPartition,
        ask: impl FnOnce(&Partition) -> Option<T>,
    ) -> Result<Option<T>, FetchError> {
        let state = self.replica.state();
        state.partition(partition).map(ask).ok_or(FetchError::UnknownPartition)
    }

    /// Looks into an extent's records.
    async fn read<T>(
        &self,
        extent: &Extent,
        look: impl FnOnce(&View) -> Result<T, RecordError>,
    ) -> Result<T, FetchError> {
        let found = self.reader.read(&[*extent]).await.pop().expect("one answer per extent")?;
        look(&found.view).map_err(|error| FetchError::Storage {
            cause: format!("records of {extent:?} cannot be read: {error}").into(),
        })
    }
}

/// The first record from `start` on that is late enough.
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

/// The greatest timestamp of the records from `start` on; -1 if there is none.
fn greatest_of(view: &View, start: i64) -> Result<i64, RecordError> {
    let bytes = view.bytes();
    let mut greatest = -1;
    for (position, header) in Batches::new(&bytes).filter(|(_, header)| header.last_offset() >= start) {
        if header.base_offset >= start || header.has_log_append_time() {
            greatest = greatest.max(header.max_timestamp);
            continue;
        }
        let batch = bytes.slice(position..position + header.total_bytes());
        for record in Records::new(&batch, limits::DECOMPRESSED_BATCH_BYTES_MAX)? {
            let record = record?;
            if record.offset >= start {
                greatest = greatest.max(record.timestamp);
            }
        }
    }
    Ok(greatest)
}
