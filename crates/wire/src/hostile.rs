//! A million hostile inputs: whatever comes from a peer is an error or a value, never a panic.
//!
//! Every input follows from a seed that stands in the test. Besides not panicking, what is accepted has to be
//! consistent: slices lie inside the input, lengths add up, nothing exceeds its cap.

use crate::batch::{self, BatchBuilder, BatchRules, ProducerFields};
use crate::compression::{Compression, compress, decompress};
use crate::fetch::FetchRequest;
use crate::noise::Noise;
use crate::produce::ProduceRequest;
use crate::{Batches, Records, api, frame, record};
use bytes::{BufMut, Bytes, BytesMut};

const DECOMPRESSED_MAX: usize = 1 << 16;
const RULES: BatchRules = BatchRules { batch_bytes_max: 1 << 20, zstd_allowed: true };

/// A frame as a broker takes it: header, then body by API.
fn read_frame(bytes: Vec<u8>) {
    let length = bytes.len();
    let mut frame = Bytes::from(bytes);
    let Ok(header) = frame::parse_header(&mut frame) else { return };
    assert!(frame.len() <= length - 8);
    if api::check(header.api_key, header.api_version).is_err() {
        return;
    }
    match header.api_key {
        api::PRODUCE => read_produce(header.api_version, frame),
        api::FETCH => drop(FetchRequest::decode(header.api_version, frame)),
        _ => {}
    }
}

fn read_produce(version: i16, body: Bytes) {
    let length = body.len();
    let Ok(request) = ProduceRequest::decode(version, body) else { return };
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    let records = partitions.filter_map(|partition| partition.records.as_ref());
    assert!(records.clone().map(Bytes::len).sum::<usize>() <= length);
    for batch in records {
        let _ = batch::check_produced(batch, &RULES);
    }
}

/// Everything that is ever done with the bytes of batches.
fn read_batches(bytes: &[u8]) {
    let _ = batch::check_produced(bytes, &RULES);
    let _ = batch::check_stored(bytes);
    let mut batches = Batches::new(bytes);
    let total: usize = batches.by_ref().map(|(_, header)| header.total_bytes()).sum();
    assert_eq!(total, batches.position());
    let mut position = 0;
    for span in batch::spans(bytes) {
        assert_eq!(span.position, position);
        assert!(span.offsets > 0);
        position += span.bytes;
    }
    assert!(position <= bytes.len());
    let _ = batch::patch_run(&mut bytes.to_vec(), 1 << 40, 3);
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = record::check(&bytes, DECOMPRESSED_MAX);
    for record in Records::new(&bytes, DECOMPRESSED_MAX).into_iter().flatten().flatten() {
        assert!(record.value.is_none_or(|value| value.len() <= DECOMPRESSED_MAX.max(bytes.len())));
    }
}

fn sample_batch(codec: Compression, records: i64) -> Vec<u8> {
    let producer = ProducerFields { id: 5, epoch: 0, base_sequence: 7 };
    let mut builder = BatchBuilder::new(codec).producer(producer);
    for index in 0..records {
        let key = index.to_be_bytes();
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"h", Some(b"1")), (b"h", None)];
        builder.push(1_700_000_000_000 + index, Some(&key), Some(b"some value, some value"), &headers);
    }
    builder.build().to_vec()
}

/// Makes length and CRC of a damaged batch right, so that what is behind them is reached.
fn seal(batch: &mut [u8]) {
    if batch.len() >= batch::HEADER_BYTES {
        let length = (batch.len() - 12) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = batch::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

fn put_header(frame: &mut BytesMut, key: i16, version: i16) {
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(4);
    frame.put_slice(b"test");
    if api::is_flexible_request(key, version) == Some(true) {
        frame.put_u8(0);
    }
}

/// A produce frame of `version` with one batch, written by hand.
fn produce_frame(version: i16, batch: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::new();
    put_header(&mut frame, api::PRODUCE, version);
    let topic: &[u8] = if version >= 13 { &[5; 16] } else { b"topic" };
    if version >= 9 {
        frame.put_slice(&[0, 0xff, 0xff, 0, 0, 0, 9, 2]);
        frame.put_slice(if version >= 13 { &[] } else { &[6] });
        frame.put_slice(topic);
        frame.put_slice(&[2, 0, 0, 0, 0]);
        crate::write::put_unsigned_varint(&mut frame, batch.len() as u32 + 1);
        frame.put_slice(batch);
        frame.put_slice(&[0, 0, 0]);
    } else {
        frame.put_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0, 0, 0, 1, 0, 5]);
        frame.put_slice(topic);
        frame.put_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
        frame.put_i32(batch.len() as i32);
        frame.put_slice(batch);
    }
    frame.to_vec()
}

