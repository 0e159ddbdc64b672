//! What tools ask for beside topics and settings.

use super::world::{Running, World};
use crate::testing::{Client, batch, topic_name};
use bytes::Bytes;
use frazil_wire::Compression;
use kafka_protocol::messages as m;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::protocol::StrBytes;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

async fn call<R: kafka_protocol::protocol::Request>(client: &mut Client, version: i16, request: &R) -> R::Response {
    client.call(version, request).await.expect("answered")
}

/// Deletes records of `t`; log start and error code of each partition.
async fn delete_records(client: &mut Client, wanted: &[(i32, i64)]) -> Vec<(i64, i16)> {
    use m::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = |&(index, offset): &(i32, i64)| {
        DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset)
    };
    let partitions = wanted.iter().map(partition).collect();
    let topic = DeleteRecordsTopic::default().with_name(topic_name("t")).with_partitions(partitions);
    let response = call(client, 2, &m::DeleteRecordsRequest::default().with_topics(vec![topic])).await;
    response.topics[0].partitions.iter().map(|partition| (partition.low_watermark, partition.error_code)).collect()
}

#[tokio::test]
async fn deleted_records_cannot_be_fetched_and_the_log_starts_behind_them() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 2).await;
    for _ in 0..3 {
        client.produce("t", 0, batch(Compression::None, world.now_ms(), &["a", "b"])).await.expect("produced");
    }
    let applied = broker.log.state().applied().0;
    assert_eq!(delete_records(&mut client, &[(0, 3), (1, -1)]).await, [(3, 0), (0, 0)]);
    assert_eq!(broker.log.state().applied().0, applied + 1, "one record for all partitions that move");
    let fetched = client.fetch("t", 0, 2, 0).await.expect("answered");
    assert_eq!((fetched.error_code, fetched.log_start_offset), (1, 3));
    assert_eq!(client.fetch("t", 0, 3, 0).await.expect("answered").error_code, 0);
    assert_eq!(delete_records(&mut client, &[(0, 1)]).await, [(3, 0)], "nothing to do");
    assert_eq!(delete_records(&mut client, &[(0, 7), (0, -2), (5, 0)]).await, [(-1, 1), (-1, 1), (-1, 3)]);
    assert_eq!(delete_records(&mut client, &[(0, -1)]).await, [(6, 0)]);
}

#[tokio::test]
async fn a_deletion_is_seen_through_every_broker() {
    let world = World::new();
    let brokers = [world.start(0).await, world.start(1).await];
    let mut client = brokers[0].client_with("t", 1).await;
    client.produce("t", 0, batch(Compression::None, world.now_ms(), &["a", "b"])).await.expect("produced");
    brokers[1].catch_up_with(&brokers[0]).await;
    assert_eq!(delete_records(&mut client, &[(0, -1)]).await, [(2, 0)]);
    brokers[1].catch_up_with(&brokers[0]).await;
    let mut reader = brokers[1].client().await;
    assert_eq!(reader.fetch("t", 0, 1, 0).await.expect("answered").error_code, 1);
}

#[tokio::test]
async fn records_of_a_topic_that_only_compacts_are_not_deleted() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    assert_eq!(client.create_topic("t", 1, &[("cleanup.policy", "compact")]).await.expect("answered"), 0);
    assert_eq!(delete_records(&mut client, &[(0, -1)]).await, [(-1, 44)]);
}

async fn page(
    client: &mut Client,
    topics: &[&str],
    limit: i32,
    cursor: Option<(String, i32)>,
) -> (Vec<(String, i16, usize)>, Option<(String, i32)>) {
    let cursor = cursor
        .map(|(name, partition)| Cursor::default().with_topic_name(topic_name(&name)).with_partition_index(partition));
    let request = m::DescribeTopicPartitionsRequest::default()
        .with_topics(topics.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor);
    let response = call(client, 0, &request).await;
    let topics = response.topics.iter().map(|topic| {
        let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        (name, topic.error_code, topic.partitions.len())
    });
    let next = response.next_cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (topics.collect(), next)
}

fn row(name: &str, error_code: i16, partitions: usize) -> (String, i16, usize) {
    (name.to_owned(), error_code, partitions)
}

