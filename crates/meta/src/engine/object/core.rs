//! What the writer's task and the readers of one handle share.

use super::bucket::{Bucket, read_error};
use super::envelope::Envelope;
use crate::engine::checksum;
use crate::engine::recent::Recent;
use crate::port::{LiveBodies, ReadError};
use bytes::Bytes;
use frazil_base::Seq;
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use tokio::sync::watch;

/// Places of bodies kept, the oldest go first; one that is not kept costs one more small GET.
const PLACES_MAX: usize = 64 << 10;

const READS_AT_ONCE: usize = 16;
const DELETES_AT_ONCE: usize = 8;

/// The newest numbers stay, however little they are needed: a writer that comes back after a pause finds in them that it
/// is no longer the writer, and an opener tells by them a trimmed number from one that was never written.
pub(crate) const KEPT_NUMBERS: u64 = 64;

/// One handle's view of the log.
#[derive(Debug)]
pub(crate) struct Core {
    pub bucket: Bucket,
    pub tail: watch::Sender<Seq>,
    view: Mutex<View>,
}

#[derive(Debug)]
struct View {
    /// Numbers up to here are not served.
    floor: Seq,
    /// Numbers beyond the floor that hold no entry that counts.
    skipped: BTreeSet<u64>,
    recent: Recent,
    places: BTreeMap<u64, BodyPlace>,
    last_trim: Option<(Seq, LiveBodies)>,
}

/// Where a body stands in its object, and its checksum.
#[derive(Clone, Copy, Debug)]
struct BodyPlace {
    start: u64,
    bytes: u64,
    crc: u64,
}

impl BodyPlace {
    fn of(envelope: &Envelope) -> Option<BodyPlace> {
        envelope.body.map(|(bytes, crc)| BodyPlace { start: envelope.body_start(), bytes, crc })
    }
}

impl Core {
    /// A view that begins behind `known`.
    pub(crate) fn new(bucket: Bucket, known: Seq) -> Core {
        let view = View {
            floor: known,
            skipped: BTreeSet::new(),
            recent: Recent::new(known),
            places: BTreeMap::new(),
            last_trim: None,
        };
        Core { bucket, tail: watch::Sender::new(known), view: Mutex::new(view) }
    }

    /// The next entry that counts.
    pub(crate) fn publish(&self, envelope: &Envelope, record: Bytes) {
        let mut view = self.view.lock();
        view.recent.push(Seq(envelope.number), record);
        view.remember(envelope);
        drop(view);
        self.tail.send_replace(Seq(envelope.number));
    }

    /// A number that holds no entry that counts.
    pub(crate) fn skip(&self, number: u64) {
        self.view.lock().skipped.insert(number);
    }

    pub(crate) fn tail(&self) -> Seq {
        *self.tail.borrow()
    }

    /// Numbers up to here are not served.
    pub(crate) fn floor(&self) -> Seq {
        self.view.lock().floor
    }

    pub(crate) async fn read(&self, after: Seq, max_bytes: usize) -> Result<Vec<(Seq, Bytes)>, ReadError> {
        let numbers: Vec<u64> = {
            let view = self.view.lock();
            if after < view.floor {
                return Err(ReadError::NotFound { seq: after.next() });
            }
            if let Some(records) = view.recent.after(after, max_bytes) {
                return Ok(records);
            }
            let numbers = after.0 + 1..=self.tail().0;
            numbers.filter(|number| !view.skipped.contains(number)).collect()
        };
        let mut heads = futures::stream::iter(numbers).map(|number| self.bucket.head(number)).buffered(READS_AT_ONCE);
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < max_bytes.max(1)
            && let Some(head) = heads.next().await
        {
            let head = head?;
            bytes += head.record.len().max(1);
            records.push((Seq(head.envelope.number), head.record));
        }
        Ok(records)
    }

    pub(crate) async fn read_body(&self, seq: Seq, range: Range<u64>) -> Result<Bytes, ReadError> {
        let known = self.view.lock().places.get(&seq.0).copied();
        let place = match known {
            Some(place) => place,
            None => self.find_body(seq).await?,
        };
        let corrupt = |detail: String| ReadError::Corrupt { seq, detail: detail.into() };
        if range.start > range.end || range.end > place.bytes {
            return Err(corrupt(format!("bytes {range:?} of a body of {}", place.bytes)));
        }
        let bytes = self.bucket.get(seq.0, place.start + range.start..place.start + range.end).await?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(corrupt(format!("{} of bytes {range:?} of the body are there", bytes.len())));
        }
        if bytes.len() as u64 == place.bytes && checksum::of(&bytes) != place.crc {
            return Err(corrupt("the body does not fit its checksum".into()));
        }
        Ok(bytes)
    }

    async fn find_body(&self, seq: Seq) -> Result<BodyPlace, ReadError> {
        let head = self.bucket.head(seq.0).await?;
        self.view.lock().remember(&head.envelope);
        BodyPlace::of(&head.envelope).ok_or(ReadError::NotFound { seq })
    }

    /// Deletes what is below `below` and not live, except what openers and late writers need.
    pub(crate) async fn trim(&self, below: Seq, live: &LiveBodies) -> Result<(), ReadError> {
        let end = (below.0.saturating_sub(1)).min(self.tail().0.saturating_sub(KEPT_NUMBERS));
        let trim = (Seq(end), live.clone());
        if end == 0 || self.view.lock().last_trim.as_ref() == Some(&trim) {
            return Ok(());
        }
        self.view.lock().raise_floor(end);
        let mut after = 0;
        loop {
            let listed = self.bucket.numbers_after(after).await.map_err(|error| read_error(after, &error))?;
            let Some(last) = listed.last().copied() else { break };
            let dead = listed.into_iter().filter(|number| *number < end && !live.contains(Seq(*number)));
            self.delete(dead).await?;
            if last >= end {
                break;
            }
            after = last;
        }
        self.view.lock().last_trim = Some(trim);
        Ok(())
    }

    async fn delete(&self, numbers: impl Iterator<Item = u64>) -> Result<(), ReadError> {
        let delete = |number| async move { (number, self.bucket.delete(number).await) };
        let mut deleted = futures::stream::iter(numbers).map(delete).buffered(DELETES_AT_ONCE);
        while let Some((number, outcome)) = deleted.next().await {
            outcome.map_err(|error| read_error(number, &error))?;
        }
        Ok(())
    }
}

impl View {
    fn remember(&mut self, envelope: &Envelope) {
        if let Some(place) = BodyPlace::of(envelope) {
            self.places.insert(envelope.number, place);
        }
        while self.places.len() > PLACES_MAX {
            self.places.pop_first();
        }
    }

    /// Numbers below `end` go; the one at `end` stays for whoever starts right behind it.
    fn raise_floor(&mut self, end: u64) {
        self.floor = self.floor.max(Seq(end - 1));
        self.skipped = self.skipped.split_off(&end);
    }
}
