//! The little of the Kafka protocol that a load generator needs: requests encoded once, answers looked at just enough.
//!
//! Produce version 8 and Fetch version 11 are the last with plain (not flexible) encodings and topic names; both peers
//! serve them. Control requests (create a topic, list offsets) go through kafka-protocol.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PRODUCE_VERSION: i16 = 8;
const FETCH_VERSION: i16 = 11;
/// Bytes of a batch header before its records.
const BATCH_HEADER_BYTES: usize = 61;

/// A record batch of `records` records with `record_bytes` of incompressible value each, encoded once.
pub fn prebuilt_batch(records: usize, record_bytes: usize) -> Result<Bytes> {
    let values = noise(records * record_bytes);
    let value = |at: usize| values.slice(at * record_bytes..(at + 1) * record_bytes);
    let records: Vec<Record> = (0..records).map(|at| record(at as i64, value(at))).collect();
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, records.iter(), &options)?;
    Ok(batch.freeze())
}

/// Bytes that do not compress, always the same.
pub fn noise(count: usize) -> Bytes {
    let mut noise: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut bytes = BytesMut::with_capacity(count + 8);
    while bytes.len() < count {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.put_u64(noise ^ (noise >> 29));
    }
    bytes.truncate(count);
    bytes.freeze()
}

fn record(offset: i64, value: Bytes) -> Record {
    Record {
        transactional: false,
        control: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        // The encoder wants them consecutive and writes the first, which says that there are none.
        sequence: offset as i32 - 1,
        timestamp: now_ms(),
        key: None,
        value: Some(value),
        headers: Default::default(),
        delete_horizon: false,
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as i64
}

/// A whole Produce request (acks=all) that carries `batch` to one partition.
pub fn produce_frame(topic: &str, partition: i32, batch: &[u8]) -> Bytes {
    produce_frame_of(topic, partition, None, batch)
}

/// As [`produce_frame`], of a producer with or without a transactional id. The batch stands at its end.
pub fn produce_frame_of(topic: &str, partition: i32, transactional_id: Option<&str>, batch: &[u8]) -> Bytes {
    let mut frame = frame_head(0, PRODUCE_VERSION);
    match transactional_id {
        Some(id) => put_string(&mut frame, id),
        None => frame.put_i16(-1),
    }
    frame.put_i16(-1); // acks=all
    frame.put_i32(30_000);
    frame.put_i32(1);
    put_string(&mut frame, topic);
    frame.put_i32(1);
    frame.put_i32(partition);
    frame.put_i32(batch.len() as i32);
    frame.put_slice(batch);
    with_size(frame)
}

/// The error code in the answer to a [`produce_frame`], without its size.
pub fn produce_error(mut answer: &[u8]) -> Result<i16> {
    answer.advance(4 + 4); // correlation id, count of topics
    skip_string(&mut answer)?;
    ensure!(answer.len() >= 10, "a produce answer without a partition");
    answer.advance(4 + 4); // count of partitions, partition
    Ok(answer.get_i16())
}

/// What to fetch next from one partition.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset of the next record.
    pub offset: i64,
}

/// A whole Fetch request outside of any session.
pub fn fetch_frame(topic: &str, positions: &[Position], partition_max_bytes: i32, max_wait_ms: i32) -> Bytes {
    let mut frame = frame_head(1, FETCH_VERSION);
    frame.put_i32(-1); // a consumer
    frame.put_i32(max_wait_ms);
    frame.put_i32(1); // min bytes
    frame.put_i32(50 << 20); // max bytes, the consumers' default
    frame.put_i8(0); // read uncommitted
    frame.put_i32(0); // no session
    frame.put_i32(-1);
    frame.put_i32(1);
    put_string(&mut frame, topic);
    frame.put_i32(positions.len() as i32);
    for position in positions {
        frame.put_i32(position.partition);
        frame.put_i32(-1); // leader epoch unknown
        frame.put_i64(position.offset);
        frame.put_i64(-1);
        frame.put_i32(partition_max_bytes);
    }
    frame.put_i32(0); // nothing forgotten
    put_string(&mut frame, ""); // no rack
    with_size(frame)
}

/// What the answer to a [`fetch_frame`] brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fetched {
    /// Bytes of record batches.
    pub bytes: u64,
    /// Records, counted from the batch headers.
    pub records: u64,
}

/// Walks the answer to a [`fetch_frame`] (without its size), moves `positions` behind what it brought, and refuses
/// errors and gaps. Batches are looked at by their headers only.
pub fn read_fetched(mut answer: &[u8], positions: &mut [Position]) -> Result<Fetched> {
    ensure!(answer.len() >= 18, "a fetch answer of {} bytes", answer.len());
    answer.advance(4 + 4); // correlation id, throttle time
    let error = answer.get_i16();
    ensure!(error == 0, "fetch refused with error {error}");
    answer.advance(4); // session
    let mut fetched = Fetched::default();
    for _ in 0..answer.get_i32() {
        skip_string(&mut answer)?;
        for _ in 0..answer.get_i32() {
            read_partition(&mut answer, positions, &mut fetched)?;
        }
    }
    Ok(fetched)
}

