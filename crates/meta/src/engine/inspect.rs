//! The engines' bytes, seen from outside: nothing is opened, locked, claimed or written. For tools that explain a store
//! and prove it.

use super::checksum;
use super::file::{ChunkHeader, ENTRY_HEADER_BYTES, EntryHeader};
use super::object::{ENVELOPE_BYTES, Envelope, Verdict};
use bytes::Bytes;
use frazil_base::Seq;
use frazil_base::limits::BLOCK_BYTES;
use std::ops::Range;

/// Where the object engine keeps its entries.
pub const OBJECT_PREFIX: &str = "log/";

/// An entry as it stands in a chunk of a journal or in an object.
#[derive(Clone, Debug)]
pub struct SeenEntry {
    /// Its number.
    pub seq: Seq,
    /// What was durable for certain when it was written.
    pub durable: Seq,
    /// The record; `None` when it does not fit its checksum.
    pub record: Option<Bytes>,
    /// Where the body stands in the chunk or object.
    pub body: Option<Range<u64>>,
    /// Whether the body is there and fits its checksum; `true` without body.
    pub body_is_whole: bool,
}

/// A chunk of a journal.
#[derive(Clone, Debug)]
pub struct SeenChunk {
    /// Number of its first entry.
    pub first: Seq,
    /// Entries that count: in order, without gap, up to the first that is not whole at its head.
    pub entries: Vec<SeenEntry>,
    /// Where they end.
    pub end: u64,
    /// A header behind the end which says that the entry missing there was durable: proof of damage.
    pub witness: Option<u64>,
}

/// Reads a chunk file. `None`: its first block is no chunk's header.
pub fn chunk(bytes: &Bytes) -> Option<SeenChunk> {
    let header = ChunkHeader::parse(bytes)?;
    let mut seen = SeenChunk { first: header.first, entries: Vec::new(), end: BLOCK_BYTES as u64, witness: None };
    let mut seq = header.first;
    while let Some(entry) = entry_at(bytes, seen.end) {
        if (entry.seq, entry.nonce) != (seq, header.nonce) {
            break;
        }
        seen.entries.push(seen_entry(bytes, &entry));
        seen.end = entry.end();
        seq = seq.next();
    }
    seen.witness = (seen.end..bytes.len() as u64)
        .step_by(BLOCK_BYTES)
        .find(|position| entry_at(bytes, *position).is_some_and(|entry| entry.durable >= seq));
    Some(seen)
}

fn entry_at(bytes: &Bytes, position: u64) -> Option<EntryHeader> {
    let start = usize::try_from(position).ok()?;
    let header = EntryHeader::parse(bytes.get(start..start.checked_add(ENTRY_HEADER_BYTES)?)?)?;
    (header.position == position).then_some(header)
}

fn seen_entry(bytes: &Bytes, header: &EntryHeader) -> SeenEntry {
    let record_start = header.position + ENTRY_HEADER_BYTES as u64;
    let record = part(bytes, record_start, header.record_bytes.into(), header.record_crc);
    let body_start = header.position + header.head_bytes();
    let body_is_whole = header.body.is_none_or(|(length, crc)| part(bytes, body_start, length, crc).is_some());
    let body = header.body.map(|(length, _)| body_start..body_start.saturating_add(length));
    SeenEntry { seq: header.seq, durable: header.durable, record, body, body_is_whole }
}

/// Bytes that fit their checksum.
fn part(bytes: &Bytes, start: u64, length: u64, crc: u64) -> Option<Bytes> {
    let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
    let end = start.checked_add(length).filter(|end| *end <= bytes.len())?;
    let part = bytes.slice(start..end);
    (checksum::of(&part) == crc).then_some(part)
}

/// An entry that is an object of its own.
#[derive(Clone, Debug)]
pub struct SeenObject {
    /// The entry. Its body counts as whole when only the head was read.
    pub entry: SeenEntry,
    /// Counts the writers of this log.
    pub epoch: u64,
    /// Counts the entries of the epoch; 0 opens it.
    pub position: u64,
    /// Who opened the epoch, in its own words, when this entry opens it.
    pub opener: Option<String>,
    envelope: Envelope,
}

/// Reads an entry from the object's bytes; of those, `head_bytes_of` many are enough to know all but whether the body
/// is whole. `None`: these bytes are no entry.
pub fn object(bytes: &Bytes) -> Option<SeenObject> {
    let envelope = Envelope::parse(bytes)?;
    let record = part(bytes, ENVELOPE_BYTES as u64, envelope.record_bytes.into(), envelope.record_crc);
    let start = envelope.body_start();
    let is_head = bytes.len() as u64 <= start;
    let is_whole = |(length, crc)| is_head || part(bytes, start, length, crc).is_some();
    let opener = record.as_ref().filter(|_| envelope.opened);
    Some(SeenObject {
        envelope,
        epoch: envelope.epoch,
        position: envelope.position,
        opener: opener.map(|holder| String::from_utf8_lossy(holder).into_owned()),
        entry: SeenEntry {
            seq: Seq(envelope.number),
            durable: Seq(envelope.durable),
            record,
            body: envelope.body.map(|(length, _)| start..start.saturating_add(length)),
            body_is_whole: envelope.body.is_none_or(is_whole),
        },
    })
}

