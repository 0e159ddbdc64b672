//! Reading records by partition and offset.

use super::{Client, ClientError, Connection, check, topic_name};
use bytes::Bytes;
use frazil_base::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use frazil_wire::batch::Marker;
use frazil_wire::{BatchHeader, Records};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const PARTITION_BYTES_MAX: i32 = 4 << 20;
const RESPONSE_BYTES_MAX: i32 = 32 << 20;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970; -1 if none.
    pub timestamp: i64,
    /// Key.
    pub key: Option<Bytes>,
    /// Value.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// What one poll brought of one partition.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The partition.
    pub partition: i32,
    /// Offset of the next record that will be written.
    pub high_watermark: i64,
    /// Offset to read next.
    pub next_offset: i64,
    /// Records, by offset.
    pub records: Vec<ReadRecord>,
}

/// Reads some partitions of one topic, each from where it stands.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    topic: String,
    positions: BTreeMap<i32, i64>,
    /// A long poll blocks its connection, so each leader gets one of our own.
    connections: BTreeMap<i32, Connection>,
}

impl Consumer {
    /// Reads `topic` from these offsets, by partition.
    pub fn new(client: Client, topic: &str, positions: BTreeMap<i32, i64>) -> Consumer {
        Consumer { client, topic: topic.to_string(), positions, connections: BTreeMap::new() }
    }

    /// Partitions still being read, and their next offsets.
    pub fn positions(&self) -> &BTreeMap<i32, i64> {
        &self.positions
    }

    /// Reads no more of a partition.
    pub fn leave(&mut self, partition: i32) {
        self.positions.remove(&partition);
    }

    /// What there is, waiting up to `max_wait` for the first byte. Faults that may pass are waited out until the
    /// client's timeout.
    pub async fn poll(&mut self, max_wait: Duration) -> Result<Vec<Fetched>, ClientError> {
        let mut patience = self.client.patience();
        loop {
            match self.poll_once(max_wait).await {
                Err(error) if error.is_transient() && patience.is_left() => {
                    self.connections.clear();
                    patience.pause(&self.client, &error).await;
                }
                polled => return polled,
            }
        }
    }

    async fn poll_once(&mut self, max_wait: Duration) -> Result<Vec<Fetched>, ClientError> {
        let by_leader = self.by_leader().await?;
        for leader in by_leader.keys() {
            if !self.connections.get(leader).is_some_and(Connection::is_open) {
                self.connections.insert(*leader, self.client.dedicated(*leader).await?);
            }
        }
        let timeout = max_wait + self.client.timeout();
        let polls = by_leader.iter().map(|(leader, partitions)| {
            let request = self.request(partitions, max_wait);
            let connection = &self.connections[leader];
            async move { connection.call(&request, timeout).await }
        });
        let responses: Vec<FetchResponse> = futures::future::try_join_all(polls).await?;
        let mut fetched = Vec::new();
        for response in responses {
            check(response.error_code, || format!("fetch from {}", self.topic), None)?;
            for partition in response.responses.into_iter().flat_map(|topic| topic.partitions) {
                fetched.extend(self.take(partition)?);
            }
        }
        Ok(fetched)
    }

    async fn by_leader(&self) -> Result<BTreeMap<i32, Vec<i32>>, ClientError> {
        let leaders = self.client.leaders(&self.topic, false).await?;
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for partition in self.positions.keys() {
            match leaders.get(partition) {
                Some(leader) => by_leader.entry(*leader).or_default().push(*partition),
                None => {
                    let code = ResponseError::UnknownTopicOrPartition.code();
                    check(code, || format!("partition {}/{partition}", self.topic), None)?;
                }
            }
        }
        Ok(by_leader)
    }

    fn request(&self, partitions: &[i32], max_wait: Duration) -> FetchRequest {
        let ask = |partition: &i32| {
            FetchPartition::default()
                .with_partition(*partition)
                .with_fetch_offset(self.positions[partition])
                .with_current_leader_epoch(-1)
                .with_partition_max_bytes(PARTITION_BYTES_MAX)
        };
        let topic = FetchTopic::default()
            .with_topic(topic_name(&self.topic))
            .with_partitions(partitions.iter().map(ask).collect());
        FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(RESPONSE_BYTES_MAX)
            .with_session_epoch(-1)
            .with_isolation_level(self.client.isolation() as i8)
            .with_topics(vec![topic])
    }

