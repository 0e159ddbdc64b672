use super::*;
use crate::compression::Compression;
use bytes::{Bytes, BytesMut};
use kafka_protocol::records as theirs;
use proptest::prelude::*;

const RULES: BatchRules = BatchRules { batch_bytes_max: 1 << 20, zstd_allowed: true };

/// Two batches as Apache Kafka wrote them: "123", then two records with empty values.
const KAFKA_WROTE: [&[u8]; 2] = [
    b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00;\x00\x00\x00\x01\x02\x03\x18\xa2p\x00\x00\x00\x00\x00\x00\x00\x00\x01\
      ]\xff{\x06<\x00\x00\x01]\xff{\x06<\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01\x12\x00\
      \x00\x00\x01\x06123\x00",
    b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00@\x00\x00\x00\x02\x02\xc8\\\xbd#\x00\x00\x00\x00\x00\x01\x00\x00\x01]\
      \xff|\xddl\x00\x00\x01]\xff|\xde\x14\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x02\x0c\
      \x00\x00\x00\x01\x00\x00\x0e\x00\xd0\x02\x02\x01\x00\x00",
];

fn batch_of(records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for index in 0..records {
        builder.push(1_000 + index as i64, Some(b"key"), Some(b"value"), &[]);
    }
    builder.build().to_vec()
}

