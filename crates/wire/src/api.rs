//! Which APIs and versions the broker speaks.
//!
//! Produce versions 0 to 2 are advertised and not served: librdkafka takes the lower end of the range as a sign of
//! which codecs a broker knows, and sends uncompressed when it does not reach down to 0 (KAFKA-18659).

use kafka_protocol::messages::ApiKey;

/// Key of the Produce API.
pub const PRODUCE: i16 = 0;
/// Key of the Fetch API.
pub const FETCH: i16 = 1;
/// Key of the ListOffsets API.
pub const LIST_OFFSETS: i16 = 2;
/// Key of the Metadata API.
pub const METADATA: i16 = 3;
/// Key of the OffsetCommit API.
pub const OFFSET_COMMIT: i16 = 8;
/// Key of the OffsetFetch API.
pub const OFFSET_FETCH: i16 = 9;
/// Key of the FindCoordinator API.
pub const FIND_COORDINATOR: i16 = 10;
/// Key of the JoinGroup API.
pub const JOIN_GROUP: i16 = 11;
/// Key of the Heartbeat API.
pub const HEARTBEAT: i16 = 12;
/// Key of the LeaveGroup API.
pub const LEAVE_GROUP: i16 = 13;
/// Key of the SyncGroup API.
pub const SYNC_GROUP: i16 = 14;
/// Key of the DescribeGroups API.
pub const DESCRIBE_GROUPS: i16 = 15;
/// Key of the ListGroups API.
pub const LIST_GROUPS: i16 = 16;
/// Key of the ApiVersions API.
pub const API_VERSIONS: i16 = 18;
/// Key of the CreateTopics API.
pub const CREATE_TOPICS: i16 = 19;
/// Key of the DeleteTopics API.
pub const DELETE_TOPICS: i16 = 20;
/// Key of the DeleteRecords API.
pub const DELETE_RECORDS: i16 = 21;
/// Key of the InitProducerId API.
pub const INIT_PRODUCER_ID: i16 = 22;
/// Key of the OffsetForLeaderEpoch API.
pub const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
/// Key of the AddPartitionsToTxn API.
pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
/// Key of the AddOffsetsToTxn API.
pub const ADD_OFFSETS_TO_TXN: i16 = 25;
/// Key of the EndTxn API.
pub const END_TXN: i16 = 26;
/// Key of the WriteTxnMarkers API.
pub const WRITE_TXN_MARKERS: i16 = 27;
/// Key of the TxnOffsetCommit API.
pub const TXN_OFFSET_COMMIT: i16 = 28;
/// Key of the DescribeAcls API.
pub const DESCRIBE_ACLS: i16 = 29;
/// Key of the CreateAcls API.
pub const CREATE_ACLS: i16 = 30;
/// Key of the DeleteAcls API.
pub const DELETE_ACLS: i16 = 31;
/// Key of the DescribeConfigs API.
pub const DESCRIBE_CONFIGS: i16 = 32;
/// Key of the AlterConfigs API.
pub const ALTER_CONFIGS: i16 = 33;
/// Key of the AlterReplicaLogDirs API.
pub const ALTER_REPLICA_LOG_DIRS: i16 = 34;
/// Key of the DescribeLogDirs API.
pub const DESCRIBE_LOG_DIRS: i16 = 35;
/// Key of the CreatePartitions API.
pub const CREATE_PARTITIONS: i16 = 37;
/// Key of the DeleteGroups API.
pub const DELETE_GROUPS: i16 = 42;
/// Key of the ElectLeaders API.
pub const ELECT_LEADERS: i16 = 43;
/// Key of the IncrementalAlterConfigs API.
pub const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
/// Key of the AlterPartitionReassignments API.
pub const ALTER_PARTITION_REASSIGNMENTS: i16 = 45;
/// Key of the ListPartitionReassignments API.
pub const LIST_PARTITION_REASSIGNMENTS: i16 = 46;
/// Key of the OffsetDelete API.
pub const OFFSET_DELETE: i16 = 47;
/// Key of the DescribeClientQuotas API.
pub const DESCRIBE_CLIENT_QUOTAS: i16 = 48;
/// Key of the AlterClientQuotas API.
pub const ALTER_CLIENT_QUOTAS: i16 = 49;
/// Key of the DescribeUserScramCredentials API.
pub const DESCRIBE_USER_SCRAM_CREDENTIALS: i16 = 50;
/// Key of the AlterUserScramCredentials API.
pub const ALTER_USER_SCRAM_CREDENTIALS: i16 = 51;
/// Key of the DescribeQuorum API.
pub const DESCRIBE_QUORUM: i16 = 55;
/// Key of the UpdateFeatures API.
pub const UPDATE_FEATURES: i16 = 57;
/// Key of the DescribeCluster API.
pub const DESCRIBE_CLUSTER: i16 = 60;
/// Key of the DescribeProducers API.
pub const DESCRIBE_PRODUCERS: i16 = 61;
/// Key of the DescribeTransactions API.
pub const DESCRIBE_TRANSACTIONS: i16 = 65;
/// Key of the ListTransactions API.
pub const LIST_TRANSACTIONS: i16 = 66;
/// Key of the ConsumerGroupHeartbeat API.
pub const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
/// Key of the ConsumerGroupDescribe API.
pub const CONSUMER_GROUP_DESCRIBE: i16 = 69;
/// Key of the ListConfigResources API.
pub const LIST_CONFIG_RESOURCES: i16 = 74;
/// Key of the DescribeTopicPartitions API.
pub const DESCRIBE_TOPIC_PARTITIONS: i16 = 75;

