//! Snappy as Kafka knows it: xerial's framing (snappy-java), or one raw block.

use super::Sink;
use std::io;

/// What a xerial stream begins with; eight bytes of version numbers follow.
const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const HEADER_BYTES: usize = 16;

/// Version 1, readable from version 1 on.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];

/// What snappy-java compresses at a time.
const BLOCK_BYTES: usize = 32 * 1024;

/// Bytes that one byte of snappy can become, at most: a copy of 64 bytes takes three, and one byte may be a length.
const EXPANSION_MAX: usize = 22;

pub(super) fn compress(input: &[u8]) -> io::Result<Vec<u8>> {
    let mut output = Vec::with_capacity(HEADER_BYTES + snap::raw::max_compress_len(input.len()));
    output.extend_from_slice(MAGIC);
    output.extend_from_slice(&VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(BLOCK_BYTES) {
        let compressed = encoder.compress_vec(block)?;
        output.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
        output.extend_from_slice(&compressed);
    }
    Ok(output)
}

pub(super) fn decompress(input: &[u8], max: usize) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    if !input.starts_with(MAGIC) {
        decompress_block(input, max, &mut output)?;
        return Ok(output);
    }
    let mut rest = skip_header(input)?;
    while let Some((prefix, after)) = rest.split_first_chunk::<4>() {
        if rest.starts_with(MAGIC) {
            rest = skip_header(rest)?; // streams written one after the other
            continue;
        }
        let length = u32::from_be_bytes(*prefix) as usize;
        let block = after.get(..length).ok_or(io::ErrorKind::UnexpectedEof)?;
        decompress_block(block, max, &mut output)?;
        rest = &after[length..];
    }
    if rest.is_empty() { Ok(output) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn skip_header(stream: &[u8]) -> io::Result<&[u8]> {
    stream.get(HEADER_BYTES..).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Appends a block's content. Its claimed length is believed only as far as its bytes can reach.
fn decompress_block(block: &[u8], max: usize, output: &mut Vec<u8>) -> io::Result<()> {
    let bytes = snap::raw::decompress_len(block)?;
    if bytes > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let start = output.len();
    Sink::new(max).room_for(start.saturating_add(bytes))?;
    output.resize(start + bytes, 0);
    snap::raw::Decoder::new().decompress(block, &mut output[start..])?;
    Ok(())
}
