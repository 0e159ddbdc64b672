//! DeleteTopics (API 20), by name and (from version 6 on) by id.

use super::create_topics::{Refusal, propose};
use super::{Answer, Refused, Request, text, uuid};
use crate::config::{Scope, table};
use crate::node::Node;
use frazil_base::TopicId;
use frazil_meta::record::Command;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use std::collections::BTreeSet;

/// First version that can name topics by id.
const IDS_FROM: i16 = 6;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DeleteTopicsRequest = request.decode()?;
    let version = request.header.api_version;
    let by_name = |name| DeleteTopicState::default().with_name(Some(name));
    let topics = if version < IDS_FROM { wanted.topic_names.into_iter().map(by_name).collect() } else { wanted.topics };
    let mut seen = BTreeSet::new();
    let mut responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut response = DeletableTopicResult::default().with_name(topic.name.clone());
        if version >= IDS_FROM {
            response = response.with_topic_id(topic.topic_id);
        }
        responses.push(match delete(node, &topic, &mut seen).await {
            Ok((name, id)) => {
                let response = response.with_name(Some(name));
                if version >= IDS_FROM { response.with_topic_id(uuid(id)) } else { response }
            }
            Err(refusal) => {
                let message = (version >= 5).then(|| text(refusal.message));
                response.with_error_code(refusal.code.code()).with_error_message(message)
            }
        });
    }
    let error_code = super::first_error(responses.iter().map(|response| response.error_code));
    request.answer(&DeleteTopicsResponse::default().with_responses(responses), error_code)
}

async fn delete(
    node: &Node,
    wanted: &DeleteTopicState,
    seen: &mut BTreeSet<TopicId>,
) -> Result<(TopicName, TopicId), Refusal> {
    let (id, name) = find(node, wanted)?;
    if !seen.insert(id) {
        return Err(Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name or id."));
    }
    propose(node, Command::DeleteTopic { topic: id }).await?;
    tracing::info!(topic = name, %id, "topic deleted");
    Ok((TopicName(text(name)), id))
}

fn find(node: &Node, wanted: &DeleteTopicState) -> Result<(TopicId, String), Refusal> {
    let state = node.log.state();
    let enabled = table::broker("delete.topic.enable").expect("the setting stands in the table");
    if node.broker_layers(&state).effective(enabled, Scope::Broker).0.is_some_and(|value| value == "false") {
        return Err(Refusal::new(ResponseError::TopicDeletionDisabled, "Topic deletion is disabled."));
    }
    let found = match (&wanted.name, wanted.topic_id.is_nil()) {
        (Some(name), true) => state.topic_by_name(name).ok_or(ResponseError::UnknownTopicOrPartition),
        (None, false) => state.topic(TopicId(wanted.topic_id.as_u128())).ok_or(ResponseError::UnknownTopicId),
        (Some(_), false) => {
            return Err(Refusal::new(ResponseError::InvalidRequest, "You may not specify both topic name and topic id."));
        }
        (None, true) => {
            return Err(Refusal::new(ResponseError::InvalidRequest, "Neither topic name nor id were specified."));
        }
    };
    let topic = found.map_err(|code| Refusal::new(code, "the topic does not exist"))?;
    Ok((topic.id, topic.name.clone()))
}
