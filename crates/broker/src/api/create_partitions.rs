//! CreatePartitions (API 37).

use super::create_topics::{Refusal, check_replicas, propose};
use super::{Answer, Refused, Request, text};
use crate::node::Node;
use frazil_base::TopicId;
use frazil_base::limits::PARTITIONS_PER_TOPIC_MAX;
use frazil_meta::record::Command;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use std::collections::BTreeMap;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: CreatePartitionsRequest = request.decode()?;
    let mut times_named = BTreeMap::<&str, usize>::new();
    for topic in &wanted.topics {
        *times_named.entry(&topic.name).or_default() += 1;
    }
    let mut results = Vec::with_capacity(times_named.len());
    for topic in &wanted.topics {
        let grown = match times_named.get_mut(topic.name.as_str()).map(std::mem::take) {
            // Named twice; the first mention was answered.
            None | Some(0) => continue,
            Some(1) => grow(node, topic, wanted.validate_only).await,
            Some(_) => Err(Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name.")),
        };
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        results.push(match grown {
            Ok(()) => result.with_error_message(None),
            Err(refusal) => result.with_error_code(refusal.code.code()).with_error_message(Some(text(refusal.message))),
        });
    }
    let error_code = super::first_error(results.iter().map(|result| result.error_code));
    request.answer(&CreatePartitionsResponse::default().with_results(results), error_code)
}

async fn grow(node: &Node, wanted: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let topic = check(node, wanted)?;
    if validate_only {
        return Ok(());
    }
    propose(node, Command::CreatePartitions { topic, total: wanted.count }).await
}

fn check(node: &Node, wanted: &CreatePartitionsTopic) -> Result<TopicId, Refusal> {
    let state = node.log.state();
    let Some(topic) = state.topic_by_name(&wanted.name) else {
        return Err(Refusal::new(ResponseError::UnknownTopicOrPartition, "the topic does not exist"));
    };
    let (current, count) = (topic.partitions.len() as i32, wanted.count);
    let invalid = |message: String| Err(Refusal::new(ResponseError::InvalidPartitions, message));
    if count == current {
        return invalid(format!("Topic already has {current} partition(s)."));
    }
    if count < current {
        let name = &topic.name;
        return invalid(format!(
            "The topic {name} currently has {current} partition(s); {count} would not be an increase."
        ));
    }
    if count > PARTITIONS_PER_TOPIC_MAX {
        return invalid(format!("{count} partitions; a topic has at most {PARTITIONS_PER_TOPIC_MAX}"));
    }
    let Some(assignments) = &wanted.assignments else { return Ok(topic.id) };
    if assignments.len() as i64 != i64::from(count - current) {
        let message = format!(
            "Attempted to add {} additional partition(s), but only {} assignment(s) were specified.",
            count - current,
            assignments.len()
        );
        return Err(Refusal::new(ResponseError::InvalidReplicaAssignment, message));
    }
    assignments.iter().try_for_each(|assignment| check_replicas(&state, &assignment.broker_ids).map(|_| ()))?;
    Ok(topic.id)
}
