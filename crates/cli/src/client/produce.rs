//! Writing records: batches per partition, each repeated until it is acknowledged or the time is up.
//!
//! One batch per partition is under way at a time, so that a repetition never overtakes. Where the broker gives out
//! producer ids the producer is idempotent: a batch that is repeated after a lost answer is stored once.

use super::{Client, ClientError, check, topic_name};
use bytes::Bytes;
use frazil_base::limits::BATCH_BYTES_DEFAULT;
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Compression};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::ProduceResponse;
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use std::collections::BTreeMap;
use std::time::Duration;

/// Records are gathered up to this; it leaves room for what does not compress and for the batch's header.
pub const BATCH_BYTES: usize = BATCH_BYTES_DEFAULT / 8 * 7;

/// What an acknowledgement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// None is asked for.
    None,
    /// The leader's.
    Leader,
    /// All replicas'.
    All,
}

/// How to produce.
#[derive(Clone, Copy, Debug)]
pub struct ProducerOptions {
    /// Codec of the batches.
    pub compression: Compression,
    /// Which acknowledgement to wait for.
    pub acks: Acks,
    /// Let the broker create the topic when it does not exist.
    pub create_topic: bool,
}

impl Default for ProducerOptions {
    fn default() -> ProducerOptions {
        ProducerOptions { compression: Compression::None, acks: Acks::All, create_topic: false }
    }
}

/// A record to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Where to; by key, else in turn, when `None`.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Partition.
    pub partition: i32,
    /// Offset of the batch's first record; -1 when no acknowledgement was asked for.
    pub base_offset: i64,
    /// Records.
    pub records: usize,
}

/// Gathers records for one topic and sends them.
#[derive(Debug)]
pub struct Producer {
    client: Client,
    topic: String,
    options: ProducerOptions,
    identity: Option<(i64, i16)>,
    partitions: Vec<i32>,
    lanes: BTreeMap<i32, Lane>,
    /// Index of the partition that takes records without key until the next flush.
    sticky: usize,
}

#[derive(Debug)]
struct Lane {
    batch: BatchBuilder,
    next_sequence: i32,
}

impl Producer {
    /// Looks the topic up (and has it created if the options say so).
    pub async fn open(client: Client, topic: &str, options: ProducerOptions) -> Result<Producer, ClientError> {
        let partitions: Vec<i32> = client.leaders(topic, options.create_topic).await?.into_keys().collect();
        let identity = if options.acks == Acks::All { init_producer_id(&client).await? } else { None };
        let topic = topic.to_string();
        Ok(Producer { client, topic, options, identity, partitions, lanes: BTreeMap::new(), sticky: 0 })
    }

    /// The topic's partitions.
    pub fn partitions(&self) -> &[i32] {
        &self.partitions
    }

    /// Adds a record. Returns whether it is time to `flush`.
    pub fn push(&mut self, record: &NewRecord) -> bool {
        let partition = record.partition.unwrap_or_else(|| self.choose(record.key.as_deref()));
        let (compression, identity) = (self.options.compression, self.identity);
        let lane = self
            .lanes
            .entry(partition)
            .or_insert_with(|| Lane { batch: empty_batch(compression, identity, 0), next_sequence: 0 });
        let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        lane.batch.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        lane.batch.uncompressed_bytes() >= BATCH_BYTES
    }

