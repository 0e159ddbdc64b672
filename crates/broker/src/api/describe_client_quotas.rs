//! DescribeClientQuotas (API 48, KIP-546).

use super::alter_client_quotas::{CLIENT_ID, IP, USER};
use super::create_topics::Refusal;
use super::{Answer, Refused, Request, text};
use crate::node::Node;
use frazil_meta::record::QuotaEntity;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use std::collections::BTreeMap;

/// What a part of an entity has to be called.
enum Match {
    Named(String),
    Default,
    Any,
}

type Filter = BTreeMap<String, Match>;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeClientQuotasRequest = request.decode()?;
    let filter = match filter(&wanted.components) {
        Ok(filter) => filter,
        Err(refusal) => {
            let code = refusal.code.code();
            let response = DescribeClientQuotasResponse::default()
                .with_error_code(code)
                .with_error_message(Some(text(refusal.message)))
                .with_entries(None);
            return request.answer(&response, code);
        }
    };
    let state = node.log.state();
    let matching = state.quotas().iter().filter(|(entity, _)| matches(&filter, wanted.strict, entity));
    let entries = matching.map(|(entity, quotas)| entry(entity, quotas)).collect();
    let response = DescribeClientQuotasResponse::default().with_error_message(None).with_entries(Some(entries));
    request.answer(&response, 0)
}

fn filter(components: &[ComponentData]) -> Result<Filter, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ResponseError::InvalidRequest, message));
    let mut filter = Filter::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return invalid("Invalid empty entity type.".to_owned());
        }
        if filter.contains_key(kind) {
            return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if ![USER, CLIENT_ID, IP].contains(&kind) {
            let message = format!("Unsupported entity type {kind}");
            return Err(Refusal::new(ResponseError::UnsupportedVersion, message));
        }
        let matched = match (component.match_type, &component._match) {
            (0, Some(name)) => Match::Named(name.to_string()),
            (1, None) => Match::Default,
            (2, None) => Match::Any,
            (0, None) => {
                return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned());
            }
            (1 | 2, Some(_)) => return invalid("Only an exact match has a match string.".to_owned()),
            (other, _) => return invalid(format!("Unknown match type {other}")),
        };
        filter.insert(kind.to_owned(), matched);
    }
    if filter.contains_key(IP) && filter.len() > 1 {
        return invalid("Invalid entity filter component combination.".to_owned());
    }
    Ok(filter)
}

fn matches(filter: &Filter, strict: bool, entity: &QuotaEntity) -> bool {
    let fits = |(kind, wanted): (&String, &Match)| {
        let part = entity.0.iter().find(|(other, _)| other == kind);
        part.is_some_and(|(_, name)| match wanted {
            Match::Named(wanted) => name.as_ref() == Some(wanted),
            Match::Default => name.is_none(),
            Match::Any => true,
        })
    };
    filter.iter().all(fits) && (!strict || entity.0.len() == filter.len())
}

fn entry(entity: &QuotaEntity, quotas: &BTreeMap<String, u64>) -> EntryData {
    let parts = entity.0.iter().map(|(kind, name)| {
        EntityData::default().with_entity_type(text(kind.clone())).with_entity_name(name.clone().map(text))
    });
    let values = quotas
        .iter()
        .map(|(key, bits)| ValueData::default().with_key(text(key.clone())).with_value(f64::from_bits(*bits)));
    EntryData::default().with_entity(parts.collect()).with_values(values.collect())
}