#[tokio::test]
async fn topics_are_described_page_by_page() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("b", 3).await;
    for name in ["a", "c"] {
        assert_eq!(client.create_topic(name, 2, &[]).await.expect("answered"), 0);
    }
    let (topics, next) = page(&mut client, &[], 100, None).await;
    assert_eq!((topics, next), (vec![row("a", 0, 2), row("b", 0, 3), row("c", 0, 2)], None));
    let (topics, next) = page(&mut client, &[], 4, None).await;
    assert_eq!(topics, [row("a", 0, 2), row("b", 0, 2)]);
    let (topics, next) = page(&mut client, &[], 1, next).await;
    assert_eq!((topics, &next), (vec![row("b", 0, 1)], &Some(("c".to_owned(), 0))));
    assert_eq!(page(&mut client, &[], 2, next).await, (vec![row("c", 0, 2)], None));
    let named = page(&mut client, &["c", "nowhere", "bad name", "a", "a"], 100, None).await.0;
    assert_eq!(named, [row("a", 0, 2), row("bad name", 17, 0), row("c", 0, 2), row("nowhere", 3, 0)]);
    assert_eq!(
        page(&mut client, &["a", "b", "c"], 9, Some(("b".to_owned(), 1))).await.0,
        [row("b", 0, 2), row("c", 0, 2)]
    );
    let elsewhere = page(&mut client, &["a", "c"], 9, Some(("b".to_owned(), 1))).await.0;
    assert_eq!(elsewhere, [row("a", 42, 0), row("c", 42, 0)], "the page begins at a topic that is not asked for");
    assert_eq!(page(&mut client, &["a"], -5, None).await.1, Some(("a".to_owned(), 1)), "at least one");
    assert_eq!(page(&mut client, &["a"], 9, Some(("a".to_owned(), -1))).await.0, [row("a", 42, 0)]);
    assert_eq!(page(&mut client, &["a"], 9, Some(("a".to_owned(), 7))).await.0, [row("a", 0, 0)]);
}

#[tokio::test]
async fn log_dirs_show_the_bytes_of_each_partition_on_the_broker_that_clients_are_sent_to() {
    let world = World::new();
    let brokers = [world.start(0).await, world.start(1).await];
    let mut client = brokers[0].client_with("t", 8).await;
    let bytes = batch(Compression::None, world.now_ms(), &["abc"]);
    for partition in 0..8 {
        client.produce("t", partition, bytes.clone()).await.expect("produced");
    }
    let mut seen = Vec::new();
    for broker in &brokers {
        broker.catch_up_with(&brokers[0]).await;
        let request = m::DescribeLogDirsRequest::default().with_topics(None);
        let mut response = call(&mut broker.client().await, 4, &request).await;
        assert_eq!((response.results.len(), response.error_code), (1, 0));
        let result = response.results.remove(0);
        assert_eq!((&*result.log_dir, result.total_bytes), ("memory://", -1));
        for partition in result.topics.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(partition.partition_size, bytes.len() as i64);
            seen.push(partition.partition_index);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..8).collect::<Vec<_>>(), "each partition once");
    let asked = m::describe_log_dirs_request::DescribableLogDirTopic::default()
        .with_topic(topic_name("t"))
        .with_partitions(vec![3, 99]);
    let request = m::DescribeLogDirsRequest::default().with_topics(Some(vec![asked]));
    let mut found = 0;
    for broker in &brokers {
        let response = call(&mut broker.client().await, 1, &request).await;
        found += response.results[0].topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    }
    assert_eq!(found, 1);
}

/// Moves partitions of topics to a directory; error codes in the order of the topics' names.
async fn move_to(client: &mut Client, version: i16, path: &str, topics: &[(&str, &[i32])]) -> Vec<(String, i32, i16)> {
    use m::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let topics = topics.iter().map(|(name, partitions)| {
        AlterReplicaLogDirTopic::default().with_name(topic_name(name)).with_partitions(partitions.to_vec())
    });
    let directory = AlterReplicaLogDir::default().with_path(text(path)).with_topics(topics.collect());
    let request = m::AlterReplicaLogDirsRequest::default().with_dirs(vec![directory]);
    let response = call(client, version, &request).await;
    let codes = response.results.iter().flat_map(|topic| {
        let code = |at: &m::alter_replica_log_dirs_response::AlterReplicaLogDirPartitionResult| {
            (topic.topic_name.to_string(), at.partition_index, at.error_code)
        };
        topic.partitions.iter().map(code)
    });
    codes.collect()
}

