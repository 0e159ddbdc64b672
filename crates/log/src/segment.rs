//! An open segment becomes a closed one.
//!
//! While a segment is open, nothing is copied: submissions queue up as they came. Closing it sorts the batches by
//! partition and copies each byte once, into the buffer that the engine writes and the cache serves. Each batch's spot
//! in it is kept, so that the commit's outcome finds its way back to header and ticket.

use crate::cache::Marks;
use crate::format::{PART_BYTES, SegmentBuilder, overhead_bytes};
use crate::produce::{NewBatch, Placed, Placements, ProduceError};
use bytes::Bytes;
use frazil_base::{AlignedBuffer, BufferPool, ObjectId, TopicPartition};
use frazil_meta::record::{Commit, CommitPart, Run};
use frazil_meta::state::RunOutcome;
use frazil_wire::batch::patch_place;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Kafka's leader epoch of every partition: leaders change nothing here, so it never moves.
pub const LEADER_EPOCH: i32 = 0;

/// One call of `submit` on its way.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) batches: Vec<NewBatch>,
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Placements>,
    pub(crate) permit: OwnedSemaphorePermit,
    /// When it was submitted, since boot.
    pub(crate) submitted: Duration,
}

/// Submissions that will share a segment.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    submissions: Vec<Submission>,
    batches: usize,
    bytes: usize,
    /// When the first submission came, since boot.
    pub(crate) opened: Duration,
}

impl OpenSegment {
    pub(crate) fn new(opened: Duration) -> OpenSegment {
        OpenSegment { submissions: Vec::new(), batches: 0, bytes: 0, opened }
    }

    /// An upper bound of its length when closed.
    pub(crate) fn encoded_bytes(&self) -> usize {
        self.bytes + overhead_bytes(self.batches)
    }

    pub(crate) fn has_room_for(&self, submission: &Submission, segment_bytes: usize) -> bool {
        let added = submission.bytes + submission.batches.len() * PART_BYTES;
        self.submissions.is_empty() || self.encoded_bytes() + added <= segment_bytes
    }

    pub(crate) fn push(&mut self, submission: Submission) {
        self.batches += submission.batches.len();
        self.bytes += submission.bytes;
        self.submissions.push(submission);
    }

    /// Sorts, copies, and frees the frames that the batches came in.
    pub(crate) fn seal(self, object: ObjectId, in_log: bool, buffers: &Arc<BufferPool>) -> SealedSegment {
        let order = self.order();
        let mut builder = SegmentBuilder::new(buffers.take(self.encoded_bytes()));
        let mut layout = Layout { parts: Vec::new(), spots: Vec::with_capacity(self.batches) };
        for Place { partition, submission, slot } in order {
            let batch = &self.submissions[submission as usize].batches[slot as usize];
            let position = builder.push(partition, &batch.bytes, batch.records);
            layout.add(batch, position, submission, slot);
        }
        let (buffer, _) = builder.finish(object);
        let bytes = buffer.len() as u32;
        let tickets = self.submissions.into_iter().map(Pending::of).collect();
        let commit = Commit { object, in_log, bytes, parts: layout.parts };
        SealedSegment { object, buffer: Arc::new(buffer), commit: Some(commit), spots: layout.spots, tickets }
    }

    /// Batches by partition, within one in the order of submission.
    fn order(&self) -> Vec<Place> {
        let mut order = Vec::with_capacity(self.batches);
        for (submission, Submission { batches, .. }) in self.submissions.iter().enumerate() {
            order.extend(batches.iter().enumerate().map(|(slot, batch)| Place {
                partition: batch.partition,
                submission: submission as u32,
                slot: slot as u32,
            }));
        }
        order.sort_unstable();
        order
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    partition: TopicPartition,
    submission: u32,
    slot: u32,
}

/// Where a batch stands in its segment, and who waits for it.
#[derive(Clone, Copy, Debug)]
struct Spot {
    position: u32,
    part: u32,
    run: u32,
    /// Offset of its first record, relative to its run's.
    delta: u32,
    submission: u32,
    slot: u32,
}

struct Layout {
    parts: Vec<CommitPart>,
    spots: Vec<Spot>,
}

impl Layout {
    fn add(&mut self, batch: &NewBatch, position: u32, submission: u32, slot: u32) {
        if self.parts.last().is_none_or(|part| part.partition != batch.partition) {
            self.parts.push(CommitPart { partition: batch.partition, position, runs: Vec::new() });
        }
        let part_index = (self.parts.len() - 1) as u32;
        let part = self.parts.last_mut().expect("a part was pushed if there was none");
        let delta = extend_runs(&mut part.runs, batch);
        let run = (part.runs.len() - 1) as u32;
        self.spots.push(Spot { position, part: part_index, run, delta, submission, slot });
    }
}

/// Adds a batch to the last run if both are plain, else as a run of its own. Returns the records before it in its run.
fn extend_runs(runs: &mut Vec<Run>, batch: &NewBatch) -> u32 {
    let bytes = batch.bytes.len() as u32;
    if batch.producer.is_none()
        && let Some(last) = runs.last_mut().filter(|run| run.producer.is_none())
    {
        let delta = last.records;
        last.bytes += bytes;
        last.records += batch.records;
        last.max_timestamp = last.max_timestamp.max(batch.max_timestamp);
        return delta;
    }
    let NewBatch { records, max_timestamp, producer, .. } = *batch;
    runs.push(Run { bytes, records, max_timestamp, producer });
    0
}

/// A submission whose frames are gone, waiting for its answer.
#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Placements>,
    batches: usize,
    /// Given back when the segment is settled.
    _permit: OwnedSemaphorePermit,
}

