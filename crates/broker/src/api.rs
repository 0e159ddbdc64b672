//! The APIs, one file each: from a request's bytes to its answer's.

pub(crate) mod acls;
pub(crate) mod add_offsets_to_txn;
pub(crate) mod add_partitions_to_txn;
pub(crate) mod alter_client_quotas;
pub(crate) mod alter_configs;
pub(crate) mod alter_partition_reassignments;
pub(crate) mod alter_replica_log_dirs;
pub(crate) mod alter_user_scram_credentials;
pub(crate) mod api_versions;
pub(crate) mod consumer_group_describe;
pub(crate) mod consumer_group_heartbeat;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_groups;
pub(crate) mod delete_records;
pub(crate) mod delete_topics;
pub(crate) mod describe_client_quotas;
pub(crate) mod describe_cluster;
pub(crate) mod describe_configs;
pub(crate) mod describe_groups;
pub(crate) mod describe_log_dirs;
pub(crate) mod describe_producers;
pub(crate) mod describe_quorum;
pub(crate) mod describe_topic_partitions;
pub(crate) mod describe_transactions;
pub(crate) mod describe_user_scram_credentials;
pub(crate) mod elect_leaders;
pub(crate) mod end_txn;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod heartbeat;
pub(crate) mod init_producer_id;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_config_resources;
pub(crate) mod list_groups;
pub(crate) mod list_offsets;
pub(crate) mod list_partition_reassignments;
pub(crate) mod list_transactions;
pub(crate) mod metadata;
pub(crate) mod offset_commit;
pub(crate) mod offset_delete;
pub(crate) mod offset_fetch;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
pub(crate) mod sync_group;
pub(crate) mod txn_offset_commit;
pub(crate) mod update_features;
pub(crate) mod write_txn_markers;

use crate::budget::Held;
use crate::connection::Peer;
use crate::node::Node;
use crate::stopping::Stopping;
use bytes::Bytes;
use frazil_base::{BrokerId, TopicId, TopicPartition};
use frazil_meta::state::State;
use frazil_wire::api as key;
use frazil_wire::frame::{FrameError, RequestHeader};
use frazil_wire::{DecodeError, control, frame};
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::sync::Arc;
use uuid::Uuid;

/// Operations a principal may do, where nobody asked or nothing restricts them: "not asked for".
pub(crate) const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

/// A client of this name meets a bug in every handler.
#[cfg(test)]
pub(crate) const PANICKING_CLIENT: &str = "panicking";

/// A request whose header was read.
#[derive(Debug)]
pub(crate) struct Request {
    pub header: RequestHeader,
    pub body: Bytes,
    /// Who sent it.
    pub peer: Peer,
}

/// What goes back to the client.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The frame; empty when there is nothing to answer (acks=0).
    pub slices: Vec<Bytes>,
    /// The first error in it, for the metrics.
    pub error: Option<ResponseError>,
    /// Whether the connection closes instead.
    pub closes: bool,
    /// What it has taken from the budget of fetched bytes, until it is written.
    pub held: Option<Held>,
}

/// A request without an answer: the connection closes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Unsupported(#[from] key::Unsupported),
    #[error("a {api} request of version {version} could not be read")]
    Malformed {
        api: &'static str,
        version: i16,
        #[source]
        cause: DecodeError,
    },
    #[error("the producer has spoken over a newer connection since")]
    Superseded,
    #[error("an answer could not be written, which is a bug")]
    Encode(#[from] control::EncodeError),
}

impl Request {
    /// Whether it is handled in the pipeline.
    pub fn is_produce(&self) -> bool {
        self.header.api_key == key::PRODUCE
    }

    /// Whether it may take long, and whether its effect does not depend on somebody waiting for the answer.
    pub fn is_long_poll(&self) -> bool {
        matches!(self.header.api_key, key::FETCH | key::JOIN_GROUP | key::SYNC_GROUP)
    }

    /// The client's address as Kafka shows it to tools.
    pub fn client_host(&self) -> String {
        self.peer.address.map(|peer| format!("/{}", peer.ip())).unwrap_or_default()
    }

    /// Reads the body by way of `kafka-protocol`.
    pub fn decode<T: Decodable>(&self) -> Result<T, Refused> {
        control::decode(self.header.api_key, self.header.api_version, self.body.clone())
            .map_err(|cause| self.malformed(cause))
    }

    /// The refusal of a body that does not follow the protocol.
    pub fn malformed(&self, cause: DecodeError) -> Refused {
        let RequestHeader { api_key, api_version: version, .. } = self.header;
        Refused::Malformed { api: key::name(api_key), version, cause }
    }

    /// The answer with this body and this first error (a Kafka code).
    pub fn answer<T: Encodable>(&self, response: &T, error_code: i16) -> Result<Answer, Refused> {
        let RequestHeader { api_key, api_version, correlation_id, .. } = self.header;
        let frame = control::encode_response(api_key, api_version, correlation_id, response)?;
        Ok(Answer::new(vec![frame], error_code))
    }
}

impl Answer {
    /// An answer whose first error has this Kafka code.
    pub fn new(slices: Vec<Bytes>, error_code: i16) -> Answer {
        Answer { slices, error: ResponseError::try_from_code(error_code), closes: false, held: None }
    }
}

/// Reads the header, and refuses what is not served. ApiVersions passes in any version (KIP-511).
pub(crate) fn parse(mut bytes: Bytes) -> Result<Request, Refused> {
    let header = frame::parse_header(&mut bytes)?;
    if header.api_key != key::API_VERSIONS {
        key::check(header.api_key, header.api_version)?;
    }
    Ok(Request { header, body: bytes, peer: Peer::default() })
}