/// A fetch frame of `version` for one partition, written by hand.
fn fetch_frame(version: i16) -> Vec<u8> {
    let mut frame = BytesMut::new();
    put_header(&mut frame, api::FETCH, version);
    frame.put_bytes(0, if version <= 14 { 17 } else { 13 });
    frame.put_bytes(0, if version >= 7 { 8 } else { 0 });
    let flexible = version >= 12;
    frame.put_slice(if flexible { &[2] } else { &[0, 0, 0, 1] });
    match version {
        13.. => frame.put_slice(&[5; 16]),
        12 => frame.put_slice(&[2, b't']),
        _ => frame.put_slice(&[0, 1, b't']),
    }
    frame.put_slice(if flexible { &[2] } else { &[0, 0, 0, 1] });
    let fields = [16, if version >= 5 { 8 } else { 0 }, if version >= 9 { 4 } else { 0 }, if flexible { 6 } else { 0 }];
    frame.put_bytes(0, fields.iter().sum());
    frame.put_slice(if flexible { &[1, 1, 0] } else { &[0; 6] });
    frame.to_vec()
}

#[test]
fn the_frames_that_are_damaged_here_are_whole_before() {
    let batch = sample_batch(Compression::None, 2);
    for version in 3..=13 {
        let mut frame = Bytes::from(produce_frame(version, &batch));
        let header = frame::parse_header(&mut frame).unwrap();
        let request = ProduceRequest::decode(header.api_version, frame).unwrap();
        assert_eq!(request.topics[0].partitions[0].records.as_deref(), Some(&batch[..]), "{version}");
    }
    for version in 4..=17 {
        let mut frame = Bytes::from(fetch_frame(version));
        let header = frame::parse_header(&mut frame).unwrap();
        let request = FetchRequest::decode(header.api_version, frame).unwrap();
        assert_eq!(request.topics[0].partitions.len(), 1, "{version}");
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut noise = Noise::new(1);
    for round in 0..250_000 {
        let mut bytes = noise.bytes(160);
        if let (0, Some(head)) = (round % 2, bytes.first_chunk_mut::<4>()) {
            let api = [(0, 3), (0, 9), (0, 13), (1, 4), (1, 12), (1, 17), (18, 3)][noise.below(7)];
            *head = [0, api.0, 0, api.1]; // random from the correlation id on
        }
        read_batches(&bytes);
        read_frame(bytes);
    }
}

#[test]
fn damaged_frames_never_panic() {
    let mut noise = Noise::new(2);
    let batch = sample_batch(Compression::None, 3);
    let produce = (3..=13).map(|version| produce_frame(version, &batch));
    let frames: Vec<_> = produce.chain((4..=17).map(fetch_frame)).collect();
    for round in 0..400_000 {
        let mut frame = frames[round % frames.len()].clone();
        noise.damage(&mut frame);
        read_frame(frame);
    }
}

#[test]
fn damaged_batches_never_panic() {
    let mut noise = Noise::new(4);
    let batches: Vec<_> = Compression::ALL.iter().map(|codec| sample_batch(*codec, 5)).collect();
    for round in 0..300_000 {
        let mut bytes = batches[round % batches.len()].clone();
        noise.damage(&mut bytes);
        if round % 4 != 0 {
            seal(&mut bytes);
        }
        read_batches(&bytes);
    }
}

#[test]
fn damaged_compressed_bytes_stay_below_the_cap() {
    let mut noise = Noise::new(5);
    let input: Vec<u8> = (0..3_000_u32).map(|index| (index / 7 % 61) as u8).collect();
    let compressed: Vec<_> = Compression::ALL.iter().map(|codec| (*codec, compress(*codec, &input).to_vec())).collect();
    for round in 0..150_000 {
        let (codec, bytes) = &compressed[round % compressed.len()];
        let mut bytes = bytes.clone();
        noise.damage(&mut bytes);
        let max = noise.below(6_000);
        if let Ok(output) = decompress(*codec, &bytes, max) {
            assert!(output.len() <= max, "{codec}");
        }
    }
}
