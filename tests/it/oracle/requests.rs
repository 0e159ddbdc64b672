//! Short names for the requests of the table.

use bytes::{Bytes, BytesMut};
use frazil_broker::testing::topic_name;
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Compression};
use kafka_protocol::messages as m;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::protocol::StrBytes;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn topic(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

pub fn with(topic: CreatableTopic, name: &str, value: Option<&str>) -> CreatableTopic {
    let mut topic = topic;
    topic.configs.push(CreatableTopicConfig::default().with_name(text(name)).with_value(value.map(text)));
    topic
}

pub fn assigned(topic: CreatableTopic, places: &[(i32, &[i32])]) -> CreatableTopic {
    let place = |(index, brokers): &(i32, &[i32])| {
        let brokers = brokers.iter().map(|id| (*id).into()).collect();
        CreatableReplicaAssignment::default().with_partition_index(*index).with_broker_ids(brokers)
    };
    topic.with_assignments(places.iter().map(place).collect())
}

pub fn create(topics: Vec<CreatableTopic>) -> m::CreateTopicsRequest {
    m::CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000)
}

/// A topic that stands already, with this setting: only checked, never made.
pub fn config(name: &str, value: Option<&str>) -> m::CreateTopicsRequest {
    create(vec![with(topic("configured", 1, 1), name, value)]).with_validate_only(true)
}

pub fn delete(names: &[&str]) -> m::DeleteTopicsRequest {
    let names = names.iter().map(|name| topic_name(name)).collect();
    m::DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(30_000)
}

