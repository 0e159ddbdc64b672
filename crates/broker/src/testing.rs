//! A client for tests: `kafka-protocol` over TCP, and the bytes themselves where a test wants to lie. And the same server
//! without TCP, behind a [`Door`].

mod door;

pub use door::Door;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use frazil_wire::{BatchBuilder, Compression};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    CreateTopicsRequest, FetchRequest, ProduceRequest, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that sends one request after the other, or several before it reads.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    next_correlation_id: i32,
    answered: i32,
    client_id: String,
}

impl Client {
    /// Connects. The client calls itself `test`.
    pub async fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, next_correlation_id: 0, answered: 0, client_id: "test".to_owned() })
    }

    /// Changes what the client calls itself.
    pub fn rename(&mut self, client_id: &str) {
        self.client_id = client_id.to_owned();
    }

    /// Sends a request and reads its answer.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        self.send(version, request).await?;
        self.receive::<R>(version).await
    }

    /// Sends a request.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<()> {
        let mut body = BytesMut::new();
        request.encode(&mut body, version).map_err(invalid)?;
        let frame = self.frame(R::KEY, version, R::header_version(version), &body)?;
        self.send_bytes(&frame).await
    }

    /// A whole frame with this client's next correlation id around any body.
    pub fn frame(&mut self, api_key: i16, version: i16, header_version: i16, body: &[u8]) -> io::Result<Bytes> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        request_frame(api_key, version, header_version, correlation_id, &self.client_id, body)
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads the next answer, which has to be that of the oldest unanswered request.
    pub async fn receive<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let mut frame = self.receive_frame().await?;
        let header_version = <R::Response as HeaderVersion>::header_version(version);
        let response = response_of(&mut frame, header_version, version, self.answered)?;
        self.answered += 1;
        Ok(response)
    }

    /// Skips an answer that will never come (acks=0).
    pub fn expect_no_answer(&mut self) {
        self.answered += 1;
    }

    /// Reads a frame, without its length.
    pub async fn receive_frame(&mut self) -> io::Result<Bytes> {
        let length = usize::try_from(self.stream.read_i32().await?).map_err(invalid)?;
        let mut frame = BytesMut::with_capacity(length.min(1 << 20)).limit(length);
        while frame.has_remaining_mut() {
            if self.stream.read_buf(&mut frame).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(frame.into_inner().freeze())
    }

    /// Waits until the broker closes the connection; gives what it sent before.
    pub async fn until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }

    /// Creates a topic with settings of its own; gives the error code.
    pub async fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> io::Result<i16> {
        let config = |(name, value): &(&str, &str)| {
            let (name, value) = (StrBytes::from_string(name.to_string()), StrBytes::from_string(value.to_string()));
            CreatableTopicConfig::default().with_name(name).with_value(Some(value))
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.iter().map(config).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
        let response = self.call(5, &request).await?;
        Ok(response.topics.first().map_or(-1, |topic| topic.error_code))
    }

    /// Produces one batch to one partition with acks=all, in version 11.
    pub async fn produce(&mut self, topic: &str, partition: i32, batch: Bytes) -> io::Result<PartitionProduceResponse> {
        let response = self.call(11, &produce_request(topic, partition, batch)).await?;
        let partition =
            response.responses.into_iter().next().and_then(|topic| topic.partition_responses.into_iter().next());
        partition.ok_or_else(|| invalid("an answer without a partition"))
    }

    /// Fetches from one partition in version 12, waiting up to `max_wait_ms` for a byte.
    pub async fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        max_wait_ms: i32,
    ) -> io::Result<PartitionData> {
        let response = self.call(12, &fetch_request(topic, partition, offset, max_wait_ms)).await?;
        let partition = response.responses.into_iter().next().and_then(|topic| topic.partitions.into_iter().next());
        partition.ok_or_else(|| invalid("an answer without a partition"))
    }
}

/// A whole frame around a request's body.
fn request_frame(
    api_key: i16,
    version: i16,
    header_version: i16,
    correlation_id: i32,
    client_id: &str,
    body: &[u8],
) -> io::Result<Bytes> {
    let header = RequestHeader::default()
        .with_request_api_key(api_key)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let mut frame = BytesMut::from(&[0; 4][..]);
    header.encode(&mut frame, header_version).map_err(invalid)?;
    frame.extend_from_slice(body);
    let length = i32::try_from(frame.len() - 4).map_err(invalid)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// The answer to the request of this correlation id, from a frame without its length.
fn response_of<T: Decodable>(
    frame: &mut Bytes,
    header_version: i16,
    version: i16,
    correlation_id: i32,
) -> io::Result<T> {
    let header = ResponseHeader::decode(frame, header_version).map_err(invalid)?;
    if header.correlation_id != correlation_id {
        return Err(invalid(format!("answer {} instead of {correlation_id}", header.correlation_id)));
    }
    let response = T::decode(frame, version).map_err(invalid)?;
    match frame.remaining() {
        0 => Ok(response),
        rest => Err(invalid(format!("{rest} bytes behind the answer"))),
    }
}

/// A produce request of one batch with acks=all, for versions up to 12.
pub fn produce_request(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// A fetch request of one partition without a session, for versions up to 12.
pub fn fetch_request(topic: &str, partition: i32, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let wanted =
        FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![wanted]);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// A topic's name in the generated types.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// A plain batch of records without keys.
pub fn batch(compression: Compression, timestamp: i64, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    values.iter().for_each(|value| builder.push(timestamp, None, Some(value.as_bytes()), &[]));
    builder.build()
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
