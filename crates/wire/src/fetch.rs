//! Fetch (API 1), versions 4 to 17, around the record bytes.
//!
//! Version 7 brought sessions, 11 the rack, 12 is the first flexible one, 13 names topics by id, 15 moved the replica's
//! id into a tagged field. A response is a list of slices: small ones with everything but the records, and between
//! them the record slices as they came from the cache.

mod response;

pub use response::{AbortedTransaction, FetchResponseParts, PartitionPart, TopicPart, encode_response};

use crate::api::{self, FETCH};
use crate::read::{DecodeError, Reader};
use bytes::Bytes;
use frazil_base::TopicId;

/// First version in the flexible dialect.
const FLEXIBLE_FROM: i16 = 12;
/// First version with topic ids instead of names.
const TOPIC_IDS_FROM: i16 = 13;
/// First version with fetch sessions and an error code for the whole request.
const SESSIONS_FROM: i16 = 7;

/// What a consumer wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The cluster that the client believes to talk to (version 12 on).
    pub cluster_id: Option<String>,
    /// Id of the follower that asks; -1 for consumers.
    pub replica_id: i32,
    /// How long the broker may wait for `min_bytes`.
    pub max_wait_ms: i32,
    /// How many bytes are worth an answer before that.
    pub min_bytes: i32,
    /// How many bytes to answer at most.
    pub max_bytes: i32,
    /// 0: read uncommitted, 1: read committed.
    pub isolation_level: i8,
    /// The fetch session; 0 for none.
    pub session_id: i32,
    /// Counts the requests of a session; 0 opens one, -1 closes it or wants none.
    pub session_epoch: i32,
    /// What to read.
    pub topics: Vec<FetchTopic>,
    /// What to drop from the session.
    pub forgotten: Vec<ForgottenTopic>,
    /// Where the consumer is.
    pub rack: String,
}

/// What to read of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchTopic {
    /// Its name; empty from version 13 on.
    pub name: String,
    /// Its id; zero before version 13.
    pub id: TopicId,
    /// The partitions.
    pub partitions: Vec<FetchPartition>,
}

/// What to read of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// The partition's number.
    pub index: i32,
    /// The leader epoch that the client knows; -1 if none.
    pub current_leader_epoch: i32,
    /// From which offset on.
    pub fetch_offset: i64,
    /// The leader epoch of the last record read; -1 if none.
    pub last_fetched_epoch: i32,
    /// A follower's first offset; -1 from consumers.
    pub log_start_offset: i64,
    /// How many bytes at most.
    pub max_bytes: i32,
}

/// What to drop from the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgottenTopic {
    /// Its name; empty from version 13 on.
    pub name: String,
    /// Its id; zero before version 13.
    pub id: TopicId,
    /// The partitions' numbers.
    pub partitions: Vec<i32>,
}

impl FetchRequest {
    /// Reads the body of a request.
    pub fn decode(version: i16, body: Bytes) -> Result<FetchRequest, DecodeError> {
        api::check(FETCH, version).map_err(|_| DecodeError::Version { key: FETCH, version })?;
        let mut reader = Reader::new(body, version >= FLEXIBLE_FROM);
        let with_sessions = version >= SESSIONS_FROM;
        let mut request = FetchRequest {
            cluster_id: None,
            replica_id: if version <= 14 { reader.i32()? } else { -1 },
            max_wait_ms: reader.i32()?,
            min_bytes: reader.i32()?,
            max_bytes: reader.i32()?,
            isolation_level: reader.i8()?,
            session_id: if with_sessions { reader.i32()? } else { 0 },
            session_epoch: if with_sessions { reader.i32()? } else { -1 },
            topics: decode_topics(version, &mut reader)?,
            forgotten: if with_sessions { decode_forgotten(version, &mut reader)? } else { Vec::new() },
            rack: if version >= 11 { reader.string()? } else { String::new() },
        };
        request.decode_tags(version, &mut reader)?;
        Ok(request)
    }

    fn decode_tags(&mut self, version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
        reader.tags(|tag, mut field| {
            match tag {
                0 => self.cluster_id = field.nullable_string()?,
                1 if version >= 15 => self.replica_id = field.i32()?,
                _ => {}
            }
            Ok(())
        })
    }
}

fn decode_topics(version: i16, reader: &mut Reader) -> Result<Vec<FetchTopic>, DecodeError> {
    let mut topics = Vec::new();
    for _ in 0..reader.count(3)? {
        let (name, id) = decode_topic_name(version, reader)?;
        let count = reader.count(16)?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            partitions.push(FetchPartition::decode(version, reader)?);
        }
        reader.skip_tags()?;
        topics.push(FetchTopic { name, id, partitions });
    }
    Ok(topics)
}

fn decode_forgotten(version: i16, reader: &mut Reader) -> Result<Vec<ForgottenTopic>, DecodeError> {
    let mut topics = Vec::new();
    for _ in 0..reader.count(3)? {
        let (name, id) = decode_topic_name(version, reader)?;
        let count = reader.count(4)?;
        let partitions = (0..count).map(|_| reader.i32()).collect::<Result<_, _>>()?;
        reader.skip_tags()?;
        topics.push(ForgottenTopic { name, id, partitions });
    }
    Ok(topics)
}

fn decode_topic_name(version: i16, reader: &mut Reader) -> Result<(String, TopicId), DecodeError> {
    match version >= TOPIC_IDS_FROM {
        true => Ok((String::new(), reader.topic_id()?)),
        false => Ok((reader.string()?, TopicId::default())),
    }
}

impl FetchPartition {
    fn decode(version: i16, reader: &mut Reader) -> Result<FetchPartition, DecodeError> {
        let partition = FetchPartition {
            index: reader.i32()?,
            current_leader_epoch: if version >= 9 { reader.i32()? } else { -1 },
            fetch_offset: reader.i64()?,
            last_fetched_epoch: if version >= 12 { reader.i32()? } else { -1 },
            log_start_offset: if version >= 5 { reader.i64()? } else { -1 },
            max_bytes: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(partition)
    }
}

#[cfg(test)]
mod tests;
