use super::world::World;
use crate::BrokerSettings;
use crate::testing::topic_name;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use std::collections::BTreeMap;

fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
}

fn assigned(name: &str, places: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(index, brokers): &(i32, &[i32])| {
        let brokers = brokers.iter().map(|id| (*id).into()).collect();
        CreatableReplicaAssignment::default().with_partition_index(*index).with_broker_ids(brokers)
    };
    topic(name, -1, -1).with_assignments(places.iter().map(assignment).collect())
}

fn with_config(topic: CreatableTopic, name: &'static str, value: Option<&'static str>) -> CreatableTopic {
    let config = CreatableTopicConfig::default().with_name(name.into()).with_value(value.map(Into::into));
    topic.with_configs(vec![config])
}

#[tokio::test]
async fn create_topics_checks_everything_and_creates_what_is_right() {
    let world = World::new();
    let settings = BrokerSettings { num_partitions: 4, default_replication_factor: 3, ..BrokerSettings::default() };
    let broker = world.start_with(0, None, settings).await;
    let mut client = broker.client_with("there_is", 1).await;
    let cases = vec![
        (topic("plain", 2, 1), 0),
        (topic("defaults", -1, -1), 0),
        (topic("any-replication", 1, 7), 0),
        (assigned("placed", &[(1, &[0]), (0, &[0])]), 0),
        (with_config(topic("configured", 1, 1), "retention.ms", Some("1000")), 0),
        (topic("there_is", 1, 1), 36),
        (topic("there.is", 1, 1), 17),
        (topic("bad name", 1, 1), 17),
        (topic("none", 0, 1), 37),
        (topic("negative", -2, 1), 37),
        (topic("enormous", 100_001, 1), 37),
        (topic("no-replicas", 1, 0), 38),
        (with_config(topic("c1", 1, 1), "no.such.setting", Some("1")), 40),
        (with_config(topic("c2", 1, 1), "retention.ms", Some("soon")), 40),
        (with_config(topic("c3", 1, 1), "cleanup.policy", Some("burn")), 40),
        (with_config(topic("c4", 1, 1), "retention.ms", None), 40),
        (assigned("p1", &[(1, &[0])]), 39),
        (assigned("p2", &[(0, &[])]), 39),
        (assigned("p3", &[(0, &[0, 0])]), 39),
        (assigned("p4", &[(0, &[9])]), 39),
        (assigned("p5", &[(0, &[0]), (0, &[0])]), 39),
        (assigned("p6", &[(0, &[0])]).with_num_partitions(1), 42),
        (assigned("p7", &[(0, &[0])]).with_replication_factor(1), 42),
        (topic("twice", 1, 1), 42),
        (topic("twice", 1, 1), 42),
    ];
    let (topics, codes): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let expected: BTreeMap<_, _> = topics.iter().map(|topic| topic.name.to_string()).zip(codes).collect();
    let request = CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(1000);
    let dry = client.call(7, &request.clone().with_validate_only(true)).await.expect("answered");
    assert_eq!(broker.log.state().topics().count(), 1, "a dry run creates nothing");
    let response = client.call(7, &request).await.expect("answered");
    for response in [&dry, &response] {
        let found: BTreeMap<_, _> =
            response.topics.iter().map(|topic| (topic.name.to_string(), topic.error_code)).collect();
        assert_eq!(found, expected);
        assert_eq!(response.topics.len(), expected.len(), "one answer per name");
        assert!(response.topics.iter().all(|topic| (topic.error_code == 0) == topic.error_message.is_none()));
    }
    let numbers = |name: &str| {
        let created = response.topics.iter().find(|topic| &**topic.name == name).expect("answered");
        (created.num_partitions, created.replication_factor, created.topic_id.is_nil())
    };
    assert_eq!(numbers("plain"), (2, 1, false));
    assert_eq!(numbers("defaults"), (4, 3, false));
    assert_eq!(numbers("placed"), (2, 1, false));
    let configured = response.topics.iter().find(|topic| &**topic.name == "configured").expect("answered");
    let retention = configured.configs.as_ref().expect("configs").iter().find(|config| &*config.name == "retention.ms");
    let retention = retention.expect("retention.ms");
    assert_eq!((retention.value.as_deref().map(String::from), retention.config_source), (Some("1000".into()), 1));
    let again = client.call(2, &CreateTopicsRequest::default().with_topics(vec![topic("plain", 1, 1)])).await;
    assert_eq!(again.expect("answered").topics[0].error_code, 36);
}