fn read_partition(answer: &mut &[u8], positions: &mut [Position], fetched: &mut Fetched) -> Result<()> {
    let partition = answer.get_i32();
    let error = answer.get_i16();
    ensure!(error == 0, "partition {partition}: error {error}");
    answer.advance(8 + 8 + 8); // high watermark, last stable offset, log start
    let aborted = answer.get_i32().max(0) as usize;
    answer.advance(aborted * 16 + 4); // and the preferred replica
    let length = answer.get_i32().max(0) as usize;
    ensure!(
        answer.len() >= length,
        "partition {partition}: records of {length} bytes in an answer of {}",
        answer.len()
    );
    let (mut batches, rest) = answer.split_at(length);
    *answer = rest;
    let position =
        positions.iter_mut().find(|position| position.partition == partition).context("a partition not asked for")?;
    while batches.len() >= BATCH_HEADER_BYTES {
        let mut header = batches;
        let base_offset = header.get_i64();
        let bytes = 12 + header.get_i32().max(0) as usize;
        if bytes > batches.len() {
            break; // a cut batch at the end is legal
        }
        header.advance(4 + 1 + 4 + 2); // epoch, magic, CRC, attributes
        let last = base_offset + i64::from(header.get_i32());
        header.advance(8 + 8 + 8 + 2 + 4); // timestamps, producer
        let wanted = position.offset;
        ensure!(base_offset <= wanted && wanted <= last, "partition {partition}: {base_offset}..={last} for {wanted}");
        fetched.records += header.get_i32().max(0) as u64;
        fetched.bytes += bytes as u64;
        position.offset = last + 1;
        batches = &batches[bytes..];
    }
    Ok(())
}

fn frame_head(api_key: i16, version: i16) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_i16(api_key);
    frame.put_i16(version);
    frame.put_i32(1); // one correlation id for all: answers come in order
    put_string(&mut frame, "frazil-bench");
    frame
}

fn with_size(mut frame: BytesMut) -> Bytes {
    let size = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame.freeze()
}

fn put_string(frame: &mut BytesMut, text: &str) {
    frame.put_i16(text.len() as i16);
    frame.put_slice(text.as_bytes());
}

fn skip_string(answer: &mut &[u8]) -> Result<()> {
    ensure!(answer.len() >= 2, "an answer that ends in a string");
    let length = answer.get_i16().max(0) as usize;
    ensure!(answer.len() >= length, "an answer that ends in a string");
    answer.advance(length);
    Ok(())
}

/// A connection for control requests, one at a time.
#[derive(Debug)]
pub struct Control {
    stream: TcpStream,
}

impl Control {
    /// Connects to `address`.
    pub async fn connect(address: SocketAddr) -> Result<Control> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Control { stream })
    }

    /// Creates `topic` unless it exists.
    pub async fn create_topic(&mut self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<()> {
        use kafka_protocol::messages::create_topics_request::{
            CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
        };
        use kafka_protocol::messages::{CreateTopicsResponse, TopicName};
        let configs = configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        });
        let wanted = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(60_000);
        let answer: CreateTopicsResponse = self.ask(ApiKey::CreateTopics, 5, &request).await?;
        let topic_exists = 36;
        for row in &answer.topics {
            let fine = row.error_code == 0 || row.error_code == topic_exists;
            ensure!(fine, "creating {topic}: error {} {:?}", row.error_code, row.error_message);
        }
        Ok(())
    }

    /// Earliest (`timestamp` -2) or next (-1) offset of the first `partitions` partitions.
    pub async fn offsets(&mut self, topic: &str, partitions: i32, timestamp: i64) -> Result<Vec<i64>> {
        use kafka_protocol::messages::list_offsets_request::{
            ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
        };
        use kafka_protocol::messages::{BrokerId, ListOffsetsResponse, TopicName};
        let asked = (0..partitions).map(|partition| {
            ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp)
        });
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(asked.collect());
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let answer: ListOffsetsResponse = self.ask(ApiKey::ListOffsets, 5, &request).await?;
        let mut rows: Vec<_> = answer.topics.into_iter().flat_map(|topic| topic.partitions).collect();
        rows.sort_by_key(|row| row.partition_index);
        if let Some(row) = rows.iter().find(|row| row.error_code != 0) {
            bail!("listing offsets of partition {}: error {}", row.partition_index, row.error_code);
        }
        Ok(rows.into_iter().map(|row| row.offset).collect())
    }

    /// The id of a new idempotent producer.
    pub async fn producer_id(&mut self) -> Result<i64> {
        use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
        let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        let answer: InitProducerIdResponse = self.ask(ApiKey::InitProducerId, 1, &request).await?;
        ensure!(answer.error_code == 0, "InitProducerId: error {}", answer.error_code);
        Ok(answer.producer_id.0)
    }

    /// Sends a request and waits for its answer.
    pub async fn ask<Q: Encodable + HeaderVersion, A: Decodable + HeaderVersion>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Result<A> {
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(1)
            .with_client_id(Some(StrBytes::from_static_str("frazil-bench")));
        header.encode(&mut frame, Q::header_version(version))?;
        request.encode(&mut frame, version)?;
        self.stream.write_all(&with_size(frame)).await?;
        let size = self.stream.read_i32().await?;
        let mut answer = vec![0; usize::try_from(size)?];
        self.stream.read_exact(&mut answer).await?;
        let mut answer = Bytes::from(answer);
        ResponseHeader::decode(&mut answer, A::header_version(version))?;
        A::decode(&mut answer, version)
    }
}