/// Handles any request but Produce.
pub(crate) async fn handle(node: &Arc<Node>, request: Request, stopping: Stopping) -> Result<Answer, Refused> {
    #[cfg(test)]
    assert_ne!(request.header.client_id.as_deref(), Some(PANICKING_CLIENT), "a test asked for it");
    match request.header.api_key {
        key::API_VERSIONS => api_versions::handle(node, &request),
        key::METADATA => metadata::handle(node, &request).await,
        key::FETCH => fetch::handle(node, &request, stopping).await,
        key::LIST_OFFSETS => list_offsets::handle(node, &request).await,
        key::OFFSET_FOR_LEADER_EPOCH => offset_for_leader_epoch::handle(node, &request),
        key::INIT_PRODUCER_ID => init_producer_id::handle(node, &request).await,
        key::ADD_PARTITIONS_TO_TXN => add_partitions_to_txn::handle(node, &request).await,
        key::ADD_OFFSETS_TO_TXN => add_offsets_to_txn::handle(node, &request).await,
        key::END_TXN => end_txn::handle(node, &request).await,
        key::WRITE_TXN_MARKERS => write_txn_markers::handle(node, &request).await,
        key::TXN_OFFSET_COMMIT => txn_offset_commit::handle(node, &request).await,
        key::DESCRIBE_PRODUCERS => describe_producers::handle(node, &request),
        key::DESCRIBE_TRANSACTIONS => describe_transactions::handle(node, &request),
        key::LIST_TRANSACTIONS => list_transactions::handle(node, &request),
        key::FIND_COORDINATOR => find_coordinator::handle(node, &request),
        key::OFFSET_COMMIT => offset_commit::handle(node, &request).await,
        key::OFFSET_FETCH => offset_fetch::handle(node, &request).await,
        key::JOIN_GROUP => join_group::handle(node, &request, stopping).await,
        key::HEARTBEAT => heartbeat::handle(node, &request),
        key::LEAVE_GROUP => leave_group::handle(node, &request, stopping).await,
        key::SYNC_GROUP => sync_group::handle(node, &request, stopping).await,
        key::DESCRIBE_GROUPS => describe_groups::handle(node, &request),
        key::LIST_GROUPS => list_groups::handle(node, &request),
        key::DELETE_GROUPS => delete_groups::handle(node, &request).await,
        key::OFFSET_DELETE => offset_delete::handle(node, &request).await,
        key::CREATE_TOPICS => create_topics::handle(node, &request).await,
        key::DELETE_TOPICS => delete_topics::handle(node, &request).await,
        key::CREATE_PARTITIONS => create_partitions::handle(node, &request).await,
        key::DESCRIBE_CONFIGS => describe_configs::handle(node, &request),
        key::ALTER_CONFIGS => alter_configs::handle_replacing(node, &request).await,
        key::INCREMENTAL_ALTER_CONFIGS => alter_configs::handle_incremental(node, &request).await,
        key::DESCRIBE_CLUSTER => describe_cluster::handle(node, &request),
        key::CONSUMER_GROUP_HEARTBEAT => consumer_group_heartbeat::handle(node, &request, stopping).await,
        key::CONSUMER_GROUP_DESCRIBE => consumer_group_describe::handle(node, &request),
        key::DELETE_RECORDS => delete_records::handle(node, &request).await,
        key::DESCRIBE_TOPIC_PARTITIONS => describe_topic_partitions::handle(node, &request),
        key::ALTER_REPLICA_LOG_DIRS => alter_replica_log_dirs::handle(node, &request),
        key::DESCRIBE_LOG_DIRS => describe_log_dirs::handle(node, &request),
        key::DESCRIBE_QUORUM => describe_quorum::handle(node, &request),
        key::LIST_CONFIG_RESOURCES => list_config_resources::handle(node, &request),
        key::ELECT_LEADERS => elect_leaders::handle(node, &request),
        key::ALTER_PARTITION_REASSIGNMENTS => alter_partition_reassignments::handle(node, &request),
        key::LIST_PARTITION_REASSIGNMENTS => list_partition_reassignments::handle(&request),
        key::UPDATE_FEATURES => update_features::handle(&request),
        key::DESCRIBE_ACLS => acls::describe(&request),
        key::CREATE_ACLS => acls::create(&request),
        key::DELETE_ACLS => acls::delete(&request),
        key::DESCRIBE_CLIENT_QUOTAS => describe_client_quotas::handle(node, &request),
        key::ALTER_CLIENT_QUOTAS => alter_client_quotas::handle(node, &request).await,
        key::DESCRIBE_USER_SCRAM_CREDENTIALS => describe_user_scram_credentials::handle(node, &request),
        key::ALTER_USER_SCRAM_CREDENTIALS => alter_user_scram_credentials::handle(node, &request).await,
        key => Err(key::Unsupported { key, version: request.header.api_version }.into()),
    }
}

/// The partition of a topic of this name, if there is one.
pub(crate) fn partition_named(state: &State, topic: &str, index: i32) -> Option<TopicPartition> {
    let place = TopicPartition { topic: state.topic_by_name(topic)?.id, partition: index };
    state.partition(place).map(|_| place)
}

/// The first code that is an error; 0 if none is.
pub(crate) fn first_error(codes: impl IntoIterator<Item = i16>) -> i16 {
    codes.into_iter().find(|code| *code != 0).unwrap_or(0)
}

/// Text for a response.
pub(crate) fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// A topic id as the protocol's UUID.
pub(crate) fn uuid(topic: TopicId) -> Uuid {
    Uuid::from_u128(topic.0)
}

/// A broker's id in the generated types.
pub(crate) fn broker_id(id: BrokerId) -> kafka_protocol::messages::BrokerId {
    id.0.into()
}
