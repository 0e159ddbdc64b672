//! DeleteTopics (API 20), by name and (from version 6 on) by id.

use super::create_topics::{CHANGES_AT_ONCE, Refusal, propose};
use super::{Answer, Refused, Request, text, uuid};
use crate::config::{Scope, table};
use crate::node::Node;
use frazil_base::TopicId;
use frazil_meta::record::Command;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use uuid::Uuid;

/// First version that can name topics by id.
const IDS_FROM: i16 = 6;
/// First version whose answer has messages.
const MESSAGES_FROM: i16 = 5;

/// A topic's id and name, or why there is none.
type Found = Result<(TopicId, String), Refusal>;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DeleteTopicsRequest = request.decode()?;
    let version = request.header.api_version;
    let by_name = |name| DeleteTopicState::default().with_name(Some(name));
    let topics = if version < IDS_FROM { wanted.topic_names.into_iter().map(by_name).collect() } else { wanted.topics };
    let mut found = Vec::<(DeleteTopicState, Found)>::with_capacity(topics.len());
    let mut places = BTreeMap::new();
    for topic in topics {
        let topic_found = find(node, &topic);
        match places.entry(named(&topic, &topic_found)) {
            Entry::Vacant(place) => {
                place.insert(found.len());
                found.push((topic, topic_found));
            }
            // A topic that is named twice is answered once, and stays.
            Entry::Occupied(place) => {
                found[*place.get()].1 = Err(Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name or id."));
            }
        }
    }
    let deletions: Vec<_> =
        found.into_iter().map(|(topic, found)| delete(node, version, topic, found).boxed()).collect();
    let responses: Vec<_> = stream::iter(deletions).buffered(CHANGES_AT_ONCE).collect().await;
    let error_code = super::first_error(responses.iter().map(|response| response.error_code));
    request.answer(&DeleteTopicsResponse::default().with_responses(responses), error_code)
}

/// Deletes a topic that was found, and gives the answer.
async fn delete(node: &Node, version: i16, wanted: DeleteTopicState, found: Found) -> DeletableTopicResult {
    let deleted = match found {
        Err(refusal) => Err(refusal),
        Ok((topic, name)) => propose(node, Command::DeleteTopic { topic }).await.map(|()| (topic, name)),
    };
    let response = DeletableTopicResult::default();
    match deleted {
        Ok((id, name)) => {
            tracing::info!(topic = name, %id, "topic deleted");
            let response = response.with_name(Some(TopicName(text(name))));
            if version >= IDS_FROM { response.with_topic_id(uuid(id)) } else { response }
        }
        Err(refusal) => {
            let message = (version >= MESSAGES_FROM).then(|| text(refusal.message));
            let response = response.with_error_code(refusal.code.code()).with_error_message(message);
            response.with_name(wanted.name).with_topic_id(wanted.topic_id)
        }
    }
}

/// What tells topics of a request apart: the id of one that exists, else what the request says.
fn named(wanted: &DeleteTopicState, found: &Found) -> (Option<TopicId>, Option<TopicName>, Uuid) {
    match found {
        Ok((id, _)) => (Some(*id), None, Uuid::nil()),
        Err(_) => (None, wanted.name.clone(), wanted.topic_id),
    }
}

fn find(node: &Node, wanted: &DeleteTopicState) -> Found {
    let state = node.log.state();
    let enabled = table::broker("delete.topic.enable").expect("the setting stands in the table");
    if node.broker_layers(&state).effective(enabled, Scope::Broker).0.is_some_and(|value| value == "false") {
        return Err(Refusal::new(ResponseError::TopicDeletionDisabled, "Topic deletion is disabled."));
    }
    let found = match (&wanted.name, wanted.topic_id.is_nil()) {
        (Some(name), true) => state.topic_by_name(name).ok_or(ResponseError::UnknownTopicOrPartition),
        (None, false) => state.topic(TopicId(wanted.topic_id.as_u128())).ok_or(ResponseError::UnknownTopicId),
        (Some(_), false) => {
            return Err(Refusal::new(
                ResponseError::InvalidRequest,
                "You may not specify both topic name and topic id.",
            ));
        }
        (None, true) => {
            return Err(Refusal::new(ResponseError::InvalidRequest, "Neither topic name nor id were specified."));
        }
    };
    let topic = found.map_err(|code| Refusal::new(code, "the topic does not exist"))?;
    Ok((topic.id, topic.name.clone()))
}