/// Lowest version of Produce that is served.
pub const PRODUCE_SERVED_MIN: i16 = 3;

/// The versions of one API, as told to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiSupport {
    /// The API key.
    pub key: i16,
    /// Lowest version.
    pub min: i16,
    /// Highest version.
    pub max: i16,
}

/// Everything that ApiVersions advertises, by key.
pub const SUPPORTED: &[ApiSupport] = &[
    support(PRODUCE, 0, 13),
    support(FETCH, 4, 17),
    support(LIST_OFFSETS, 1, 10),
    support(METADATA, 0, 13),
    support(OFFSET_COMMIT, 2, 9),
    support(OFFSET_FETCH, 1, 9),
    support(FIND_COORDINATOR, 0, 6),
    support(JOIN_GROUP, 0, 9),
    support(HEARTBEAT, 0, 4),
    support(LEAVE_GROUP, 0, 5),
    support(SYNC_GROUP, 0, 5),
    support(DESCRIBE_GROUPS, 0, 6),
    support(LIST_GROUPS, 0, 5),
    support(API_VERSIONS, 0, 4),
    support(CREATE_TOPICS, 2, 7),
    support(DELETE_TOPICS, 1, 6),
    support(DELETE_RECORDS, 0, 2),
    support(INIT_PRODUCER_ID, 0, 5),
    support(OFFSET_FOR_LEADER_EPOCH, 2, 4),
    support(ADD_PARTITIONS_TO_TXN, 0, 3),
    support(ADD_OFFSETS_TO_TXN, 0, 4),
    support(END_TXN, 0, 5),
    support(WRITE_TXN_MARKERS, 1, 1),
    support(TXN_OFFSET_COMMIT, 0, 5),
    support(DESCRIBE_ACLS, 1, 3),
    support(CREATE_ACLS, 1, 3),
    support(DELETE_ACLS, 1, 3),
    support(DESCRIBE_CONFIGS, 1, 4),
    support(ALTER_CONFIGS, 0, 2),
    support(ALTER_REPLICA_LOG_DIRS, 1, 2),
    support(DESCRIBE_LOG_DIRS, 1, 4),
    support(CREATE_PARTITIONS, 0, 3),
    support(DELETE_GROUPS, 0, 2),
    support(ELECT_LEADERS, 0, 2),
    support(INCREMENTAL_ALTER_CONFIGS, 0, 1),
    support(ALTER_PARTITION_REASSIGNMENTS, 0, 1),
    support(LIST_PARTITION_REASSIGNMENTS, 0, 0),
    support(OFFSET_DELETE, 0, 0),
    support(DESCRIBE_CLIENT_QUOTAS, 0, 1),
    support(ALTER_CLIENT_QUOTAS, 0, 1),
    support(DESCRIBE_USER_SCRAM_CREDENTIALS, 0, 0),
    support(ALTER_USER_SCRAM_CREDENTIALS, 0, 0),
    support(DESCRIBE_QUORUM, 0, 2),
    support(UPDATE_FEATURES, 0, 2),
    support(DESCRIBE_CLUSTER, 0, 2),
    support(DESCRIBE_PRODUCERS, 0, 0),
    support(DESCRIBE_TRANSACTIONS, 0, 0),
    support(LIST_TRANSACTIONS, 0, 2),
    support(CONSUMER_GROUP_HEARTBEAT, 0, 1),
    support(CONSUMER_GROUP_DESCRIBE, 0, 1),
    support(LIST_CONFIG_RESOURCES, 0, 1),
    support(DESCRIBE_TOPIC_PARTITIONS, 0, 0),
];

const fn support(key: i16, min: i16, max: i16) -> ApiSupport {
    ApiSupport { key, min, max }
}

/// A request of an API or version that is not served: the connection has to be closed, except for ApiVersions, which
/// is answered with [`crate::frame::api_versions_fallback`] (KIP-511).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("API {key} is not served in version {version}")]
pub struct Unsupported {
    /// The API key.
    pub key: i16,
    /// The version.
    pub version: i16,
}

