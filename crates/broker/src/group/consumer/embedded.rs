//! The consumer protocol that classic members embed in JoinGroup and SyncGroup: subscriptions and assignments.
//!
//! Versions 0 to 3 of Kafka's `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`. A newer version is read
//! as the last known one, as Kafka's clients do: fields are only ever added at the end.

use super::Assignment;
use super::assignment::from_partitions;
use super::subscription::TopicMap;
use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use frazil_base::TopicPartition;

/// The type of groups whose members embed it.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";

const OWNED_PARTITIONS_FROM: i16 = 1;
const GENERATION_FROM: i16 = 2;
const RACK_FROM: i16 = 3;

/// What a classic member wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub version: i16,
    pub topics: Vec<String>,
    /// Partitions by topic name.
    pub owned: Vec<(String, Vec<i32>)>,
    pub rack: Option<String>,
}

/// What a classic member was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EmbeddedAssignment {
    pub partitions: Vec<(String, Vec<i32>)>,
    /// Whether a custom assignor added something of its own.
    pub has_user_data: bool,
}

/// The bytes do not follow the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed embedded consumer protocol")]
pub(crate) struct Malformed;

impl From<TryGetError> for Malformed {
    fn from(_: TryGetError) -> Malformed {
        Malformed
    }
}

/// Reads a subscription.
pub(crate) fn read_subscription(bytes: &Bytes) -> Result<Subscription, Malformed> {
    let mut bytes = bytes.clone();
    let version = read_version(&mut bytes)?;
    let topics = read_list(&mut bytes, read_text)?;
    skip_user_data(&mut bytes)?;
    let mut subscription = Subscription { version, topics, ..Subscription::default() };
    if version >= OWNED_PARTITIONS_FROM {
        subscription.owned = read_list(&mut bytes, read_topic)?;
    }
    if version >= GENERATION_FROM {
        bytes.try_get_i32()?;
    }
    if version >= RACK_FROM {
        subscription.rack = read_nullable_text(&mut bytes)?;
    }
    Ok(subscription)
}

/// Reads an assignment. No bytes mean no partitions.
pub(crate) fn read_assignment(bytes: &Bytes) -> Result<EmbeddedAssignment, Malformed> {
    if bytes.is_empty() {
        return Ok(EmbeddedAssignment::default());
    }
    let mut bytes = bytes.clone();
    read_version(&mut bytes)?;
    let partitions = read_list(&mut bytes, read_topic)?;
    let has_user_data = skip_user_data(&mut bytes)? > 0;
    Ok(EmbeddedAssignment { partitions, has_user_data })
}