    /// Bytes of this record, and what is gathered for its partition, fit into one batch of the usual limit.
    pub fn has_room_for(&self, record: &NewRecord) -> bool {
        let partition = record.partition.unwrap_or_else(|| self.choose(record.key.as_deref()));
        let gathered = self.lanes.get(&partition).map_or(0, |lane| lane.batch.uncompressed_bytes());
        let payload = record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len);
        gathered == 0 || self.lanes[&partition].batch.is_empty() || gathered + payload < BATCH_BYTES
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(|lane| lane.batch.is_empty())
    }

    /// Sends everything and waits for the acknowledgements.
    pub async fn flush(&mut self) -> Result<Vec<Placed>, ClientError> {
        let mut sends = Vec::new();
        for (partition, lane) in &mut self.lanes {
            if lane.batch.is_empty() {
                continue;
            }
            let records = lane.batch.len();
            lane.next_sequence = advance(lane.next_sequence, records);
            let next = empty_batch(self.options.compression, self.identity, lane.next_sequence);
            let batch = std::mem::replace(&mut lane.batch, next).build();
            sends.push((*partition, batch, records));
        }
        self.sticky = self.sticky.wrapping_add(1);
        let sends = sends.into_iter().map(|(partition, batch, records)| self.send(partition, batch, records));
        futures::future::try_join_all(sends).await
    }

    async fn send(&self, partition: i32, batch: Bytes, records: usize) -> Result<Placed, ClientError> {
        let request = self.request(partition, batch);
        let base_offset = self.client.retrying(|| self.attempt(partition, &request)).await?;
        Ok(Placed { partition, base_offset, records })
    }

    async fn attempt(&self, partition: i32, request: &ProduceRequest) -> Result<i64, ClientError> {
        let leaders = self.client.leaders(&self.topic, self.options.create_topic).await?;
        let Some(leader) = leaders.get(&partition) else {
            let code = ResponseError::UnknownTopicOrPartition.code();
            return check(code, || format!("partition {}/{partition}", self.topic), None).map(|()| -1);
        };
        let connection = self.client.node(*leader).await?;
        if self.options.acks == Acks::None {
            return connection.tell(request).await.map(|()| -1);
        }
        let waited = self.client.timeout() + Duration::from_secs(1);
        self.base_offset(&connection.call(request, waited).await?)
    }

    fn base_offset(&self, response: &ProduceResponse) -> Result<i64, ClientError> {
        let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        let answer = partitions.next().ok_or_else(|| ClientError::Refused {
            what: format!("topic {}", self.topic),
            error: ResponseError::UnknownServerError,
            message: Some("the response names no partition".to_string()),
        })?;
        if answer.error_code == ResponseError::DuplicateSequenceNumber.code() {
            return Ok(answer.base_offset);
        }
        let what = || format!("produce to {}/{}", self.topic, answer.index);
        check(answer.error_code, what, answer.error_message.as_ref())?;
        Ok(answer.base_offset)
    }

    fn request(&self, partition: i32, batch: Bytes) -> ProduceRequest {
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
        let topic = TopicProduceData::default().with_name(topic_name(&self.topic)).with_partition_data(vec![data]);
        let acks = match self.options.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let timeout_ms = i32::try_from(self.client.timeout().as_millis()).unwrap_or(i32::MAX);
        ProduceRequest::default().with_acks(acks).with_timeout_ms(timeout_ms).with_topic_data(vec![topic])
    }

    /// As Kafka's own clients do: a key always goes to the same partition, records without key stay together.
    fn choose(&self, key: Option<&[u8]>) -> i32 {
        let index = match key {
            Some(key) => (murmur2(key) & 0x7fff_ffff) as usize,
            None => self.sticky,
        };
        self.partitions[index % self.partitions.len()]
    }
}

fn empty_batch(compression: Compression, identity: Option<(i64, i16)>, base_sequence: i32) -> BatchBuilder {
    let batch = BatchBuilder::new(compression);
    match identity {
        Some((id, epoch)) => batch.producer(ProducerFields { id, epoch, base_sequence }),
        None => batch,
    }
}

/// Sequences count records and wrap past `i32::MAX` to 0.
fn advance(sequence: i32, records: usize) -> i32 {
    ((i64::from(sequence) + records as i64) % (1 << 31)) as i32
}

async fn init_producer_id(client: &Client) -> Result<Option<(i64, i16)>, ClientError> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let ask = || async {
        let response = client.any().await?.call(&request, client.timeout()).await?;
        check(response.error_code, || "producer id".to_string(), None)?;
        Ok(Some((response.producer_id.0, response.producer_epoch)))
    };
    match client.retrying(ask).await {
        Err(ClientError::Unsupported { .. }) => Ok(None),
        result => result,
    }
}

/// Kafka's hash of keys (MurmurHash2, seed 0x9747b28c), so that all clients agree where a key lives.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes(word.try_into().expect("chunks of four")).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ (word >> 24)).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_kafka() {
        // From Kafka's UtilsTest.testMurmur2.
        for (key, hash) in [
            ("21", -973932308),
            ("foobar", -790332482),
            ("a-little-bit-long-string", -985981536),
            ("a-little-bit-longer-string", -1486304829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            ("abc", 479470107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 3), 1);
        assert_eq!(advance(0, 500), 500);
    }
}
