//! What the engine asks of the store: an entry's head, its bytes, the numbers there are, and a PUT that is repeated
//! until its outcome is certain.

use super::envelope::{ENVELOPE_BYTES, Envelope};
use crate::engine::checksum;
use crate::port::{Body, ReadError};
use bytes::Bytes;
use frazil_base::{Env, Seq};
use frazil_store::{Key, ObjectStorage, Payload, StoreError};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The first GET of an entry reads this much; longer records need a second one.
const HEAD_BYTES: u64 = 16 << 10;

/// Numbers asked for at once.
const LIST_COUNT: usize = 1_000;

pub(crate) const PREFIX: &str = "log/";

/// The name of entry `number`.
pub(crate) fn key(number: u64) -> Key {
    Key::new(format!("{PREFIX}{number:020}"))
}

/// The number of the entry with this name.
fn number_of(key: &Key) -> Option<u64> {
    key.as_str().strip_prefix(PREFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// A store and how patiently to ask it.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub store: Arc<dyn ObjectStorage>,
    pub env: Env,
    /// First and longest pause between two attempts.
    pub retry: Range<Duration>,
    /// Who was last known to be the writer longer ago than this, looks for later writers before believing a PUT.
    pub pause_limit: Duration,
}

/// Envelope and record of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub envelope: Envelope,
    pub record: Bytes,
}

/// What became of a PUT.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It is there. At this boot time nobody else was the writer.
    Mine { confirmed: Duration },
    /// Another entry is there.
    Taken(Head),
    /// It is there, but a later writer has been there, and this entry behind it proves that.
    Overtaken(Head),
    /// The store will not take it, nor has it.
    Refused(Arc<str>),
    /// It may be there.
    Unsure(Arc<str>),
}

/// Pauses between attempts, doubling.
struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    async fn pause(&mut self, operation: &str, error: &StoreError) {
        tracing::warn!(%error, pause_ms = self.next.as_millis() as u64, "{operation} of a log entry failed, will retry");
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
    }
}

impl Bucket {
    fn backoff(&self) -> Backoff {
        Backoff { next: self.retry.start, longest: self.retry.end }
    }

    /// Repeats `request` until it succeeds or fails for a reason that time does not heal.
    async fn patiently<T, F>(&self, operation: &str, mut request: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut backoff = self.backoff();
        loop {
            match request().await {
                Err(error) if error.is_transient() => backoff.pause(operation, &error).await,
                outcome => return outcome,
            }
        }
    }

    /// Numbers of the objects beyond `after`, ascending, one page of them.
    pub(crate) async fn numbers_after(&self, after: u64) -> Result<Vec<u64>, StoreError> {
        let start = key(after);
        let page = self.patiently("list", || self.store.list(PREFIX, Some(&start), LIST_COUNT)).await?;
        Ok(page.iter().filter_map(|object| number_of(&object.key)).collect())
    }

    /// All numbers beyond `after`, ascending.
    pub(crate) async fn all_numbers_after(&self, after: u64) -> Result<Vec<u64>, StoreError> {
        let mut numbers = self.numbers_after(after).await?;
        let mut page_count = numbers.len();
        while page_count >= LIST_COUNT {
            let page = self.numbers_after(*numbers.last().expect("the page is full")).await?;
            page_count = page.len();
            numbers.extend(page);
        }
        Ok(numbers)
    }

    /// Envelope and record of an entry, waiting outages out.
    pub(crate) async fn head(&self, number: u64) -> Result<Head, ReadError> {
        let start = self.get(number, 0..HEAD_BYTES).await?;
        let corrupt = |detail: String| ReadError::Corrupt { seq: Seq(number), detail: detail.into() };
        let envelope = Envelope::parse(&start)
            .filter(|envelope| envelope.number == number)
            .ok_or_else(|| corrupt(format!("object {} is not entry {number} of a log", key(number))))?;
        let end = envelope.body_start();
        let start = if end > start.len() as u64 { self.get(number, 0..end).await? } else { start };
        let record = (start.len() as u64 >= end).then(|| start.slice(ENVELOPE_BYTES..end as usize));
        let record = record.filter(|record| checksum::of(record) == envelope.record_crc);
        let record =
            record.ok_or_else(|| corrupt(format!("the record in {} does not fit its checksum", key(number))))?;
        // A copy: the record alone, not the rest of what was read, stays in memory.
        Ok(Head { envelope, record: Bytes::copy_from_slice(&record) })
    }

    /// Bytes of an object, waiting outages out.
    pub(crate) async fn get(&self, number: u64, range: Range<u64>) -> Result<Bytes, ReadError> {
        let key = key(number);
        let got = self.patiently("get", || self.store.get(&key, Some(range.clone()))).await;
        got.map_err(|error| read_error(number, &error))
    }

