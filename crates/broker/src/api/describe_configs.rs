//! DescribeConfigs (API 32): every setting, its value, and where the value comes from.

use super::create_topics::Refusal;
use super::{Answer, Refused, Request, text};
use crate::config::{Layers, Scope, Setting, Source, Update, WITHOUT_EFFECT, table};
use crate::node::Node;
use crate::topic_name;
use frazil_meta::record::ConfigResource;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

/// Kinds of things that have settings, by their number in the protocol.
pub(crate) const TOPIC: i8 = 2;
/// One broker, or all of them when the name is empty.
pub(crate) const BROKER: i8 = 4;
/// Levels of one broker's logs; there are none to change here.
pub(crate) const BROKER_LOGGER: i8 = 8;
/// A subscription to clients' metrics.
pub(crate) const CLIENT_METRICS: i8 = 16;
/// A group.
pub(crate) const GROUP: i8 = 32;

/// First version that tells types and documentation.
const TYPES_FROM: i16 = 3;

/// What to tell of each setting.
#[derive(Clone, Copy)]
struct Detail {
    version: i16,
    synonyms: bool,
    documentation: bool,
}

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeConfigsRequest = request.decode()?;
    let detail = Detail {
        version: request.header.api_version,
        synonyms: wanted.include_synonyms,
        documentation: wanted.include_documentation,
    };
    let results = wanted.resources.iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match describe(node, resource, detail) {
            Ok(configs) => result.with_error_message(None).with_configs(configs),
            Err(refusal) => result.with_error_code(refusal.code.code()).with_error_message(Some(text(refusal.message))),
        }
    });
    let results: Vec<_> = results.collect();
    let error_code = super::first_error(results.iter().map(|result| result.error_code));
    request.answer(&DescribeConfigsResponse::default().with_results(results), error_code)
}

fn describe(
    node: &Node,
    resource: &DescribeConfigsResource,
    detail: Detail,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let state = node.log.state();
    let keys = resource.configuration_keys.as_deref();
    let asked = |setting: &&Setting| keys.is_none_or(|keys| keys.iter().any(|key| **key == *setting.name));
    let name = &*resource.resource_name;
    match resource.resource_type {
        TOPIC => {
            topic_name::check(name).map_err(|why| Refusal::new(ResponseError::InvalidTopicException, why))?;
            let topic = state
                .topic_by_name(name)
                .ok_or_else(|| Refusal::new(ResponseError::UnknownTopicOrPartition, "the topic does not exist"))?;
            let layers = node.topic_layers(&state, topic);
            Ok(table::TOPIC.iter().filter(asked).map(|setting| shown(setting, Scope::Topic, layers, detail)).collect())
        }
        BROKER if name.is_empty() => {
            let layers = Layers { broker: None, ..node.broker_layers(&state) };
            let stored = |setting: &&Setting| layers.cluster.is_some_and(|values| values.contains_key(setting.name));
            let settings = table::brokers().chain(table::THROTTLES).filter(asked).filter(stored);
            let of_cluster = |setting| {
                let mut shown = shown(setting, Scope::Broker, layers, detail);
                // Each broker may have others.
                shown.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker as i8);
                shown
            };
            Ok(settings.map(of_cluster).collect())
        }
        BROKER => {
            check_own_id(node, name)?;
            let layers = node.broker_layers(&state);
            let is_set = |setting: &&Setting| layers.effective(setting, Scope::Broker).1 != Source::Default;
            let settings = table::brokers().chain(table::THROTTLES.iter().filter(is_set)).filter(asked);
            Ok(settings.map(|setting| shown(setting, Scope::Broker, layers, detail)).collect())
        }
        BROKER_LOGGER => {
            check_own_id(node, name)?;
            Ok(Vec::new())
        }
        CLIENT_METRICS => {
            check_named("Client metrics subscription", name)?;
            let layers = node.layers_of(&state, &ConfigResource::ClientMetrics(name.to_owned()));
            let settings = table::CLIENT_METRICS.iter().filter(asked);
            Ok(settings.map(|setting| shown(setting, Scope::ClientMetrics, layers, detail)).collect())
        }
        GROUP => {
            check_named("Group", name)?;
            let layers = node.layers_of(&state, &ConfigResource::Group(name.to_owned()));
            let settings = table::GROUP.iter().filter(asked);
            Ok(settings.map(|setting| shown(setting, Scope::Group, layers, detail)).collect())
        }
        other => Err(Refusal::new(ResponseError::InvalidRequest, format!("Unsupported resource type: {other}"))),
    }
}

/// Whether `name` is this broker's id: a broker knows its own settings only, and clients ask the one they mean.
pub(crate) fn check_own_id(node: &Node, name: &str) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ResponseError::InvalidRequest, message));
    match name.parse::<i32>() {
        Ok(id) if id == node.id.0 => Ok(()),
        Ok(id) => invalid(format!("Unexpected broker id, expected {} or empty string, but received {id}", node.id)),
        Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
    }
}

fn check_named(what: &str, name: &str) -> Result<(), Refusal> {
    let message = || format!("{what} name must not be empty");
    if name.is_empty() { Err(Refusal::new(ResponseError::InvalidRequest, message())) } else { Ok(()) }
}

fn shown(setting: &Setting, scope: Scope, layers: Layers<'_>, detail: Detail) -> DescribeConfigsResourceResult {
    let (value, source) = layers.effective(setting, scope);
    let mut shown = DescribeConfigsResourceResult::default()
        .with_name(text(setting.name))
        .with_value(value.filter(|_| !setting.is_sensitive()).map(text))
        .with_is_sensitive(setting.is_sensitive())
        .with_read_only(scope == Scope::Broker && setting.update == Update::ReadOnly)
        .with_config_source(source as i8);
    if detail.synonyms {
        shown = shown.with_synonyms(synonyms(setting, scope, layers));
    }
    if detail.version >= TYPES_FROM {
        shown = shown.with_config_type(setting.kind as i8);
        shown = shown.with_documentation(detail.documentation.then(|| text(documentation(setting))));
    }
    shown
}

fn documentation(setting: &Setting) -> String {
    match setting.has_effect {
        true => setting.documentation.to_owned(),
        false => format!("{} {WITHOUT_EFFECT}", setting.documentation),
    }
}

/// The values that the setting could take, most specific first; the last one of a topic setting without broker settings
/// is its own default, and the only one of a group setting that was not set.
fn synonyms(setting: &Setting, scope: Scope, layers: Layers<'_>) -> Vec<DescribeConfigsSynonym> {
    let synonym = |name: &str, value: String, source: Source| {
        let value = (!setting.is_sensitive()).then(|| text(value));
        DescribeConfigsSynonym::default().with_name(text(name)).with_value(value).with_source(source as i8)
    };
    let candidates = layers.candidates(setting, scope);
    let is_set = !candidates.is_empty();
    let candidates =
        candidates.into_iter().map(|candidate| synonym(candidate.name, candidate.value.into_owned(), candidate.source));
    let own_default = match scope {
        Scope::Topic if setting.synonyms.is_empty() => setting.default.map(str::to_owned),
        Scope::Group if !is_set => layers.default_of(setting, scope),
        _ => None,
    };
    candidates.chain(own_default.map(|value| synonym(setting.name, value, Source::Default))).collect()
}
