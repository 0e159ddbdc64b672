//! Fetch (API 1): batches out of the log.
//!
//! Sessions (KIP-227) are declined: every answer carries session 0 and lists every partition asked for, after which a
//! client sends full requests. A request that continues a session we never gave gets `FETCH_SESSION_ID_NOT_FOUND`, and
//! the client starts anew. The leader epoch is 0 for ever: there are no leaders that could disagree.

use super::{Answer, Refused, Request};
use crate::budget::Held;
use crate::error_code;
use crate::node::Node;
use crate::stopping::Stopping;
use bytes::Bytes;
use frazil_base::{TopicId, TopicPartition};
use frazil_log::{
    AbortedTransaction, FetchError, FetchPartition as PlanPartition, FetchPlan, FetchedPartition, Isolation,
};
use frazil_wire::fetch::{
    self as wire, FetchPartition, FetchRequest, FetchResponseParts, FetchTopic, PartitionPart, TopicPart,
};
use kafka_protocol::error::ResponseError;
use std::time::Duration;

/// The one leader epoch there is.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// Longest poll, whatever the client asks for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// A partition of the request: an error already, or the next one of the plan.
enum Fate {
    Failed(PartitionPart),
    Planned { index: i32 },
}

pub(crate) async fn handle(node: &Node, request: &Request, stopping: Stopping) -> Result<Answer, Refused> {
    let version = request.header.api_version;
    let fetch = FetchRequest::decode(version, request.body.clone()).map_err(|cause| request.malformed(cause))?;
    if fetch.session_epoch > 0 {
        return Ok(answer(request, ResponseError::FetchSessionIdNotFound.code(), Vec::new()));
    }
    let (fates, partitions) = sort(node, &fetch);
    let failed = fates.iter().flatten().any(|fate| matches!(fate, Fate::Failed(_)));
    let max_wait = Duration::from_millis(u64::try_from(fetch.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
    let plan = FetchPlan {
        max_wait: if failed { Duration::ZERO } else { max_wait },
        min_bytes: usize::try_from(fetch.min_bytes).unwrap_or(0),
        max_bytes: usize::try_from(fetch.max_bytes).unwrap_or(0).min(node.settings.fetch_bytes_max),
        isolation: isolation_of(fetch.isolation_level),
        partitions,
    };
    let (fetched, held) = read(node, plan, stopping).await;
    Ok(Answer { held: Some(held), ..answer(request, 0, assemble(&fetch, fates, fetched)) })
}

/// Reads, and takes from the budget what was read. Where that is not there, lets go, waits for it and reads again.
async fn read(node: &Node, plan: FetchPlan, mut stopping: Stopping) -> (Vec<FetchedPartition>, Held) {
    let at_once = FetchPlan { max_wait: Duration::ZERO, ..plan.clone() };
    let fetched = tokio::select! {
        biased;
        fetched = node.log.fetch(plan) => fetched,
        () = stopping.stopped() => node.log.fetch(at_once.clone()).await,
    };
    let bytes = fetched.iter().flat_map(|partition| &partition.slices).map(Bytes::len).sum();
    let mut held = Held::default();
    if node.fetched.try_take(&mut held, bytes) {
        return (fetched, held);
    }
    drop(fetched);
    node.fetched.take(&mut held, bytes).await;
    (node.log.fetch(FetchPlan { max_bytes: bytes, ..at_once }).await, held)
}

/// Per topic of the request what becomes of each partition, and the partitions that can be read.
fn sort(node: &Node, fetch: &FetchRequest) -> (Vec<Vec<Fate>>, Vec<PlanPartition>) {
    let mut planned = Vec::new();
    let fates = fetch.topics.iter().map(|topic| sort_topic(node, topic, &mut planned)).collect();
    (fates, planned)
}

fn sort_topic(node: &Node, wanted: &FetchTopic, planned: &mut Vec<PlanPartition>) -> Vec<Fate> {
    let by_id = is_by_id(wanted);
    let state = node.log.state();
    let topic = if by_id { state.topic(wanted.id) } else { state.topic_by_name(&wanted.name) };
    let found = topic.map(|topic| (topic.id, topic.partitions.len()));
    drop(state);
    let fate = |partition: &FetchPartition| match found {
        None if by_id => failed(partition, ResponseError::UnknownTopicId),
        None => failed(partition, ResponseError::UnknownTopicOrPartition),
        Some((_, count)) if !usize::try_from(partition.index).is_ok_and(|index| index < count) => {
            failed(partition, ResponseError::UnknownTopicOrPartition)
        }
        Some((id, _)) => match check_epoch(partition.current_leader_epoch) {
            Err(error) => failed(partition, error),
            Ok(()) => {
                planned.push(plan(id, partition));
                Fate::Planned { index: partition.index }
            }
        },
    };
    wanted.partitions.iter().map(fate).collect()
}

fn is_by_id(topic: &FetchTopic) -> bool {
    topic.id != TopicId::default() || topic.name.is_empty()
}

fn failed(partition: &FetchPartition, error: ResponseError) -> Fate {
    Fate::Failed(PartitionPart::failed(partition.index, error.code()))
}

fn plan(topic: TopicId, partition: &FetchPartition) -> PlanPartition {
    PlanPartition {
        partition: TopicPartition { topic, partition: partition.index },
        offset: partition.fetch_offset,
        max_bytes: usize::try_from(partition.max_bytes).unwrap_or(0),
    }
}

/// A client's isolation level. Kafka takes every number but 0 for read committed.
pub(crate) fn isolation_of(level: i8) -> Isolation {
    if level == 0 { Isolation::ReadUncommitted } else { Isolation::ReadCommitted }
}

/// Compares the leader epoch that a client believes in with the one there is (KIP-320); -1 means it has none.
pub(crate) fn check_epoch(current_leader_epoch: i32) -> Result<(), ResponseError> {
    match current_leader_epoch {
        -1 | LEADER_EPOCH => Ok(()),
        epoch if epoch < LEADER_EPOCH => Err(ResponseError::FencedLeaderEpoch),
        _ => Err(ResponseError::UnknownLeaderEpoch),
    }
}

/// Joins what was fetched with what had failed, in the order of the request.
fn assemble(fetch: &FetchRequest, fates: Vec<Vec<Fate>>, fetched: Vec<FetchedPartition>) -> Vec<TopicPart> {
    let mut fetched = fetched.into_iter();
    let isolation = isolation_of(fetch.isolation_level);
    let topic = |(wanted, fates): (&FetchTopic, Vec<Fate>)| {
        let partition = |fate| match fate {
            Fate::Failed(part) => part,
            Fate::Planned { index } => {
                let fetched = fetched.next().expect("the log answers every partition of a plan");
                part(index, is_by_id(wanted), isolation, fetched)
            }
        };
        let partitions = fates.into_iter().map(partition).collect();
        TopicPart { name: wanted.name.clone(), id: wanted.id, partitions }
    };
    fetch.topics.iter().zip(fates).map(topic).collect()
}

fn part(index: i32, by_id: bool, isolation: Isolation, fetched: FetchedPartition) -> PartitionPart {
    let FetchedPartition { result, high_watermark, last_stable_offset, log_start, aborted, slices, .. } = fetched;
    match result {
        Ok(()) => PartitionPart {
            last_stable_offset,
            aborted_transactions: (isolation == Isolation::ReadCommitted)
                .then(|| aborted.into_iter().map(aborted_transaction).collect()),
            ..PartitionPart::read(index, high_watermark, log_start, slices)
        },
        Err(FetchError::UnknownPartition) if by_id => {
            PartitionPart::failed(index, ResponseError::UnknownTopicId.code())
        }
        Err(error) => PartitionPart {
            high_watermark,
            log_start_offset: log_start,
            ..PartitionPart::failed(index, error_code::of_fetch(&error).code())
        },
    }
}

fn aborted_transaction(aborted: AbortedTransaction) -> wire::AbortedTransaction {
    wire::AbortedTransaction { producer_id: aborted.producer_id, first_offset: aborted.first_offset }
}

fn answer(request: &Request, error_code: i16, topics: Vec<TopicPart>) -> Answer {
    let codes = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let first_error = super::first_error(std::iter::once(error_code).chain(codes));
    let parts = FetchResponseParts { throttle_time_ms: 0, error_code, session_id: 0, topics };
    let header = &request.header;
    Answer::new(wire::encode_response(header.api_version, header.correlation_id, &parts), first_error)
}
