//! What members of a classic consumer group tell each other: subscriptions, assignments, and Kafka's `range` assignor.
//!
//! The bytes are opaque to the broker; every client library writes and reads them alike (`ConsumerProtocol`). Whoever is
//! the leader shares out the partitions for all, so the rule must be the one that its name promises.

use super::TopicPartition;
use super::offsets::by_topic;
use super::topic_name;
use anyhow::Context;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as AssignedTopic;
use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use kafka_protocol::protocol::Encodable;
use std::collections::{BTreeMap, BTreeSet};

/// The name of the assignor.
pub(super) const RANGE: &str = "range";

/// The versions we write; they say all that a member without rack that gives everything up in a rebalance has to say.
const SUBSCRIPTION_VERSION: i16 = 0;
const ASSIGNMENT_VERSION: i16 = 0;

/// Why bytes of another member make no sense.
pub(super) type Malformed = anyhow::Error;

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscriber {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub topics: BTreeSet<String>,
}

pub(super) fn encode_subscription(topics: &[String]) -> Bytes {
    let topics = topics.iter().map(|topic| super::text(topic)).collect();
    encode(&ConsumerProtocolSubscription::default().with_topics(topics), SUBSCRIPTION_VERSION)
}

pub(super) fn decode_subscription(bytes: &Bytes) -> Result<BTreeSet<String>, Malformed> {
    let mut bytes = bytes.clone();
    skip_version(&mut bytes)?;
    (0..read_count(&mut bytes)?).map(|_| read_text(&mut bytes)).collect()
}

pub(super) fn encode_assignment(places: &[TopicPartition]) -> Bytes {
    let topic = |(topic, places): (&str, Vec<&TopicPartition>)| {
        let partitions = places.iter().map(|place| place.partition).collect();
        AssignedTopic::default().with_topic(topic_name(topic)).with_partitions(partitions)
    };
    let topics = by_topic(places).into_iter().map(topic).collect();
    encode(&ConsumerProtocolAssignment::default().with_assigned_partitions(topics), ASSIGNMENT_VERSION)
}

/// No bytes are no partitions: that is what a member gets whom the leader did not think of.
pub(super) fn decode_assignment(bytes: &Bytes) -> Result<Vec<TopicPartition>, Malformed> {
    let (mut bytes, mut places) = (bytes.clone(), Vec::new());
    if bytes.is_empty() {
        return Ok(places);
    }
    skip_version(&mut bytes)?;
    for _ in 0..read_count(&mut bytes)? {
        let topic = read_text(&mut bytes)?;
        for _ in 0..read_count(&mut bytes)? {
            places.push(TopicPartition::new(&topic, bytes.try_get_i32()?));
        }
    }
    Ok(places)
}

fn encode(message: &impl Encodable, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    message.encode(&mut bytes, version).expect("names of topics are shorter than 32 KiB");
    bytes.freeze()
}

// Read by hand, because these bytes come from anybody: a count is believed only as far as there are bytes for it.

/// Newer versions only append to what is read here.
fn skip_version(bytes: &mut Bytes) -> Result<(), Malformed> {
    let version = bytes.try_get_i16()?;
    anyhow::ensure!(version >= 0, "version {version} does not exist");
    Ok(())
}

fn read_count(bytes: &mut Bytes) -> Result<usize, Malformed> {
    let count = bytes.try_get_i32()?;
    let believed = usize::try_from(count).ok().filter(|count| *count <= bytes.len());
    believed.with_context(|| format!("{} bytes cannot hold {count} things", bytes.len()))
}

fn read_text(bytes: &mut Bytes) -> Result<String, Malformed> {
    let length = bytes.try_get_i16()?;
    let believed = usize::try_from(length).ok().filter(|length| *length <= bytes.len());
    let length = believed.with_context(|| format!("{} bytes cannot hold a name of {length}", bytes.len()))?;
    Ok(String::from_utf8(bytes.split_to(length).to_vec())?)
}

