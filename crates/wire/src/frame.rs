//! Frames and headers: four bytes of length, then a header, then a body.
//!
//! The request header says which API and version follow, and only then is known whether the header itself ends with
//! tagged fields. ApiVersions is special twice: its response header never has tagged fields, and a request of a version
//! from the future is answered in version 0 without looking at its body (KIP-511).

use crate::api;
use crate::read::{DecodeError, Reader};
use crate::write::FrameWriter;
use bytes::{BufMut, Bytes, BytesMut};
use frazil_base::limits::FRAME_BYTES_MAX;
use kafka_protocol::error::ResponseError;

/// Bytes of a request header without client id: key, version, correlation id.
const HEADER_BYTES_MIN: usize = 8;

/// What stands before every request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API.
    pub api_key: i16,
    /// Which version of it.
    pub api_version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// How the client calls itself.
    pub client_id: Option<String>,
}

/// Why a frame cannot be a request. There is no answer: the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame shorter than a header or longer than the limit.
    #[error("a frame of {0} bytes; {HEADER_BYTES_MIN} to {FRAME_BYTES_MAX} are possible")]
    Length(i32),
    /// Kafka has no such API.
    #[error("no API has the key {key} (version {version})")]
    UnknownApi {
        /// The API key.
        key: i16,
        /// The version.
        version: i16,
    },
    /// The header's fields do not follow the protocol.
    #[error("the request header is malformed")]
    Header(#[source] DecodeError),
}

/// Length of the frame that follows, from the four bytes before it.
pub fn frame_length(prefix: [u8; 4]) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(bytes) if (HEADER_BYTES_MIN..=FRAME_BYTES_MAX).contains(&bytes) => Ok(bytes),
        _ => Err(FrameError::Length(length)),
    }
}

/// API key and version of a request, from the first bytes of its frame.
pub fn peek_api(frame: &[u8]) -> Option<(i16, i16)> {
    let key = frame.first_chunk::<4>()?;
    Some((i16::from_be_bytes([key[0], key[1]]), i16::from_be_bytes([key[2], key[3]])))
}

/// Takes the request header off a frame (without its length) and leaves the body.
///
/// Any key that Kafka has passes, in any version, ApiVersions of the future included; [`api::check`] says what is served.
pub fn parse_header(frame: &mut Bytes) -> Result<RequestHeader, FrameError> {
    let mut reader = Reader::new(frame.clone(), false);
    let api_key = reader.i16().map_err(FrameError::Header)?;
    let api_version = reader.i16().map_err(FrameError::Header)?;
    let Some(flexible) = api::is_flexible_request(api_key, api_version) else {
        return Err(FrameError::UnknownApi { key: api_key, version: api_version });
    };
    let correlation_id = reader.i32().map_err(FrameError::Header)?;
    // The client id keeps the classic dialect even in flexible headers, so that old brokers can read it.
    let client_id = reader.nullable_string().map_err(FrameError::Header)?;
    let mut reader = Reader::new(reader.into_rest(), flexible);
    reader.skip_tags().map_err(FrameError::Header)?;
    *frame = reader.into_rest();
    Ok(RequestHeader { api_key, api_version, correlation_id, client_id })
}

/// Begins a response: a place for the frame's length, the correlation id and, where the API and version have them, the
/// (empty) tagged fields. The body follows, then [`finish`].
pub fn response_head(buffer: &mut BytesMut, api_key: i16, api_version: i16, correlation_id: i32) {
    buffer.put_i32(0);
    buffer.put_i32(correlation_id);
    if api::is_flexible_response_header(api_key, api_version) == Some(true) {
        buffer.put_u8(0);
    }
}

/// Writes the length into a response that [`response_head`] began.
pub fn finish(mut buffer: BytesMut) -> Bytes {
    let length = i32::try_from(buffer.len() - 4).expect("an answer in one buffer stays below 2 GiB");
    buffer[..4].copy_from_slice(&length.to_be_bytes());
    buffer.freeze()
}

/// The whole response frame to ApiVersions of a version that is not served: version 0, `UNSUPPORTED_VERSION`, and
/// ApiVersions' own range, with which the client tries again (KIP-511).
pub fn api_versions_fallback(correlation_id: i32) -> Bytes {
    let own = api::supported(api::API_VERSIONS).expect("ApiVersions is always served");
    let mut writer = FrameWriter::response(correlation_id, false, 12);
    writer.buffer.put_i16(ResponseError::UnsupportedVersion.code());
    writer.count(1);
    writer.buffer.put_i16(own.key);
    writer.buffer.put_i16(own.min);
    writer.buffer.put_i16(own.max);
    writer.finish(0)
}

#[cfg(test)]
mod tests;