#[tokio::test]
async fn create_topics_works_in_every_version() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    for version in 2..=7 {
        let name = format!("v{version}");
        let request = CreateTopicsRequest::default().with_topics(vec![topic(&name, 2, 1)]);
        let response = client.call(version, &request).await.expect("answered");
        assert_eq!((response.topics[0].error_code, &**response.topics[0].name), (0, name.as_str()));
        assert!(broker.log.state().topic_by_name(&name).is_some_and(|topic| topic.partitions.len() == 2));
    }
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    for version in 1..=5 {
        client.create_topic("t", 1, &[]).await.expect("answered");
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t"), topic_name("nowhere")]);
        let response = client.call(version, &request).await.expect("answered");
        let codes: Vec<_> = response.responses.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [0, 3], "version {version}");
        assert_eq!(broker.log.state().topics().count(), 0);
    }
    client.create_topic("a", 1, &[]).await.expect("answered");
    client.create_topic("b", 1, &[]).await.expect("answered");
    let id = |name: &str| uuid::Uuid::from_u128(broker.log.state().topic_by_name(name).expect("created").id.0);
    let by_id = DeleteTopicState::default().with_topic_id(id("b"));
    let states = vec![
        DeleteTopicState::default().with_name(Some(topic_name("a"))),
        by_id.clone(),
        by_id.clone().with_topic_id(uuid::Uuid::from_u128(9)),
        DeleteTopicState::default(),
        by_id.with_name(Some(topic_name("a"))),
        DeleteTopicState::default().with_name(Some(topic_name("nowhere"))),
    ];
    let b = id("b");
    let response = client.call(6, &DeleteTopicsRequest::default().with_topics(states)).await.expect("answered");
    let codes: Vec<_> = response.responses.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 0, 100, 42, 42, 3]);
    let deleted = &response.responses[1];
    assert_eq!((deleted.name.as_ref().map(|name| name.to_string()), deleted.topic_id), (Some("b".to_owned()), b));
    assert_eq!(broker.log.state().topics().count(), 0);
}

#[tokio::test]
async fn topic_deletion_can_be_switched_off() {
    let world = World::new();
    let kafka = BTreeMap::from([("delete.topic.enable".to_owned(), "false".to_owned())]);
    let broker = world.start_with(0, None, BrokerSettings { kafka, ..BrokerSettings::default() }).await;
    let mut client = broker.client_with("t", 1).await;
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]);
    assert_eq!(client.call(5, &request).await.expect("answered").responses[0].error_code, 73);
}

#[tokio::test]
async fn partitions_are_added_and_never_taken_away() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 2).await;
    client.create_topic("u", 1, &[]).await.expect("answered");
    let grow = |name: &str, count: i32| {
        CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None)
    };
    let placed = |count: i32, places: &[&[i32]]| {
        let place = |brokers: &&[i32]| {
            CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
        };
        grow("t", count).with_assignments(Some(places.iter().map(place).collect()))
    };
    let cases = [
        (grow("t", 2), 37),
        (grow("t", 1), 37),
        (grow("t", -1), 37),
        (grow("t", 1_000_000), 37),
        (grow("nowhere", 2), 3),
        (placed(4, &[&[0]]), 39),
        (placed(3, &[&[7]]), 39),
        (placed(3, &[&[0]]), 0),
        (grow("t", 6), 0),
    ];
    for (version, (topic, code)) in [0, 1, 2, 3, 0, 1, 2, 3, 3].into_iter().zip(cases) {
        let before = broker.log.state().topic_by_name("t").expect("created").partitions.len();
        let dry = CreatePartitionsRequest::default().with_topics(vec![topic.clone()]).with_validate_only(true);
        assert_eq!(client.call(version, &dry).await.expect("answered").results[0].error_code, code);
        assert_eq!(broker.log.state().topic_by_name("t").expect("created").partitions.len(), before);
        let request = CreatePartitionsRequest::default().with_topics(vec![topic.clone()]);
        let response = client.call(version, &request).await.expect("answered");
        assert_eq!(response.results[0].error_code, code, "{topic:?}: {:?}", response.results[0].error_message);
    }
    assert_eq!(broker.log.state().topic_by_name("t").expect("created").partitions.len(), 6);
    let twice = CreatePartitionsRequest::default().with_topics(vec![grow("u", 2), grow("u", 3)]);
    let response = client.call(3, &twice).await.expect("answered");
    assert_eq!(response.results.iter().map(|result| result.error_code).collect::<Vec<_>>(), [42]);
}
