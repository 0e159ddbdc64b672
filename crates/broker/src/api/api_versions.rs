//! ApiVersions (API 18): what is served.

use super::{Answer, Refused, Request, text};
use crate::features::FEATURES;
use crate::node::Node;
use frazil_wire::{api as key, frame};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

/// First version with features (KIP-584).
const FEATURES_FROM: i16 = 3;
/// First version whose clients bear a feature with the lowest level 0 (KAFKA-17492).
const LEVEL_ZERO_FROM: i16 = 4;

/// First version in which clients say what they are (KIP-511).
const SOFTWARE_NAME_FROM: i16 = 3;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
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
    let response = match named && header.api_version >= FEATURES_FROM {
        true => with_features(response, header.api_version, i64::from(node.log.state().feature_level())),
        false => response,
    };
    request.answer(&response, error_code)
}

/// Tells the features. `epoch` grows whenever what is finalized may have changed.
fn with_features(response: ApiVersionsResponse, version: i16, epoch: i64) -> ApiVersionsResponse {
    let shown = FEATURES.iter().filter(|feature| feature.min > 0 || version >= LEVEL_ZERO_FROM);
    let supported = shown.map(|feature| {
        let key = SupportedFeatureKey::default().with_name(text(feature.name));
        key.with_min_version(feature.min).with_max_version(feature.max)
    });
    let finalized = FEATURES.iter().filter(|feature| feature.finalized > 0).map(|feature| {
        let key = FinalizedFeatureKey::default().with_name(text(feature.name));
        key.with_min_version_level(feature.finalized).with_max_version_level(feature.finalized)
    });
    let response = response.with_supported_features(supported.collect());
    response.with_finalized_features_epoch(epoch).with_finalized_features(finalized.collect())
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