impl Pending {
    fn of(submission: Submission) -> Pending {
        let Submission { batches, answer, permit, .. } = submission;
        Pending { answer, batches: batches.len(), _permit: permit }
    }
}

/// A segment that does not change any more, until its commit gives the offsets to patch in.
#[derive(Debug)]
pub(crate) struct SealedSegment {
    pub(crate) object: ObjectId,
    buffer: Arc<AlignedBuffer>,
    commit: Option<Commit>,
    spots: Vec<Spot>,
    tickets: Vec<Pending>,
}

/// Lets the engine share the buffer for as long as it writes.
struct SharedBuffer(Arc<AlignedBuffer>);

impl AsRef<[u8]> for SharedBuffer {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl SealedSegment {
    /// The record to propose; once.
    pub(crate) fn take_commit(&mut self) -> Commit {
        self.commit.take().expect("a segment is committed once")
    }

    /// The bytes, to write.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes::from_owner(SharedBuffer(self.buffer.clone()))
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn batches(&self) -> usize {
        self.spots.len()
    }

    /// Every batch fails the same way.
    pub(crate) fn fail(self, error: &ProduceError) {
        for Pending { answer, batches, .. } in self.tickets {
            // Whoever dropped the ticket does not want to know.
            let _ = answer.send(vec![Err(error.clone()); batches]);
        }
    }

    /// Writes the offsets into the headers of what was accepted. `log_starts` has one entry per part.
    pub(crate) fn place(
        self,
        outcomes: &[Vec<RunOutcome>],
        log_starts: &[i64],
        buffers: &Arc<BufferPool>,
    ) -> (AlignedBuffer, Marks, Answers) {
        let mut buffer = Arc::try_unwrap(self.buffer).unwrap_or_else(|shared| copy(&shared, buffers));
        let bytes = buffer.as_mut_slice();
        let mut marks = Marks::default();
        let unplaced = |pending: &Pending| vec![Err(ProduceError::UnknownPartition); pending.batches];
        let mut placements: Vec<Placements> = self.tickets.iter().map(unplaced).collect();
        for spot in &self.spots {
            let outcome = outcomes[spot.part as usize][spot.run as usize];
            let placed = placed(outcome, spot.delta, log_starts[spot.part as usize]);
            if let Ok(Placed { base_offset, duplicate: false, .. }) = placed {
                patch_place(&mut bytes[spot.position as usize..], base_offset, LEADER_EPOCH);
                marks.note(base_offset, spot.position);
            }
            placements[spot.submission as usize][spot.slot as usize] = placed;
        }
        (buffer, marks, Answers { tickets: self.tickets, placements })
    }
}

fn placed(outcome: RunOutcome, delta: u32, log_start: i64) -> Result<Placed, ProduceError> {
    match outcome {
        RunOutcome::Accepted { base_offset } => {
            Ok(Placed { base_offset: base_offset + i64::from(delta), log_start, duplicate: false })
        }
        RunOutcome::Duplicate { base_offset: -1 } => Err(ProduceError::DuplicateForgotten),
        RunOutcome::Duplicate { base_offset } => {
            Ok(Placed { base_offset: base_offset + i64::from(delta), log_start, duplicate: true })
        }
        RunOutcome::UnknownPartition => Err(ProduceError::UnknownPartition),
        RunOutcome::OutOfOrderSequence => Err(ProduceError::OutOfOrderSequence),
        RunOutcome::StaleProducerEpoch => Err(ProduceError::StaleProducerEpoch),
        RunOutcome::InvalidTxnState => Err(ProduceError::InvalidTxnState),
        RunOutcome::InvalidProducerIdMapping => Err(ProduceError::InvalidProducerIdMapping),
    }
}

/// What is to be told to whom.
#[derive(Debug)]
#[must_use = "somebody waits for the answers"]
pub(crate) struct Answers {
    tickets: Vec<Pending>,
    placements: Vec<Placements>,
}

impl Answers {
    pub(crate) fn send(self) {
        for (pending, placements) in self.tickets.into_iter().zip(self.placements) {
            // Whoever dropped the ticket does not want to know.
            let _ = pending.answer.send(placements);
        }
    }
}

/// For the rare engine that has not given the buffer back.
fn copy(shared: &AlignedBuffer, buffers: &Arc<BufferPool>) -> AlignedBuffer {
    let mut copy = buffers.take(shared.len());
    copy.extend_from_slice(shared.as_slice());
    copy
}
