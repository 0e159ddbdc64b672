//! Every request of the Kafka protocol, in every version, with array counts that lie.
//!
//! The broker reads produce and fetch with its own code and walks every other request before `kafka-protocol` may
//! decode it, so lying counts should never reach the generated decoders. If one does, because a schema was forgotten,
//! it asks the allocator for up to hundreds of gigabytes: the system's allocator refuses and the process is gone.
//! mimalloc reserves address space without touching it, the decoder runs out of bytes, and the request is an error.
//! This sweep goes straight at the generated decoders, with the allocator that the broker runs with.

use bytes::Bytes;
use frazil_base::{Entropy as _, entropy::SeededEntropy};
use frazil_wire::fetch::FetchRequest;
use frazil_wire::frame;
use frazil_wire::produce::ProduceRequest;
use kafka_protocol::messages::{ApiKey, RequestKind};

/// Positions of a body at which a count is put.
const POSITIONS: usize = 40;

/// Two thousand million entries, 4,294 million in a varint, a million, minus one.
const LIES: [&[u8]; 4] =
    [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0, 0x0f, 0x42, 0x40], &[0xff, 0xff, 0xff, 0xff]];

/// What stands around the lie: zeros (empty in the classic dialect), ones (empty in the flexible one), twos (one entry each).
const FILLINGS: [u8; 3] = [0, 1, 2];

fn every_version() -> impl Iterator<Item = (ApiKey, i16)> {
    ApiKey::iter().flat_map(|key| {
        let versions = key.valid_versions();
        (versions.min..=versions.max).map(move |version| (key, version))
    })
}

fn lying_bodies() -> impl Iterator<Item = Bytes> {
    let places = (0..POSITIONS).flat_map(|position| LIES.map(|lie| (position, lie)));
    places.flat_map(|(position, lie)| {
        FILLINGS.map(|filling| {
            let mut body = vec![filling; POSITIONS + 24];
            body.splice(position..position + lie.len(), lie.iter().copied());
            Bytes::from(body)
        })
    })
}

/// What the broker and what `kafka-protocol` make of a body. Panicking or aborting is what would fail the test.
fn decode_everyhow(key: ApiKey, version: i16, body: &Bytes) {
    let _ = RequestKind::decode(key, &mut body.clone(), version);
    let _ = ProduceRequest::decode(version, body.clone());
    let _ = FetchRequest::decode(version, body.clone());
}

#[test]
fn lying_counts_in_every_request_and_version_neither_abort_nor_panic() {
    let bodies: Vec<_> = lying_bodies().collect();
    let mut decoded = 0_usize;
    for (key, version) in every_version() {
        for body in &bodies {
            decode_everyhow(key, version, body);
            decoded += 1;
        }
    }
    assert!(decoded > 100_000, "{decoded} hostile requests");
}

#[test]
fn random_bodies_of_every_request_and_version_neither_abort_nor_panic() {
    let entropy = SeededEntropy::new(7);
    for (key, version) in every_version() {
        for _ in 0..100 {
            let words = entropy.bits64() as usize % 32;
            let body: Vec<u8> = (0..words).flat_map(|_| entropy.bits64().to_be_bytes()).collect();
            decode_everyhow(key, version, &body.into());
        }
    }
}

#[test]
fn headers_of_every_request_and_version_survive_lying_lengths() {
    for (key, version) in every_version() {
        for body in lying_bodies().step_by(7) {
            let mut frame = [(key as i16).to_be_bytes(), version.to_be_bytes()].concat();
            frame.extend_from_slice(&body);
            let length = frame.len();
            let mut frame = Bytes::from(frame);
            if let Ok(header) = frame::parse_header(&mut frame) {
                assert_eq!((header.api_key, header.api_version), (key as i16, version));
                assert!(frame.len() <= length - 10, "key, version, correlation id and the client's length are gone");
            }
        }
    }
}
