//! Samples of requests that only tools send.

use super::text;
use crate::api;
use bytes::Bytes;
use kafka_protocol::messages as m;
use kafka_protocol::messages::RequestKind;

fn delete_records(_: i16) -> m::DeleteRecordsRequest {
    use m::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = DeleteRecordsPartition::default().with_partition_index(2).with_offset(7);
    let topic = DeleteRecordsTopic::default().with_name(text("t").into()).with_partitions(vec![partition; 2]);
    m::DeleteRecordsRequest::default().with_topics(vec![topic; 2]).with_timeout_ms(9)
}

fn describe_acls(_: i16) -> m::DescribeAclsRequest {
    m::DescribeAclsRequest::default()
        .with_resource_type_filter(2)
        .with_resource_name_filter(Some(text("t")))
        .with_pattern_type_filter(3)
        .with_principal_filter(Some(text("User:a")))
        .with_operation(1)
        .with_permission_type(1)
}

fn create_acls(_: i16) -> m::CreateAclsRequest {
    let creation = m::create_acls_request::AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_principal(text("User:a"))
        .with_host(text("*"))
        .with_operation(3)
        .with_permission_type(3);
    m::CreateAclsRequest::default().with_creations(vec![creation; 2])
}

fn delete_acls(_: i16) -> m::DeleteAclsRequest {
    let filter = m::delete_acls_request::DeleteAclsFilter::default()
        .with_resource_type_filter(2)
        .with_principal_filter(Some(text("User:a")));
    m::DeleteAclsRequest::default().with_filters(vec![filter; 2])
}

fn alter_replica_log_dirs(_: i16) -> m::AlterReplicaLogDirsRequest {
    use m::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let topic = AlterReplicaLogDirTopic::default().with_name(text("t").into()).with_partitions(vec![0, 1]);
    let directory = AlterReplicaLogDir::default().with_path(text("/data")).with_topics(vec![topic; 2]);
    m::AlterReplicaLogDirsRequest::default().with_dirs(vec![directory; 2])
}

fn describe_log_dirs(_: i16) -> m::DescribeLogDirsRequest {
    let topic = m::describe_log_dirs_request::DescribableLogDirTopic::default()
        .with_topic(text("t").into())
        .with_partitions(vec![0, 1]);
    m::DescribeLogDirsRequest::default().with_topics(Some(vec![topic; 2]))
}

fn elect_leaders(version: i16) -> m::ElectLeadersRequest {
    let partitions =
        m::elect_leaders_request::TopicPartitions::default().with_topic(text("t").into()).with_partitions(vec![1]);
    let request = m::ElectLeadersRequest::default().with_topic_partitions(Some(vec![partitions; 2]));
    if version >= 1 { request.with_election_type(1) } else { request }
}

fn alter_partition_reassignments(version: i16) -> m::AlterPartitionReassignmentsRequest {
    use m::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    let moved = ReassignablePartition::default().with_replicas(Some(vec![1.into(), 2.into()]));
    let cancelled = ReassignablePartition::default().with_partition_index(1).with_replicas(None);
    let topic = ReassignableTopic::default().with_name(text("t").into()).with_partitions(vec![moved, cancelled]);
    let request = m::AlterPartitionReassignmentsRequest::default().with_topics(vec![topic; 2]);
    if version >= 1 { request.with_allow_replication_factor_change(false) } else { request }
}

fn list_partition_reassignments(_: i16) -> m::ListPartitionReassignmentsRequest {
    let topic = m::list_partition_reassignments_request::ListPartitionReassignmentsTopics::default()
        .with_name(text("t").into())
        .with_partition_indexes(vec![1, 2]);
    m::ListPartitionReassignmentsRequest::default().with_topics(Some(vec![topic; 2]))
}

fn describe_client_quotas(_: i16) -> m::DescribeClientQuotasRequest {
    let component = m::describe_client_quotas_request::ComponentData::default()
        .with_entity_type(text("user"))
        .with_match_type(0)
        .with_match(Some(text("a")));
    m::DescribeClientQuotasRequest::default().with_components(vec![component; 2]).with_strict(true)
}

fn alter_client_quotas(_: i16) -> m::AlterClientQuotasRequest {
    use m::alter_client_quotas_request::{EntityData, EntryData, OpData};
    let entity = EntityData::default().with_entity_type(text("user")).with_entity_name(None);
    let operation = OpData::default().with_key(text("producer_byte_rate")).with_value(2.5);
    let entry = EntryData::default().with_entity(vec![entity; 2]).with_ops(vec![operation; 2]);
    m::AlterClientQuotasRequest::default().with_entries(vec![entry; 2]).with_validate_only(true)
}

