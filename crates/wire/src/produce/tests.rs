use super::*;
use bytes::BytesMut;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest as Theirs, ProduceResponse, ResponseHeader, TransactionalId};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;
use uuid::Uuid;

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;

fn records() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from))
}

fn request() -> impl Strategy<Value = ProduceRequest> {
    let partition = (any::<i32>(), records()).prop_map(|(index, records)| ProducePartition { index, records });
    let topic = ("[a-z.ü]{0,20}", 1_u128.., prop::collection::vec(partition, 0..5))
        .prop_map(|(name, id, partitions)| ProduceTopic { name, id: TopicId(id), partitions });
    (prop::option::of("[a-z]{0,9}"), any::<i16>(), any::<i32>(), prop::collection::vec(topic, 0..4)).prop_map(
        |(transactional_id, acks, timeout_ms, topics)| ProduceRequest { transactional_id, acks, timeout_ms, topics },
    )
}

/// What of a request a version can say.
fn as_in_version(mut request: ProduceRequest, version: i16) -> ProduceRequest {
    for topic in &mut request.topics {
        match version >= 13 {
            true => topic.name.clear(),
            false => topic.id = TopicId::default(),
        }
    }
    request
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn encode(request: &ProduceRequest, version: i16, tagged: bool) -> Bytes {
    let partition = |partition: &ProducePartition| {
        let theirs =
            PartitionProduceData::default().with_index(partition.index).with_records(partition.records.clone());
        if tagged { theirs.with_unknown_tagged_field(9, Bytes::from_static(b"new")) } else { theirs }
    };
    let topic = |topic: &ProduceTopic| {
        TopicProduceData::default()
            .with_name(text(&topic.name).into())
            .with_topic_id(Uuid::from_u128(topic.id.0))
            .with_partition_data(topic.partitions.iter().map(partition).collect())
    };
    let theirs = Theirs::default()
        .with_transactional_id(request.transactional_id.as_deref().map(|id| TransactionalId(text(id))))
        .with_acks(request.acks)
        .with_timeout_ms(request.timeout_ms)
        .with_topic_data(request.topics.iter().map(topic).collect());
    let mut buffer = BytesMut::new();
    theirs.encode(&mut buffer, version).unwrap();
    buffer.freeze()
}

/// The response in a frame, read by kafka-protocol.
fn decode_response(frame: &Bytes, version: i16) -> ProduceResponse {
    assert_eq!(frame[..4], (frame.len() as u32 - 4).to_be_bytes());
    let mut rest = frame.slice(4..);
    let header = ResponseHeader::decode(&mut rest, if version >= 9 { 1 } else { 0 }).unwrap();
    assert_eq!(header.correlation_id, 31);
    let response = ProduceResponse::decode(&mut rest, version).unwrap();
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
    response
}

fn response() -> impl Strategy<Value = Vec<TopicResponse>> {
    let message = || prop::option::of("[a-z ]{0,12}");
    let fault = (any::<i32>(), message()).prop_map(|(batch_index, message)| RecordFault { batch_index, message });
    let numbers = (any::<i32>(), any::<i16>(), any::<i64>(), any::<i64>(), any::<i64>());
    let partition =
        (numbers, prop::collection::vec(fault, 0..3), message()).prop_map(|(numbers, record_errors, error_message)| {
            let (index, error_code, base_offset, log_append_time_ms, log_start_offset) = numbers;
            PartitionResponse {
                index,
                error_code,
                base_offset,
                log_append_time_ms,
                log_start_offset,
                record_errors,
                error_message,
            }
        });
    let topic = ("[a-z]{1,9}", 1_u128.., prop::collection::vec(partition, 0..4))
        .prop_map(|(name, id, partitions)| TopicResponse { name, id: TopicId(id), partitions });
    prop::collection::vec(topic, 0..4)
}

/// A response as kafka-protocol gives it back, in our types.
fn ours(response: &ProduceResponse) -> Vec<TopicResponse> {
    let partition =
        |partition: &kafka_protocol::messages::produce_response::PartitionProduceResponse| PartitionResponse {
            index: partition.index,
            error_code: partition.error_code,
            base_offset: partition.base_offset,
            log_append_time_ms: partition.log_append_time_ms,
            log_start_offset: partition.log_start_offset,
            record_errors: partition
                .record_errors
                .iter()
                .map(|fault| RecordFault {
                    batch_index: fault.batch_index,
                    message: fault.batch_index_error_message.as_ref().map(|message| message.to_string()),
                })
                .collect(),
            error_message: partition.error_message.as_ref().map(|message| message.to_string()),
        };
    let topic = |topic: &kafka_protocol::messages::produce_response::TopicProduceResponse| TopicResponse {
        name: topic.name.to_string(),
        id: TopicId(topic.topic_id.as_u128()),
        partitions: topic.partition_responses.iter().map(partition).collect(),
    };
    response.responses.iter().map(topic).collect()
}

/// What of a response a version can say.
fn response_as_in_version(mut topics: Vec<TopicResponse>, version: i16) -> Vec<TopicResponse> {
    for topic in &mut topics {
        match version >= 13 {
            true => topic.name.clear(),
            false => topic.id = TopicId::default(),
        }
        for partition in &mut topic.partitions {
            if version < 5 {
                partition.log_start_offset = -1;
            }
            if version < 8 {
                (partition.record_errors, partition.error_message) = (Vec::new(), None);
            }
        }
    }
    topics
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn requests_that_kafka_protocol_writes_are_read_in_all_versions(request in request(), tagged in any::<bool>()) {
        for version in VERSIONS {
            let body = encode(&request, version, tagged && version >= 9);
            prop_assert_eq!(ProduceRequest::decode(version, body), Ok(as_in_version(request.clone(), version)), "{}", version);
        }
    }

    #[test]
    fn responses_are_read_by_kafka_protocol_in_all_versions(topics in response(), throttle in any::<i32>()) {
        for version in VERSIONS {
            let frame = encode_response(version, 31, &topics, throttle);
            let response = decode_response(&frame, version);
            prop_assert_eq!(ours(&response), response_as_in_version(topics.clone(), version));
            prop_assert_eq!(response.throttle_time_ms, throttle);
            let mut again = BytesMut::new();
            response.encode(&mut again, version).unwrap();
            prop_assert_eq!(&frame[if version >= 9 { 9 } else { 8 }..], &again[..]);
        }
    }

    #[test]
    fn a_cut_request_is_an_error(request in request(), cut in any::<prop::sample::Index>()) {
        for version in VERSIONS {
            let body = encode(&request, version, false);
            let cut = cut.index(body.len());
            prop_assert!(ProduceRequest::decode(version, body.slice(..cut)).is_err());
        }
    }
}

#[test]
fn records_are_a_slice_of_the_frame() {
    let partition = ProducePartition { index: 0, records: Some(Bytes::from_static(&[7; 100])) };
    let topic = ProduceTopic { name: "t".into(), id: TopicId(5), partitions: vec![partition] };
    let request = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 1, topics: vec![topic] };
    for version in VERSIONS {
        let body = encode(&request, version, false);
        let inside = body.as_ptr_range();
        let read = ProduceRequest::decode(version, body.clone()).unwrap();
        let records = read.topics[0].partitions[0].records.clone().unwrap();
        assert!(inside.contains(&records.as_ptr()) && records == [7; 100][..]);
    }
}

