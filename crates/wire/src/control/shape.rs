//! The layout of control requests, as far as it takes to walk them: where their arrays are.
//!
//! Source: the message schemas of Apache Kafka 4.1 (`clients/src/main/resources/common/message`).

mod administration;

use crate::api;
use crate::read::{DecodeError, Reader};

/// A field and the versions that have it.
struct Field {
    from: i16,
    to: i16,
    layout: Layout,
}

enum Layout {
    /// So many bytes.
    Fixed(usize),
    /// A string or null.
    String,
    /// Bytes with a length, or null.
    Blob,
    /// An array of values of so many bytes.
    Values(usize),
    /// An array of strings.
    Strings,
    /// An array of structures.
    Structures(&'static [Field]),
    /// A structure or null.
    Nullable(&'static [Field]),
}

/// A field that every version has.
const fn always(layout: Layout) -> Field {
    between(0, i16::MAX, layout)
}

/// A field that came with a version.
const fn since(from: i16, layout: Layout) -> Field {
    between(from, i16::MAX, layout)
}

/// A field that came with a version and went after another.
const fn between(from: i16, to: i16, layout: Layout) -> Field {
    Field { from, to, layout }
}

use Layout::{Blob, Fixed, Nullable, String, Strings, Structures, Values};

const BOOLEAN: Layout = Fixed(1);
const INT8: Layout = Fixed(1);
const INT16: Layout = Fixed(2);
const INT32: Layout = Fixed(4);
const INT64: Layout = Fixed(8);
const UUID: Layout = Fixed(16);

const LIST_OFFSETS: &[Field] = &[
    always(INT32),  // replica id
    since(2, INT8), // isolation level
    always(Structures(&[
        always(String), // topic
        always(Structures(&[
            always(INT32),   // partition
            since(4, INT32), // leader epoch
            always(INT64),   // timestamp
        ])),
    ])),
    since(10, INT32), // timeout
];

const METADATA: &[Field] = &[
    always(Structures(&[since(10, UUID), always(String)])), // topics
    since(4, BOOLEAN),                                      // automatic creation
    between(8, 10, BOOLEAN),                                // cluster's authorized operations
    since(8, BOOLEAN),                                      // topics' authorized operations
];

const FIND_COORDINATOR: &[Field] = &[between(0, 3, String), since(1, INT8), since(4, Strings)];

const OFFSET_COMMIT: &[Field] = &[
    always(String),       // group
    always(INT32),        // generation
    always(String),       // member id
    since(7, String),     // instance id
    between(2, 4, INT64), // retention
    always(Structures(&[
        always(String), // topic
        always(Structures(&[
            always(INT32),   // partition
            always(INT64),   // offset
            since(6, INT32), // leader epoch
            always(String),  // metadata
        ])),
    ])),
];

const OFFSET_FETCH: &[Field] = &[
    between(0, 7, String),                                           // group
    between(0, 7, Structures(&[always(String), always(Values(4))])), // topics
    since(
        8,
        Structures(&[
            always(String),                                           // group
            since(9, String),                                         // member id
            since(9, INT32),                                          // member epoch
            always(Structures(&[always(String), always(Values(4))])), // topics
        ]),
    ),
    since(7, BOOLEAN), // require stable
];

const JOIN_GROUP: &[Field] = &[
    always(String),                                      // group
    always(INT32),                                       // session timeout
    since(1, INT32),                                     // rebalance timeout
    always(String),                                      // member id
    since(5, String),                                    // instance id
    always(String),                                      // protocol type
    always(Structures(&[always(String), always(Blob)])), // protocols
    since(8, String),                                    // reason
];

const HEARTBEAT: &[Field] = &[always(String), always(INT32), always(String), since(3, String)];

const LEAVE_GROUP: &[Field] = &[
    always(String),        // group
    between(0, 2, String), // member id
    since(3, Structures(&[always(String), always(String), since(5, String)])),
];

const SYNC_GROUP: &[Field] = &[
    always(String),                                      // group
    always(INT32),                                       // generation
    always(String),                                      // member id
    since(3, String),                                    // instance id
    since(5, String),                                    // protocol type
    since(5, String),                                    // protocol
    always(Structures(&[always(String), always(Blob)])), // assignments
];

const DESCRIBE_GROUPS: &[Field] = &[always(Strings), since(3, BOOLEAN)];

/// States, types.
const LIST_GROUPS: &[Field] = &[since(4, Strings), since(5, Strings)];

const DELETE_GROUPS: &[Field] = &[always(Strings)];

const OFFSET_DELETE: &[Field] = &[
    always(String), // group
    always(Structures(&[always(String), always(Structures(&[always(INT32)]))])),
];

const API_VERSIONS: &[Field] = &[since(3, String), since(3, String)];

const CREATE_TOPICS: &[Field] = &[
    always(Structures(&[
        always(String),                                          // name
        always(INT32),                                           // partitions
        always(INT16),                                           // replication factor
        always(Structures(&[always(INT32), always(Values(4))])), // assignments
        always(Structures(&[always(String), always(String)])),   // configs
    ])),
    always(INT32),   // timeout
    always(BOOLEAN), // validate only
];

const DELETE_TOPICS: &[Field] =
    &[since(6, Structures(&[always(String), always(UUID)])), between(0, 5, Strings), always(INT32)];

const INIT_PRODUCER_ID: &[Field] = &[always(String), always(INT32), since(3, INT64), since(3, INT16)];

/// Versions from 4 on are for brokers and not served.
const ADD_PARTITIONS_TO_TXN: &[Field] = &[
    always(String), // transactional id
    always(INT64),  // producer id
    always(INT16),  // producer epoch
    always(Structures(&[always(String), always(Values(4))])),
];

const ADD_OFFSETS_TO_TXN: &[Field] = &[always(String), always(INT64), always(INT16), always(String)];

const END_TXN: &[Field] = &[always(String), always(INT64), always(INT16), always(BOOLEAN)];

const WRITE_TXN_MARKERS: &[Field] = &[always(Structures(&[
    always(INT64),                                            // producer id
    always(INT16),                                            // producer epoch
    always(BOOLEAN),                                          // committed
    always(Structures(&[always(String), always(Values(4))])), // topics
    always(INT32),                                            // coordinator epoch
]))];

const TXN_OFFSET_COMMIT: &[Field] = &[
    always(String),   // transactional id
    always(String),   // group
    always(INT64),    // producer id
    always(INT16),    // producer epoch
    since(3, INT32),  // generation
    since(3, String), // member id
    since(3, String), // group instance id
    always(Structures(&[
        always(String), // topic
        always(Structures(&[
            always(INT32),   // partition
            always(INT64),   // offset
            since(2, INT32), // leader epoch
            always(String),  // metadata
        ])),
    ])),
];

const DESCRIBE_PRODUCERS: &[Field] = &[always(Structures(&[always(String), always(Values(4))]))];

const DESCRIBE_TRANSACTIONS: &[Field] = &[always(Strings)];

/// States, producer ids, duration, pattern.
const LIST_TRANSACTIONS: &[Field] = &[always(Strings), always(Values(8)), since(1, INT64), since(2, String)];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    since(3, INT32), // replica id
    always(Structures(&[
        always(String),                                                     // topic
        always(Structures(&[always(INT32), always(INT32), always(INT32)])), // partition, current epoch, epoch
    ])),
];

const DESCRIBE_CONFIGS: &[Field] = &[
    always(Structures(&[always(INT8), always(String), always(Strings)])), // type, name, keys
    always(BOOLEAN),                                                      // synonyms
    since(3, BOOLEAN),                                                    // documentation
];

const ALTER_CONFIGS: &[Field] = &[
    always(Structures(&[
        always(INT8),                                          // type
        always(String),                                        // name
        always(Structures(&[always(String), always(String)])), // configs
    ])),
    always(BOOLEAN), // validate only
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    always(Structures(&[
        always(INT8),                                                        // type
        always(String),                                                      // name
        always(Structures(&[always(String), always(INT8), always(String)])), // key, operation, value
    ])),
    always(BOOLEAN), // validate only
];

const CREATE_PARTITIONS: &[Field] = &[
    always(Structures(&[
        always(String),                           // name
        always(INT32),                            // count
        always(Structures(&[always(Values(4))])), // assignments
    ])),
    always(INT32),   // timeout
    always(BOOLEAN), // validate only
];

const DESCRIBE_CLUSTER: &[Field] = &[always(BOOLEAN), since(1, INT8), since(2, BOOLEAN)];

const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    always(String),                                         // group
    always(String),                                         // member id
    always(INT32),                                          // member epoch
    always(String),                                         // instance id
    always(String),                                         // rack
    always(INT32),                                          // rebalance timeout
    always(Strings),                                        // topics
    since(1, String),                                       // regular expression
    always(String),                                         // assignor
    always(Structures(&[always(UUID), always(Values(4))])), // owned partitions
];

