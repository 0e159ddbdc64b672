use super::*;
use bytes::BytesMut;
use kafka_protocol::messages::fetch_request as theirs;
use kafka_protocol::messages::{FetchRequest as Theirs, FetchResponse, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;
use uuid::Uuid;

const VERSIONS: std::ops::RangeInclusive<i16> = 4..=17;

fn partition() -> impl Strategy<Value = FetchPartition> {
    (any::<i32>(), any::<i32>(), any::<i64>(), any::<i32>(), any::<i64>(), any::<i32>()).prop_map(
        |(index, current_leader_epoch, fetch_offset, last_fetched_epoch, log_start_offset, max_bytes)| FetchPartition {
            index,
            current_leader_epoch,
            fetch_offset,
            last_fetched_epoch,
            log_start_offset,
            max_bytes,
        },
    )
}

fn request() -> impl Strategy<Value = FetchRequest> {
    let topic = ("[a-zé]{0,9}", 1_u128.., prop::collection::vec(partition(), 0..5))
        .prop_map(|(name, id, partitions)| FetchTopic { name, id: TopicId(id), partitions });
    let forgotten = ("[a-z]{0,9}", 1_u128.., prop::collection::vec(any::<i32>(), 0..5))
        .prop_map(|(name, id, partitions)| ForgottenTopic { name, id: TopicId(id), partitions });
    let numbers = (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>(), any::<i8>(), any::<i32>(), any::<i32>());
    let topics = (prop::collection::vec(topic, 0..4), prop::collection::vec(forgotten, 0..3));
    (numbers, topics, "[a-z]{0,5}", prop::option::of("[a-z]{0,5}")).prop_map(|(numbers, topics, rack, cluster_id)| {
        let (replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch) = numbers;
        let (topics, forgotten) = topics;
        FetchRequest {
            cluster_id,
            replica_id,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation_level,
            session_id,
            session_epoch,
            topics,
            forgotten,
            rack,
        }
    })
}

/// What of a request a version can say; the rest has its default.
fn as_in_version(mut request: FetchRequest, version: i16) -> FetchRequest {
    let by_id = version >= 13;
    let names = request.topics.iter_mut().map(|topic| (&mut topic.name, &mut topic.id));
    let forgotten = request.forgotten.iter_mut().map(|topic| (&mut topic.name, &mut topic.id));
    for (name, id) in names.chain(forgotten) {
        if by_id { name.clear() } else { *id = TopicId::default() }
    }
    for partition in request.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.current_leader_epoch = if version >= 9 { partition.current_leader_epoch } else { -1 };
        partition.last_fetched_epoch = if version >= 12 { partition.last_fetched_epoch } else { -1 };
        partition.log_start_offset = if version >= 5 { partition.log_start_offset } else { -1 };
    }
    if version < 7 {
        (request.session_id, request.session_epoch, request.forgotten) = (0, -1, Vec::new());
    }
    if version < 11 {
        request.rack.clear();
    }
    if version < 12 {
        request.cluster_id = None;
    }
    request
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// `request` must be what `version` can say.
fn encode(request: &FetchRequest, version: i16) -> Bytes {
    let partition = |partition: &FetchPartition| {
        let theirs = theirs::FetchPartition::default()
            .with_partition(partition.index)
            .with_current_leader_epoch(partition.current_leader_epoch)
            .with_fetch_offset(partition.fetch_offset)
            .with_last_fetched_epoch(partition.last_fetched_epoch)
            .with_log_start_offset(partition.log_start_offset)
            .with_partition_max_bytes(partition.max_bytes);
        if version >= 17 { theirs.with_replica_directory_id(Uuid::from_u128(77)) } else { theirs }
    };
    let topic = |topic: &FetchTopic| {
        theirs::FetchTopic::default()
            .with_topic(text(&topic.name).into())
            .with_topic_id(Uuid::from_u128(topic.id.0))
            .with_partitions(topic.partitions.iter().map(partition).collect())
    };
    let forgotten = |topic: &ForgottenTopic| {
        theirs::ForgottenTopic::default()
            .with_topic(text(&topic.name).into())
            .with_topic_id(Uuid::from_u128(topic.id.0))
            .with_partitions(topic.partitions.clone())
    };
    let mut theirs = Theirs::default()
        .with_cluster_id(request.cluster_id.as_deref().map(text))
        .with_max_wait_ms(request.max_wait_ms)
        .with_min_bytes(request.min_bytes)
        .with_max_bytes(request.max_bytes)
        .with_isolation_level(request.isolation_level)
        .with_session_id(request.session_id)
        .with_session_epoch(request.session_epoch)
        .with_topics(request.topics.iter().map(topic).collect())
        .with_forgotten_topics_data(request.forgotten.iter().map(forgotten).collect())
        .with_rack_id(text(&request.rack));
    theirs = match version >= 15 {
        true => theirs.with_replica_state(
            theirs::ReplicaState::default().with_replica_id(request.replica_id.into()).with_replica_epoch(5),
        ),
        false => theirs.with_replica_id(request.replica_id.into()),
    };
    let mut buffer = BytesMut::new();
    theirs.encode(&mut buffer, version).unwrap();
    buffer.freeze()
}

fn response() -> impl Strategy<Value = FetchResponseParts> {
    let slices = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from), 0..4);
    let aborted = (any::<i64>(), any::<i64>())
        .prop_map(|(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset });
    let numbers = (any::<i32>(), any::<i16>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<i32>());
    let partition = (numbers, prop::option::of(prop::collection::vec(aborted, 0..3)), slices).prop_map(
        |(numbers, aborted_transactions, records)| {
            let (index, error_code, high_watermark, last_stable_offset, log_start_offset, replica) = numbers;
            PartitionPart {
                index,
                error_code,
                high_watermark,
                last_stable_offset,
                log_start_offset,
                aborted_transactions,
                preferred_read_replica: replica,
                records,
            }
        },
    );
    let topic = ("[a-z]{0,9}", 1_u128.., prop::collection::vec(partition, 0..4))
        .prop_map(|(name, id, partitions)| TopicPart { name, id: TopicId(id), partitions });
    (any::<i32>(), any::<i16>(), any::<i32>(), prop::collection::vec(topic, 0..4)).prop_map(
        |(throttle_time_ms, error_code, session_id, topics)| FetchResponseParts {
            throttle_time_ms,
            error_code,
            session_id,
            topics,
        },
    )
}

