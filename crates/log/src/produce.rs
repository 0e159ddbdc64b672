//! What goes into the writer, and what comes back.

use bytes::Bytes;
use frazil_base::TopicPartition;
use frazil_meta::record::BatchProducer;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// One validated batch on its way into the log.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Where it goes.
    pub partition: TopicPartition,
    /// Exactly one whole v2 batch, validated.
    pub bytes: Bytes,
    /// Offsets it takes: `lastOffsetDelta + 1`.
    pub records: u32,
    /// Greatest timestamp in it; -1 if none.
    pub max_timestamp: i64,
    /// Set when the producer is idempotent.
    pub producer: Option<BatchProducer>,
}

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Offset of its first record.
    pub base_offset: i64,
    /// First readable offset of its partition.
    pub log_start: i64,
    /// Whether it had been stored before.
    pub duplicate: bool,
}

/// Why a batch was not stored, or not certainly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The partition does not exist (any more).
    #[error("the partition does not exist")]
    UnknownPartition,
    /// A sequence is missing before it.
    #[error("a sequence is missing before the batch")]
    OutOfOrderSequence,
    /// A newer epoch of the producer has written.
    #[error("a newer epoch of the producer has written")]
    StaleProducerEpoch,
    /// It belongs to no open transaction of its partition, or to none although one is open there.
    #[error("the batch fits no open transaction of its producer")]
    InvalidTxnState,
    /// It is transactional and its producer id belongs to no transactional id.
    #[error("the producer id belongs to no transactional id")]
    InvalidProducerIdMapping,
    /// It was stored before, so long ago that its offset is no longer remembered.
    #[error("the batch was stored before; its offset is no longer remembered")]
    DuplicateForgotten,
    /// Another broker took over.
    #[error("this broker is fenced: {cause}")]
    Fenced {
        /// Who took over.
        cause: Arc<str>,
    },
    /// The store or the metadata log failed.
    #[error("the batch was not stored: {cause}")]
    Storage {
        /// What failed.
        cause: Arc<str>,
        /// `true`: it was certainly not stored. `false`: it may appear in the log.
        outcome_known: bool,
    },
}

/// What became of each batch of one `submit`, in its order.
pub type Placements = Vec<Result<Placed, ProduceError>>;

/// Resolves once every batch of a submission is durable and committed, or failed. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "a ticket tells whether the batches were stored"]
pub struct Ticket {
    receiver: oneshot::Receiver<Placements>,
    batches: usize,
}

impl Ticket {
    pub(crate) fn new(batches: usize) -> (oneshot::Sender<Placements>, Ticket) {
        let (sender, receiver) = oneshot::channel();
        (sender, Ticket { receiver, batches })
    }

    /// A ticket that has failed already.
    pub(crate) fn failed(batches: usize, error: ProduceError) -> Ticket {
        let (sender, ticket) = Ticket::new(batches);
        sender.send(vec![Err(error); batches]).expect("the receiver is held here");
        ticket
    }
}

impl Future for Ticket {
    type Output = Placements;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Placements> {
        let batches = self.batches;
        Pin::new(&mut self.receiver).poll(context).map(|answer| answer.unwrap_or_else(|_| abandoned(batches)))
    }
}

/// The writer went away with the batches in its hands, as in a killed process: nobody can say what became of them.
fn abandoned(batches: usize) -> Placements {
    let error = ProduceError::Storage { cause: "the broker stopped".into(), outcome_known: false };
    vec![Err(error); batches]
}
