//! Proves a store against its metadata.
//!
//! The state is built as a starting broker builds it: the newest snapshot that can be read, then the log. Then every
//! body that the state refers to is read: it must be there, be as long as was committed, and be a whole segment; every
//! extent must lie in its partition's part of that segment and hold exactly the batches and offsets that the state
//! says, each batch with its CRC; and a partition's extents must follow each other up to its next offset. What is in
//! the store and nobody refers to is listed. Older snapshots must be readable, too.

use super::vault::{Vault, VaultError, log_key, log_number};
use bytes::Bytes;
use frazil_base::{Seq, TopicPartition};
use frazil_log::format::Segment;
use frazil_log::layout::{SEGMENT_PREFIX, SNAPSHOT_PREFIX, segment_key, segment_of_key, snapshot_of_key};
use frazil_meta::engine::inspect::{self, Course, Meaning};
use frazil_meta::state::{BodyId, Extent, State};
use frazil_store::Key;
use frazil_wire::Batches;
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};

const OBJECTS_AT_ONCE: usize = 4;
const HEADS_AT_ONCE: usize = 16;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something that is referred to is missing.
    Missing,
    /// Something is not what was written.
    Corrupt,
    /// Nobody refers to it; it costs space and does no harm.
    Unreferenced,
}

impl Severity {
    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Missing => "missing",
            Severity::Corrupt => "corrupt",
            Severity::Unreferenced => "unreferenced",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The object or file.
    pub object: String,
    /// What was seen.
    pub detail: String,
}

/// What was proved, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Last record of the log.
    pub applied: Seq,
    /// Topics, partitions, extents and bodies that were checked.
    pub topics: usize,
    /// See `topics`.
    pub partitions: usize,
    /// See `topics`.
    pub extents: usize,
    /// See `topics`.
    pub bodies: usize,
    /// Bytes of live extents whose every batch was checked.
    pub bytes: u64,
    /// Readable records.
    pub records: u64,
    /// Bytes of all objects and journal files. Beyond `bytes` they are metadata, what waits for a snapshot or a grace to
    /// pass, and room that the journal keeps.
    pub stored_bytes: u64,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether everything that is referred to is there and whole.
    pub fn is_proved(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Unreferenced)
    }

    fn add(&mut self, severity: Severity, object: impl ToString, detail: impl ToString) {
        self.findings.push(Finding { severity, object: object.to_string(), detail: detail.to_string() });
    }
}

/// Reads everything.
pub async fn verify(vault: &Vault) -> Result<Report, VaultError> {
    let mut report = Report::default();
    let mut state = newest_snapshot(vault, &mut report).await?;
    match vault.journal {
        Some(_) => replay_journal(vault, &mut state, &mut report)?,
        None => replay_objects(vault, &mut state, &mut report).await?,
    }
    let extents = count(&state, &mut report);
    let left = check_objects(vault, &state, extents, &mut report).await?;
    check_journal_bodies(vault, &state, left, &mut report)?;
    list_unreferenced(vault, &state, &mut report).await?;
    report.findings.sort_by_key(|finding| finding.severity);
    Ok(report)
}

async fn newest_snapshot(vault: &Vault, report: &mut Report) -> Result<State, VaultError> {
    let mut newest = State::new();
    for object in vault.list(SNAPSHOT_PREFIX).await? {
        let Some(seq) = snapshot_of_key(&object.key) else { continue };
        let Some(bytes) = vault.get(&object.key).await? else { continue };
        match State::from_snapshot(&bytes) {
            Ok(state) if state.applied() == seq => newest = state,
            Ok(state) => {
                let detail = format!("holds the state after record {}, its name says {seq}", state.applied());
                report.add(Severity::Corrupt, &object.key, detail);
            }
            Err(error) => report.add(Severity::Corrupt, &object.key, error),
        }
    }
    Ok(newest)
}

