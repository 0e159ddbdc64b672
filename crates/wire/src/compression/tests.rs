use super::*;
use proptest::prelude::*;

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn text(bytes: usize) -> Vec<u8> {
    (0..).map(|index: u32| b"frazil ice "[(index.wrapping_mul(index) / 7 % 11) as usize]).take(bytes).collect()
}

#[test]
fn every_codec_round_trips_at_every_size() {
    for codec in Compression::ALL {
        for bytes in [0, 1, 100, 4_095, 4_096, 32_768, 65_536, 65_537, 1_000_000] {
            let input = text(bytes);
            let compressed = compress(codec, &input);
            assert_eq!(decompress(codec, &compressed, bytes).unwrap(), input, "{codec} {bytes}");
        }
    }
}

#[test]
fn a_cap_of_exactly_the_size_passes_and_one_less_does_not() {
    for codec in Compression::ALL {
        for bytes in [1, 5_000, 32_768, 300_000] {
            let compressed = compress(codec, &text(bytes));
            assert_eq!(decompress(codec, &compressed, bytes).unwrap().len(), bytes);
            let error = decompress(codec, &compressed, bytes - 1).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge { max } if max == bytes - 1), "{codec} {bytes}: {error}");
        }
    }
}

#[test]
fn every_cut_is_an_error() {
    for codec in CODECS {
        let compressed = compress(codec, &text(3_000));
        for length in 1..compressed.len() {
            // A xerial stream has no end mark: a cut between blocks is a shorter stream.
            let between_blocks = codec == Compression::Snappy && length == 16;
            assert_eq!(decompress(codec, &compressed[..length], 1 << 20).is_ok(), between_blocks, "{codec} {length}");
        }
    }
}

#[test]
fn snappy_is_read_raw_and_in_several_xerial_streams() {
    let input = text(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert_eq!(decompress(Compression::Snappy, &raw, 1 << 20).unwrap(), input);
    let twice = [compress(Compression::Snappy, &input), compress(Compression::Snappy, &input)].concat();
    assert_eq!(decompress(Compression::Snappy, &twice, 1 << 20).unwrap(), [&input[..], &input[..]].concat());
}

#[test]
fn snappy_bytes_that_kafka_wrote_are_read() {
    let xerial =
        b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x0f\x0d0\x18\x00\x00\x00\x01\x0csdfdsf\x00";
    let records = b"\x18\x00\x00\x00\x01\x0csdfdsf\x00";
    assert_eq!(decompress(Compression::Snappy, xerial, 100).unwrap(), records[..]);
    assert_eq!(compress(Compression::Snappy, records), xerial[..]);
}

#[test]
fn snappy_claims_beyond_its_bytes_are_not_allocated() {
    let claim_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let error = decompress(Compression::Snappy, &claim_4_gib, usize::MAX).unwrap_err();
    assert!(matches!(error, DecompressError::Damaged { codec: Compression::Snappy, .. }), "{error}");
}

#[test]
fn snappy_at_its_best_ratio_is_still_read() {
    let zeros = vec![0; 65_536];
    let raw = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
    assert!(zeros.len() / raw.len() >= 20, "{} bytes", raw.len());
    assert_eq!(decompress(Compression::Snappy, &raw, 65_536).unwrap(), zeros);
}

#[test]
fn lz4_frames_have_independent_blocks_and_no_content_checksum() {
    const VERSION_1: u8 = 0b0100_0000;
    const INDEPENDENT: u8 = 0b0010_0000;
    let frame = compress(Compression::Lz4, &text(200_000));
    assert_eq!(frame[..4], 0x184d_2204_u32.to_le_bytes());
    assert_eq!(frame[4], VERSION_1 | INDEPENDENT, "Java refuses dependent blocks");
    assert_eq!(frame[5], 0x40, "blocks of 64 KiB");
}

#[test]
fn lz4_checksums_of_blocks_and_content_are_verified() {
    let input = text(100_000);
    let mut encoder = lz4::EncoderBuilder::new()
        .block_mode(lz4::BlockMode::Linked)
        .block_checksum(lz4::liblz4::BlockChecksum::BlockChecksumEnabled)
        .checksum(lz4::ContentChecksum::ChecksumEnabled)
        .build(Vec::new())
        .unwrap();
    encoder.write_all(&input).unwrap();
    let frame = encoder.finish().0;
    assert_eq!(decompress(Compression::Lz4, &frame, 1 << 20).unwrap(), input);
    for position in 0..frame.len() {
        let mut damaged = frame.clone();
        damaged[position] ^= 4;
        assert!(decompress(Compression::Lz4, &damaged, 1 << 20).is_err(), "byte {position}");
    }
}

#[test]
fn concatenated_gzip_members_and_zstd_frames_are_one_stream() {
    for codec in [Compression::Gzip, Compression::Zstd] {
        let both = [compress(codec, b"one "), compress(codec, b"two")].concat();
        assert_eq!(decompress(codec, &both, 7).unwrap(), b"one two"[..], "{codec}");
    }
}

#[test]
fn names_and_codes_are_kafkas() {
    let named: Vec<_> = Compression::ALL.iter().map(|codec| (codec.code(), codec.name())).collect();
    assert_eq!(named, [(0, "none"), (1, "gzip"), (2, "snappy"), (3, "lz4"), (4, "zstd")]);
    for codec in Compression::ALL {
        assert_eq!(Compression::from_code(codec.code()), Some(codec));
        assert_eq!(Compression::from_name(codec.name()), Some(codec));
    }
    assert_eq!((Compression::from_code(5), Compression::from_name("brotli")), (None, None));
}

/// Peak resident memory of this process, in bytes. Other tests of this binary take part of it.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0) * 1024
}

#[test]
fn bombs_stop_at_the_cap_without_filling_memory() {
    const BOMB_BYTES: u64 = 2 << 30;
    const CAP: usize = 1 << 20;
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    io::copy(&mut io::repeat(0).take(BOMB_BYTES), &mut zstd).unwrap();
    let zstd = zstd.finish().unwrap();
    let zeros = vec![0; 24 << 20];
    let bombs = CODECS.map(|codec| (codec, compress(codec, &zeros)));
    let before = peak_memory();
    for (codec, bomb) in bombs.iter().map(|(codec, bomb)| (*codec, &bomb[..])).chain([(Compression::Zstd, &zstd[..])]) {
        for _ in 0..20 {
            let error = decompress(codec, bomb, CAP).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge { max: CAP }), "{codec}: {error}");
        }
    }
    assert!(peak_memory() - before < 256 << 20, "{} bytes more", peak_memory() - before);
}

proptest! {
    #[test]
    fn anything_round_trips(codec in 0_u8..5, input in prop::collection::vec(any::<u8>(), 0..5_000)) {
        let codec = Compression::from_code(codec).unwrap();
        prop_assert_eq!(decompress(codec, &compress(codec, &input), input.len()).unwrap(), input);
    }
}
