//! ApiVersions (API 18): what is served.

use super::{Answer, Refused, Request};
use frazil_wire::{api as key, frame};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

/// First version in which clients say what they are (KIP-511).
const SOFTWARE_NAME_FROM: i16 = 3;

pub(crate) fn handle(request: &Request) -> Result<Answer, Refused> {
    let header = &request.header;
    if key::check(header.api_key, header.api_version).is_err() {
        let frame = frame::api_versions_fallback(header.correlation_id);
        return Ok(Answer::new(vec![frame], ResponseError::UnsupportedVersion.code()));
    }
    let wanted: ApiVersionsRequest = request.decode()?;
    let named = header.api_version < SOFTWARE_NAME_FROM
        || is_software_name(&wanted.client_software_name) && is_software_name(&wanted.client_software_version);
    let error_code = if named { 0 } else { ResponseError::InvalidRequest.code() };
    let served = if named { key::SUPPORTED } else { &[] };
    let served = served
        .iter()
        .map(|api| ApiVersion::default().with_api_key(api.key).with_min_version(api.min).with_max_version(api.max));
    let response = ApiVersionsResponse::default().with_error_code(error_code).with_api_keys(served.collect());
    request.answer(&response, error_code)
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(inside)
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names_follow_the_pattern() {
        for good in ["a", "apache-kafka-java", "4.1.1", "librdkafka"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a b", "a/b", "ä"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }
}
