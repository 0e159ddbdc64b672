//! Every limit, in one place, with the relations between them checked when this file compiles.

/// Direct I/O works in blocks of this size.
pub const BLOCK_BYTES: usize = 4096;

/// A segment closes when it holds this much. Larger: fewer PUTs, more memory and a longer wait for the last byte.
pub const SEGMENT_BYTES: usize = 8 << 20;

/// Largest frame a client may send; Kafka's `socket.request.max.bytes`.
pub const FRAME_BYTES_MAX: usize = 100 << 20;

/// Frames that may not exceed this before the request was recognised as a produce.
pub const CONTROL_FRAME_BYTES_MAX: usize = 16 << 20;

/// Largest record batch by default; Kafka's `message.max.bytes`.
pub const BATCH_BYTES_DEFAULT: usize = 1_048_588;

/// Largest record batch that any setting may allow.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Largest a compressed batch may become when a reader has to look inside it.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = 256 << 20;

/// A segment never exceeds this: one batch may overshoot the closing size, then the footer follows.
pub const SEGMENT_BYTES_MAX: usize = SEGMENT_BYTES + FRAME_BYTES_MAX + (16 << 20);

/// Largest record of the metadata log.
pub const META_RECORD_BYTES_MAX: usize = 16 << 20;

/// Metadata that the members of one classic group bring along, together: it stands in every record of the group.
pub const GROUP_METADATA_BYTES_MAX: usize = 6 << 20;

/// Assignments of the members of one classic group, together.
pub const GROUP_ASSIGNMENT_BYTES_MAX: usize = 6 << 20;

/// Array entries (topics, partitions, names and so on) of one request. More than a fetch of every partition of a large
/// cluster has; fewer than would make a small frame a large heap.
pub const REQUEST_ENTRIES_MAX: usize = 1 << 18;

/// Headers of one record. Kafka has no limit; without one, a compressed megabyte becomes gigabytes of empty headers.
pub const RECORD_HEADERS_MAX: usize = 1 << 16;

/// Records of one batch that an answer names as bad.
pub const RECORD_FAULTS_MAX: usize = 10_000;

/// Partitions of one topic.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 100_000;

/// Longest topic name, as in Kafka.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Batches a partition remembers per idempotent producer, as in Kafka.
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;

/// Idempotent producers that a partition remembers; beyond it those silent for longest are forgotten.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 4096;

/// An idempotent producer that is silent for this long is forgotten; Kafka's `producer.id.expiration.ms`.
pub const PRODUCER_EXPIRY_MS: i64 = 24 * 60 * 60 * 1000;

/// A transactional id that nobody uses for this long is forgotten; Kafka's `transactional.id.expiration.ms`.
pub const TRANSACTIONAL_ID_EXPIRY_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Transactional ids that the metadata state remembers; beyond it those idle for longest are forgotten.
pub const TRANSACTIONAL_IDS_MAX: usize = 1 << 18;

/// How often the metadata state looks for producers to forget.
pub const PRODUCER_SWEEP_MS: i64 = 60 * 60 * 1000;

const _: () = assert!(BATCH_BYTES_MAX <= FRAME_BYTES_MAX, "a batch must fit into a frame");
const _: () = assert!(BATCH_BYTES_DEFAULT <= SEGMENT_BYTES, "a default batch must fit into a segment");
const _: () = assert!(SEGMENT_BYTES_MAX <= u32::MAX as usize, "positions in a segment are 32 bits wide");
const _: () = assert!(SEGMENT_BYTES.is_multiple_of(BLOCK_BYTES), "a full segment fills its blocks");
const _: () =
    assert!(PARTITIONS_PER_TOPIC_MAX as usize <= REQUEST_ENTRIES_MAX, "a request can name all partitions of a topic");
const _: () = assert!(
    GROUP_METADATA_BYTES_MAX + GROUP_ASSIGNMENT_BYTES_MAX <= META_RECORD_BYTES_MAX / 4 * 3,
    "a group fits into a record, with the names of its members"
);
const _: () = assert!(PRODUCER_SWEEP_MS < PRODUCER_EXPIRY_MS, "sweeps are rarer than expiries");