const CONSUMER_GROUP_DESCRIBE: &[Field] = &[always(Strings), always(BOOLEAN)];

fn fields(key: i16) -> Option<&'static [Field]> {
    match key {
        api::LIST_OFFSETS => Some(LIST_OFFSETS),
        api::METADATA => Some(METADATA),
        api::FIND_COORDINATOR => Some(FIND_COORDINATOR),
        api::OFFSET_COMMIT => Some(OFFSET_COMMIT),
        api::OFFSET_FETCH => Some(OFFSET_FETCH),
        api::JOIN_GROUP => Some(JOIN_GROUP),
        api::HEARTBEAT => Some(HEARTBEAT),
        api::LEAVE_GROUP => Some(LEAVE_GROUP),
        api::SYNC_GROUP => Some(SYNC_GROUP),
        api::DESCRIBE_GROUPS => Some(DESCRIBE_GROUPS),
        api::LIST_GROUPS => Some(LIST_GROUPS),
        api::DELETE_GROUPS => Some(DELETE_GROUPS),
        api::OFFSET_DELETE => Some(OFFSET_DELETE),
        api::API_VERSIONS => Some(API_VERSIONS),
        api::CREATE_TOPICS => Some(CREATE_TOPICS),
        api::DELETE_TOPICS => Some(DELETE_TOPICS),
        api::INIT_PRODUCER_ID => Some(INIT_PRODUCER_ID),
        api::OFFSET_FOR_LEADER_EPOCH => Some(OFFSET_FOR_LEADER_EPOCH),
        api::ADD_PARTITIONS_TO_TXN => Some(ADD_PARTITIONS_TO_TXN),
        api::ADD_OFFSETS_TO_TXN => Some(ADD_OFFSETS_TO_TXN),
        api::END_TXN => Some(END_TXN),
        api::WRITE_TXN_MARKERS => Some(WRITE_TXN_MARKERS),
        api::TXN_OFFSET_COMMIT => Some(TXN_OFFSET_COMMIT),
        api::DESCRIBE_CONFIGS => Some(DESCRIBE_CONFIGS),
        api::ALTER_CONFIGS => Some(ALTER_CONFIGS),
        api::INCREMENTAL_ALTER_CONFIGS => Some(INCREMENTAL_ALTER_CONFIGS),
        api::CREATE_PARTITIONS => Some(CREATE_PARTITIONS),
        api::DESCRIBE_CLUSTER => Some(DESCRIBE_CLUSTER),
        api::DESCRIBE_PRODUCERS => Some(DESCRIBE_PRODUCERS),
        api::DESCRIBE_TRANSACTIONS => Some(DESCRIBE_TRANSACTIONS),
        api::LIST_TRANSACTIONS => Some(LIST_TRANSACTIONS),
        api::CONSUMER_GROUP_HEARTBEAT => Some(CONSUMER_GROUP_HEARTBEAT),
        api::CONSUMER_GROUP_DESCRIBE => Some(CONSUMER_GROUP_DESCRIBE),
        _ => administration::fields(key),
    }
}