/// How many of an object's first bytes hold envelope and record; needs the first 96 bytes. `None`: no entry.
pub fn head_bytes_of(bytes: &[u8]) -> Option<u64> {
    Envelope::parse(bytes).map(|envelope| envelope.body_start())
}

/// What an object at its number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A new writer begins.
    Opens,
    /// An entry of the log.
    Counts,
    /// Left by a writer that had been replaced.
    Void,
}

/// Tells which objects count; takes them in the order of their numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Course(super::object::Course);

impl Course {
    /// The course right behind an entry that counts.
    pub fn behind(object: &SeenObject) -> Course {
        Course(super::object::Course::behind(&object.envelope))
    }

    /// Takes the next object.
    pub fn take(&mut self, object: &SeenObject) -> Meaning {
        match self.0.take(&object.envelope) {
            Verdict::Opens => Meaning::Opens,
            Verdict::Counts => Meaning::Counts,
            Verdict::Void => Meaning::Void,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{FileLog, FileOptions, ObjectLog, ObjectOptions};
    use crate::port::{Body, CommitLog, Entry};
    use frazil_base::Env;
    use frazil_store::{Key, MemoryStorage, ObjectStorage};
    use std::sync::Arc;

    async fn append_two(log: &dyn CommitLog) -> Seq {
        let entry = |record: &'static str, body: Option<&'static str>| Entry {
            record: Bytes::from_static(record.as_bytes()),
            body: body.map(|body| Body::from(Bytes::from_static(body.as_bytes()))),
        };
        let first = log.append(Seq::ZERO, vec![entry("one", Some("body"))]).await.unwrap().first;
        log.append(first, vec![entry("two", None)]).await.unwrap();
        log.close().await;
        first
    }

    #[tokio::test]
    async fn a_chunk_shows_its_entries_and_what_is_damaged_in_them() {
        let directory = tempfile::tempdir().unwrap();
        let log = FileLog::open(directory.path(), Env::system(), FileOptions::default()).await.unwrap();
        let first = append_two(&log).await;
        let mut files = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path());
        let chunk_file = files.find(|path| path.extension().is_some_and(|kind| kind == "chunk")).unwrap();
        let mut bytes = std::fs::read(chunk_file).unwrap();
        let seen = chunk(&Bytes::from(bytes.clone())).unwrap();
        assert_eq!((seen.first, seen.entries.len(), seen.witness), (first, 2, None));
        assert_eq!(seen.entries[0].record.as_deref(), Some(&b"one"[..]));
        assert!(seen.entries.iter().all(|entry| entry.body_is_whole));
        let body = seen.entries[0].body.clone().unwrap();
        assert_eq!(&bytes[body.start as usize..body.end as usize], b"body");

        bytes[body.start as usize] ^= 1;
        let damaged = chunk(&Bytes::from(bytes.clone())).unwrap();
        assert!(!damaged.entries[0].body_is_whole && damaged.entries[1].body_is_whole);
        bytes[BLOCK_BYTES] ^= 1;
        let torn = chunk(&Bytes::from(bytes)).unwrap();
        assert!(torn.entries.is_empty() && torn.witness.is_some());
        assert!(chunk(&Bytes::from_static(b"something else")).is_none());
    }

    #[tokio::test]
    async fn objects_show_their_entries_and_which_of_them_count() {
        let store = Arc::new(MemoryStorage::new(Env::system()));
        let log = ObjectLog::open(store.clone(), Env::system(), ObjectOptions::default()).await.unwrap();
        append_two(&log).await;
        let (mut course, mut meanings) = (Course::default(), Vec::new());
        for meta in store.list(OBJECT_PREFIX, None, 10).await.unwrap() {
            let bytes = store.get(&meta.key, None).await.unwrap();
            let seen = object(&bytes).unwrap();
            assert!(seen.entry.body_is_whole && seen.entry.record.is_some());
            let head = bytes.slice(..head_bytes_of(&bytes).unwrap() as usize);
            assert_eq!(object(&head).unwrap().entry.record, seen.entry.record);
            meanings.push(course.take(&seen));
            if let Some(body) = &seen.entry.body {
                assert_eq!(&bytes[body.start as usize..body.end as usize], b"body");
                let mut damaged = bytes.to_vec();
                damaged[body.start as usize] ^= 1;
                assert!(!object(&damaged.into()).unwrap().entry.body_is_whole);
            }
        }
        assert_eq!(meanings, [Meaning::Opens, Meaning::Counts, Meaning::Counts]);
        let other = store.get(&Key::new("log/00000000000000000001"), Some(0..50)).await.unwrap();
        assert!(object(&other).is_none() && head_bytes_of(&other).is_none());
    }
}