/// What is advertised for an API.
pub fn supported(key: i16) -> Option<ApiSupport> {
    SUPPORTED.iter().copied().find(|api| api.key == key)
}

/// Whether requests of this API and version are served.
pub fn check(key: i16, version: i16) -> Result<(), Unsupported> {
    let served = supported(key).is_some_and(|api| {
        let min = if key == PRODUCE { PRODUCE_SERVED_MIN } else { api.min };
        (min..=api.max).contains(&version)
    });
    if served { Ok(()) } else { Err(Unsupported { key, version }) }
}

/// The API's name in the protocol, for logs and metrics; `Unknown` for a key that Kafka does not have.
pub fn name(key: i16) -> &'static str {
    match key {
        PRODUCE => "Produce",
        FETCH => "Fetch",
        LIST_OFFSETS => "ListOffsets",
        METADATA => "Metadata",
        OFFSET_COMMIT => "OffsetCommit",
        OFFSET_FETCH => "OffsetFetch",
        FIND_COORDINATOR => "FindCoordinator",
        JOIN_GROUP => "JoinGroup",
        HEARTBEAT => "Heartbeat",
        LEAVE_GROUP => "LeaveGroup",
        SYNC_GROUP => "SyncGroup",
        DESCRIBE_GROUPS => "DescribeGroups",
        LIST_GROUPS => "ListGroups",
        API_VERSIONS => "ApiVersions",
        CREATE_TOPICS => "CreateTopics",
        DELETE_TOPICS => "DeleteTopics",
        DELETE_RECORDS => "DeleteRecords",
        INIT_PRODUCER_ID => "InitProducerId",
        OFFSET_FOR_LEADER_EPOCH => "OffsetForLeaderEpoch",
        ADD_PARTITIONS_TO_TXN => "AddPartitionsToTxn",
        ADD_OFFSETS_TO_TXN => "AddOffsetsToTxn",
        END_TXN => "EndTxn",
        WRITE_TXN_MARKERS => "WriteTxnMarkers",
        TXN_OFFSET_COMMIT => "TxnOffsetCommit",
        DESCRIBE_ACLS => "DescribeAcls",
        CREATE_ACLS => "CreateAcls",
        DELETE_ACLS => "DeleteAcls",
        DESCRIBE_CONFIGS => "DescribeConfigs",
        ALTER_CONFIGS => "AlterConfigs",
        ALTER_REPLICA_LOG_DIRS => "AlterReplicaLogDirs",
        DESCRIBE_LOG_DIRS => "DescribeLogDirs",
        CREATE_PARTITIONS => "CreatePartitions",
        DELETE_GROUPS => "DeleteGroups",
        ELECT_LEADERS => "ElectLeaders",
        INCREMENTAL_ALTER_CONFIGS => "IncrementalAlterConfigs",
        ALTER_PARTITION_REASSIGNMENTS => "AlterPartitionReassignments",
        LIST_PARTITION_REASSIGNMENTS => "ListPartitionReassignments",
        OFFSET_DELETE => "OffsetDelete",
        DESCRIBE_CLIENT_QUOTAS => "DescribeClientQuotas",
        ALTER_CLIENT_QUOTAS => "AlterClientQuotas",
        DESCRIBE_USER_SCRAM_CREDENTIALS => "DescribeUserScramCredentials",
        ALTER_USER_SCRAM_CREDENTIALS => "AlterUserScramCredentials",
        DESCRIBE_QUORUM => "DescribeQuorum",
        UPDATE_FEATURES => "UpdateFeatures",
        DESCRIBE_CLUSTER => "DescribeCluster",
        DESCRIBE_PRODUCERS => "DescribeProducers",
        DESCRIBE_TRANSACTIONS => "DescribeTransactions",
        LIST_TRANSACTIONS => "ListTransactions",
        CONSUMER_GROUP_HEARTBEAT => "ConsumerGroupHeartbeat",
        CONSUMER_GROUP_DESCRIBE => "ConsumerGroupDescribe",
        LIST_CONFIG_RESOURCES => "ListConfigResources",
        DESCRIBE_TOPIC_PARTITIONS => "DescribeTopicPartitions",
        _ => "Unknown",
    }
}

/// Whether the request's header and body are of the flexible dialect (KIP-482). `None` for a key that Kafka does not have.
pub fn is_flexible_request(key: i16, version: i16) -> Option<bool> {
    Some(ApiKey::try_from(key).ok()?.request_header_version(version) >= 2)
}

/// Whether the response's header ends with tagged fields: never for ApiVersions, so that a client that does not know yet
/// what the broker speaks can read it. `None` for a key that Kafka does not have.
pub fn is_flexible_response_header(key: i16, version: i16) -> Option<bool> {
    Some(ApiKey::try_from(key).ok()?.response_header_version(version) >= 1)
}
