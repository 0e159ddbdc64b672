//! The checksum of the engines' formats: CRC-64/NVME, fast enough (about 100 GB/s) to cover every byte.

use crate::port::Body;
use crc_fast::{CrcAlgorithm, Digest, checksum};

pub(crate) fn of(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

pub(crate) fn of_body(body: &Body) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    body.slices().iter().for_each(|slice| digest.update(slice));
    digest.finalize()
}

/// The little-endian number at `position`, which lies inside `bytes`.
pub(crate) fn u64_at(bytes: &[u8], position: usize) -> u64 {
    u64::from_le_bytes(bytes[position..position + 8].try_into().expect("eight bytes"))
}

/// The little-endian number at `position`, which lies inside `bytes`.
pub(crate) fn u32_at(bytes: &[u8], position: usize) -> u32 {
    u32::from_le_bytes(bytes[position..position + 4].try_into().expect("four bytes"))
}

/// The little-endian number at `position`, which lies inside `bytes`.
pub(crate) fn u16_at(bytes: &[u8], position: usize) -> u16 {
    u16::from_le_bytes(bytes[position..position + 2].try_into().expect("two bytes"))
}
