//! The APIs that are not hot: decoded and encoded by `kafka-protocol`, behind a check.
//!
//! The generated decoders hand array counts from the wire to the allocator as they are: four hostile bytes ask for a
//! hundred gigabytes. So every request is first walked along its `shape`, with each count held against the bytes that are left.

mod shape;

use crate::frame;
use crate::read::DecodeError;
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

/// Reads the body of a request of the API `key`. `T` has to be that API's request type.
pub fn decode<T: Decodable>(key: i16, version: i16, mut body: Bytes) -> Result<T, DecodeError> {
    shape::check(key, version, body.clone())?;
    T::decode(&mut body, version).map_err(|_| DecodeError::Schema)
}

/// A response could not be written: it holds something that its version cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response of API {key} cannot be written in version {version}")]
pub struct EncodeError {
    /// The API key.
    pub key: i16,
    /// The version.
    pub version: i16,
}

/// The whole response frame, with its size and header.
pub fn encode_response<T: Encodable>(
    key: i16,
    version: i16,
    correlation_id: i32,
    response: &T,
) -> Result<Bytes, EncodeError> {
    let mut buffer = BytesMut::with_capacity(256);
    frame::response_head(&mut buffer, key, version, correlation_id);
    response.encode(&mut buffer, version).map_err(|_| EncodeError { key, version })?;
    Ok(frame::finish(buffer))
}

#[cfg(test)]
mod tests;
