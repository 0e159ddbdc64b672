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

/// Partitions of one topic.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 100_000;

/// Longest topic name, as in Kafka.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Batches a partition remembers per idempotent producer, as in Kafka.
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;

const _: () = assert!(BATCH_BYTES_MAX <= FRAME_BYTES_MAX, "a batch must fit into a frame");
const _: () = assert!(BATCH_BYTES_DEFAULT <= SEGMENT_BYTES, "a default batch must fit into a segment");
const _: () = assert!(SEGMENT_BYTES_MAX <= u32::MAX as usize, "positions in a segment are 32 bits wide");
const _: () = assert!(SEGMENT_BYTES.is_multiple_of(BLOCK_BYTES), "a full segment fills its blocks");