/// Changes a field and makes the CRC right again.
fn with_field(mut batch: Vec<u8>, position: usize, bytes: &[u8]) -> Vec<u8> {
    batch[position..position + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c(&batch[CRC_COVERS_FROM..]);
    batch[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn crc32c_gives_the_values_of_rfc_3720() {
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(&ascending), 0x46dd_794e);
    assert_eq!(crc32c(&descending), 0x113f_db5c);
    assert_eq!(crc32c(b""), 0);
}

#[test]
fn crc32c_is_that_of_a_bitwise_loop_for_every_length() {
    let bytes: Vec<u8> = (0..1_500_u32).map(|index| (index * 31 % 251) as u8).collect();
    let mut bitwise = u32::MAX;
    for (length, byte) in bytes.iter().enumerate() {
        assert_eq!(crc32c(&bytes[..length]), !bitwise, "{length}");
        bitwise ^= u32::from(*byte);
        for _ in 0..8 {
            bitwise = (bitwise >> 1) ^ (0x82f6_3b78 & (bitwise & 1).wrapping_neg());
        }
    }
}

#[test]
fn batches_that_kafka_wrote_are_whole_and_walked_in_order() {
    for batch in KAFKA_WROTE {
        check_stored(batch).unwrap();
    }
    let log = KAFKA_WROTE.concat();
    let mut batches = Batches::new(&log);
    let headers: Vec<_> = batches.by_ref().collect();
    assert_eq!(batches.position(), log.len());
    assert_eq!(headers.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [0, 71]);
    let second = headers[1].1;
    assert_eq!((second.base_offset, second.leader_epoch, second.record_count, second.last_offset()), (1, 2, 2, 2));
    assert_eq!((second.base_timestamp, second.max_timestamp), (1_503_229_959_532, 1_503_229_959_700));
    assert_eq!((second.producer_id, second.producer_epoch, second.base_sequence), (-1, -1, -1));
    let spans: Vec<_> = spans(&log).map(|span| (span.position, span.bytes, span.offsets)).collect();
    assert_eq!(spans, [(0, 71, 1), (71, 76, 2)]);
}

#[test]
fn a_built_batch_passes_and_has_golden_bytes() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(1_503_229_959_532, None, Some(b""), &[]);
    builder.push(1_503_229_959_700, None, Some(b""), &[]);
    let batch = builder.place(1, 2).build();
    assert_eq!(batch, KAFKA_WROTE[1]);
}

#[test]
fn patching_the_place_leaves_the_crc_right() {
    let mut batch = batch_of(3);
    patch_place(&mut batch, 1 << 40, 7);
    let header = check_stored(&batch).unwrap();
    assert_eq!((header.base_offset, header.leader_epoch, header.last_offset()), (1 << 40, 7, (1 << 40) + 2));
}

#[test]
fn patching_a_run_gives_offsets_without_gaps() {
    let mut run = [batch_of(3), batch_of(1), batch_of(5)].concat();
    assert_eq!(patch_run(&mut run, 100, 0), Ok(109));
    let offsets: Vec<_> = Batches::new(&run).map(|(_, header)| (header.base_offset, header.leader_epoch)).collect();
    assert_eq!(offsets, [(100, 0), (103, 0), (104, 0)]);
    run.pop();
    assert!(matches!(patch_run(&mut run, 0, 0), Err(BatchError::Length { .. })));
}

#[test]
fn log_append_time_changes_the_time_of_all_records_and_the_crc() {
    let mut batch = batch_of(3);
    let before = check_stored(&batch).unwrap();
    set_log_append_time(&mut batch, 5_000);
    let after = check_stored(&batch).unwrap();
    assert!(after.has_log_append_time() && !before.has_log_append_time());
    assert_eq!((after.max_timestamp, after.base_timestamp), (5_000, before.base_timestamp));
    assert_ne!(after.crc, before.crc);
    let records = crate::Records::new(&batch.into(), 1 << 20).unwrap();
    assert!(records.map(Result::unwrap).all(|record| record.timestamp == 5_000));
}

#[test]
fn a_damaged_byte_anywhere_is_noticed() {
    let batch = batch_of(4);
    for position in 0..batch.len() {
        let outside_crc_and_meaning = (LEADER_EPOCH..MAGIC).contains(&position);
        let mut damaged = batch.clone();
        damaged[position] ^= 0x10;
        assert_eq!(check_produced(&damaged, &RULES).is_ok(), outside_crc_and_meaning, "byte {position}");
    }
}

#[test]
fn every_cut_of_a_batch_is_an_error() {
    let batch = batch_of(2);
    for length in 0..batch.len() {
        let error = check_produced(&batch[..length], &RULES).unwrap_err();
        assert!(matches!(error, BatchError::Truncated(_) | BatchError::Length { .. }), "{length}: {error}");
    }
}

#[test]
fn each_rule_for_producers_has_its_error() {
    let batch = || batch_of(3);
    let refused = |batch: Vec<u8>| check_produced(&batch, &RULES).unwrap_err();
    assert_eq!(refused([batch(), batch_of(1)].concat()), BatchError::Trailing(batch_of(1).len()));
    assert_eq!(refused(with_field(batch(), MAGIC, &[1])), BatchError::Magic(1));
    assert_eq!(refused(vec![0; 40]), BatchError::Magic(0));
    assert_eq!(refused(with_field(batch(), 0, &5_i64.to_be_bytes())), BatchError::BaseOffset(5));
    assert_eq!(refused(with_field(batch(), ATTRIBUTES, &CONTROL_BIT.to_be_bytes())), BatchError::Control);
    assert_eq!(refused(with_field(batch(), ATTRIBUTES, &[0, 5])), BatchError::UnknownCompression(5));
    for (count, last_offset_delta) in [(0, -1), (-1, -2), (3, 3), (2, 2), (i32::MIN, i32::MAX), (i32::MAX, 0)] {
        let lying = with_field(batch(), RECORD_COUNT, &i32::to_be_bytes(count));
        let lying = with_field(lying, LAST_OFFSET_DELTA, &i32::to_be_bytes(last_offset_delta));
        assert_eq!(refused(lying), BatchError::Counts { count, last_offset_delta });
    }
    for length in [i32::MIN, -12, -1, 0, 48] {
        assert!(
            matches!(refused(with_field(batch(), 8, &length.to_be_bytes())), BatchError::Length { .. }),
            "{length}"
        );
    }
}

#[test]
fn size_limit_and_zstd_depend_on_topic_and_version() {
    let batch = batch_of(3);
    let rules = BatchRules { batch_bytes_max: batch.len(), ..RULES };
    assert!(check_produced(&batch, &rules).is_ok());
    let rules = BatchRules { batch_bytes_max: batch.len() - 1, ..RULES };
    let error = BatchError::TooLarge { bytes: batch.len(), max: batch.len() - 1 };
    assert_eq!(check_produced(&batch, &rules), Err(error));

    let mut zstd = BatchBuilder::new(Compression::Zstd);
    zstd.push(0, None, Some(b"v"), &[]);
    let zstd = zstd.build();
    assert!(check_produced(&zstd, &BatchRules::of_produce(7, 1 << 20)).is_ok());
    let error = check_produced(&zstd, &BatchRules::of_produce(6, 1 << 20)).unwrap_err();
    assert_eq!(error, BatchError::CompressionNotAllowed(Compression::Zstd));
}

#[test]
fn producer_fields_go_together() {
    let build = |id, epoch, base_sequence| {
        let mut builder = BatchBuilder::new(Compression::None).producer(ProducerFields { id, epoch, base_sequence });
        builder.push(0, None, None, &[]);
        builder
    };
    let header = check_produced(&build(4, 0, 0).transactional().build(), &RULES).unwrap();
    assert!(header.is_transactional() && header.is_idempotent() && !header.is_control());
    for (id, epoch, sequence) in [(4, -1, 0), (4, 0, -1)] {
        let error = check_produced(&build(id, epoch, sequence).build(), &RULES).unwrap_err();
        assert_eq!(error, BatchError::Producer { id, epoch, sequence });
    }
    assert!(
        check_produced(&build(-1, -1, -1).transactional().build(), &RULES).is_err(),
        "a transaction has a producer"
    );
}

#[test]
fn sequences_go_on_with_0_after_the_greatest() {
    let mut header = BatchHeader::parse(&batch_of(3)).unwrap();
    for (base_sequence, last) in [(0, 2), (10, 12), (i32::MAX - 2, i32::MAX), (i32::MAX - 1, 0), (i32::MAX, 1)] {
        header.base_sequence = base_sequence;
        assert_eq!(header.last_sequence(), last);
    }
}

#[test]
fn walkers_end_before_what_is_not_a_batch() {
    let whole = [batch_of(2), batch_of(3)].concat();
    for (tail, records) in [(&b""[..], 2), (b"\0\0\0", 2), (&[0xff; 100], 2), (&batch_of(1)[..60], 2)] {
        let bytes = [&whole, tail].concat();
        let mut batches = Batches::new(&bytes);
        assert_eq!(batches.by_ref().count(), records);
        assert_eq!(batches.position(), whole.len());
        assert!(batches.next().is_none(), "an end stays an end");
        assert_eq!(spans(&bytes).map(|span| span.offsets).collect::<Vec<_>>(), [2, 3]);
    }
}

#[derive(Clone, Debug)]
struct Sample {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn sample() -> impl Strategy<Value = Sample> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    let header = ("[a-zé]{0,6}", prop::option::of(prop::collection::vec(any::<u8>(), 0..20)));
    (0_i64..1 << 45, bytes(), bytes(), prop::collection::vec(header, 0..4)).prop_map(
        |(timestamp, key, value, mut headers)| {
            headers.sort();
            headers.dedup_by(|a, b| a.0 == b.0); // kafka-protocol keeps headers in a map
            Sample { timestamp, key, value, headers }
        },
    )
}

fn their_codec(codec: Compression) -> theirs::Compression {
    match codec {
        Compression::None => theirs::Compression::None,
        Compression::Gzip => theirs::Compression::Gzip,
        Compression::Snappy => theirs::Compression::Snappy,
        Compression::Lz4 => theirs::Compression::Lz4,
        Compression::Zstd => theirs::Compression::Zstd,
    }
}

fn their_record(sample: &Sample, index: usize) -> theirs::Record {
    let headers = sample.headers.iter().map(|(key, value)| (key.clone().into(), value.clone().map(Bytes::from)));
    theirs::Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 3,
        producer_id: 9,
        producer_epoch: 2,
        timestamp_type: theirs::TimestampType::Creation,
        offset: index as i64,
        sequence: 50 + index as i32,
        timestamp: sample.timestamp,
        key: sample.key.clone().map(Bytes::from),
        value: sample.value.clone().map(Bytes::from),
        headers: headers.collect(),
    }
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(Compression::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_we_build_kafka_protocol_reads(codec in codec(), samples in prop::collection::vec(sample(), 1..20)) {
        let fields = ProducerFields { id: 9, epoch: 2, base_sequence: 50 };
        let mut builder = BatchBuilder::new(codec).producer(fields).transactional();
        for sample in &samples {
            let headers: Vec<_> = sample.headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
            builder.push(sample.timestamp, sample.key.as_deref(), sample.value.as_deref(), &headers);
        }
        let batch = builder.build();
        check_produced(&batch, &RULES).unwrap();
        let mut placed = batch.to_vec();
        patch_place(&mut placed, 0, 3);
        let read = theirs::RecordBatchDecoder::decode(&mut Bytes::from(placed)).unwrap();
        let expected: Vec<_> = samples.iter().enumerate().map(|(index, sample)| their_record(sample, index)).collect();
        prop_assert_eq!(read.compression, their_codec(codec));
        prop_assert_eq!(read.records, expected);
    }

    #[test]
    fn what_kafka_protocol_builds_we_read(codec in codec(), samples in prop::collection::vec(sample(), 1..20)) {
        let records: Vec<_> = samples.iter().enumerate().map(|(index, sample)| their_record(sample, index)).collect();
        let mut buffer = BytesMut::new();
        let options = theirs::RecordEncodeOptions { version: 2, compression: their_codec(codec) };
        theirs::RecordBatchEncoder::encode(&mut buffer, &records, &options).unwrap();
        let batch = buffer.freeze();
        let header = check_produced(&batch, &RULES).unwrap();
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (9, 2, 50));
        prop_assert_eq!(header.last_sequence() as usize, 50 + samples.len() - 1);
        prop_assert_eq!(header.compression(), Ok(codec));
        let read: Vec<_> = crate::Records::new(&batch, 1 << 24).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), samples.len());
        for ((record, sample), offset) in read.iter().zip(&samples).zip(0..) {
            prop_assert_eq!((record.offset, record.timestamp), (offset, sample.timestamp));
            prop_assert_eq!((record.key.as_deref(), record.value.as_deref()), (sample.key.as_deref(), sample.value.as_deref()));
            let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
            let expected: Vec<_> = sample.headers.iter().map(|(key, value)| (key.as_bytes(), value.as_deref())).collect();
            prop_assert_eq!(headers, expected);
        }
    }
}
