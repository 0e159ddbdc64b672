use super::world::World;
use crate::BrokerSettings;
use crate::testing::{batch, topic_name};
use frazil_wire::Compression;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;

fn named(names: &[&str]) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    MetadataRequest::default().with_topics(Some(names.iter().map(topic).collect()))
}

#[tokio::test]
async fn null_asks_for_all_topics_and_empty_for_none() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("a", 1).await;
    client.create_topic("b", 2, &[]).await.expect("answered");
    let names = |response: kafka_protocol::messages::MetadataResponse| -> Vec<String> {
        response.topics.iter().filter_map(|topic| topic.name.as_ref().map(|name| name.to_string())).collect()
    };
    let (null, empty) = (MetadataRequest::default().with_topics(None), named(&[]));
    for version in 1..=13 {
        assert_eq!(names(client.call(version, &null).await.expect("answered")), ["a", "b"], "version {version}");
        assert!(names(client.call(version, &empty).await.expect("answered")).is_empty(), "version {version}");
    }
    assert_eq!(names(client.call(0, &empty).await.expect("answered")), ["a", "b"], "version 0 has no null");
}

#[tokio::test]
async fn unknown_topics_are_created_where_that_is_allowed() {
    let world = World::new();
    let settings = BrokerSettings { num_partitions: 3, default_replication_factor: 2, ..BrokerSettings::default() };
    let broker = world.start_with(0, None, settings).await;
    let mut client = broker.client().await;
    let response = client.call(9, &named(&["new"]).with_allow_auto_topic_creation(false)).await.expect("answered");
    assert_eq!(response.topics[0].error_code, 3);
    for bad in ["", "a b", ".."] {
        let response = client.call(9, &named(&[bad])).await.expect("answered");
        assert_eq!(response.topics[0].error_code, 17, "{bad:?}");
    }
    let response = client.call(13, &named(&["new"])).await.expect("answered");
    let topic = &response.topics[0];
    assert_eq!((topic.error_code, topic.partitions.len()), (0, 3));
    assert!(!topic.topic_id.is_nil());
    let replicas: Vec<_> = topic.partitions[0].replica_nodes.iter().map(|id| id.0).collect();
    assert_eq!(replicas, [0, 0], "as many as the replication factor");
    assert_eq!(topic.partitions[0].isr_nodes.len(), 2);
    let response = client.call(13, &named(&["new_1", "new.1"])).await.expect("answered");
    let codes: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "the two collide: {codes:?}");
    let by_id = MetadataRequestTopic::default().with_name(None).with_topic_id(topic.topic_id);
    let unknown = by_id.clone().with_topic_id(uuid::Uuid::from_u128(9));
    let response = client.call(12, &MetadataRequest::default().with_topics(Some(vec![by_id, unknown]))).await;
    let response = response.expect("answered");
    assert_eq!(response.topics[0].name.as_ref().map(|name| name.to_string()), Some("new".to_owned()));
    assert_eq!((response.topics[1].error_code, response.topics[1].name.clone()), (100, None));
}

#[tokio::test]
async fn auto_creation_can_be_switched_off() {
    let world = World::new();
    let settings = BrokerSettings { auto_create_topics: false, ..BrokerSettings::default() };
    let broker = world.start_with(0, None, settings).await;
    let mut client = broker.client().await;
    for version in [1, 9, 13] {
        assert_eq!(client.call(version, &named(&["new"])).await.expect("answered").topics[0].error_code, 3);
    }
}

#[tokio::test]
async fn many_topics_are_created_by_one_request() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let names: Vec<_> = (0..100).map(|number| format!("topic-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let response = client.call(9, &named(&names)).await.expect("answered");
    assert!(response.topics.iter().all(|topic| topic.error_code == 0));
    assert_eq!(broker.log.state().topics().count(), 100);
}

#[tokio::test]
async fn authorized_operations_are_told_only_when_asked() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let response = client.call(8, &named(&["t"])).await.expect("answered");
    assert_eq!(response.cluster_authorized_operations, i32::MIN);
    assert_eq!(response.topics[0].topic_authorized_operations, i32::MIN);
    let asking =
        named(&["t"]).with_include_cluster_authorized_operations(true).with_include_topic_authorized_operations(true);
    let response = client.call(8, &asking).await.expect("answered");
    assert!(response.cluster_authorized_operations > 0);
    assert!(response.topics[0].topic_authorized_operations > 0);
    let response = client.call(1, &DescribeClusterRequest::default().with_endpoint_type(1)).await.expect("answered");
    assert_eq!(response.cluster_authorized_operations, i32::MIN);
    let asking = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
    assert!(client.call(0, &asking).await.expect("answered").cluster_authorized_operations > 0);
}

