//! What can be asked of the state.

#[cfg(any(test, feature = "testing"))]
use super::digest;
use super::{BodyId, BodyState, Broker, CoordinatorKind, Group, Mutation, Partition, State, Topic, Transaction};
use crate::port::LiveBodies;
use crate::record::{ConfigResource, QuotaEntity, ScramCredential};
use frazil_base::{Epoch, ObjectId, Seq, TopicId, TopicPartition};
use std::collections::BTreeMap;

impl State {
    /// The last record applied.
    pub fn applied(&self) -> Seq {
        self.applied
    }

    /// A hash over all records and outcomes so far: equal on all brokers at equal `applied`, or one of them is wrong.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Behaviour up to this level may be used.
    pub fn feature_level(&self) -> u16 {
        self.feature_level
    }

    /// The topic with this id.
    pub fn topic(&self, topic: TopicId) -> Option<&Topic> {
        self.topics.get(topic)
    }

    /// The topic with this name.
    pub fn topic_by_name(&self, name: &str) -> Option<&Topic> {
        self.topics.by_name(name)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter_by_name()
    }

    /// The last record that created, deleted or widened a topic, or a later one: while it stays, so do the topics.
    pub fn topics_changed(&self) -> Seq {
        self.topics_changed
    }

    /// One partition.
    pub fn partition(&self, partition: TopicPartition) -> Option<&Partition> {
        self.topics.partition(partition)
    }

    /// The brokers with an open registration, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.iter()
    }

    /// Whether this registration is open. One that is not never opens again.
    pub fn is_open(&self, epoch: Epoch) -> bool {
        self.brokers.is_open(epoch)
    }

    /// The broker that clients should talk to about this partition: a rendezvous hash over the open brokers, those of
    /// `zone` if there are any, so that every broker gives the same answer. `None` if no broker is open.
    pub fn leader(&self, partition: TopicPartition, zone: Option<&str>) -> Option<&Broker> {
        self.brokers.leader(partition, zone)
    }

    /// The broker that coordinates a group or a transactional id: the same hash over all open brokers. Records about
    /// them count only if it wrote them. `None` if no broker is open.
    pub fn coordinator(&self, kind: CoordinatorKind, key: &str) -> Option<&Broker> {
        self.brokers.coordinator(kind, key)
    }

    /// Whether records of this registration about a group or a transactional id take effect: it is the coordinator.
    /// Coordinators ask before they answer. So that the broken rule is not hidden by that, it makes every broker trust in
    /// itself that once was asked.
    pub fn may_coordinate(&self, kind: CoordinatorKind, key: &str, epoch: Epoch) -> bool {
        let is_own = self.coordinator(kind, key).is_some_and(|broker| broker.epoch == epoch);
        is_own || (self.rules.broken(Mutation::IgnoreCoordinator) && self.is_open(epoch))
    }

    /// The group with this id.
    pub fn group(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    /// All groups with their ids, by id.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&str, &Group)> {
        self.groups.iter()
    }

    /// What is known of a transactional id.
    pub fn transaction(&self, transactional_id: &str) -> Option<&Transaction> {
        self.transactions.get(transactional_id)
    }

    /// All transactional ids, ascending.
    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.transactions.iter()
    }

    /// The transactional id to which a producer id belongs.
    pub fn transaction_of(&self, producer_id: i64) -> Option<&Transaction> {
        self.transactions.of_producer(producer_id)
    }

    /// Quotas by entity and name; values are the bits of a double.
    pub fn quotas(&self) -> &BTreeMap<QuotaEntity, BTreeMap<String, u64>> {
        &self.quotas
    }

    /// Credentials by user and mechanism.
    pub fn scram_users(&self) -> &BTreeMap<String, BTreeMap<u8, ScramCredential>> {
        &self.scram_users
    }

    /// What has settings that differ from the defaults, apart from topics.
    pub fn configured(&self) -> impl Iterator<Item = &ConfigResource> {
        self.configs.keys()
    }

    /// Settings that differ from the defaults; empty for unknown topics.
    pub fn configs(&self, resource: &ConfigResource) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let configs = match resource {
            ConfigResource::Topic(topic) => self.topics.get(*topic).map(|topic| &topic.configs),
            resource => self.configs.get(resource),
        };
        configs.unwrap_or(&NONE)
    }

    /// Every body with live extents: entries of the log first, each kind ascending.
    pub fn bodies(&self) -> impl Iterator<Item = (BodyId, &BodyState)> {
        let skipped = usize::from(self.rules.broken(Mutation::ForgetLiveBody));
        self.bodies.live().skip(skipped)
    }

    /// One body, if it has live extents.
    pub fn body(&self, body: BodyId) -> Option<&BodyState> {
        self.bodies.get(body)
    }

    /// Objects without live extents, and the record time at which the last one went; until `ForgetObjects`.
    pub fn dead_objects(&self) -> impl Iterator<Item = (ObjectId, i64)> {
        let oldest = self.bodies.live().find_map(|(body, state)| match body {
            BodyId::Object(object) => Some((object, state.committed_ms)),
            BodyId::Log(_) | BodyId::Marker(_) => None,
        });
        let wrong = oldest.filter(|_| self.rules.broken(Mutation::ForgetLiveBody));
        self.bodies.dead().chain(wrong)
    }

    /// A hash of the whole content, by way of its snapshot: slow, for tests and for `hash` itself to be checked against.
    #[cfg(any(test, feature = "testing"))]
    pub fn content_hash(&self) -> u64 {
        digest::digest(&self.snapshot())
    }

    /// The entries of the log whose bodies are needed, for [`CommitLog::trim`](crate::CommitLog::trim).
    pub fn live_log_bodies(&self) -> LiveBodies {
        let log_entry = |(body, _)| match body {
            BodyId::Log(seq) => Some(seq),
            BodyId::Object(_) | BodyId::Marker(_) => None,
        };
        self.bodies().filter_map(log_entry).collect()
    }
}
