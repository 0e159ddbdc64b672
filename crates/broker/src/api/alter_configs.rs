//! AlterConfigs (API 33: all settings of a thing anew) and IncrementalAlterConfigs (API 44, KIP-339: some of them).

use super::create_topics::{Refusal, propose};
use super::describe_configs::{BROKER, CLIENT_METRICS, GROUP, TOPIC, check_own_id};
use super::{Answer, Refused, Request, text};
use crate::config::{self, Layers, Operation, Scope, Update, Values, table};
use crate::node::Node;
use crate::topic_name;
use frazil_base::TopicId;
use frazil_meta::record::{Command, ConfigResource};
use frazil_meta::state::State;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as ReplacedResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as AlteredResource;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};

/// What is asked for one topic or broker.
struct Alteration {
    resource_type: i8,
    resource_name: StrBytes,
    /// Name, operation by its number, value.
    changes: Vec<(StrBytes, i8, Option<StrBytes>)>,
}

type Answered = (i8, StrBytes, Result<(), Refusal>);

pub(crate) async fn handle_replacing(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: AlterConfigsRequest = request.decode()?;
    let alteration = |resource: kafka_protocol::messages::alter_configs_request::AlterConfigsResource| Alteration {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        changes: resource.configs.into_iter().map(|config| (config.name, Operation::Set as i8, config.value)).collect(),
    };
    let alterations = wanted.resources.into_iter().map(alteration).collect();
    let answered = alter_all(node, alterations, true, wanted.validate_only).await;
    let response = |(resource_type, resource_name, altered): Answered| {
        let (code, message) = code_and_message(altered);
        ReplacedResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(resource_name)
            .with_error_code(code)
            .with_error_message(message)
    };
    let responses: Vec<_> = answered.into_iter().map(response).collect();
    let error_code = super::first_error(responses.iter().map(|response| response.error_code));
    request.answer(&AlterConfigsResponse::default().with_responses(responses), error_code)
}

pub(crate) async fn handle_incremental(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: IncrementalAlterConfigsRequest = request.decode()?;
    let alteration = |resource: kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource| {
        let changes = resource.configs.into_iter().map(|config| (config.name, config.config_operation, config.value));
        Alteration {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            changes: changes.collect(),
        }
    };
    let alterations = wanted.resources.into_iter().map(alteration).collect();
    let answered = alter_all(node, alterations, false, wanted.validate_only).await;
    let response = |(resource_type, resource_name, altered): Answered| {
        let (code, message) = code_and_message(altered);
        AlteredResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(resource_name)
            .with_error_code(code)
            .with_error_message(message)
    };
    let responses: Vec<_> = answered.into_iter().map(response).collect();
    let error_code = super::first_error(responses.iter().map(|response| response.error_code));
    request.answer(&IncrementalAlterConfigsResponse::default().with_responses(responses), error_code)
}

fn code_and_message(altered: Result<(), Refusal>) -> (i16, Option<StrBytes>) {
    match altered {
        Ok(()) => (0, None),
        Err(refusal) => (refusal.code.code(), Some(text(refusal.message))),
    }
}

async fn alter_all(node: &Node, alterations: Vec<Alteration>, replace: bool, validate_only: bool) -> Vec<Answered> {
    let mut times_named = BTreeMap::<(i8, StrBytes), usize>::new();
    for alteration in &alterations {
        *times_named.entry((alteration.resource_type, alteration.resource_name.clone())).or_default() += 1;
    }
    let mut answered = Vec::with_capacity(times_named.len());
    for alteration in alterations {
        let key = (alteration.resource_type, alteration.resource_name.clone());
        let altered = match times_named.get_mut(&key).map(std::mem::take) {
            // Named twice; the first mention was answered.
            None | Some(0) => continue,
            Some(1) => alter(node, &alteration, replace, validate_only).await,
            Some(_) => Err(Refusal::new(ResponseError::InvalidRequest, "Each resource must appear at most once.")),
        };
        answered.push((alteration.resource_type, alteration.resource_name, altered));
    }
    answered
}