/// What of a response a version can say, with the records of a partition in one piece.
fn response_as_in_version(mut parts: FetchResponseParts, version: i16) -> FetchResponseParts {
    if version < 7 {
        (parts.error_code, parts.session_id) = (0, 0);
    }
    for topic in &mut parts.topics {
        if version >= 13 {
            topic.name.clear()
        } else {
            topic.id = TopicId::default()
        }
        for partition in &mut topic.partitions {
            partition.log_start_offset = if version >= 5 { partition.log_start_offset } else { -1 };
            partition.preferred_read_replica = if version >= 11 { partition.preferred_read_replica } else { -1 };
            partition.records = vec![partition.records.concat().into()];
        }
    }
    parts
}

fn ours(response: &FetchResponse) -> FetchResponseParts {
    use kafka_protocol::messages::fetch_response as theirs;
    let aborted = |aborted: &theirs::AbortedTransaction| AbortedTransaction {
        producer_id: aborted.producer_id.0,
        first_offset: aborted.first_offset,
    };
    let partition = |partition: &theirs::PartitionData| PartitionPart {
        index: partition.partition_index,
        error_code: partition.error_code,
        high_watermark: partition.high_watermark,
        last_stable_offset: partition.last_stable_offset,
        log_start_offset: partition.log_start_offset,
        aborted_transactions: partition.aborted_transactions.as_ref().map(|list| list.iter().map(aborted).collect()),
        preferred_read_replica: partition.preferred_read_replica.0,
        records: vec![partition.records.clone().expect("records are never null")],
    };
    let topic = |topic: &theirs::FetchableTopicResponse| TopicPart {
        name: topic.topic.to_string(),
        id: TopicId(topic.topic_id.as_u128()),
        partitions: topic.partitions.iter().map(partition).collect(),
    };
    FetchResponseParts {
        throttle_time_ms: response.throttle_time_ms,
        error_code: response.error_code,
        session_id: response.session_id,
        topics: response.responses.iter().map(topic).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn requests_that_kafka_protocol_writes_are_read_in_all_versions(request in request()) {
        for version in VERSIONS {
            let request = as_in_version(request.clone(), version);
            prop_assert_eq!(FetchRequest::decode(version, encode(&request, version)), Ok(request), "{}", version);
        }
    }

    #[test]
    fn responses_are_read_by_kafka_protocol_in_all_versions(parts in response()) {
        for version in VERSIONS {
            let frame = Bytes::from(encode_response(version, -5, &parts).concat());
            prop_assert_eq!(&frame[..4], &(frame.len() as u32 - 4).to_be_bytes()[..]);
            let mut rest = frame.slice(4..);
            let header = ResponseHeader::decode(&mut rest, if version >= 12 { 1 } else { 0 }).unwrap();
            prop_assert_eq!(header.correlation_id, -5);
            let body = rest.clone();
            let response = FetchResponse::decode(&mut rest, version).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(ours(&response), response_as_in_version(parts.clone(), version));
            if version >= 11 || response.responses.iter().flat_map(|topic| &topic.partitions).all(|partition| partition.preferred_read_replica == -1) {
                let mut again = BytesMut::new();
                response.encode(&mut again, version).unwrap();
                prop_assert_eq!(body, again);
            }
        }
    }

    #[test]
    fn a_cut_request_is_an_error(request in request(), cut in any::<prop::sample::Index>()) {
        for version in VERSIONS {
            let body = encode(&as_in_version(request.clone(), version), version);
            let cut = cut.index(body.len());
            prop_assert!(FetchRequest::decode(version, body.slice(..cut)).is_err());
        }
    }
}

#[test]
fn record_slices_are_spliced_and_not_copied() {
    let slices: Vec<Bytes> = (1..=4).map(|byte| Bytes::from(vec![byte; 1_000])).collect();
    let partitions = vec![
        PartitionPart::read(0, 10, 0, slices[..2].to_vec()),
        PartitionPart::failed(1, 1),
        PartitionPart::read(2, 10, 0, vec![slices[2].clone(), Bytes::new(), slices[3].clone()]),
    ];
    let topics = vec![TopicPart { name: "t".into(), id: TopicId(1), partitions }];
    for version in VERSIONS {
        let frame = encode_response(version, 1, &FetchResponseParts { topics: topics.clone(), ..Default::default() });
        let inside: Vec<_> = frame.iter().filter(|slice| slice.len() == 1_000).map(|slice| slice.as_ptr()).collect();
        assert_eq!(inside, slices.iter().map(|slice| slice.as_ptr()).collect::<Vec<_>>(), "{version}");
        assert!(frame.iter().all(|slice| !slice.is_empty()), "an empty slice would end a vectored write");
        assert!(frame.len() <= 7, "{} slices", frame.len());
    }
}

#[test]
fn a_consumer_is_replica_minus_one_in_every_version() {
    let mut request = FetchRequest::decode(13, encode_empty(13)).unwrap();
    for version in VERSIONS {
        request = as_in_version(request, version);
        assert_eq!(FetchRequest::decode(version, encode_empty(version)).unwrap().replica_id, -1);
    }
}

fn encode_empty(version: i16) -> Bytes {
    let mut buffer = BytesMut::new();
    Theirs::default().with_replica_id((-1).into()).encode(&mut buffer, version).unwrap();
    buffer.freeze()
}

#[test]
fn counts_that_lie_are_refused_before_anything_is_allocated() {
    for version in VERSIONS {
        let whole = encode_empty(version).to_vec();
        let sessions = if version >= 7 { 8 } else { 0 };
        let replica = if version <= 14 { 4 } else { 0 };
        let topics = replica + 13 + sessions;
        let lie: &[u8] = if version >= 12 { &[0xff, 0xff, 0xff, 0xff, 0x0f] } else { &[0x7f, 0xff, 0xff, 0xff] };
        let body = [&whole[..topics], lie, &whole[topics..]].concat();
        assert!(matches!(FetchRequest::decode(version, body.into()), Err(DecodeError::Count { .. })), "{version}");
    }
}

#[test]
fn versions_that_are_not_served_are_refused() {
    for version in [-1, 0, 3, 18, i16::MAX] {
        let error = DecodeError::Version { key: FETCH, version };
        assert_eq!(FetchRequest::decode(version, Bytes::from_static(&[0; 64])), Err(error));
    }
}