/// By name, by id, by both or by neither.
pub fn delete_by(name: Option<&str>, id: u128) -> m::DeleteTopicsRequest {
    let topic = m::delete_topics_request::DeleteTopicState::default()
        .with_name(name.map(topic_name))
        .with_topic_id(uuid::Uuid::from_u128(id));
    m::DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

pub fn grow(name: &str, count: i32, places: Option<&[&[i32]]>) -> m::CreatePartitionsRequest {
    use m::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
    let place = |brokers: &&[i32]| {
        CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    };
    let places = places.map(|places| places.iter().map(place).collect());
    let topic = CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(places);
    m::CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;
pub const SET: i8 = 0;
pub const DELETE: i8 = 1;
pub const APPEND: i8 = 2;
pub const SUBTRACT: i8 = 3;

type Change<'a> = (&'a str, i8, Option<&'a str>);

pub fn alter(kind: i8, name: &str, changes: &[Change<'_>]) -> m::IncrementalAlterConfigsRequest {
    use m::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let change = |(name, operation, value): &Change<'_>| {
        AlterableConfig::default().with_name(text(name)).with_config_operation(*operation).with_value(value.map(text))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(changes.iter().map(change).collect());
    m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

pub fn set(kind: i8, resource: &str, name: &str, value: &str) -> m::IncrementalAlterConfigsRequest {
    alter(kind, resource, &[(name, SET, Some(value))])
}

/// All settings of a thing anew.
pub fn replace(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> m::AlterConfigsRequest {
    use m::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = |(name, value): &(&str, Option<&str>)| {
        AlterableConfig::default().with_name(text(name)).with_value(value.map(text))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.iter().map(config).collect());
    m::AlterConfigsRequest::default().with_resources(vec![resource])
}

pub fn describe(kind: i8, name: &str) -> m::DescribeConfigsRequest {
    let resource = m::describe_configs_request::DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    m::DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true)
}

pub fn plain(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    values.iter().for_each(|value| builder.push(now_ms(), Some(b"k"), Some(value.as_bytes()), &[]));
    builder.build()
}

/// A batch without keys.
pub fn keyless() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(now_ms(), None, Some(b"v"), &[]);
    builder.build()
}

pub fn at_time(timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(timestamp, Some(b"k"), Some(b"v"), &[]);
    builder.build()
}

pub fn sequenced(id: i64, epoch: i16, base_sequence: i32, records: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None).producer(ProducerFields { id, epoch, base_sequence });
    (0..records).for_each(|_| builder.push(now_ms(), Some(b"k"), Some(b"v"), &[]));
    builder.build()
}

/// A batch with some of its bytes replaced; the CRC is made to fit again when `healed`.
pub fn damaged(position: usize, bytes: &[u8], healed: bool) -> Bytes {
    let mut batch = BytesMut::from(&plain(&["v"])[..]);
    batch[position..position + bytes.len()].copy_from_slice(bytes);
    if healed {
        let crc = frazil_wire::batch::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    batch.freeze()
}

pub fn now_ms() -> i64 {
    frazil_base::Env::system().clock.now_ms()
}

pub fn produce(name: &str, partition: i32, acks: i16, batch: Option<Bytes>) -> m::ProduceRequest {
    use m::produce_request::{PartitionProduceData, TopicProduceData};
    let data = PartitionProduceData::default().with_index(partition).with_records(batch);
    let topic = TopicProduceData::default().with_name(topic_name(name)).with_partition_data(vec![data]);
    m::ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// From a partition of `t`, without waiting.
pub fn fetch(name: &str, partition: i32, offset: i64) -> m::FetchRequest {
    frazil_broker::testing::fetch_request(name, partition, offset, 0).with_min_bytes(0)
}

pub fn fetch_in_epoch(epoch: i32) -> m::FetchRequest {
    let mut request = fetch("t", 0, 0);
    request.topics[0].partitions[0].current_leader_epoch = epoch;
    request
}

pub fn list_offsets(name: &str, partition: i32, timestamp: i64) -> m::ListOffsetsRequest {
    use m::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(vec![partition]);
    m::ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

pub fn delete_records(name: &str, partition: i32, offset: i64) -> m::DeleteRecordsRequest {
    use m::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(topic_name(name)).with_partitions(vec![partition]);
    m::DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

pub fn epoch_end(name: &str, partition: i32, current: i32, epoch: i32) -> m::OffsetForLeaderEpochRequest {
    use m::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let partition = OffsetForLeaderPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(current)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default().with_topic(topic_name(name)).with_partitions(vec![partition]);
    m::OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

pub fn metadata(names: &[&str], create: bool) -> m::MetadataRequest {
    let topic = |name: &&str| m::metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    m::MetadataRequest::default()
        .with_topics(Some(names.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(create)
}

pub fn describe_topics(names: &[&str], cursor: Option<(&str, i32)>) -> m::DescribeTopicPartitionsRequest {
    use m::describe_topic_partitions_request::{Cursor, TopicRequest};
    let cursor = cursor
        .map(|(name, partition)| Cursor::default().with_topic_name(topic_name(name)).with_partition_index(partition));
    m::DescribeTopicPartitionsRequest::default()
        .with_topics(names.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect())
        .with_cursor(cursor)
}

pub fn elect(kind: i8, name: &str, partitions: &[i32]) -> m::ElectLeadersRequest {
    let partitions = m::elect_leaders_request::TopicPartitions::default()
        .with_topic(topic_name(name))
        .with_partitions(partitions.to_vec());
    m::ElectLeadersRequest::default()
        .with_election_type(kind)
        .with_topic_partitions(Some(vec![partitions]))
        .with_timeout_ms(30_000)
}

pub fn reassign(name: &str, partition: i32, replicas: Option<&[i32]>) -> m::AlterPartitionReassignmentsRequest {
    use m::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    let replicas = replicas.map(|ids| ids.iter().map(|id| (*id).into()).collect());
    let partition = ReassignablePartition::default().with_partition_index(partition).with_replicas(replicas);
    let topic = ReassignableTopic::default().with_name(topic_name(name)).with_partitions(vec![partition]);
    m::AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

pub fn update_feature(name: &str, level: i16, kind: i8) -> m::UpdateFeaturesRequest {
    let update = m::update_features_request::FeatureUpdateKey::default()
        .with_feature(text(name))
        .with_max_version_level(level)
        .with_upgrade_type(kind);
    m::UpdateFeaturesRequest::default().with_feature_updates(vec![update]).with_validate_only(true)
}

type Part<'a> = (&'a str, Option<&'a str>);

pub fn quota(entity: &[Part<'_>], key: &str, value: Option<f64>) -> m::AlterClientQuotasRequest {
    use m::alter_client_quotas_request::{EntityData, EntryData, OpData};
    let part =
        |(kind, name): &Part<'_>| EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text));
    let operation =
        OpData::default().with_key(text(key)).with_remove(value.is_none()).with_value(value.unwrap_or_default());
    let entry = EntryData::default().with_entity(entity.iter().map(part).collect()).with_ops(vec![operation]);
    m::AlterClientQuotasRequest::default().with_entries(vec![entry])
}

pub fn find_quotas(components: &[(&str, i8, Option<&str>)]) -> m::DescribeClientQuotasRequest {
    use m::describe_client_quotas_request::ComponentData;
    let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| {
        let component = ComponentData::default().with_entity_type(text(kind)).with_match_type(*match_type);
        component.with_match(name.map(text))
    };
    m::DescribeClientQuotasRequest::default().with_components(components.iter().map(component).collect())
}

pub fn set_password(user: &str, mechanism: i8, iterations: i32) -> m::AlterUserScramCredentialsRequest {
    let upsertion = m::alter_user_scram_credentials_request::ScramCredentialUpsertion::default()
        .with_name(text(user))
        .with_mechanism(mechanism)
        .with_iterations(iterations)
        .with_salt(Bytes::from_static(b"salt"))
        .with_salted_password(Bytes::from_static(&[7; 32]));
    m::AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion])
}

pub fn drop_password(user: &str, mechanism: i8) -> m::AlterUserScramCredentialsRequest {
    let deletion = m::alter_user_scram_credentials_request::ScramCredentialDeletion::default()
        .with_name(text(user))
        .with_mechanism(mechanism);
    m::AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion])
}

pub fn find_users(names: &[&str]) -> m::DescribeUserScramCredentialsRequest {
    let user = |name: &&str| m::describe_user_scram_credentials_request::UserName::default().with_name(text(name));
    m::DescribeUserScramCredentialsRequest::default().with_users(Some(names.iter().map(user).collect()))
}

/// Partitions to another directory.
pub fn move_to(path: &str, topic: &str, partitions: &[i32]) -> m::AlterReplicaLogDirsRequest {
    use m::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let topic = AlterReplicaLogDirTopic::default().with_name(topic_name(topic)).with_partitions(partitions.to_vec());
    let directory = AlterReplicaLogDir::default().with_path(text(path)).with_topics(vec![topic]);
    m::AlterReplicaLogDirsRequest::default().with_dirs(vec![directory])
}