/// Kafka's `range`: the partitions of each topic are laid out in order, and each of its subscribers takes the next run
/// of them; the first ones take one more when it does not come out even. Subscribers are ordered by their own name, else
/// by member id, so that the same member takes the same run of every topic.
///
/// `partitions` are the numbers of partitions by topic. Every subscriber is in the result.
pub(super) fn range(
    partitions: &BTreeMap<String, usize>,
    subscribers: &[Subscriber],
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut ordered: Vec<&Subscriber> = subscribers.iter().collect();
    // As in Kafka, static members come first.
    ordered.sort_by_key(|member| (member.instance_id.is_none(), &member.instance_id, &member.member_id));
    let mut assignment: BTreeMap<String, Vec<TopicPartition>> =
        ordered.iter().map(|member| (member.member_id.clone(), Vec::new())).collect();
    for (topic, partitions) in partitions {
        let takers: Vec<_> = ordered.iter().filter(|member| member.topics.contains(topic)).collect();
        let mut next = 0;
        for (index, member) in takers.iter().enumerate() {
            let run = partitions / takers.len() + usize::from(index < partitions % takers.len());
            let places = (next..next + run).map(|partition| TopicPartition::new(topic, partition as i32));
            assignment.entry(member.member_id.clone()).or_default().extend(places);
            next += run;
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subscriber(member_id: &str, instance_id: Option<&str>, topics: &[&str]) -> Subscriber {
        Subscriber {
            member_id: member_id.to_string(),
            instance_id: instance_id.map(str::to_string),
            topics: topics.iter().map(ToString::to_string).collect(),
        }
    }

    fn counts(topics: &[(&str, usize)]) -> BTreeMap<String, usize> {
        topics.iter().map(|(topic, count)| (topic.to_string(), *count)).collect()
    }

    fn shown(assignment: &BTreeMap<String, Vec<TopicPartition>>) -> Vec<String> {
        let show = |(member, places): (&String, &Vec<TopicPartition>)| {
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            format!("{member}: {}", places.join(" "))
        };
        assignment.iter().map(show).collect()
    }

    #[test]
    fn the_first_subscribers_of_each_topic_take_one_partition_more() {
        let both = [subscriber("b", None, &["t", "u"]), subscriber("a", None, &["t", "u"])];
        let assignment = range(&counts(&[("t", 3), ("u", 3)]), &both);
        assert_eq!(shown(&assignment), ["a: t/0 t/1 u/0 u/1", "b: t/2 u/2"]);
    }

    #[test]
    fn a_topic_goes_to_those_who_want_it_and_the_rest_get_nothing() {
        let members = [subscriber("a", None, &["t"]), subscriber("b", None, &["u"]), subscriber("c", None, &["t"])];
        let assignment = range(&counts(&[("t", 1), ("u", 2)]), &members);
        assert_eq!(shown(&assignment), ["a: t/0", "b: u/0 u/1", "c: "]);
    }

    #[test]
    fn static_members_are_ordered_by_their_name_and_come_first() {
        let members =
            [subscriber("a", None, &["t"]), subscriber("z", Some("one"), &["t"]), subscriber("b", Some("two"), &["t"])];
        let assignment = range(&counts(&[("t", 3)]), &members);
        assert_eq!(shown(&assignment), ["a: t/2", "b: t/1", "z: t/0"]);
    }

    #[test]
    fn what_java_writes_is_read_and_the_other_way_round() {
        // A subscription of version 3 to topic "t" that owns t/1 in generation 5, without rack, and one byte of a
        // version that does not exist yet.
        let java =
            b"\0\x09\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x01\0\0\0\x05\xff\xff\x07";
        let read = decode_subscription(&Bytes::from_static(java)).unwrap();
        assert_eq!(read, BTreeSet::from(["t".to_string()]));
        let ours = encode_subscription(&["t".to_string()]);
        assert_eq!(&ours[..], b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff");
        let assignment = encode_assignment(&[TopicPartition::new("t", 1)]);
        assert_eq!(&assignment[..], b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff");
    }

    #[test]
    fn an_assignment_without_bytes_is_one_without_partitions() {
        assert_eq!(decode_assignment(&Bytes::new()).unwrap(), []);
        assert!(decode_assignment(&Bytes::from_static(b"\xff\xff")).is_err());
        assert!(decode_subscription(&Bytes::from_static(b"\0")).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let bytes = Bytes::from(bytes);
            let _ = (decode_assignment(&bytes), decode_subscription(&bytes));
        }

        #[test]
        fn assignments_are_read_back(places in proptest::collection::btree_set(("[a-z]{1,3}", 0i32..9), 0..9)) {
            let places: Vec<_> = places.iter().map(|(topic, number)| TopicPartition::new(topic, *number)).collect();
            prop_assert_eq!(decode_assignment(&encode_assignment(&places)).unwrap(), places);
        }

        #[test]
        fn every_partition_goes_to_exactly_one_subscriber(
            count in 0usize..50,
            members in proptest::collection::btree_map("[a-z]{1,3}", proptest::option::of("[a-z]"), 1..8),
        ) {
            let members: Vec<Subscriber> =
                members.iter().map(|(id, instance)| subscriber(id, instance.as_deref(), &["t"])).collect();
            let assignment = range(&counts(&[("t", count)]), &members);
            let mut places: Vec<i32> = assignment.values().flatten().map(|place| place.partition).collect();
            places.sort_unstable();
            prop_assert_eq!(places, (0..count as i32).collect::<Vec<_>>());
            let sizes = assignment.values().map(Vec::len);
            prop_assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
    }
}