#[tokio::test]
async fn replicas_move_to_the_directory_where_they_are_and_nowhere_else() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 2).await;
    for version in 1..=2 {
        let asked: &[(&str, &[i32])] = &[("nowhere", &[0]), ("t", &[0, 1, 2, -1])];
        let moved = move_to(&mut client, version, "memory://", asked).await;
        let row = |topic: &str, partition: i32, code: i16| (topic.to_owned(), partition, code);
        let expected = [row("nowhere", 0, 3), row("t", -1, 3), row("t", 0, 0), row("t", 1, 0), row("t", 2, 3)];
        assert_eq!(moved, expected, "version {version}");
        let moved = move_to(&mut client, version, "/elsewhere", &[("nowhere", &[0]), ("t", &[0])]).await;
        assert_eq!(moved, [row("nowhere", 0, 57), row("t", 0, 57)], "version {version}: the directory comes first");
    }
}

#[tokio::test]
async fn a_replica_moves_on_the_broker_that_shows_it() {
    let world = World::new();
    let brokers = [world.start(0).await, world.start(1).await];
    brokers[0].client_with("t", 8).await;
    let partitions: Vec<i32> = (0..8).collect();
    let mut moved = Vec::new();
    for broker in &brokers {
        broker.catch_up_with(&brokers[0]).await;
        let codes = move_to(&mut broker.client().await, 2, "memory://", &[("t", &partitions)]).await;
        assert!(codes.iter().all(|(.., code)| [0, 9].contains(code)), "{codes:?}");
        moved.extend(codes.into_iter().filter(|(.., code)| *code == 0).map(|(_, partition, _)| partition));
    }
    moved.sort_unstable();
    assert_eq!(moved, partitions, "each on one broker");
}

#[tokio::test]
async fn features_are_told_so_that_tools_enable_what_they_need() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let request = m::ApiVersionsRequest::default()
        .with_client_software_name(text("tests"))
        .with_client_software_version(text("1"));
    for version in 3..=4 {
        let response = call(&mut client, version, &request).await;
        let metadata = response.finalized_features.iter().find(|feature| &*feature.name == "metadata.version");
        assert_eq!(metadata.map(|feature| (feature.min_version_level, feature.max_version_level)), Some((27, 27)));
        assert!(response.finalized_features_epoch >= 0);
        assert!(version > 3 || response.supported_features.iter().all(|feature| feature.min_version > 0));
    }
    let update = |level: i16| {
        let update = m::update_features_request::FeatureUpdateKey::default()
            .with_feature(text("metadata.version"))
            .with_max_version_level(level)
            .with_upgrade_type(1);
        m::UpdateFeaturesRequest::default().with_feature_updates(vec![update])
    };
    assert_eq!(call(&mut client, 2, &update(27)).await.error_code, 0);
    assert_eq!(call(&mut client, 2, &update(28)).await.error_code, 95);
    let response = call(&mut client, 1, &update(27)).await;
    assert_eq!((response.error_code, response.results[0].error_code), (0, 0));
    let response = call(&mut client, 1, &update(20)).await;
    assert_eq!((response.error_code, response.results.len()), (95, 0), "as Kafka: the first error is for all");
}

async fn alter_quotas(client: &mut Client, entity: &[(&str, Option<&str>)], quotas: &[(&str, Option<f64>)]) -> i16 {
    use m::alter_client_quotas_request::{EntityData, EntryData, OpData};
    let part = |(kind, name): &(&str, Option<&str>)| {
        EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text))
    };
    let operation = |(key, value): &(&str, Option<f64>)| {
        let operation = OpData::default().with_key(text(key)).with_remove(value.is_none());
        operation.with_value(value.unwrap_or_default())
    };
    let entry = EntryData::default()
        .with_entity(entity.iter().map(part).collect())
        .with_ops(quotas.iter().map(operation).collect());
    let request = m::AlterClientQuotasRequest::default().with_entries(vec![entry]);
    let dry = call(client, 1, &request.clone().with_validate_only(true)).await.entries[0].error_code;
    let code = call(client, 1, &request).await.entries[0].error_code;
    assert_eq!(dry, code, "a dry run says the same");
    code
}