fn describe_user_scram_credentials(_: i16) -> m::DescribeUserScramCredentialsRequest {
    let user = m::describe_user_scram_credentials_request::UserName::default().with_name(text("a"));
    m::DescribeUserScramCredentialsRequest::default().with_users(Some(vec![user; 2]))
}

fn alter_user_scram_credentials(_: i16) -> m::AlterUserScramCredentialsRequest {
    use m::alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
    let deletion = ScramCredentialDeletion::default().with_name(text("a")).with_mechanism(1);
    let upsertion = ScramCredentialUpsertion::default()
        .with_name(text("b"))
        .with_mechanism(2)
        .with_iterations(4096)
        .with_salt(Bytes::from_static(b"salt"))
        .with_salted_password(Bytes::from_static(b"password"));
    m::AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion; 2]).with_upsertions(vec![upsertion; 2])
}

fn describe_quorum(_: i16) -> m::DescribeQuorumRequest {
    use m::describe_quorum_request::{PartitionData, TopicData};
    let topic = TopicData::default()
        .with_topic_name(text("__cluster_metadata").into())
        .with_partitions(vec![PartitionData::default(); 2]);
    m::DescribeQuorumRequest::default().with_topics(vec![topic; 2])
}

fn update_features(version: i16) -> m::UpdateFeaturesRequest {
    let update = m::update_features_request::FeatureUpdateKey::default()
        .with_feature(text("metadata.version"))
        .with_max_version_level(27);
    let update = if version == 0 { update.with_allow_downgrade(true) } else { update.with_upgrade_type(2) };
    let request = m::UpdateFeaturesRequest::default().with_feature_updates(vec![update; 2]);
    if version >= 1 { request.with_validate_only(true) } else { request }
}

fn list_config_resources(version: i16) -> m::ListConfigResourcesRequest {
    let request = m::ListConfigResourcesRequest::default();
    if version >= 1 { request.with_resource_types(vec![2, 4]) } else { request }
}

fn describe_topic_partitions(_: i16) -> m::DescribeTopicPartitionsRequest {
    use m::describe_topic_partitions_request::{Cursor, TopicRequest};
    let cursor = Cursor::default().with_topic_name(text("t").into()).with_partition_index(3);
    let topic = TopicRequest::default().with_name(text("t").into());
    m::DescribeTopicPartitionsRequest::default().with_topics(vec![topic; 2]).with_cursor(Some(cursor))
}

pub(super) fn sample(key: i16, version: i16) -> Option<RequestKind> {
    Some(match key {
        api::DELETE_RECORDS => RequestKind::DeleteRecords(delete_records(version)),
        api::DESCRIBE_ACLS => RequestKind::DescribeAcls(describe_acls(version)),
        api::CREATE_ACLS => RequestKind::CreateAcls(create_acls(version)),
        api::DELETE_ACLS => RequestKind::DeleteAcls(delete_acls(version)),
        api::ALTER_REPLICA_LOG_DIRS => RequestKind::AlterReplicaLogDirs(alter_replica_log_dirs(version)),
        api::DESCRIBE_LOG_DIRS => RequestKind::DescribeLogDirs(describe_log_dirs(version)),
        api::ELECT_LEADERS => RequestKind::ElectLeaders(elect_leaders(version)),
        api::ALTER_PARTITION_REASSIGNMENTS => {
            RequestKind::AlterPartitionReassignments(alter_partition_reassignments(version))
        }
        api::LIST_PARTITION_REASSIGNMENTS => {
            RequestKind::ListPartitionReassignments(list_partition_reassignments(version))
        }
        api::DESCRIBE_CLIENT_QUOTAS => RequestKind::DescribeClientQuotas(describe_client_quotas(version)),
        api::ALTER_CLIENT_QUOTAS => RequestKind::AlterClientQuotas(alter_client_quotas(version)),
        api::DESCRIBE_USER_SCRAM_CREDENTIALS => {
            RequestKind::DescribeUserScramCredentials(describe_user_scram_credentials(version))
        }
        api::ALTER_USER_SCRAM_CREDENTIALS => {
            RequestKind::AlterUserScramCredentials(alter_user_scram_credentials(version))
        }
        api::DESCRIBE_QUORUM => RequestKind::DescribeQuorum(describe_quorum(version)),
        api::UPDATE_FEATURES => RequestKind::UpdateFeatures(update_features(version)),
        api::LIST_CONFIG_RESOURCES => RequestKind::ListConfigResources(list_config_resources(version)),
        api::DESCRIBE_TOPIC_PARTITIONS => RequestKind::DescribeTopicPartitions(describe_topic_partitions(version)),
        _ => return None,
    })
}