    fn take(&mut self, answer: PartitionData) -> Result<Option<Fetched>, ClientError> {
        let partition = answer.partition_index;
        let Some(position) = self.positions.get_mut(&partition) else { return Ok(None) };
        let topic = &self.topic;
        if answer.error_code == ResponseError::OffsetOutOfRange.code() && *position < answer.log_start_offset {
            tracing::warn!(
                partition,
                from = *position,
                to = answer.log_start_offset,
                "older records are gone; skipping"
            );
            *position = answer.log_start_offset;
            return Ok(None);
        }
        let what = || format!("partition {topic}/{partition} at offset {position}");
        check(answer.error_code, what, None)?;
        let mut records = Vec::new();
        let mut aborted = Aborted::new(answer.aborted_transactions.unwrap_or_default());
        let next = read_batches(partition, *position, &answer.records.unwrap_or_default(), &mut aborted, &mut records)
            .map_err(|cause| ClientError::Refused {
                what: format!("partition {topic}/{partition} at offset {position}"),
                error: ResponseError::CorruptMessage,
                message: Some(cause),
            })?;
        *position = next;
        Ok(Some(Fetched { partition, high_watermark: answer.high_watermark, next_offset: next, records }))
    }
}

/// Which producers' batches are of transactions that were aborted, at the place where the reader stands.
struct Aborted {
    /// First offset and producer of those that the reader has not reached, the next one last.
    ahead: Vec<(i64, i64)>,
    producers: BTreeSet<i64>,
}

impl Aborted {
    /// As a broker tells it to who reads committed records; nothing otherwise.
    fn new(aborted: Vec<AbortedTransaction>) -> Aborted {
        let mut ahead: Vec<_> = aborted.iter().map(|aborted| (aborted.first_offset, aborted.producer_id.0)).collect();
        ahead.sort_unstable_by(|one, other| other.cmp(one));
        Aborted { ahead, producers: BTreeSet::new() }
    }

    /// Takes the next batch in the order of offsets. Returns whether it is not to be read.
    fn hide(&mut self, header: &BatchHeader, batch: &Bytes) -> Result<bool, String> {
        while let Some((_, producer)) = self.ahead.pop_if(|(first, _)| *first <= header.last_offset()) {
            self.producers.insert(producer);
        }
        if header.is_control() {
            let mut records = Records::new(batch, DECOMPRESSED_BATCH_BYTES_MAX).map_err(|error| error.to_string())?;
            let marker = records.next().and_then(Result::ok).and_then(|record| Marker::read(header, &record));
            if marker.is_some_and(|marker| !marker.commit) {
                self.producers.remove(&header.producer_id);
            }
        }
        Ok(header.is_transactional() && self.producers.contains(&header.producer_id))
    }
}

/// Records from `position` on, and the offset after the last whole batch. The last batch may be cut off.
fn read_batches(
    partition: i32,
    position: i64,
    bytes: &Bytes,
    aborted: &mut Aborted,
    into: &mut Vec<ReadRecord>,
) -> Result<i64, String> {
    let mut next = position;
    let mut start = 0;
    while let Ok(header) = BatchHeader::parse(&bytes[start..]) {
        let end = start + header.total_bytes();
        if end > bytes.len() {
            break;
        }
        let batch = bytes.slice(start..end);
        frazil_wire::batch::check_stored(&batch).map_err(|error| error.to_string())?;
        if !aborted.hide(&header, &batch)? && !header.is_control() {
            read_records(partition, position, &batch, into)?;
        }
        next = next.max(header.last_offset() + 1);
        start = end;
    }
    match next == position && !bytes.is_empty() {
        true => Err(format!("{} bytes hold no whole batch", bytes.len())),
        false => Ok(next),
    }
}

fn read_records(partition: i32, position: i64, batch: &Bytes, into: &mut Vec<ReadRecord>) -> Result<(), String> {
    for record in Records::new(batch, DECOMPRESSED_BATCH_BYTES_MAX).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        if record.offset >= position {
            let (offset, timestamp, headers) = (record.offset, record.timestamp, record.headers);
            into.push(ReadRecord { partition, offset, timestamp, key: record.key, value: record.value, headers });
        }
    }
    Ok(())
}
