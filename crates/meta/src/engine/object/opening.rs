//! Finding the end of the log and putting an `Opened` entry there: what makes a process the writer.

use super::bucket::{Bucket, Head, Placed};
use super::core::Core;
use super::envelope::{Course, Envelope, Verdict};
use crate::engine::checksum;
use crate::port::ReadError;
use bytes::Bytes;
use frazil_base::Seq;
use frazil_store::StoreError;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// Entries read at once.
const HEADS_AT_ONCE: usize = 16;

/// Why a log in a bucket cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// Entries that follow the snapshot are gone: somebody else went on and trimmed. A newer snapshot is there.
    #[error(
        "log entry {missing} is not there, though later ones are: the log was trimmed; start from a newer snapshot"
    )]
    Trimmed {
        /// The first one missing.
        missing: Seq,
    },
    /// Another process opened the log meanwhile.
    #[error("{cause}")]
    Overtaken {
        /// Who.
        cause: Arc<str>,
    },
    /// An object is not what it should be.
    #[error("the log cannot be opened: {0}")]
    Read(ReadError),
    /// The store does not allow it.
    #[error("the log cannot be opened: {cause}")]
    Refused {
        /// What it said.
        cause: Arc<str>,
    },
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> OpenError {
        OpenError::Read(error)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> OpenError {
        OpenError::Refused { cause: error.to_string().into() }
    }
}

/// Where a writer stands: behind entry `number`, everything up to which is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub number: u64,
    pub course: Course,
    /// When this was true, as boot time.
    pub confirmed: Duration,
}

/// Who wants to write.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub nonce: u128,
    pub holder: Bytes,
    /// The epoch it has now and must not lose to anybody; `None` for a newcomer, who takes the log from anybody.
    pub epoch: Option<u64>,
}

/// Reads what follows `known` up to the first number that is not there, and makes it known to readers.
pub(crate) async fn catch_up(core: &Core, known: Seq) -> Result<Standing, OpenError> {
    let bucket = &core.bucket;
    let confirmed = bucket.env.clock.since_boot();
    let mut standing = Standing { number: known.0, course: Course::default(), confirmed };
    if known > Seq::ZERO {
        let head = bucket.head(known.0).await.map_err(|error| match error {
            ReadError::NotFound { seq } => OpenError::Trimmed { missing: seq },
            error => OpenError::Read(error),
        })?;
        standing.course = Course::behind(&head.envelope);
    }
    let numbers = bucket.all_numbers_after(known.0).await?;
    let row = (known.0 + 1..).zip(&numbers).take_while(|(expected, number)| expected == *number).count();
    check_hole(bucket, known.0 + row as u64 + 1, numbers[row..].last().copied()).await?;
    let row = numbers[..row].to_vec();
    let mut heads = futures::stream::iter(row).map(|number| bucket.head(number)).buffered(HEADS_AT_ONCE);
    while let Some(head) = heads.next().await {
        take(core, &mut standing, &head?);
    }
    Ok(standing)
}

/// A hole that a dead writer left has only entries behind it that were in flight with it. If the last entry there is
/// says that the hole was filled when it was written, then it was trimmed.
async fn check_hole(bucket: &Bucket, hole: u64, last_behind: Option<u64>) -> Result<(), OpenError> {
    let Some(last) = last_behind else { return Ok(()) };
    match bucket.head(last).await?.envelope.durable >= hole {
        true => Err(OpenError::Trimmed { missing: Seq(hole) }),
        false => Ok(()),
    }
}

fn take(core: &Core, standing: &mut Standing, head: &Head) {
    standing.number = head.envelope.number;
    match standing.course.take(&head.envelope) {
        Verdict::Counts => core.publish(&head.envelope, head.record.clone()),
        Verdict::Opens | Verdict::Void => core.skip(head.envelope.number),
    }
}

/// Puts `Opened` at the first number from `standing` on that takes it, reading what stands in the way.
pub(crate) async fn claim(core: &Core, mut standing: Standing, claim: &Claim) -> Result<Standing, OpenError> {
    loop {
        let opened = Envelope {
            number: standing.number + 1,
            epoch: standing.course.epoch + 1,
            position: 0,
            nonce: claim.nonce,
            durable: standing.number,
            opened: true,
            record_bytes: claim.holder.len() as u32,
            record_crc: checksum::of(&claim.holder),
            body: None,
        };
        match core.bucket.place(opened, claim.holder.clone(), None, standing.confirmed).await {
            Placed::Mine { confirmed } => {
                core.skip(opened.number);
                return Ok(Standing { number: opened.number, course: Course::behind(&opened), confirmed });
            }
            Placed::Taken(head) if claim.epoch.is_some_and(|epoch| head.envelope.epoch > epoch) => {
                return Err(OpenError::Overtaken { cause: core.bucket.opener_of(&head).await.into() });
            }
            Placed::Taken(head) => take(core, &mut standing, &head),
            Placed::Overtaken(head) => {
                return Err(OpenError::Overtaken { cause: core.bucket.opener_of(&head).await.into() });
            }
            Placed::Refused(cause) | Placed::Unsure(cause) => return Err(OpenError::Refused { cause }),
        }
    }
}
