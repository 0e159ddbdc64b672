//! Kafka's five codecs, with a cap on what may come out.
//!
//! Whatever a batch claims about its decompressed size is not believed: output grows as it is produced, and stops at
//! the cap. (A codec's own window comes on top: zstd's is limited to 128 MiB, as in Java, and only touched as it fills.) The framings are those that Java's clients write and read: gzip; snappy in xerial's framing, or raw as
//! librdkafka sends it; lz4 frames, whose blocks must be independent for Java; zstd frames.

mod snappy;

use bytes::Bytes;
use std::fmt;
use std::io::{self, Read, Write};

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, in xerial's framing or raw.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// Why bytes could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// More comes out than allowed.
    #[error("more than {max} bytes come out")]
    TooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// The codec cannot read it.
    #[error("the {codec} data is damaged")]
    Damaged {
        /// The codec.
        codec: Compression,
        /// What the codec says.
        #[source]
        cause: io::Error,
    },
}

impl Compression {
    /// All of them, by code.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec that a batch's attributes name.
    pub fn from_code(code: u8) -> Option<Compression> {
        Compression::ALL.get(code as usize).copied()
    }

    /// Its number in a batch's attributes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Its name in Kafka's settings.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The codec of this name in Kafka's settings.
    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Decompresses `input`; an error once more than `max` bytes would come out, without ever holding more.
pub fn decompress(codec: Compression, input: &[u8], max: usize) -> Result<Bytes, DecompressError> {
    let output = match codec {
        Compression::None => Sink::new(max).accept(input),
        Compression::Gzip => read_capped(flate2::bufread::MultiGzDecoder::new(input), input.len(), max),
        Compression::Snappy => snappy::decompress(input, max),
        Compression::Lz4 => decompress_lz4(input, max),
        Compression::Zstd => decompress_zstd(input, max),
    };
    output.map(Bytes::from).map_err(|cause| match cause.get_ref() {
        Some(inner) if inner.is::<CapReached>() => DecompressError::TooLarge { max },
        _ => DecompressError::Damaged { codec, cause },
    })
}

/// Compresses `input` at the codec's usual level.
pub fn compress(codec: Compression, input: &[u8]) -> Bytes {
    match codec {
        Compression::None => Ok(input.to_vec()),
        Compression::Gzip => compress_gzip(input),
        Compression::Snappy => snappy::compress(input),
        Compression::Lz4 => compress_lz4(input),
        Compression::Zstd => zstd::bulk::compress(input, zstd::DEFAULT_COMPRESSION_LEVEL),
    }
    .expect("compressing in memory does not fail")
    .into()
}

fn compress_gzip(input: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(input)?;
    encoder.finish()
}

fn compress_lz4(input: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = lz4::EncoderBuilder::new()
        .block_mode(lz4::BlockMode::Independent) // Java reads nothing else
        .block_size(lz4::BlockSize::Max64KB)
        .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum) // as Java writes: the batch has a CRC
        .checksum(lz4::ContentChecksum::NoChecksum)
        .build(Vec::new())?;
    encoder.write_all(input)?;
    let (output, result) = encoder.finish();
    result.map(|()| output)
}

fn decompress_lz4(input: &[u8], max: usize) -> io::Result<Vec<u8>> {
    let mut decoder = lz4::Decoder::new(input)?;
    let output = read_capped(&mut decoder, input.len(), max)?;
    decoder.finish().1.map_err(|_| io::ErrorKind::UnexpectedEof)?;
    Ok(output)
}

fn decompress_zstd(input: &[u8], max: usize) -> io::Result<Vec<u8>> {
    read_capped(zstd::stream::read::Decoder::with_buffer(input)?, input.len(), max)
}

/// Reads all, doubling from a guess and never beyond `max`.
fn read_capped(mut reader: impl Read, input_bytes: usize, max: usize) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    let mut filled = 0;
    loop {
        if filled == output.len() {
            let grown = output.len().saturating_mul(2).max(input_bytes.saturating_mul(4)).max(4096).min(max);
            if grown == filled {
                return end_at_cap(reader, output);
            }
            output.resize(grown, 0);
        }
        match reader.read(&mut output[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    output.truncate(filled);
    Ok(output)
}

/// The output is as long as it may be; it is whole only if nothing more comes.
fn end_at_cap(mut reader: impl Read, output: Vec<u8>) -> io::Result<Vec<u8>> {
    match reader.read(&mut [0])? {
        0 => Ok(output),
        _ => Err(io::Error::other(CapReached)),
    }
}

/// Carried by an `io::Error` to say that the cap was reached.
#[derive(Debug, thiserror::Error)]
#[error("more comes out than allowed")]
struct CapReached;

/// Checks a known size against the cap.
#[derive(Clone, Copy, Debug)]
struct Sink {
    max: usize,
}

impl Sink {
    fn new(max: usize) -> Sink {
        Sink { max }
    }

    fn accept(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.room_for(bytes.len()).map(|()| bytes.to_vec())
    }

    fn room_for(self, bytes: usize) -> io::Result<()> {
        if bytes > self.max { Err(io::Error::other(CapReached)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
