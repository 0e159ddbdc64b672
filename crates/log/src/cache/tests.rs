use super::*;
use frazil_base::{ObjectId, Seq};
use frazil_wire::{BatchBuilder, Compression};
use proptest::prelude::*;

const BODY: BodyId = BodyId::Log(Seq(9));

fn batch(records: usize, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    (0..records).for_each(|_| builder.push(1, None, Some(&vec![b'x'; value_bytes]), &[]));
    builder.build().to_vec()
}

fn buffer(bytes: &[u8]) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::with_capacity(bytes.len());
    buffer.extend_from_slice(bytes);
    buffer
}

fn extent(position: u32, bytes: usize, base_offset: i64, records: u32) -> Extent {
    Extent { base_offset, records, body: BODY, position, bytes: bytes as u32, max_timestamp: 1 }
}

/// An extent that starts at `position` of its body, loaded; and the batches' first offsets and sizes.
fn loaded(batches: &[(usize, usize)], position: u32, base_offset: i64) -> (View, Vec<(i64, usize)>) {
    let mut bytes = Vec::new();
    let (mut offset, mut layout) = (base_offset, Vec::new());
    for (records, value_bytes) in batches {
        let batch = batch(*records, *value_bytes);
        layout.push((offset, batch.len()));
        offset += *records as i64;
        bytes.extend(batch);
    }
    let extent = extent(position, bytes.len(), base_offset, (offset - base_offset) as u32);
    let block = Block::load(&extent, buffer(&bytes), 0).expect("whole batches");
    (View::new(Arc::new(block), extent), layout)
}

proptest! {
    #[test]
    fn seek_and_cut_agree_with_a_walk_over_all_batches(
        batches in proptest::collection::vec((1_usize..5, 1_usize..9000), 1..40),
        position in 0_u32..100_000,
        at in 0.0..1.0,
        limit in 0_usize..100_000,
        one_at_least in any::<bool>(),
    ) {
        let (view, layout) = loaded(&batches, position, 100);
        let offset = 100 + (f64::from(view.extent().records) * at) as i64;
        let index = layout.iter().rposition(|(base, _)| *base <= offset).expect("the first is at 100");
        let start: usize = layout[..index].iter().map(|(_, bytes)| bytes).sum();
        prop_assert_eq!(view.seek(offset), start);
        let mut end = start;
        for (_, bytes) in &layout[index..] {
            if end + bytes - start > limit && !(one_at_least && end == start) {
                break;
            }
            end += bytes;
        }
        prop_assert_eq!(view.end_within(start, limit, one_at_least), end);
    }
}

#[test]
fn a_load_writes_the_offsets_in_and_checks_the_count() {
    let (view, _) = loaded(&[(3, 10), (2, 10)], 50, 7);
    let offsets: Vec<i64> = frazil_wire::Batches::new(&view.bytes()).map(|(_, header)| header.base_offset).collect();
    assert_eq!(offsets, [7, 10]);
    let bytes = batch(3, 10);
    let wrong = extent(0, bytes.len(), 7, 4);
    assert_eq!(Block::load(&wrong, buffer(&bytes), 0).err(), Some(BlockError::Offsets { found: 10, expected: 11 }));
}

#[test]
fn a_load_refuses_a_batch_whose_crc_is_wrong() {
    let mut bytes = batch(1, 10);
    *bytes.last_mut().expect("a byte") ^= 1;
    let extent = extent(0, bytes.len(), 0, 1);
    assert!(matches!(Block::load(&extent, buffer(&bytes), 0), Err(BlockError::Batch(BatchError::Crc { .. }))));
}

#[tokio::test]
async fn the_cache_keeps_to_its_budget_and_forgets_the_least_recently_used() {
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = Arc::new(Metrics::register(&mut registry));
    let cache = Cache::new(4 << 20, metrics.clone());
    let extents: Vec<Extent> = (0..12_u64)
        .map(|number| {
            let body = BodyId::Object(ObjectId { number, ..ObjectId::default() });
            Extent { body, ..extent(0, 1 << 20, 0, 1) }
        })
        .collect();
    let value = batch(1, (1 << 20) - 90);
    for extent in &extents {
        let extent = Extent { bytes: value.len() as u32, ..*extent };
        let block = Block::load(&extent, buffer(&value), 0).expect("a batch");
        cache.keep(&extent, Arc::new(block)).await;
        cache.find(&extents[0]).await;
    }
    assert!(metrics.cache_bytes.get() <= 4 << 20, "{}", metrics.cache_bytes.get());
    assert!(cache.contains(&extents[0]), "it was used all the time");
    assert!(cache.contains(&extents[11]), "it is new");
    assert!(!cache.contains(&extents[3]), "nobody asked for it");
}