/// Applies a record; false when nothing after it can be trusted.
fn apply(state: &mut State, seq: Seq, record: Option<&Bytes>, object: impl ToString, report: &mut Report) -> bool {
    let problem = match record.map(|record| state.apply_encoded(seq, record)) {
        Some(Ok(_)) => return true,
        Some(Err(error)) => format!("record {seq} cannot be understood: {error}"),
        None => format!("record {seq} does not fit its checksum"),
    };
    report.add(Severity::Corrupt, object, problem);
    false
}

fn replay_journal(vault: &Vault, state: &mut State, report: &mut Report) -> Result<(), VaultError> {
    let chunks = vault.chunks()?;
    for (index, (first, path)) in chunks.iter().enumerate() {
        let next_first = chunks.get(index + 1).map(|(next, _)| *next);
        if next_first.is_some_and(|next| next <= state.applied().next()) {
            continue;
        }
        let name = path.display();
        let Some(chunk) = inspect::chunk(&Vault::read_chunk(path)?) else {
            report.add(Severity::Corrupt, name, "its first block is no chunk's header");
            return Ok(());
        };
        if chunk.first != *first || chunk.first > state.applied().next() {
            let expected = state.applied().next();
            report.add(Severity::Missing, name, format!("starts with entry {}, expected {expected}", chunk.first));
            return Ok(());
        }
        if let Some(witness) = chunk.witness {
            let end = chunk.end;
            report.add(Severity::Corrupt, name, format!("entry at {end} was durable (the one at {witness} says so)"));
        }
        for entry in chunk.entries.iter().filter(|entry| entry.seq > state.applied()).collect::<Vec<_>>() {
            // What is torn at the end of the newest chunk was never acknowledged.
            let is_torn = next_first.is_none() && (entry.record.is_none() || !entry.body_is_whole);
            if is_torn || !apply(state, entry.seq, entry.record.as_ref(), path.display(), report) {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn replay_objects(vault: &Vault, state: &mut State, report: &mut Report) -> Result<(), VaultError> {
    let mut course = Course::default();
    let known = state.applied();
    if known > Seq::ZERO {
        match vault.log_head(&log_key(known)).await? {
            Some(object) => course = Course::behind(&object),
            None => report.add(Severity::Missing, log_key(known), "the entry that the newest snapshot ends with"),
        }
    }
    let objects = vault.list(inspect::OBJECT_PREFIX).await?;
    let numbers = objects.iter().filter_map(|object| log_number(&object.key)).filter(|number| *number > known);
    let row: Vec<Seq> =
        (known.0 + 1..).map(Seq).zip(numbers).take_while(|(due, found)| due == found).map(|(due, _)| due).collect();
    let read = |number: Seq| async move { (number, vault.log_head(&log_key(number)).await) };
    let mut heads = futures::stream::iter(row).map(read).buffered(HEADS_AT_ONCE);
    while let Some((number, head)) = heads.next().await {
        let Some(object) = head? else {
            report.add(Severity::Corrupt, log_key(number), "is no log entry");
            return Ok(());
        };
        let counts = course.take(&object) == Meaning::Counts;
        if counts && !apply(state, number, object.entry.record.as_ref(), log_key(number), report) {
            return Ok(());
        }
    }
    Ok(())
}

type ExtentsByBody = BTreeMap<BodyId, Vec<(TopicPartition, Extent)>>;

/// Counts what there is, checks that extents follow each other, and sorts them by body.
fn count(state: &State, report: &mut Report) -> ExtentsByBody {
    let mut by_body = ExtentsByBody::new();
    report.applied = state.applied();
    for topic in state.topics() {
        report.topics += 1;
        for (number, partition) in topic.partitions.iter().enumerate() {
            report.partitions += 1;
            report.records += (partition.next_offset - partition.log_start) as u64;
            let place = TopicPartition { topic: topic.id, partition: number as i32 };
            let first = partition.extents.front().map_or(partition.next_offset, |extent| extent.base_offset);
            let mut expected = first;
            for extent in &partition.extents {
                report.extents += 1;
                report.bytes += u64::from(extent.bytes);
                if extent.base_offset != expected {
                    let detail = format!("offset {} follows {expected}", extent.base_offset);
                    report.add(Severity::Missing, format!("{}/{number}", topic.name), detail);
                }
                expected = extent.end_offset();
                if !matches!(extent.body, BodyId::Marker(_)) {
                    by_body.entry(extent.body).or_default().push((place, *extent));
                }
            }
            if first > partition.log_start || expected != partition.next_offset {
                let (start, next) = (partition.log_start, partition.next_offset);
                let detail =
                    format!("offsets {start} to {next} are readable, but bytes are known from {first} to {expected}");
                report.add(Severity::Missing, format!("{}/{number}", topic.name), detail);
            }
        }
    }
    by_body
}

/// Checks the bodies that are objects, and returns those that are in the journal.
async fn check_objects(
    vault: &Vault,
    state: &State,
    extents: ExtentsByBody,
    report: &mut Report,
) -> Result<ExtentsByBody, VaultError> {
    let in_journal = |body: &BodyId| matches!(body, BodyId::Log(_)) && vault.journal.is_some();
    let (left, objects): (ExtentsByBody, ExtentsByBody) = extents.into_iter().partition(|(body, _)| in_journal(body));
    let read = |(body, extents): (BodyId, Vec<(TopicPartition, Extent)>)| async move {
        let key = match body {
            BodyId::Log(seq) => log_key(seq),
            BodyId::Object(object) => segment_key(object),
            BodyId::Marker(_) => unreachable!("markers were passed over when extents were sorted"),
        };
        let bytes = vault.get(&key).await;
        (body, key, extents, bytes)
    };
    let mut reads = futures::stream::iter(objects).map(read).buffered(OBJECTS_AT_ONCE);
    while let Some((body, key, extents, bytes)) = reads.next().await {
        match (bytes?, body) {
            (None, _) => report.add(Severity::Missing, key, format!("{} extents point into it", extents.len())),
            (Some(bytes), BodyId::Object(_)) => check_body(state, body, &key.to_string(), &bytes, &extents, report),
            (Some(bytes), BodyId::Log(_) | BodyId::Marker(_)) => match body_of_object(&bytes) {
                Ok(segment) => check_body(state, body, &key.to_string(), &segment, &extents, report),
                Err(detail) => report.add(Severity::Corrupt, key, detail),
            },
        }
    }
    Ok(left)
}

fn body_of_object(bytes: &Bytes) -> Result<Bytes, String> {
    let object = inspect::object(bytes).ok_or("is no log entry")?;
    let body = object.entry.body.filter(|_| object.entry.body_is_whole).ok_or("its body does not fit its checksum")?;
    Ok(bytes.slice(body.start as usize..body.end as usize))
}

fn check_journal_bodies(
    vault: &Vault,
    state: &State,
    mut left: ExtentsByBody,
    report: &mut Report,
) -> Result<(), VaultError> {
    if left.is_empty() {
        return Ok(());
    }
    for (first, path) in vault.chunks()? {
        let bytes = Vault::read_chunk(&path)?;
        let Some(chunk) = inspect::chunk(&bytes).filter(|chunk| chunk.first == first) else {
            report.add(Severity::Corrupt, path.display(), "its first block is no chunk's header, or another's");
            continue;
        };
        for entry in &chunk.entries {
            let body_id = BodyId::Log(entry.seq);
            let Some(extents) = left.remove(&body_id) else { continue };
            let name = format!("{} (entry {})", path.display(), entry.seq);
            match entry.body.clone().filter(|_| entry.body_is_whole) {
                Some(body) => {
                    let segment = bytes.slice(body.start as usize..body.end as usize);
                    check_body(state, body_id, &name, &segment, &extents, report);
                }
                None => report.add(Severity::Corrupt, name, "its body does not fit its checksum"),
            }
        }
    }
    for (body, extents) in left {
        report.add(Severity::Missing, format!("{body:?}"), format!("{} extents point into it", extents.len()));
    }
    Ok(())
}

fn check_body(
    state: &State,
    body: BodyId,
    name: &str,
    bytes: &Bytes,
    extents: &[(TopicPartition, Extent)],
    report: &mut Report,
) {
    report.bodies += 1;
    let committed = state.body(body).map(|body| u64::from(body.bytes));
    if committed != Some(bytes.len() as u64) {
        report.add(Severity::Corrupt, name, format!("{} bytes, committed were {committed:?}", bytes.len()));
        return;
    }
    let segment = match Segment::parse(bytes).and_then(|segment| segment.check_batches(bytes).map(|()| segment)) {
        Ok(segment) => segment,
        Err(error) => return report.add(Severity::Corrupt, name, error),
    };
    for (partition, extent) in extents {
        if let Err(detail) = check_extent(&segment, *partition, extent, bytes) {
            let place = format!("topic {}/{} offset {}", partition.topic, partition.partition, extent.base_offset);
            report.add(Severity::Corrupt, name, format!("{place}: {detail}"));
        }
    }
}

/// An extent lies in its partition's part and holds whole batches with exactly its offsets.
fn check_extent(segment: &Segment, partition: TopicPartition, extent: &Extent, bytes: &Bytes) -> Result<(), String> {
    let (start, end) = (u64::from(extent.position), u64::from(extent.position) + u64::from(extent.bytes));
    let holds = |part: &&frazil_log::format::SegmentPart| {
        let position = u64::from(part.position);
        part.partition == partition && position <= start && end <= position + u64::from(part.bytes)
    };
    segment.parts.iter().find(holds).ok_or(format!("bytes {start} to {end} are not that partition's"))?;
    let range = &bytes[start as usize..end as usize];
    let mut batches = Batches::new(range);
    let offsets: i64 = batches.by_ref().map(|(_, header)| i64::from(header.last_offset_delta) + 1).sum();
    if batches.position() != range.len() {
        return Err(format!("its batches end at {} of {} bytes", batches.position(), range.len()));
    }
    match offsets == i64::from(extent.records) {
        true => Ok(()),
        false => Err(format!("its batches take {offsets} offsets instead of {}", extent.records)),
    }
}

/// Everything in the store that nobody refers to. Entries of the log stay for a while behind their snapshot.
async fn list_unreferenced(vault: &Vault, state: &State, report: &mut Report) -> Result<(), VaultError> {
    let live: BTreeSet<Key> = state
        .bodies()
        .filter_map(|(body, _)| match body {
            BodyId::Object(object) => Some(segment_key(object)),
            BodyId::Log(_) | BodyId::Marker(_) => None,
        })
        .collect();
    let dying: BTreeSet<_> = state.dead_objects().map(|(object, _)| object).collect();
    for object in vault.list("").await? {
        report.stored_bytes += object.bytes;
        let key = &object.key;
        let name = key.as_str();
        let detail = if name.starts_with(SEGMENT_PREFIX) {
            match segment_of_key(key) {
                Some(_) if live.contains(key) => continue,
                Some(id) if dying.contains(&id) => "a dead segment that waits for its deletion",
                Some(_) => "a segment that was never committed",
                None => "not the name of a segment",
            }
        } else {
            let is_snapshot = snapshot_of_key(key).is_some();
            let is_entry = log_number(key).is_some();
            let is_journal = vault.journal.is_some() && name.starts_with("journal/");
            if is_snapshot || is_entry || is_journal || name == crate::server::CLUSTER_ID_KEY {
                continue;
            }
            "not a name that Frazil gives"
        };
        report.add(Severity::Unreferenced, key, detail);
    }
    Ok(())
}
