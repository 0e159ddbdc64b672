//! Bytes as batches: walked, checked, patched, and their records read.
//!
//! `cargo +nightly fuzz run batches` in the folder `tests/fuzz`. The first byte says whether length and CRC are made
//! right first: no fuzzer finds a CRC by chance, and what is behind it has to be reached.
#![no_main]

use bytes::Bytes;
use frazil_wire::batch::{self, BatchRules};
use frazil_wire::{Batches, Records, record};
use libfuzzer_sys::fuzz_target;

const DECOMPRESSED_MAX: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let Some((mode, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if mode % 2 == 1 && bytes.len() >= batch::HEADER_BYTES {
        seal(&mut bytes);
    }
    walk(&bytes);
    check(&bytes);
    read_records(bytes.into());
});

/// Makes format, length and CRC those of a whole batch.
fn seal(bytes: &mut [u8]) {
    bytes[16] = 2;
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = batch::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn walk(bytes: &[u8]) {
    let mut batches = Batches::new(bytes);
    let total: usize = batches.by_ref().map(|(_, header)| header.total_bytes()).sum();
    assert_eq!(total, batches.position(), "batches stand one after the other");
    let mut position = 0;
    for span in batch::spans(bytes) {
        assert_eq!(span.position, position, "batches stand one after the other");
        position += span.bytes;
    }
    assert!(position <= bytes.len(), "batches end with the bytes");
}

fn check(bytes: &[u8]) {
    let rules = BatchRules { batch_bytes_max: 1 << 20, zstd_allowed: true };
    let Ok(header) = batch::check_produced(bytes, &rules) else { return };
    let mut placed = bytes.to_vec();
    let next = batch::patch_run(&mut placed, 1 << 40, 3).expect("one whole batch is a run");
    assert_eq!(next, (1 << 40) + i64::from(header.record_count), "offsets are as many as records");
    batch::set_log_append_time(&mut placed, 1_700_000_000_000);
    let header = batch::check_stored(&placed).expect("a patched batch has a right CRC");
    assert_eq!((header.base_offset, header.leader_epoch), (1 << 40, 3));
    assert!(header.has_log_append_time());
}

fn read_records(batch: Bytes) {
    let _ = record::check(&batch, DECOMPRESSED_MAX);
    for record in Records::new(&batch, DECOMPRESSED_MAX).into_iter().flatten().flatten() {
        let key = record.key.map_or(0, |key| key.len());
        assert!(key <= DECOMPRESSED_MAX.max(batch.len()), "a key is a part of what it was read from");
    }
}