    /// Deletes an entry.
    pub(crate) async fn delete(&self, number: u64) -> Result<(), StoreError> {
        let key = key(number);
        self.patiently("delete", || self.store.delete(&key)).await
    }

    /// Puts an entry, again and again until the outcome is certain. `confirmed`: when the caller was known to be the
    /// writer, as boot time.
    pub(crate) async fn place(
        &self,
        envelope: Envelope,
        record: Bytes,
        body: Option<Body>,
        confirmed: Duration,
    ) -> Placed {
        let begin = self.env.clock.since_boot();
        let payload = payload(&envelope, record, body);
        match self.put_until_certain(&envelope, payload).await {
            Put::Done if self.env.clock.since_boot().saturating_sub(confirmed) <= self.pause_limit => {
                Placed::Mine { confirmed: begin }
            }
            Put::Done | Put::Vanished => self.look_behind(&envelope).await,
            Put::Other(outcome) => outcome,
        }
    }

    async fn put_until_certain(&self, envelope: &Envelope, payload: Payload) -> Put {
        let (mut backoff, mut perhaps) = (self.backoff(), false);
        let key = key(envelope.number);
        loop {
            match self.store.put_if_absent(&key, payload.clone()).await {
                Ok(()) => return Put::Done,
                Err(StoreError::AlreadyExists { .. }) => match self.head(envelope.number).await {
                    Ok(head) if head.envelope == *envelope => return Put::Done,
                    Ok(head) => return Put::Other(Placed::Taken(head)),
                    // It was trimmed between the two requests.
                    Err(ReadError::NotFound { .. }) => return Put::Vanished,
                    Err(error) => return Put::Other(Placed::Unsure(error.to_string().into())),
                },
                Err(error @ StoreError::NotDone { reason, .. }) if !reason.is_transient() => {
                    let cause = error.to_string().into();
                    return Put::Other(if perhaps { Placed::Unsure(cause) } else { Placed::Refused(cause) });
                }
                Err(error) => {
                    perhaps |= matches!(error, StoreError::Unknown { .. });
                    backoff.pause("put", &error).await;
                }
            }
        }
    }

    /// Whether another writer has been beyond this entry, of its epoch or a later one. That writer may have trimmed the
    /// number that was just filled; but the newest entries of a log are never trimmed, so they are there to be found.
    async fn look_behind(&self, envelope: &Envelope) -> Placed {
        let confirmed = self.env.clock.since_boot();
        let mut after = envelope.number;
        loop {
            let numbers = match self.numbers_after(after).await {
                Ok(numbers) => numbers,
                Err(error) => return Placed::Unsure(error.to_string().into()),
            };
            for number in &numbers {
                match self.head(*number).await {
                    Ok(head) if head.envelope.nonce != envelope.nonce && head.envelope.epoch >= envelope.epoch => {
                        return Placed::Overtaken(head);
                    }
                    Ok(_) | Err(ReadError::NotFound { .. }) => {}
                    Err(error) => return Placed::Unsure(error.to_string().into()),
                }
            }
            match numbers.last() {
                Some(last) => after = *last,
                None => return Placed::Mine { confirmed },
            }
        }
    }

    /// Who opened the epoch of this entry, in its own words.
    pub(crate) async fn opener_of(&self, head: &Head) -> String {
        let opened = head.envelope.number.saturating_sub(head.envelope.position);
        let opener = if head.envelope.opened { Ok(head.clone()) } else { self.head(opened).await };
        let holder = opener.ok().filter(|head| head.envelope.opened);
        let holder =
            holder.map_or("an unknown writer".into(), |head| String::from_utf8_lossy(&head.record).into_owned());
        format!("the log was taken over by {holder} (epoch {}, entry {opened})", head.envelope.epoch)
    }
}

/// How a PUT ended.
enum Put {
    Done,
    /// It was there, and is gone.
    Vanished,
    Other(Placed),
}

fn payload(envelope: &Envelope, record: Bytes, body: Option<Body>) -> Payload {
    let mut parts = vec![Bytes::copy_from_slice(&envelope.encode()), record];
    parts.extend(body.iter().flat_map(|body| body.slices().iter().cloned()));
    Payload::from(parts)
}

/// A store's answer as the port tells it.
pub(crate) fn read_error(number: u64, error: &StoreError) -> ReadError {
    match error {
        StoreError::NotFound { .. } => ReadError::NotFound { seq: Seq(number) },
        error => ReadError::Unavailable { cause: error.to_string().into() },
    }
}
