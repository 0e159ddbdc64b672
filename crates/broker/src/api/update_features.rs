//! UpdateFeatures (API 57): levels follow from the program's version; only the one in force can be asked for.

use super::create_topics::Refusal;
use super::{Answer, Refused, Request, text};
use crate::features;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

/// The last version with a result for each feature, if all are well; later ones have one for all.
const RESULTS_UNTIL: i16 = 1;
/// Kinds of change: upgrade, safe downgrade, unsafe downgrade. Version 0 has none.
const KINDS: std::ops::RangeInclusive<i8> = 1..=3;

pub(crate) fn handle(request: &Request) -> Result<Answer, Refused> {
    let wanted: UpdateFeaturesRequest = request.decode()?;
    let checked: Vec<_> = wanted
        .feature_updates
        .iter()
        .map(|update| (&update.feature, check(update, request.header.api_version)))
        .collect();
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    let first = checked.iter().find_map(|(name, result)| Some((name, result.as_ref().err()?)));
    let error_code = first.map_or(0, |(_, refusal)| refusal.code.code());
    if error_code != 0 || request.header.api_version > RESULTS_UNTIL {
        let message = first.map(|(name, refusal)| {
            let (name, why) = (name.as_str(), &refusal.message);
            text(format!("The update failed for all features since the following feature had an error: {name}: {why}"))
        });
        return request.answer(&response.with_error_code(error_code).with_error_message(message), error_code);
    }
    let results = checked
        .into_iter()
        .map(|(name, _)| UpdatableFeatureResult::default().with_feature(name.clone()).with_error_message(None));
    request.answer(&response.with_results(results.collect()), error_code)
}

fn check(update: &FeatureUpdateKey, version: i16) -> Result<(), Refusal> {
    let (name, level) = (update.feature.as_str(), update.max_version_level);
    let refuse = |why: String| {
        let message = format!("Invalid update version {level} for feature {name}. {why}");
        Err(Refusal::new(ResponseError::InvalidUpdateVersion, message))
    };
    if version > 0 && !KINDS.contains(&update.upgrade_type) {
        return refuse(format!("There is no change of kind {}.", update.upgrade_type));
    }
    match features::find(name) {
        None => refuse("Frazil does not have this feature.".to_owned()),
        Some(feature) if feature.finalized == level => Ok(()),
        Some(feature) => refuse(format!("It is at level {} in this version of Frazil.", feature.finalized)),
    }
}