/// Writes an assignment. Topics that are gone have no name and are left out.
pub(crate) fn write_assignment(version: i16, assignment: &Assignment, topics: &TopicMap) -> Bytes {
    let named: Vec<_> = assignment.iter().filter_map(|(topic, list)| Some((topics.name(*topic)?, list))).collect();
    let mut bytes = BytesMut::new();
    bytes.put_i16(version.clamp(0, RACK_FROM));
    bytes.put_i32(length(named.len()));
    for (name, partitions) in named {
        bytes.put_i16(i16::try_from(name.len()).expect("topic names are short"));
        bytes.put_slice(name.as_bytes());
        bytes.put_i32(length(partitions.len()));
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// Partitions by topic name as an assignment. Topics and partitions that do not exist are left out.
pub(crate) fn by_id(named: &[(String, Vec<i32>)], topics: &TopicMap) -> Assignment {
    let existing = named.iter().filter_map(|(name, partitions)| Some((topics.by_name(name)?, partitions)));
    from_partitions(existing.flat_map(|(topic, partitions)| {
        let inside = partitions.iter().copied().filter(move |partition| (0..topic.partitions).contains(partition));
        inside.map(move |partition| TopicPartition { topic: topic.id, partition })
    }))
}

fn length(count: usize) -> i32 {
    i32::try_from(count).expect("partitions are numbered by i32")
}

fn read_version(bytes: &mut Bytes) -> Result<i16, Malformed> {
    let version = bytes.try_get_i16()?;
    if version < 0 { Err(Malformed) } else { Ok(version) }
}

/// Reads as many items as the count says. Items take bytes, so a count that lies ends with the bytes.
fn read_list<T>(bytes: &mut Bytes, read: fn(&mut Bytes) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    let count = bytes.try_get_i32()?;
    (0..count.max(0)).map(|_| read(bytes)).collect()
}

fn read_topic(bytes: &mut Bytes) -> Result<(String, Vec<i32>), Malformed> {
    Ok((read_text(bytes)?, read_list(bytes, |bytes| Ok(bytes.try_get_i32()?))?))
}

fn read_text(bytes: &mut Bytes) -> Result<String, Malformed> {
    read_nullable_text(bytes)?.ok_or(Malformed)
}

fn read_nullable_text(bytes: &mut Bytes) -> Result<Option<String>, Malformed> {
    let Ok(length) = usize::try_from(bytes.try_get_i16()?) else { return Ok(None) };
    if bytes.remaining() < length {
        return Err(Malformed);
    }
    let text = String::from_utf8(bytes.split_to(length).to_vec());
    text.map(Some).map_err(|_| Malformed)
}

/// Passes over opaque bytes; says how many there were.
fn skip_user_data(bytes: &mut Bytes) -> Result<usize, Malformed> {
    let Ok(length) = usize::try_from(bytes.try_get_i32()?) else { return Ok(0) };
    if bytes.remaining() < length {
        return Err(Malformed);
    }
    bytes.advance(length);
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::super::subscription::TopicShape;
    use super::*;
    use frazil_base::{Seq, TopicId};
    use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as Owned;
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    fn topics() -> TopicMap {
        TopicMap::new(Seq(1), [("t".to_owned(), TopicShape { id: TopicId(1), partitions: 3 })])
    }

    #[test]
    fn subscriptions_of_all_versions_are_read() {
        let text = |text: &'static str| StrBytes::from_static_str(text);
        for version in 0..=3i16 {
            let mut message = ConsumerProtocolSubscription::default().with_topics(vec![text("t"), text("u")]);
            if version >= 1 {
                let owned = Owned::default().with_topic(text("t").into()).with_partitions(vec![2, 0, 7]);
                message = message.with_owned_partitions(vec![owned]);
            }
            if version >= 3 {
                message = message.with_rack_id(Some(text("a")));
            }
            let mut bytes = BytesMut::new();
            bytes.put_i16(version);
            message.encode(&mut bytes, version).expect("encodes");
            let read = read_subscription(&bytes.freeze()).expect("reads");
            assert_eq!((read.version, read.topics), (version, vec!["t".to_owned(), "u".to_owned()]));
            assert_eq!(read.rack.as_deref(), (version >= 3).then_some("a"));
            let owned = by_id(&read.owned, &topics());
            assert_eq!(owned, if version >= 1 { [(TopicId(1), vec![0, 2])].into() } else { Assignment::new() });
        }
    }

    #[test]
    fn an_assignment_is_what_kafka_reads_and_reads_back() {
        let assignment: Assignment = [(TopicId(1), vec![0, 2]), (TopicId(9), vec![1])].into();
        let bytes = write_assignment(1, &assignment, &topics());
        let mut body = bytes.slice(2..);
        let message = ConsumerProtocolAssignment::decode(&mut body, 1).expect("decodes");
        assert_eq!(message.assigned_partitions[0].topic.as_str(), "t");
        let read = read_assignment(&bytes).expect("reads");
        assert_eq!(read, EmbeddedAssignment { partitions: vec![("t".to_owned(), vec![0, 2])], has_user_data: false });
        assert_eq!(read_assignment(&Bytes::new()), Ok(EmbeddedAssignment::default()));
    }

    #[test]
    fn bytes_that_lie_about_their_lengths_are_malformed() {
        for bytes in [&b""[..], b"\0", b"\0\0\x7f\xff\xff\xff", b"\0\0\0\0\0\x01\0\x09t", b"\xff\xff\0\0\0\0"] {
            assert_eq!(read_subscription(&Bytes::copy_from_slice(bytes)), Err(Malformed));
        }
        assert_eq!(read_assignment(&Bytes::from_static(b"\0\0\0\0\0\0\x7f\xff\xff\xff")), Err(Malformed));
    }
}
