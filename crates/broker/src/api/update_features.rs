//! UpdateFeatures (API 57): levels follow from the program's version; only the one in force can be asked for.

use super::create_topics::Refusal;
use super::{Answer, Refused, Request, text};
use crate::features;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

/// The last version with a result for each feature; later ones have one for all.
const RESULTS_UNTIL: i16 = 1;

pub(crate) fn handle(request: &Request) -> Result<Answer, Refused> {
    let wanted: UpdateFeaturesRequest = request.decode()?;
    let checked: Vec<_> = wanted.feature_updates.iter().map(|update| (&update.feature, check(update))).collect();
    let response = UpdateFeaturesResponse::default().with_error_message(None);
    let first = checked.iter().find_map(|(name, result)| Some((name, result.as_ref().err()?)));
    let error_code = first.map_or(0, |(_, refusal)| refusal.code.code());
    if request.header.api_version > RESULTS_UNTIL {
        let message = first.map(|(name, refusal)| {
            let (name, why) = (name.as_str(), &refusal.message);
            text(format!("The update failed for all features since the following feature had an error: {name}: {why}"))
        });
        return request.answer(&response.with_error_code(error_code).with_error_message(message), error_code);
    }
    let results = checked.into_iter().map(|(name, result)| {
        let row = UpdatableFeatureResult::default().with_feature(name.clone());
        match result {
            Ok(()) => row.with_error_message(None),
            Err(refusal) => row.with_error_code(refusal.code.code()).with_error_message(Some(text(refusal.message))),
        }
    });
    request.answer(&response.with_results(results.collect()), error_code)
}

fn check(update: &FeatureUpdateKey) -> Result<(), Refusal> {
    let (name, level) = (update.feature.as_str(), update.max_version_level);
    let refuse = |why: String| {
        let message = format!("Invalid update version {level} for feature {name}. {why}");
        Err(Refusal::new(ResponseError::InvalidUpdateVersion, message))
    };
    match features::find(name) {
        None => refuse("Frazil does not have this feature.".to_owned()),
        Some(feature) if feature.finalized == level => Ok(()),
        Some(feature) => refuse(format!("It is at level {} in this version of Frazil.", feature.finalized)),
    }
}
