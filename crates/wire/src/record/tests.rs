use super::*;
use crate::batch::{BatchBuilder, crc32c};
use crate::write::put_varint;
use bytes::{BufMut, BytesMut};

const MAX: usize = 1 << 20;

fn read(batch: &Bytes) -> Vec<Record> {
    Records::new(batch, MAX).unwrap().map(Result::unwrap).collect()
}

/// A batch that claims `count` records and holds `records` as they are.
fn raw_batch(count: i32, records: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(0, None, None, &[]);
    let mut batch = BytesMut::from(&builder.build()[..HEADER_BYTES]);
    batch.put_slice(records);
    let length = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

fn varint(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, value);
    bytes
}

#[test]
fn duplicate_and_non_utf8_header_keys_are_kept_in_order() {
    let headers: [(&[u8], Option<&[u8]>); 5] =
        [(b"k", Some(b"1")), (b"k", Some(b"2")), (b"\xff\xfe", None), (b"", Some(b"")), (b"k", Some(b"1"))];
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(codec);
        builder.push(5, Some(b"key"), Some(b"value"), &headers);
        let records = read(&builder.build());
        let kept: Vec<_> = records[0].headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        assert_eq!(kept, headers, "{codec}");
    }
}

#[test]
fn null_and_empty_are_different() {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(codec);
        builder.push(0, None, Some(b""), &[(b"h", None)]);
        builder.push(0, Some(b""), None, &[(b"h", Some(b""))]);
        let records = read(&builder.build());
        assert_eq!((records[0].key.clone(), records[0].value.clone()), (None, Some(Bytes::new())));
        assert_eq!((records[1].key.clone(), records[1].value.clone()), (Some(Bytes::new()), None));
        assert_eq!((&records[0].headers[0].1, &records[1].headers[0].1), (&None, &Some(Bytes::new())));
    }
}

#[test]
fn offsets_and_timestamps_are_relative_to_the_batch() {
    let mut builder = BatchBuilder::new(Compression::Lz4);
    for timestamp in [1_000, 900, 1_500] {
        builder.push(timestamp, None, None, &[]);
    }
    let batch = builder.place(70, 0).build();
    let records = read(&batch);
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [70, 71, 72]);
    assert_eq!(records.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [1_000, 900, 1_500]);
    assert_eq!(Records::new(&batch, MAX).unwrap().header().max_timestamp, 1_500);
}

#[test]
fn keys_and_values_of_an_uncompressed_batch_are_slices_of_it() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(0, Some(b"key"), Some(b"value"), &[]);
    let batch = builder.build();
    let inside = batch.as_ptr_range();
    let record = read(&batch).remove(0);
    assert!(inside.contains(&record.key.unwrap().as_ptr()) && inside.contains(&record.value.unwrap().as_ptr()));
}

#[test]
fn a_look_at_all_records_finds_times_and_missing_keys() {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.push(500, Some(b"a"), None, &[]);
    builder.push(100, None, None, &[]);
    builder.push(900, None, None, &[]);
    let seen = RecordsSeen { max_timestamp: 900, min_timestamp: 100, without_key: vec![1, 2] };
    assert_eq!(check(&builder.build(), MAX).unwrap(), seen);
}

#[test]
fn a_record_count_that_lies_is_found() {
    let mut one = BatchBuilder::new(Compression::None);
    one.push(0, None, Some(b"v"), &[]);
    let records = one.build().slice(HEADER_BYTES..);
    assert!(check(&raw_batch(1, &records), MAX).is_ok());
    for count in [2, i32::MAX] {
        let error = check(&raw_batch(count, &records), MAX).unwrap_err();
        assert!(matches!(error, RecordError::Count { found: 1, expected } if expected == count), "{error}");
    }
    for count in [0, -1, i32::MIN] {
        assert!(matches!(check(&raw_batch(count, &records), MAX).unwrap_err(), RecordError::Count { found: 1, .. }));
    }
}

#[test]
fn offset_deltas_that_skip_or_repeat_are_found() {
    // Length, attributes, timestamp delta, offset delta, null key, null value, no headers.
    let record = |offset_delta: i64| [varint(6), vec![0, 0], varint(offset_delta), vec![1, 1, 0]].concat();
    assert!(check(&raw_batch(2, &[record(0), record(1)].concat()), MAX).is_ok());
    for (first, second) in [(0, 2), (0, 0), (1, 0), (0, -1)] {
        let error = check(&raw_batch(2, &[record(first), record(second)].concat()), MAX).unwrap_err();
        assert!(matches!(error, RecordError::OffsetDelta { .. }), "{error}");
    }
}

#[test]
fn lengths_that_lie_inside_a_record_are_malformed_and_end_the_iteration() {
    let head = [0, 0, 0];
    let bodies: [Vec<u8>; 8] = [
        [&head[..], &varint(-2)].concat(),                                // a key of -2 bytes
        [&head[..], &varint(5), b"four"].concat(),                        // a key longer than the record
        [&head[..], &varint(-1), &varint(i64::MAX)].concat(),             // a value longer than anything
        [&head[..], &varint(-1), &varint(-1), &varint(-1)].concat(),      // minus one headers
        [&head[..], &varint(-1), &varint(-1), &varint(1 << 30)].concat(), // a billion headers
        [&head[..], &varint(-1), &varint(-1), &varint(1), &varint(-1)].concat(), // a null header key
        [&head[..], &varint(-1), &varint(-1), &varint(0), b"x"].concat(), // a byte too many
        vec![0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // a varint without end
    ];
    for body in bodies {
        let record = [varint(body.len() as i64), body.clone()].concat();
        let mut records = Records::new(&raw_batch(3, &record), MAX).unwrap();
        assert!(matches!(records.next(), Some(Err(RecordError::Malformed { index: 0 }))), "{body:?}");
        assert!(records.next().is_none());
    }
}

#[test]
fn a_record_of_nothing_but_headers_is_limited() {
    let headers: Vec<(&[u8], Option<&[u8]>)> = vec![(b"", None); RECORD_HEADERS_MAX + 1];
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(0, None, None, &headers[1..]);
    assert_eq!(read(&builder.build())[0].headers.len(), RECORD_HEADERS_MAX);
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(0, None, None, &headers);
    assert!(matches!(check(&builder.build(), MAX), Err(RecordError::Malformed { index: 0 })));
}

#[test]
fn records_that_become_too_large_are_refused() {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.push(0, None, Some(&vec![0; 100_000]), &[]);
    let batch = builder.build();
    let error = Records::new(&batch, 50_000).unwrap_err();
    assert!(matches!(error, RecordError::Decompress(DecompressError::TooLarge { max: 50_000 })), "{error}");
    assert!(Records::new(&batch, 200_000).is_ok());
}

#[test]
fn varints_round_trip_at_their_borders() {
    for value in [0, -1, 1, 63, 64, -64, -65, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN] {
        let mut bytes = Bytes::from(varint(value));
        assert_eq!(take_varint(&mut bytes), Some(value));
        assert!(bytes.is_empty());
    }
}