/// Walks a request body: every length and every count fits the bytes that are there. Gives the bytes that follow it.
pub(super) fn check(key: i16, version: i16, body: bytes::Bytes) -> Result<usize, DecodeError> {
    let unknown = DecodeError::Version { key, version };
    api::check(key, version).map_err(|_| unknown)?;
    let flexible = api::is_flexible_request(key, version).ok_or(unknown)?;
    let mut reader = Reader::new(body, flexible);
    walk(fields(key).ok_or(unknown)?, version, &mut reader)?;
    Ok(reader.into_rest().len())
}

fn walk(fields: &[Field], version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
    for field in fields.iter().filter(|field| (field.from..=field.to).contains(&version)) {
        match field.layout {
            Fixed(bytes) => reader.skip(bytes)?,
            String => reader.skip_string()?,
            Blob => drop(reader.nullable_bytes()?),
            Values(bytes) => {
                let count = reader.count(bytes)?;
                reader.skip(count * bytes)?;
            }
            Strings => {
                for _ in 0..reader.count(1)? {
                    reader.skip_string()?;
                }
            }
            Structures(fields) => {
                for _ in 0..reader.count(1)? {
                    walk(fields, version, reader)?;
                }
            }
            Nullable(fields) => {
                if reader.i8()? == 1 {
                    walk(fields, version, reader)?;
                }
            }
        }
    }
    reader.skip_tags()
}
