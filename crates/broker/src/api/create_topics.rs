//! CreateTopics (API 19).

use super::{Answer, Refused, Request, text, uuid};
use crate::config::{self, Layers, Operation, Scope, Values};
use crate::node::Node;
use crate::{error_code, topic_name};
use frazil_base::TopicId;
use frazil_base::limits::PARTITIONS_PER_TOPIC_MAX;
use frazil_meta::record::{Command, CreateTopic};
use frazil_meta::state::{Outcome, State};
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use std::collections::{BTreeMap, BTreeSet};

/// First version whose answer tells the new topic's settings.
const CONFIGS_FROM: i16 = 5;
/// Changes that one request proposes before it waits for the first; the log merges what is proposed at the same time.
pub(crate) const CHANGES_AT_ONCE: usize = 256;
/// A number of partitions or replicas that the broker is to choose.
const BROKER_CHOOSES: i32 = -1;

/// Why a change was not made: Kafka's code and a message.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub code: ResponseError,
    pub message: String,
}

impl Refusal {
    pub fn new(code: ResponseError, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

/// A topic that is to be created, with everything decided.
#[derive(Clone, Debug)]
pub(crate) struct Creation {
    name: String,
    partitions: i32,
    replication_factor: i16,
    configs: Values,
}

impl Creation {
    /// A topic as the broker makes it by itself.
    pub fn with_defaults(node: &Node, name: &str) -> Creation {
        Creation {
            name: name.to_owned(),
            partitions: node.settings.num_partitions,
            replication_factor: node.settings.default_replication_factor,
            configs: Values::new(),
        }
    }

    fn from_request(node: &Node, wanted: &CreatableTopic) -> Result<Creation, Refusal> {
        let mut creation = Creation::with_defaults(node, &wanted.name);
        creation.check_name(node)?;
        creation.configs = configs(node, wanted)?;
        if wanted.assignments.is_empty() {
            if wanted.num_partitions != BROKER_CHOOSES {
                creation.partitions = wanted.num_partitions;
            }
            if i32::from(wanted.replication_factor) != BROKER_CHOOSES {
                creation.replication_factor = wanted.replication_factor;
            }
        } else {
            (creation.partitions, creation.replication_factor) = assigned(node, wanted)?;
        }
        creation.check_numbers()?;
        Ok(creation)
    }

    /// Whether the name is valid and free.
    pub fn check_name(&self, node: &Node) -> Result<(), Refusal> {
        let invalid = |why: String| Refusal::new(ResponseError::InvalidTopicException, why);
        topic_name::check(&self.name).map_err(|why| invalid(format!("Topic name is invalid: {why}")))?;
        let state = node.log.state();
        if state.topic_by_name(&self.name).is_some() {
            return Err(exists(&self.name));
        }
        match topic_name::collision(&state, &self.name) {
            Some(other) => Err(invalid(format!("Topic '{}' collides with existing topic: {other}", self.name))),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), Refusal> {
        if self.partitions < 1 {
            return Err(Refusal::new(
                ResponseError::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
        if self.partitions > PARTITIONS_PER_TOPIC_MAX {
            let message = format!("{} partitions; a topic has at most {PARTITIONS_PER_TOPIC_MAX}", self.partitions);
            return Err(Refusal::new(ResponseError::InvalidPartitions, message));
        }
        if self.replication_factor < 1 {
            return Err(Refusal::new(
                ResponseError::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ));
        }
        Ok(())
    }
}

fn exists(name: &str) -> Refusal {
    Refusal::new(ResponseError::TopicAlreadyExists, format!("Topic '{name}' already exists."))
}

/// Creates the topic; every broker knows it as soon as it has read so far in the log, this one on return.
pub(crate) async fn create(node: &Node, creation: Creation) -> Result<TopicId, Refusal> {
    let topic = TopicId(node.log.env().entropy.bits128());
    let name = creation.name.clone();
    let command = Command::CreateTopic(CreateTopic {
        topic,
        name: creation.name,
        partitions: creation.partitions,
        replication_factor: creation.replication_factor,
        configs: creation.configs.into_iter().collect(),
    });
    match propose(node, command).await {
        Ok(()) => {
            tracing::info!(topic = name, id = %topic, partitions = creation.partitions, "topic created");
            Ok(topic)
        }
        Err(refusal) if refusal.code == ResponseError::TopicAlreadyExists => Err(exists(&name)),
        Err(refusal) => Err(refusal),
    }
}

/// Changes the metadata.
pub(crate) async fn propose(node: &Node, command: Command) -> Result<(), Refusal> {
    match node.log.propose(command).await {
        Ok(Outcome::Refused(refusal)) => {
            let code = error_code::of_refusal(refusal);
            Err(Refusal::new(code, code.to_string()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::new(error_code::of_propose(&error), error.to_string())),
    }
}

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: CreateTopicsRequest = request.decode()?;
    let mut times_named = BTreeMap::<&str, usize>::new();
    for topic in &wanted.topics {
        *times_named.entry(&topic.name).or_default() += 1;
    }
    let mut names = NewNames::default();
    let mut creations = Vec::with_capacity(times_named.len());
    for topic in &wanted.topics {
        let checked = match times_named.get_mut(topic.name.as_str()).map(std::mem::take) {
            // Named twice; the first mention was answered.
            None | Some(0) => continue,
            Some(1) => {
                Creation::from_request(node, topic).and_then(|creation| names.add(&topic.name).map(|()| creation))
            }
            Some(_) => Err(Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name.")),
        };
        let created = create_one(node, request.header.api_version, checked, wanted.validate_only);
        creations.push(created.map(|result| result.with_name(topic.name.clone())).boxed());
    }
    let results: Vec<_> = stream::iter(creations).buffered(CHANGES_AT_ONCE).collect().await;
    let error_code = super::first_error(results.iter().map(|result| result.error_code));
    request.answer(&CreateTopicsResponse::default().with_topics(results), error_code)
}

/// Creates a topic that passed its checks, unless this is a dry run; gives the answer, without its name.
async fn create_one(
    node: &Node,
    version: i16,
    checked: Result<Creation, Refusal>,
    validate_only: bool,
) -> CreatableTopicResult {
    let mut result = CreatableTopicResult::default().with_error_message(None);
    let created = match checked {
        Err(refusal) => Err(refusal),
        Ok(creation) => {
            if version >= CONFIGS_FROM {
                result = result
                    .with_num_partitions(creation.partitions)
                    .with_replication_factor(creation.replication_factor)
                    .with_configs(Some(shown(node, &node.log.state(), &creation.configs)));
            }
            if validate_only { Ok(None) } else { create(node, creation).await.map(Some) }
        }
    };
    match created {
        Ok(None) => result,
        Ok(Some(topic)) => result.with_topic_id(uuid(topic)),
        Err(refusal) => CreatableTopicResult::default()
            .with_error_code(refusal.code.code())
            .with_error_message(Some(text(refusal.message)))
            .with_configs(Some(Vec::new())),
    }
}

/// Names of topics that one request creates at once, which must not collide with each other either.
#[derive(Default)]
pub(crate) struct NewNames(BTreeSet<String>);

impl NewNames {
    /// Adds a name, if none before it is the same once `.` and `_` are not told apart.
    pub fn add(&mut self, name: &str) -> Result<(), Refusal> {
        match self.0.insert(topic_name::folded(name)) {
            true => Ok(()),
            false => {
                let message = format!("Topic '{name}' collides with another topic of the request");
                Err(Refusal::new(ResponseError::InvalidTopicException, message))
            }
        }
    }
}

/// The topic's settings as the client wrote them, checked.
fn configs(node: &Node, wanted: &CreatableTopic) -> Result<Values, Refusal> {
    let state = node.log.state();
    let layers = node.broker_layers(&state);
    let mut configs = Values::new();
    for wanted in &wanted.configs {
        let Some(value) = wanted.value.as_deref() else {
            let message = format!("Null value not supported for topic configs: {}", &*wanted.name);
            return Err(Refusal::new(ResponseError::InvalidConfig, message));
        };
        let changed = config::change(Scope::Topic, layers, &wanted.name, Operation::Set, Some(value));
        let changed = changed.map_err(|error| Refusal::new(error.code, error.message))?;
        configs.extend(changed.map(|value| (wanted.name.to_string(), value)));
    }
    Ok(configs)
}

/// Every setting of a topic that has these of its own.
fn shown(node: &Node, state: &State, configs: &Values) -> Vec<CreatableTopicConfigs> {
    let layers = Layers { own: Some(configs), ..node.broker_layers(state) };
    let shown = |setting: &config::Setting| {
        let (value, source) = layers.effective(setting, Scope::Topic);
        CreatableTopicConfigs::default()
            .with_name(text(setting.name))
            .with_value(value.map(text))
            .with_config_source(source as i8)
    };
    config::table::TOPIC.iter().map(shown).collect()
}

/// Numbers of partitions and of replicas of a topic whose replicas the client placed itself. The places are checked and
/// then forgotten: replicas are for show.
fn assigned(node: &Node, wanted: &CreatableTopic) -> Result<(i32, i16), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ResponseError::InvalidRequest, message));
    if i32::from(wanted.replication_factor) != BROKER_CHOOSES {
        return invalid(
            "A manual partition assignment was specified, but replication factor was not set to -1.".into(),
        );
    }
    if wanted.num_partitions != BROKER_CHOOSES {
        return invalid("A manual partition assignment was specified, but numPartitions was not set to -1.".into());
    }
    let by_index: BTreeMap<i32, &CreatableReplicaAssignment> =
        wanted.assignments.iter().map(|assignment| (assignment.partition_index, assignment)).collect();
    if by_index.len() != wanted.assignments.len() {
        return Err(misplaced("Found multiple manual partition assignments for one partition"));
    }
    if !by_index.keys().copied().eq(0..by_index.len() as i32) {
        return Err(misplaced("partitions should be a consecutive 0-based integer sequence"));
    }
    let state = node.log.state();
    let mut lengths = by_index.values().map(|assignment| check_replicas(&state, &assignment.broker_ids));
    let first = lengths.next().expect("there is an assignment")?;
    for length in lengths {
        if length? != first {
            return Err(misplaced("the manual partition assignment has different numbers of replicas"));
        }
    }
    Ok((by_index.len() as i32, i16::try_from(first).map_err(|_| misplaced("too many replicas"))?))
}

fn misplaced(message: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidReplicaAssignment, message)
}

/// Checks the replicas that a client placed; gives their number.
pub(crate) fn check_replicas(state: &State, replicas: &[kafka_protocol::messages::BrokerId]) -> Result<usize, Refusal> {
    if replicas.is_empty() {
        return Err(misplaced("The manual partition assignment includes an empty replica list."));
    }
    let mut ids: Vec<i32> = replicas.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != replicas.len() {
        return Err(misplaced("The manual partition assignment includes a broker more than once."));
    }
    match ids.iter().find(|id| !state.brokers().any(|broker| broker.id.0 == **id)) {
        Some(id) => Err(misplaced(format!(
            "The manual partition assignment includes broker {id}, but no such broker is registered."
        ))),
        None => Ok(replicas.len()),
    }
}
