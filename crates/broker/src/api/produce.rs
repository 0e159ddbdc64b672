//! Produce (API 0): batches into the log.
//!
//! `begin` checks every batch and hands the good ones to the log before it returns, so the order of calls is the order in the
//! log; what it returns resolves when they are durable. A bad batch fails its partition, not the others of the request.
//!
//! The bytes stay as they are, but for topics with LogAppendTime (a new timestamp and CRC) or with a codec of their own
//! (encoded anew). Records are looked into only where a setting of the topic asks for it: compaction needs keys, a limit on
//! old timestamps needs the oldest.

mod validate;

use super::{Answer, Refused, Request};
use crate::error_code;
use crate::node::Node;
use bytes::Bytes;
use frazil_base::TopicId;
use frazil_log::{NewBatch, Placed, ProduceError, Ticket};
use frazil_wire::batch::BatchHeader;
use frazil_wire::produce::{PartitionResponse, ProduceRequest, ProduceTopic, TopicResponse, encode_response};
use futures::future::BoxFuture;
use kafka_protocol::error::ResponseError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use validate::{Fault, Validator};

/// First version that knows `TRANSACTION_ABORTABLE` (KIP-890).
const ABORTABLE_FROM: i16 = 11;

/// A partition of the request: refused already, or waiting for its batch's turn in the ticket.
enum Fate {
    Refused(PartitionResponse),
    Submitted { index: i32, log_append_time_ms: i64, is_transactional: bool },
}

/// A request whose batches are on their way.
struct Begun {
    version: i16,
    correlation_id: i32,
    expects_answer: bool,
    topics: Vec<(String, TopicId, Vec<Fate>)>,
}

/// Checks the request and submits its batches; waits only for the log's back-pressure.
pub(crate) async fn begin(node: &Arc<Node>, request: Request) -> Result<BoxFuture<'static, Answer>, Refused> {
    let version = request.header.api_version;
    let body = request.body.clone();
    let produce = ProduceRequest::decode(version, body).map_err(|cause| request.malformed(cause))?;
    let timeout = Duration::from_millis(u64::try_from(produce.timeout_ms).unwrap_or(0).max(1));
    let deadline = Instant::now() + timeout;
    let (begun, batches) = sort(node, &request, produce);
    if batches.is_empty() {
        return Ok(Box::pin(std::future::ready(begun.answer(Vec::new()))));
    }
    let ticket = node.log.submit(batches).await;
    Ok(Box::pin(finish(begun, ticket, deadline)))
}

/// Splits a request into what is refused at once and what goes to the log.
fn sort(node: &Node, request: &Request, produce: ProduceRequest) -> (Begun, Vec<NewBatch>) {
    let mut begun = Begun {
        version: request.header.api_version,
        correlation_id: request.header.correlation_id,
        expects_answer: produce.acks != 0,
        topics: Vec::with_capacity(produce.topics.len()),
    };
    let mut batches = Vec::new();
    let validator = Validator::new(node, begun.version, produce.transactional_id.as_deref());
    let refusal = refusal_of_all(&produce);
    for topic in produce.topics {
        let fates = match &refusal {
            Some(fault) => refuse_all(&topic, fault),
            None => sort_topic(&validator, &topic, &mut batches),
        };
        begun.topics.push((topic.name, topic.id, fates));
    }
    (begun, batches)
}

/// What is wrong with the request as a whole.
fn refusal_of_all(produce: &ProduceRequest) -> Option<Fault> {
    if !(-1..=1).contains(&produce.acks) {
        return Some(Fault::new(ResponseError::InvalidRequiredAcks, "acks must be -1, 0 or 1"));
    }
    let mut records =
        produce.topics.iter().flat_map(|topic| &topic.partitions).filter_map(|part| part.records.as_ref());
    let is_transactional = |bytes: &Bytes| BatchHeader::parse(bytes).is_ok_and(|header| header.is_transactional());
    if produce.transactional_id.is_none() && records.any(is_transactional) {
        let message = "transactional records in a request without a transactional id";
        return Some(Fault::new(ResponseError::TransactionalIdAuthorizationFailed, message));
    }
    None
}

fn refuse_all(topic: &ProduceTopic, fault: &Fault) -> Vec<Fate> {
    topic.partitions.iter().map(|partition| Fate::Refused(fault.clone().response(partition.index))).collect()
}

fn sort_topic(validator: &Validator<'_>, topic: &ProduceTopic, batches: &mut Vec<NewBatch>) -> Vec<Fate> {
    let target = match validator.topic(topic) {
        Ok(target) => target,
        Err(fault) => return refuse_all(topic, &fault),
    };
    let fate = |partition: &_| match target.batch(partition) {
        Ok((batch, log_append_time_ms)) => {
            let index = batch.partition.partition;
            let is_transactional = batch.producer.is_some_and(|producer| producer.transactional.is_some());
            batches.push(batch);
            Fate::Submitted { index, log_append_time_ms, is_transactional }
        }
        Err((index, fault)) => Fate::Refused(fault.response(index)),
    };
    topic.partitions.iter().map(fate).collect()
}

/// Waits until the batches are durable, or the client's patience ends; then they may still be stored.
async fn finish(begun: Begun, ticket: Ticket, deadline: Instant) -> Answer {
    match tokio::time::timeout_at(deadline, ticket).await {
        Ok(placements) => begun.answer(placements.into_iter().map(Some).collect()),
        Err(_) => begun.answer(Vec::new()),
    }
}

impl Begun {
    /// The answer. `placements` belong to the submitted batches in their order; those that are missing timed out.
    fn answer(self, placements: Vec<Option<Result<Placed, ProduceError>>>) -> Answer {
        let mut placements = placements.into_iter();
        let mut topics = Vec::with_capacity(self.topics.len());
        for (name, id, fates) in self.topics {
            let partitions = fates.into_iter().map(|fate| fate.response(self.version, &mut placements)).collect();
            topics.push(TopicResponse { name, id, partitions });
        }
        let codes =
            topics.iter().flat_map(|topic: &TopicResponse| &topic.partitions).map(|partition| partition.error_code);
        let error_code = super::first_error(codes);
        if self.expects_answer {
            Answer::new(vec![encode_response(self.version, self.correlation_id, &topics, 0)], error_code)
        } else {
            Answer { closes: error_code != 0, ..Answer::new(Vec::new(), error_code) }
        }
    }
}

impl Fate {
    fn response(
        self,
        version: i16,
        placements: &mut impl Iterator<Item = Option<Result<Placed, ProduceError>>>,
    ) -> PartitionResponse {
        let (index, log_append_time_ms, is_transactional) = match self {
            Fate::Refused(response) => return response,
            Fate::Submitted { index, log_append_time_ms, is_transactional } => {
                (index, log_append_time_ms, is_transactional)
            }
        };
        match placements.next().flatten() {
            Some(Ok(placed)) => {
                let written = PartitionResponse::written(index, placed.base_offset, placed.log_start);
                PartitionResponse { log_append_time_ms, ..written }
            }
            Some(Err(error)) => {
                let code = match error_code::of_produce(&error) {
                    // The partition was not added to the transaction: newer clients abort it and go on.
                    ResponseError::InvalidTxnState if is_transactional && version >= ABORTABLE_FROM => {
                        ResponseError::TransactionAbortable
                    }
                    other => other,
                }
                .code();
                PartitionResponse::failed(index, code, Some(error.to_string()))
            }
            None => PartitionResponse::failed(
                index,
                ResponseError::RequestTimedOut.code(),
                Some("not durable within the request's timeout; it may still be stored".to_owned()),
            ),
        }
    }
}
