//! AlterClientQuotas (API 49, KIP-546): limits of users, clients and addresses. Stored; enforced with security.

use super::create_topics::{Refusal, propose};
use super::{Answer, Refused, Request, text};
use crate::node::Node;
use frazil_meta::record::{Command, QuotaEntity};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_client_quotas_response::{
    EntityData as AnsweredEntity, EntryData as AnsweredEntry,
};
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use std::collections::BTreeMap;

/// Kinds of entities that quotas are for.
pub(crate) const USER: &str = "user";
/// A client's name for itself.
pub(crate) const CLIENT_ID: &str = "client-id";
/// An address.
pub(crate) const IP: &str = "ip";

/// What the values of a quota are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    WholeNumber,
    Number,
}

/// The quotas of users and clients.
const OF_CLIENTS: &[(&str, Unit)] = &[
    ("consumer_byte_rate", Unit::WholeNumber),
    ("controller_mutation_rate", Unit::Number),
    ("producer_byte_rate", Unit::WholeNumber),
    ("request_percentage", Unit::Number),
];
/// The quotas of addresses.
const OF_ADDRESSES: &[(&str, Unit)] = &[("connection_creation_rate", Unit::WholeNumber)];

/// What a whole number may be off by on its way through floating point.
const TOLERANCE: f64 = 1e-6;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: AlterClientQuotasRequest = request.decode()?;
    let mut entries = Vec::with_capacity(wanted.entries.len());
    for entry in wanted.entries {
        let altered = match check(&entry) {
            Ok(_) if wanted.validate_only => Ok(()),
            Ok((entity, changes)) => propose(node, Command::AlterQuotas { entity, changes }).await,
            Err(refusal) => Err(refusal),
        };
        entries.push(answered(entry, altered));
    }
    let error_code = super::first_error(entries.iter().map(|entry| entry.error_code));
    request.answer(&AlterClientQuotasResponse::default().with_entries(entries), error_code)
}

fn answered(entry: EntryData, altered: Result<(), Refusal>) -> AnsweredEntry {
    let entity = entry
        .entity
        .into_iter()
        .map(|part| AnsweredEntity::default().with_entity_type(part.entity_type).with_entity_name(part.entity_name));
    let answered = AnsweredEntry::default().with_entity(entity.collect()).with_error_message(None);
    match altered {
        Ok(()) => answered,
        Err(refusal) => answered.with_error_code(refusal.code.code()).with_error_message(Some(text(refusal.message))),
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(ResponseError::InvalidRequest, message))
}

type Changes = Vec<(String, Option<u64>)>;

fn check(entry: &EntryData) -> Result<(QuotaEntity, Changes), Refusal> {
    let entity = entity(&entry.entity)?;
    let known = if entity.0.iter().any(|(kind, _)| kind == IP) { OF_ADDRESSES } else { OF_CLIENTS };
    let mut changes = BTreeMap::new();
    for operation in &entry.ops {
        changes.insert(operation.key.to_string(), new_value(known, operation)?);
    }
    Ok((entity, changes.into_iter().collect()))
}

fn entity(parts: &[EntityData]) -> Result<QuotaEntity, Refusal> {
    if parts.is_empty() {
        return invalid("Invalid empty client quota entity");
    }
    let mut entity = BTreeMap::new();
    for part in parts {
        let kind = part.entity_type.as_str();
        if ![USER, CLIENT_ID, IP].contains(&kind) {
            return invalid(format!("Unhandled client quota entity type: {kind}"));
        }
        let name = part.entity_name.as_ref().map(ToString::to_string);
        if name.as_deref() == Some("") {
            return invalid(format!("Empty {kind} not supported"));
        }
        if kind == IP && name.as_ref().is_some_and(|name| name.parse::<std::net::IpAddr>().is_err()) {
            return invalid(format!("{} is not a valid IP or resolvable host.", name.unwrap_or_default()));
        }
        entity.insert(kind.to_owned(), name);
    }
    if entity.contains_key(IP) && entity.len() > 1 {
        return invalid("Invalid quota entity combination, IP entity should not be combined with User or ClientId");
    }
    Ok(QuotaEntity(entity.into_iter().collect()))
}

/// The bits of the new value; `None` removes the quota.
fn new_value(known: &[(&str, Unit)], operation: &OpData) -> Result<Option<u64>, Refusal> {
    let key = operation.key.as_str();
    let Some((_, unit)) = known.iter().find(|(name, _)| *name == key) else {
        return invalid(format!("Invalid configuration key {key}"));
    };
    let value = operation.value;
    match unit {
        _ if operation.remove => Ok(None),
        Unit::WholeNumber if (value - value.round()).abs() > TOLERANCE => {
            invalid(format!("Configuration {key} must be a whole number"))
        }
        _ if !value.is_finite() || value < 0.0 => invalid(format!("Configuration {key} cannot be {value}")),
        Unit::WholeNumber => Ok(Some(value.round().to_bits())),
        Unit::Number => Ok(Some(value.to_bits())),
    }
}