#[tokio::test]
async fn leaders_lie_in_the_clients_zone_and_resolve() {
    let world = World::new();
    let settings = BrokerSettings { cluster_id: "my-cluster".to_owned(), ..BrokerSettings::default() };
    let first = world.start_with(1, Some("a"), settings.clone()).await;
    let second = world.start_with(2, Some("b"), settings).await;
    let mut client = first.client_with("t", 16).await;
    second.catch_up_with(&first).await;
    for (client_id, expected) in
        [("x,zone=a", vec![1]), ("ws_az=b", vec![2]), ("zone=elsewhere", vec![1, 2]), ("x", vec![1, 2])]
    {
        client.rename(client_id);
        let response = client.call(12, &named(&["t"])).await.expect("answered");
        let mut leaders: Vec<_> = response.topics[0].partitions.iter().map(|part| part.leader_id.0).collect();
        leaders.sort_unstable();
        leaders.dedup();
        assert_eq!(leaders, expected, "{client_id}");
        let brokers: Vec<_> = response
            .brokers
            .iter()
            .map(|broker| (broker.node_id.0, broker.rack.as_deref().map(String::from)))
            .collect();
        assert_eq!(brokers, [(1, Some("a".to_owned())), (2, Some("b".to_owned()))]);
        assert_eq!(
            (response.controller_id.0, response.cluster_id.as_deref().map(String::from)),
            (1, Some("my-cluster".to_owned()))
        );
    }
    let mut other = second.client().await;
    other.rename("x");
    let (here, there) = (client.call(12, &named(&["t"])).await, other.call(12, &named(&["t"])).await);
    assert_eq!(here.expect("answered"), there.expect("answered"), "all brokers say the same");
}

#[tokio::test]
async fn describe_cluster_lists_the_brokers_in_every_version() {
    let world = World::new();
    let broker = world.start(5).await;
    let mut client = broker.client().await;
    for version in 0..=2 {
        let response =
            client.call(version, &DescribeClusterRequest::default().with_endpoint_type(1)).await.expect("answered");
        assert_eq!((response.error_code, response.controller_id.0, &*response.cluster_id), (0, 5, "frazil"));
        let brokers: Vec<_> = response.brokers.iter().map(|broker| (broker.broker_id.0, broker.port as u16)).collect();
        assert_eq!(brokers, [(5, broker.address.port())]);
    }
    for (endpoint_type, code) in [(2, 114), (9, 115)] {
        let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
        assert_eq!(client.call(1, &request).await.expect("answered").error_code, code);
    }
}

#[tokio::test]
async fn coordinators_are_brokers_of_the_cluster() {
    let world = World::new();
    let broker = world.start(5).await;
    let mut client = broker.client().await;
    let key = StrBytes::from_static_str("orders");
    for version in 0..=3 {
        let response =
            client.call(version, &FindCoordinatorRequest::default().with_key(key.clone())).await.expect("answered");
        assert_eq!((response.error_code, response.node_id.0, response.port as u16), (0, 5, broker.address.port()));
    }
    for version in 4..=6 {
        let request =
            FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![key.clone(), "other".into()]);
        let response = client.call(version, &request).await.expect("answered");
        let found: Vec<_> =
            response.coordinators.iter().map(|found| (found.key.to_string(), found.node_id.0)).collect();
        assert_eq!(found, [("orders".to_owned(), 5), ("other".to_owned(), 5)]);
    }
    let request = FindCoordinatorRequest::default().with_key_type(9).with_coordinator_keys(vec![key]);
    assert_eq!(client.call(4, &request).await.expect("answered").coordinators[0].error_code, 42);
}

#[tokio::test]
async fn a_topic_created_again_has_another_id_and_starts_from_zero() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.produce("t", 0, batch(Compression::None, 1, &["a"])).await.expect("answered");
    let before = client.call(12, &named(&["t"])).await.expect("answered").topics[0].topic_id;
    let delete = kafka_protocol::messages::DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]);
    assert_eq!(client.call(5, &delete).await.expect("answered").responses[0].error_code, 0);
    client.create_topic("t", 1, &[]).await.expect("answered");
    let after = client.call(12, &named(&["t"])).await.expect("answered").topics[0].topic_id;
    assert_ne!(before, after);
    assert_eq!(client.fetch("t", 0, 0, 0).await.expect("answered").high_watermark, 0);
    let produced = client.produce("t", 0, batch(Compression::None, 1, &["b"])).await.expect("answered");
    assert_eq!(produced.base_offset, 0);
    let mut by_id = crate::testing::fetch_request("", 0, 0, 0);
    by_id.topics[0].topic_id = before;
    assert_eq!(client.call(13, &by_id).await.expect("answered").responses[0].partitions[0].error_code, 100);
}