/// Entities and quotas as text, of those that match.
async fn quotas(client: &mut Client, components: &[(&str, i8, Option<&str>)], strict: bool) -> Vec<String> {
    use m::describe_client_quotas_request::ComponentData;
    let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| {
        let component = ComponentData::default().with_entity_type(text(kind)).with_match_type(*match_type);
        component.with_match(name.map(text))
    };
    let request = m::DescribeClientQuotasRequest::default()
        .with_components(components.iter().map(component).collect())
        .with_strict(strict);
    let response = call(client, 1, &request).await;
    let entries = response.entries.unwrap_or_default().into_iter().map(|entry| {
        let parts = entry.entity.iter().map(|part| {
            let name = part.entity_name.as_ref().map_or("<default>", |name| name);
            format!("{}={name}", part.entity_type)
        });
        let values = entry.values.iter().map(|value| format!("{}={}", value.key, value.value));
        parts.chain(values).collect::<Vec<_>>().join(" ")
    });
    entries.collect()
}

#[tokio::test]
async fn quotas_are_stored_and_found_by_user_client_and_default() {
    let world = World::new();
    let broker = world.start(0).await;
    let client = &mut broker.client().await;
    let ann = ("user", Some("ann"));
    assert_eq!(alter_quotas(client, &[ann], &[("producer_byte_rate", Some(1000.0))]).await, 0);
    let both = &[("client-id", None), ann];
    assert_eq!(alter_quotas(client, both, &[("request_percentage", Some(12.5))]).await, 0);
    assert_eq!(alter_quotas(client, &[("ip", Some("10.0.0.1"))], &[("connection_creation_rate", Some(5.0))]).await, 0);
    type Entity<'a> = &'a [(&'a str, Option<&'a str>)];
    let refused: &[(Entity<'_>, &str, f64)] = &[
        (&[], "producer_byte_rate", 1.0),
        (&[("planet", Some("x"))], "producer_byte_rate", 1.0),
        (&[("user", Some(""))], "producer_byte_rate", 1.0),
        (&[ann, ("ip", Some("10.0.0.1"))], "producer_byte_rate", 1.0),
        (&[ann], "connection_creation_rate", 1.0),
        (&[ann], "producer_byte_rate", 1.5),
        (&[ann], "producer_byte_rate", f64::NAN),
        (&[("ip", Some("nowhere"))], "connection_creation_rate", 1.0),
    ];
    for (entity, key, value) in refused {
        assert_eq!(alter_quotas(client, entity, &[(key, Some(*value))]).await, 42, "{entity:?} {key}={value}");
    }
    let (of_ann, of_both) =
        ("user=ann producer_byte_rate=1000", "client-id=<default> user=ann request_percentage=12.5");
    assert_eq!(quotas(client, &[("user", 0, Some("ann"))], false).await, [of_both, of_ann]);
    assert_eq!(quotas(client, &[("user", 0, Some("ann"))], true).await, [of_ann]);
    assert_eq!(quotas(client, &[("user", 2, None), ("client-id", 1, None)], true).await, [of_both]);
    assert_eq!(quotas(client, &[("user", 1, None)], false).await, [""; 0]);
    assert_eq!(quotas(client, &[], false).await.len(), 3);
    assert_eq!(alter_quotas(client, &[ann], &[("producer_byte_rate", None)]).await, 0);
    assert_eq!(quotas(client, &[("user", 0, Some("ann"))], false).await, [of_both]);
}

#[tokio::test]
async fn scram_users_are_stored_without_their_passwords() {
    use m::alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let upsert = |user: &str, mechanism: i8, iterations: i32| {
        ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(mechanism)
            .with_iterations(iterations)
            .with_salt(Bytes::from_static(b"salt"))
            .with_salted_password(Bytes::from_static(b"hashed"))
    };
    let delete =
        |user: &str, mechanism: i8| ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(mechanism);
    let mut alter = async |deletions: Vec<ScramCredentialDeletion>, upsertions: Vec<ScramCredentialUpsertion>| {
        let request =
            m::AlterUserScramCredentialsRequest::default().with_deletions(deletions).with_upsertions(upsertions);
        let response = call(&mut client, 0, &request).await;
        response.results.iter().map(|result| (result.user.to_string(), result.error_code)).collect::<Vec<_>>()
    };
    let of = |user: &str, code: i16| (user.to_owned(), code);
    assert_eq!(alter(vec![], vec![upsert("ann", 1, 4096), upsert("ann", 2, 8192)]).await, [of("ann", 0)]);
    assert_eq!(alter(vec![], vec![upsert("bob", 1, 4095)]).await, [of("bob", 93)]);
    assert_eq!(alter(vec![], vec![upsert("bob", 1, 16_385), upsert("", 1, 4096)]).await, [of("", 93), of("bob", 93)]);
    assert_eq!(alter(vec![], vec![upsert("bob", 3, 4096)]).await, [of("bob", 33)]);
    assert_eq!(alter(vec![], vec![upsert("bob", 1, 4096), upsert("bob", 1, 4096)]).await, [of("bob", 92)]);
    assert_eq!(alter(vec![delete("bob", 1)], vec![]).await, [of("bob", 91)]);
    assert_eq!(alter(vec![delete("ann", 1)], vec![]).await, [of("ann", 0)]);
    let describe = m::DescribeUserScramCredentialsRequest::default().with_users(None);
    let response = call(&mut client, 0, &describe).await;
    let infos = &response.results[0].credential_infos;
    assert_eq!((response.results.len(), infos.len()), (1, 1));
    assert_eq!((infos[0].mechanism, infos[0].iterations), (2, 8192));
    let state = broker.log.state();
    let kept = &state.scram_users()["ann"][&2];
    assert_eq!((kept.stored_key.len(), kept.server_key.len()), (64, 64));
    assert_ne!(kept.stored_key, Bytes::from_static(b"hashed"));
}

/// Names of what has settings, by kind.
async fn configured(client: &mut Client, kinds: &[i8]) -> Vec<(i8, String)> {
    let request = m::ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
    let response = call(client, 1, &request).await;
    assert_eq!(response.error_code, 0);
    let found = response.config_resources.iter();
    found.map(|resource| (resource.resource_type, resource.resource_name.to_string())).collect()
}

#[tokio::test]
async fn everything_that_has_settings_is_listed() {
    let world = World::new();
    let broker = world.start(7).await;
    let mut client = broker.client_with("t", 1).await;
    let owned = |found: &[(i8, &str)]| found.iter().map(|(kind, name)| (*kind, name.to_string())).collect::<Vec<_>>();
    assert_eq!(configured(&mut client, &[]).await, owned(&[(2, "t"), (4, "7"), (8, "7")]));
    for (kind, name, setting, value) in
        [(32, "g", "consumer.session.timeout.ms", "50000"), (16, "m", "interval.ms", "1000")]
    {
        use m::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
        let config = AlterableConfig::default().with_name(text(setting)).with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(vec![config]);
        let request = m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        assert_eq!(call(&mut client, 1, &request).await.responses[0].error_code, 0, "{name}");
    }
    assert_eq!(configured(&mut client, &[16, 32]).await, owned(&[(16, "m"), (32, "g")]));
    let metrics = call(&mut client, 0, &m::ListConfigResourcesRequest::default()).await;
    assert_eq!(metrics.config_resources.len(), 1);
    let unknown = m::ListConfigResourcesRequest::default().with_resource_types(vec![99]);
    assert_eq!(call(&mut client, 1, &unknown).await.error_code, 35);
}

#[tokio::test]
async fn nothing_is_elected_or_moved_and_partitions_may_stay() {
    use m::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
    let world = World::new();
    let brokers = [world.start(0).await, world.start(1).await];
    let mut client = brokers[0].client_with("t", 1).await;
    let elect =
        m::elect_leaders_request::TopicPartitions::default().with_topic(topic_name("t")).with_partitions(vec![0, 1]);
    let request = m::ElectLeadersRequest::default().with_topic_partitions(Some(vec![elect]));
    let response = call(&mut client, 2, &request).await;
    let codes: Vec<_> =
        response.replica_election_results[0].partition_result.iter().map(|result| result.error_code).collect();
    assert_eq!((response.error_code, codes), (0, vec![84, 3]));
    let all = m::ElectLeadersRequest::default().with_topic_partitions(None);
    assert!(call(&mut client, 2, &all).await.replica_election_results.is_empty());

    let leader = leader(&brokers[0]);
    let mut reassign = async |partition: i32, replicas: Option<Vec<i32>>| {
        let replicas = replicas.map(|ids| ids.into_iter().map(Into::into).collect());
        let partition = ReassignablePartition::default().with_partition_index(partition).with_replicas(replicas);
        let topic = ReassignableTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        let request = m::AlterPartitionReassignmentsRequest::default().with_topics(vec![topic]);
        call(&mut client, 1, &request).await.responses[0].partitions[0].error_code
    };
    assert_eq!(reassign(0, Some(vec![leader])).await, 0, "it is there already");
    for replicas in [vec![1 - leader], vec![0, 1], vec![], vec![9], vec![leader, leader]] {
        assert_eq!(reassign(0, Some(replicas.clone())).await, 39, "{replicas:?}");
    }
    assert_eq!(reassign(0, None).await, 85, "nothing to cancel");
    assert_eq!(reassign(1, None).await, 3);
    let list = m::ListPartitionReassignmentsRequest::default().with_topics(None);
    assert!(call(&mut client, 0, &list).await.topics.is_empty());
}

fn leader(broker: &Running) -> i32 {
    let state = broker.log.state();
    let topic = state.topic_by_name("t").expect("it exists").id;
    let place = frazil_base::TopicPartition { topic, partition: 0 };
    state.leader(place, None).expect("a broker is open").id.0
}

#[tokio::test]
async fn the_metadata_log_is_described_as_a_quorum_of_one() {
    use m::describe_quorum_request::{PartitionData, TopicData};
    let world = World::new();
    let brokers = [world.start(3).await, world.start(5).await];
    brokers[0].catch_up_with(&brokers[1]).await;
    let ask = |name: &str| {
        let topic =
            TopicData::default().with_topic_name(topic_name(name)).with_partitions(vec![PartitionData::default()]);
        m::DescribeQuorumRequest::default().with_topics(vec![topic])
    };
    let mut client = brokers[0].client().await;
    let response = call(&mut client, 2, &ask("__cluster_metadata")).await;
    let partition = &response.topics[0].partitions[0];
    let ids = |replicas: &[m::describe_quorum_response::ReplicaState]| -> Vec<i32> {
        replicas.iter().map(|replica| replica.replica_id.0).collect()
    };
    assert_eq!((partition.leader_id.0, response.nodes.len()), (3, 1));
    assert_eq!((ids(&partition.current_voters), ids(&partition.observers)), (vec![3], vec![5]));
    assert_eq!(partition.high_watermark as u64, brokers[0].log.state().applied().0);
    let response = call(&mut client, 0, &ask("orders")).await;
    assert_eq!(response.topics[0].partitions[0].error_code, 3);
}

#[tokio::test]
async fn without_an_authorizer_acls_are_refused_as_kafka_does() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let describe = m::DescribeAclsRequest::default().with_resource_type_filter(1).with_pattern_type_filter(1);
    assert_eq!(call(&mut client, 3, &describe).await.error_code, 54);
    let create = m::CreateAclsRequest::default().with_creations(vec![Default::default(); 2]);
    let codes: Vec<_> = call(&mut client, 3, &create).await.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [54, 54]);
    let delete = m::DeleteAclsRequest::default().with_filters(vec![Default::default()]);
    assert_eq!(call(&mut client, 3, &delete).await.filter_results[0].error_code, 54);
}