async fn alter(node: &Node, wanted: &Alteration, replace: bool, validate_only: bool) -> Result<(), Refusal> {
    let (resource, changes) = check(node, wanted, replace)?;
    let nothing_to_do = changes.is_empty() && !replace;
    if validate_only || nothing_to_do {
        return Ok(());
    }
    propose(node, Command::AlterConfigs { resource, replace, changes }).await
}

type Checked = (ConfigResource, Vec<(String, Option<String>)>);

fn check(node: &Node, wanted: &Alteration, replace: bool) -> Result<Checked, Refusal> {
    let mut names = BTreeSet::new();
    if let Some((name, ..)) = wanted.changes.iter().find(|(name, ..)| !names.insert(name)) {
        let message = format!("Error due to duplicate config keys: {}", &**name);
        return Err(Refusal::new(ResponseError::InvalidRequest, message));
    }
    let state = node.log.state();
    let (resource, scope) = resource(node, &state, wanted)?;
    let nothing = Values::new();
    // APPEND and SUBTRACT start from the value in force.
    let layers = match replace {
        true => Layers { own: None, broker: None, cluster: None, fixed: &nothing },
        false => node.layers_of(&state, &resource),
    };
    let mut changes = Vec::with_capacity(wanted.changes.len());
    for (name, operation, value) in &wanted.changes {
        let Some(operation) = Operation::from_code(*operation) else {
            let message = format!("Unknown config operation {operation} for {}", &**name);
            return Err(Refusal::new(ResponseError::InvalidRequest, message));
        };
        if operation == Operation::Delete {
            // Of what does not exist nothing is written down.
            changes.extend(config::is_known(scope, name).then(|| (name.to_string(), None)));
            continue;
        }
        check_reach(&resource, name)?;
        let changed = config::change(scope, layers, name, operation, value.as_deref());
        changes.push((name.to_string(), changed.map_err(|error| Refusal::new(error.code, error.message))?));
    }
    Ok((resource, changes))
}

fn resource(node: &Node, state: &State, wanted: &Alteration) -> Result<(ConfigResource, Scope), Refusal> {
    let name = &*wanted.resource_name;
    match wanted.resource_type {
        TOPIC if name.is_empty() => {
            Err(Refusal::new(ResponseError::InvalidRequest, "Default topic resources are not allowed."))
        }
        TOPIC => {
            topic_name::check(name).map_err(|why| Refusal::new(ResponseError::InvalidTopicException, why))?;
            let topic: Option<TopicId> = state.topic_by_name(name).map(|topic| topic.id);
            let unknown = || Refusal::new(ResponseError::UnknownTopicOrPartition, "the topic does not exist");
            Ok((ConfigResource::Topic(topic.ok_or_else(unknown)?), Scope::Topic))
        }
        BROKER if name.is_empty() => Ok((ConfigResource::Cluster, Scope::Broker)),
        BROKER => {
            check_own_id(node, name)?;
            Ok((ConfigResource::Broker(node.id), Scope::Broker))
        }
        GROUP if !name.is_empty() => Ok((ConfigResource::Group(name.to_owned()), Scope::Group)),
        CLIENT_METRICS if !name.is_empty() => {
            Ok((ConfigResource::ClientMetrics(name.to_owned()), Scope::ClientMetrics))
        }
        GROUP => Err(Refusal::new(ResponseError::InvalidRequest, "Default group resources are not allowed.")),
        CLIENT_METRICS => {
            Err(Refusal::new(ResponseError::InvalidRequest, "Default client metrics resources are not allowed."))
        }
        other => {
            Err(Refusal::new(ResponseError::InvalidRequest, format!("Settings of type {other} cannot be changed")))
        }
    }
}

/// Some settings are one broker's only.
fn check_reach(resource: &ConfigResource, name: &str) -> Result<(), Refusal> {
    let is_per_broker =
        table::broker(name).is_some_and(|setting| matches!(setting.update, Update::PerBroker | Update::PerListener));
    match resource {
        ConfigResource::Cluster if is_per_broker => {
            let message = format!("Cannot update these configs at default cluster level: {name}");
            Err(Refusal::new(ResponseError::InvalidRequest, message))
        }
        _ => Ok(()),
    }
}
