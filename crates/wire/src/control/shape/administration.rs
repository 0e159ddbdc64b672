//! The layouts of requests that only tools send.

use super::Layout::{Blob, Nullable, String, Structures, Values};
use super::{BOOLEAN, Field, INT8, INT16, INT32, INT64, always, between, since};
use crate::api;

/// 64 bits of IEEE 754.
const FLOAT64: super::Layout = INT64;

const DELETE_RECORDS: &[Field] = &[
    always(Structures(&[
        always(String),                                      // topic
        always(Structures(&[always(INT32), always(INT64)])), // partition, offset
    ])),
    always(INT32), // timeout
];

/// One filter of ACLs.
const ACL_FILTER: &[Field] = &[
    always(INT8),   // resource type
    always(String), // resource name
    since(1, INT8), // pattern type
    always(String), // principal
    always(String), // host
    always(INT8),   // operation
    always(INT8),   // permission
];

/// An ACL looks like the filter that finds only itself.
const CREATE_ACLS: &[Field] = &[always(Structures(ACL_FILTER))];

const DELETE_ACLS: &[Field] = &[always(Structures(ACL_FILTER))];

/// A topic and some of its partitions.
const PARTITIONS_OF: &[Field] = &[always(String), always(Values(4))];

const ALTER_REPLICA_LOG_DIRS: &[Field] = &[always(Structures(&[
    always(String),                    // path
    always(Structures(PARTITIONS_OF)), // what is moved there
]))];

const DESCRIBE_LOG_DIRS: &[Field] = &[always(Structures(PARTITIONS_OF))];

const ELECT_LEADERS: &[Field] = &[
    since(1, INT8),                    // election type
    always(Structures(PARTITIONS_OF)), // partitions
    always(INT32),                     // timeout
];

const ALTER_PARTITION_REASSIGNMENTS: &[Field] = &[
    always(INT32),     // timeout
    since(1, BOOLEAN), // whether the replication factor may change
    always(Structures(&[
        always(String),                                          // topic
        always(Structures(&[always(INT32), always(Values(4))])), // partition, replicas
    ])),
];

const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[always(INT32), always(Structures(PARTITIONS_OF))];

const DESCRIBE_CLIENT_QUOTAS: &[Field] = &[
    always(Structures(&[always(String), always(INT8), always(String)])), // entity type, match type, match
    always(BOOLEAN),                                                     // strict
];

const ALTER_CLIENT_QUOTAS: &[Field] = &[
    always(Structures(&[
        always(Structures(&[always(String), always(String)])), // entity type, name
        always(Structures(&[always(String), always(FLOAT64), always(BOOLEAN)])), // key, value, remove
    ])),
    always(BOOLEAN), // validate only
];

const DESCRIBE_USER_SCRAM_CREDENTIALS: &[Field] = &[always(Structures(&[always(String)]))];

const ALTER_USER_SCRAM_CREDENTIALS: &[Field] = &[
    always(Structures(&[always(String), always(INT8)])), // deletions: user, mechanism
    always(Structures(&[
        always(String), // user
        always(INT8),   // mechanism
        always(INT32),  // iterations
        always(Blob),   // salt
        always(Blob),   // salted password
    ])),
];

const DESCRIBE_QUORUM: &[Field] = &[always(Structures(&[always(String), always(Structures(&[always(INT32)]))]))];

const UPDATE_FEATURES: &[Field] = &[
    always(INT32), // timeout
    always(Structures(&[
        always(String),         // feature
        always(INT16),          // level
        between(0, 0, BOOLEAN), // whether it may go down
        since(1, INT8),         // kind of change
    ])),
    since(1, BOOLEAN), // validate only
];

const LIST_CONFIG_RESOURCES: &[Field] = &[since(1, Values(1))];

const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    always(Structures(&[always(String)])),              // topics
    always(INT32),                                      // partitions in the answer
    always(Nullable(&[always(String), always(INT32)])), // where to go on: topic, partition
];

pub(super) fn fields(key: i16) -> Option<&'static [Field]> {
    match key {
        api::DELETE_RECORDS => Some(DELETE_RECORDS),
        api::DESCRIBE_ACLS => Some(ACL_FILTER),
        api::CREATE_ACLS => Some(CREATE_ACLS),
        api::DELETE_ACLS => Some(DELETE_ACLS),
        api::ALTER_REPLICA_LOG_DIRS => Some(ALTER_REPLICA_LOG_DIRS),
        api::DESCRIBE_LOG_DIRS => Some(DESCRIBE_LOG_DIRS),
        api::ELECT_LEADERS => Some(ELECT_LEADERS),
        api::ALTER_PARTITION_REASSIGNMENTS => Some(ALTER_PARTITION_REASSIGNMENTS),
        api::LIST_PARTITION_REASSIGNMENTS => Some(LIST_PARTITION_REASSIGNMENTS),
        api::DESCRIBE_CLIENT_QUOTAS => Some(DESCRIBE_CLIENT_QUOTAS),
        api::ALTER_CLIENT_QUOTAS => Some(ALTER_CLIENT_QUOTAS),
        api::DESCRIBE_USER_SCRAM_CREDENTIALS => Some(DESCRIBE_USER_SCRAM_CREDENTIALS),
        api::ALTER_USER_SCRAM_CREDENTIALS => Some(ALTER_USER_SCRAM_CREDENTIALS),
        api::DESCRIBE_QUORUM => Some(DESCRIBE_QUORUM),
        api::UPDATE_FEATURES => Some(UPDATE_FEATURES),
        api::LIST_CONFIG_RESOURCES => Some(LIST_CONFIG_RESOURCES),
        api::DESCRIBE_TOPIC_PARTITIONS => Some(DESCRIBE_TOPIC_PARTITIONS),
        _ => None,
    }
}
