use super::*;
use frazil_wire::{BatchBuilder, Compression};
use proptest::prelude::*;

fn partition(topic: u128, partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicId(topic), partition }
}

fn batch(values: &[&str]) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    values.iter().for_each(|value| builder.push(1_000, None, Some(value.as_bytes()), &[]));
    builder.build()
}

const OBJECT: ObjectId = ObjectId { epoch: Epoch(7), number: 0x1122 };

/// Two partitions, three batches.
fn sample() -> Vec<u8> {
    let mut builder = SegmentBuilder::new(AlignedBuffer::with_capacity(4096));
    builder.push(partition(1, 0), &batch(&["a"]), 1);
    builder.push(partition(1, 0), &batch(&["b", "c"]), 2);
    builder.push(partition(1, 5), &batch(&["d"]), 1);
    let (buffer, _) = builder.finish(OBJECT);
    buffer.as_slice().to_vec()
}

#[test]
fn the_bytes_are_those_of_version_1() {
    let mut builder = SegmentBuilder::new(AlignedBuffer::with_capacity(4096));
    // Stands for a batch: the format does not look inside.
    builder.push(partition(0x0102, 3), b"BATCH", 2);
    let (buffer, _) = builder.finish(OBJECT);
    let golden: &[&[u8]] = &[
        b"FRAZIL\x00\x01",
        b"BATCH",
        &[0, 0, 0, 0, 0, 0, 0, 7],
        &[0, 0, 0, 0, 0, 0, 0x11, 0x22],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2],
        &[0, 0, 0, 3],
        &[0, 0, 0, 8],
        &[0, 0, 0, 5],
        &[0, 0, 0, 1],
        &[0, 0, 0, 2],
        &[0, 0, 0, 52],
        &[0x6b, 0x78, 0x04, 0xc5],
        b"FRAZIL\x00\x01",
    ];
    assert_eq!(buffer.as_slice(), golden.concat());
}

#[test]
fn a_segment_explains_itself() {
    let bytes = sample();
    let segment = Segment::parse(&bytes).expect("a segment");
    assert_eq!(segment.object, OBJECT);
    let summary: Vec<_> = segment.parts.iter().map(|part| (part.partition, part.batches, part.records)).collect();
    assert_eq!(summary, [(partition(1, 0), 2, 3), (partition(1, 5), 1, 1)]);
    assert_eq!(bytes.len(), overhead_bytes(2) + segment.parts.iter().map(|part| part.bytes as usize).sum::<usize>());
    segment.check_batches(&bytes).expect("its batches are whole");
}

#[test]
fn a_segment_without_batches_is_a_segment() {
    let (buffer, parts) = SegmentBuilder::new(AlignedBuffer::with_capacity(4096)).finish(OBJECT);
    assert_eq!(Segment::parse(buffer.as_slice()), Ok(Segment { object: OBJECT, parts }));
}

#[test]
fn every_flipped_bit_outside_the_patched_fields_is_found() {
    let bytes = sample();
    let segment = Segment::parse(&bytes).expect("a segment");
    let mut batch_starts = Vec::new();
    for part in &segment.parts {
        let batches = &bytes[part.position as usize..][..part.bytes as usize];
        batch_starts.extend(Batches::new(batches).map(|(position, _)| part.position as usize + position));
    }
    // Base offset and leader epoch are written anew by every reader.
    let in_fields =
        |start: &usize, at: usize| (*start..start + 8).contains(&at) || (start + 12..start + 16).contains(&at);
    let is_patched = |at: usize| batch_starts.iter().any(|start| in_fields(start, at));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let result = Segment::parse(&damaged).and_then(|segment| segment.check_batches(&damaged));
        assert_eq!(result.is_ok(), is_patched(at), "byte {at}: {result:?}");
    }
}

#[test]
fn every_shortened_segment_is_refused() {
    let bytes = sample();
    for length in 0..bytes.len() {
        assert!(Segment::parse(&bytes[..length]).is_err(), "{length} bytes");
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), framed in any::<bool>()) {
        let mut bytes = bytes;
        if framed && bytes.len() >= 40 {
            let end = bytes.len() - HEADER_BYTES;
            bytes[..6].copy_from_slice(&MAGIC);
            bytes[6..8].copy_from_slice(&VERSION.to_be_bytes());
            bytes[end..end + 6].copy_from_slice(&MAGIC);
            bytes[end + 6..].copy_from_slice(&VERSION.to_be_bytes());
        }
        let _ = Segment::parse(&bytes);
    }
}