#[test]
fn counts_that_lie_are_refused_before_anything_is_allocated() {
    // No transactional id, acks, timeout, then topics.
    let classic = |count: i32| [&[0xff, 0xff, 0, 1, 0, 0, 0, 0][..], &count.to_be_bytes(), &[0; 8]].concat();
    for count in [9, 1_000_000, i32::MAX] {
        let error = ProduceRequest::decode(3, classic(count).into()).unwrap_err();
        assert_eq!(error, DecodeError::Count { count: count as usize, left: 8 });
    }
    assert_eq!(ProduceRequest::decode(3, classic(-2).into()), Err(DecodeError::Length(-2)));
    let flexible = [&[0, 0, 1, 0, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0; 8]].concat();
    let error = ProduceRequest::decode(9, flexible.into()).unwrap_err();
    assert_eq!(error, DecodeError::Count { count: u32::MAX as usize - 1, left: 8 });
}

#[test]
fn more_partitions_than_any_cluster_has_are_refused() {
    let partition = ProducePartition { index: 0, records: None };
    let topic = ProduceTopic { name: "t".into(), id: TopicId(1), partitions: vec![partition; 1 << 18] };
    let request = ProduceRequest { transactional_id: None, acks: 1, timeout_ms: 0, topics: vec![topic] };
    for version in [3, 13] {
        let body = encode(&request, version, false);
        assert_eq!(ProduceRequest::decode(version, body), Err(DecodeError::TooManyEntries));
    }
}

#[test]
fn versions_that_are_not_served_are_refused() {
    for version in [-1, 0, 1, 2, 14, i16::MAX] {
        let error = DecodeError::Version { key: PRODUCE, version };
        assert_eq!(ProduceRequest::decode(version, Bytes::from_static(&[0; 64])), Err(error));
    }
}

#[test]
fn a_success_and_a_failure_have_golden_bytes() {
    let partitions = vec![PartitionResponse::written(0, 258, 3), PartitionResponse::failed(1, 10, Some("big".into()))];
    let topics = [TopicResponse { name: "t".into(), id: TopicId::default(), partitions }];
    let golden = [
        &[0, 0, 0, 84, 0, 0, 0, 31, 0][..],          // size, correlation id, no tags
        &[2, 2, b't', 3],                            // one topic "t", two partitions
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2], // 0: no error, offset 258
        &[0xff; 8],                                  // no append time
        &[0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0],          // start 3, no faults, no message, no tags
        &[0, 0, 0, 1, 0, 10],                        // 1: MESSAGE_TOO_LARGE
        &[0xff; 24],                                 // no offset, append time, start
        &[1, 4, b'b', b'i', b'g', 0],                // no faults, a message, no tags
        &[0, 0, 0, 0, 0, 0],                         // topic's tags, throttle, tags
    ]
    .concat();
    assert_eq!(encode_response(12, 31, &topics, 0)[..], golden[..]);
}
