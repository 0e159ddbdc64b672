use super::*;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, RequestHeader as TheirHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

fn encode_header(key: i16, version: i16, client_id: Option<&str>, tagged: bool) -> BytesMut {
    let header_version = ApiKey::try_from(key).unwrap().request_header_version(version);
    let mut header = TheirHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(client_id.map(|id| StrBytes::from_string(id.to_owned())));
    if tagged && header_version >= 2 {
        header = header.with_unknown_tagged_field(5, Bytes::from_static(b"tag"));
    }
    let mut buffer = BytesMut::new();
    header.encode(&mut buffer, header_version).unwrap();
    buffer
}

#[test]
fn headers_of_every_api_and_version_are_read_and_the_body_is_left() {
    for key in ApiKey::iter() {
        let versions = key.valid_versions();
        for version in versions.min..=versions.max {
            for (client_id, tagged) in [(None, false), (Some(""), true), (Some("täst"), false), (Some("c"), true)] {
                let mut frame = encode_header(key as i16, version, client_id, tagged);
                frame.extend_from_slice(b"body");
                let mut frame = frame.freeze();
                let header = parse_header(&mut frame).unwrap();
                assert_eq!((header.api_key, header.api_version, header.correlation_id), (key as i16, version, 77));
                assert_eq!(header.client_id.as_deref(), client_id);
                assert_eq!(frame, "body", "{key:?} {version}");
            }
        }
    }
}

#[test]
fn an_unknown_api_is_an_error_and_the_frame_is_left_alone() {
    for key in [-1, 93, 4_000, i16::MIN] {
        let mut buffer = BytesMut::new();
        buffer.put_i16(key);
        buffer.put_i16(3);
        buffer.put_slice(&[0; 20]);
        let mut frame = buffer.freeze();
        assert_eq!(parse_header(&mut frame), Err(FrameError::UnknownApi { key, version: 3 }));
        assert_eq!(frame.len(), 24);
    }
}

#[test]
fn api_versions_from_the_future_is_recognised_without_its_body() {
    for version in [5, 99, i16::MAX] {
        let mut frame = encode_header(api::API_VERSIONS, version, Some("from the future"), true);
        frame.extend_from_slice(&[0xff; 9]);
        let header = parse_header(&mut frame.freeze()).unwrap();
        assert_eq!((header.api_key, header.api_version), (api::API_VERSIONS, version));
        assert_eq!(api::check(header.api_key, version), Err(api::Unsupported { key: api::API_VERSIONS, version }));
    }
}

#[test]
fn the_fallback_is_version_0_with_error_35_and_only_its_own_range() {
    let frame = api_versions_fallback(0x0102_0304);
    let golden = [0, 0, 0, 16, 1, 2, 3, 4, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
    assert_eq!(frame[..], golden);
    let mut body = frame.slice(8..);
    let response = ApiVersionsResponse::decode(&mut body, 0).unwrap();
    assert_eq!((response.error_code, response.api_keys.len(), body.len()), (35, 1, 0));
    assert_eq!((response.api_keys[0].api_key, response.api_keys[0].min_version), (18, 0));
}

#[test]
fn response_headers_are_those_of_every_api_and_version() {
    for api in api::SUPPORTED {
        for version in api.min..=api.max {
            let mut buffer = BytesMut::new();
            response_head(&mut buffer, api.key, version, 9);
            let frame = finish(buffer);
            assert_eq!(frame_length_of(&frame), frame.len() - 4);
            let header_version = ApiKey::try_from(api.key).unwrap().response_header_version(version);
            let mut header = frame.slice(4..);
            assert_eq!(ResponseHeader::decode(&mut header, header_version).unwrap().correlation_id, 9);
            assert!(header.is_empty(), "{} {version}", api::name(api.key));
            assert!(api.key != api::API_VERSIONS || frame.len() == 8, "never tagged fields for ApiVersions");
        }
    }
}

fn frame_length_of(frame: &[u8]) -> usize {
    i32::from_be_bytes(*frame.first_chunk().unwrap()) as usize
}

#[test]
fn frame_lengths_are_limited_at_both_ends() {
    assert_eq!(frame_length(8_i32.to_be_bytes()), Ok(8));
    assert_eq!(frame_length((FRAME_BYTES_MAX as i32).to_be_bytes()), Ok(FRAME_BYTES_MAX));
    for length in [i32::MIN, -1, 0, 7, FRAME_BYTES_MAX as i32 + 1, i32::MAX, i32::from_be_bytes(*b"GET ")] {
        assert_eq!(frame_length(length.to_be_bytes()), Err(FrameError::Length(length)));
    }
}

#[test]
fn every_cut_of_a_header_is_an_error() {
    let whole = encode_header(api::METADATA, 12, Some("client"), true).freeze();
    for length in 0..whole.len() {
        assert!(parse_header(&mut whole.slice(..length)).is_err(), "{length}");
    }
    assert_eq!(peek_api(&whole), Some((api::METADATA, 12)));
    assert_eq!(peek_api(&whole[..3]), None);
}

#[test]
fn what_is_advertised_can_be_decoded_and_produce_reaches_down_to_0() {
    for api in api::SUPPORTED {
        let theirs = ApiKey::try_from(api.key).unwrap().valid_versions();
        let min = if api.key == api::PRODUCE { api::PRODUCE_SERVED_MIN } else { api.min };
        assert!(theirs.min <= min && api.max <= theirs.max, "{api:?}");
        assert!(api::check(api.key, min).is_ok() && api::check(api.key, api.max).is_ok());
        assert!(api::check(api.key, min - 1).is_err() && api::check(api.key, api.max + 1).is_err());
        assert_eq!(api::name(api.key), format!("{:?}", ApiKey::try_from(api.key).unwrap()));
    }
    assert_eq!(api::supported(api::PRODUCE).unwrap().min, 0);
    assert!(api::check(7, 3).is_err(), "ControlledShutdown is between brokers");
    assert!(api::SUPPORTED.is_sorted_by_key(|api| api.key));
}
