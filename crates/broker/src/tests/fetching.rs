use super::world::World;
use crate::BrokerSettings;
use crate::testing::{batch, fetch_request, topic_name};
use frazil_wire::{Batches, Compression};
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

fn offsets(topic: &str, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let wanted = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![wanted]);
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

#[tokio::test]
async fn a_fetch_from_inside_a_batch_gets_the_whole_batch() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.produce("t", 0, batch(Compression::None, 1, &["a", "b", "c"])).await.expect("answered");
    client.produce("t", 0, batch(Compression::None, 1, &["d"])).await.expect("answered");
    for (offset, bases) in [(0, vec![0, 3]), (2, vec![0, 3]), (3, vec![3]), (4, vec![])] {
        let fetched = client.fetch("t", 0, offset, 0).await.expect("answered");
        assert_eq!((fetched.error_code, fetched.high_watermark, fetched.last_stable_offset), (0, 4, 4));
        let records = fetched.records.unwrap_or_default();
        let found: Vec<_> = Batches::new(&records).map(|(_, header)| header.base_offset).collect();
        assert_eq!(found, bases, "from {offset}");
    }
}

#[tokio::test]
async fn offsets_out_of_range_and_unknown_things_get_kafkas_codes() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.produce("t", 0, batch(Compression::None, 1, &["a"])).await.expect("answered");
    for (partition, offset, code, log_start) in [(0, 2, 1, 0), (0, -1, 1, 0), (1, 0, 3, -1)] {
        let fetched = client.fetch("t", partition, offset, 5_000).await.expect("answered");
        assert_eq!((fetched.error_code, fetched.log_start_offset), (code, log_start), "{partition} {offset}");
    }
    assert_eq!(client.fetch("nowhere", 0, 0, 5_000).await.expect("answered").error_code, 3);
    for (epoch, code) in [(-1, 0), (0, 0), (1, 75), (-2, 74)] {
        let mut request = fetch_request("t", 0, 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let response = client.call(12, &request).await.expect("answered");
        assert_eq!(response.responses[0].partitions[0].error_code, code, "epoch {epoch}");
    }
}

#[tokio::test]
async fn every_version_answers_every_partition_and_declines_sessions() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 3).await;
    let id = uuid::Uuid::from_u128(broker.log.state().topic_by_name("t").expect("created").id.0);
    client.produce("t", 1, batch(Compression::None, 1, &["a"])).await.expect("answered");
    for version in 4..=17 {
        let mut request = fetch_request("t", 0, 0, 0).with_session_epoch(if version >= 7 { 0 } else { -1 });
        for index in 1..3 {
            let partition = FetchPartition::default().with_partition(index).with_partition_max_bytes(1000);
            request.topics[0].partitions.push(partition);
        }
        if version >= 13 {
            request.topics[0].topic = topic_name("");
            request.topics[0].topic_id = id;
        }
        let response = client.call(version, &request).await.expect("answered");
        assert_eq!((response.error_code, response.session_id), (0, 0), "version {version}");
        let partitions: Vec<_> = response.responses[0]
            .partitions
            .iter()
            .map(|part| {
                (
                    part.partition_index,
                    part.error_code,
                    part.high_watermark,
                    part.records.as_ref().map_or(0, |records| records.len().min(1)),
                )
            })
            .collect();
        assert_eq!(partitions, [(0, 0, 0, 0), (1, 0, 1, 1), (2, 0, 0, 0)], "version {version}");
        assert_eq!(response.responses[0].topic_id, if version >= 13 { id } else { uuid::Uuid::nil() });
    }
}

#[tokio::test]
async fn unknown_sessions_and_topic_ids_are_told_apart() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    for (session_id, session_epoch, code) in [(77, 1, 70), (0, 3, 70), (77, 0, 0), (77, -1, 0)] {
        let request = fetch_request("t", 0, 0, 0).with_session_id(session_id).with_session_epoch(session_epoch);
        let response = client.call(12, &request).await.expect("answered");
        assert_eq!((response.error_code, response.session_id), (code, 0), "{session_id} {session_epoch}");
    }
    let mut request = fetch_request("", 0, 0, 0);
    request.topics[0].topic_id = uuid::Uuid::from_u128(7);
    let response = client.call(13, &request).await.expect("answered");
    assert_eq!(response.responses[0].partitions[0].error_code, 100);
}

#[tokio::test]
async fn read_committed_reads_up_to_the_end_and_lists_no_aborted_transactions() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.produce("t", 0, batch(Compression::None, 1, &["a"])).await.expect("answered");
    let response = client.call(12, &fetch_request("t", 0, 0, 0).with_isolation_level(1)).await.expect("answered");
    let partition = &response.responses[0].partitions[0];
    assert_eq!(partition.aborted_transactions.as_ref().map(Vec::len), Some(0));
    assert!(partition.records.as_ref().is_some_and(|records| !records.is_empty()));
}

#[tokio::test]
async fn the_first_batch_may_exceed_the_limits_and_only_that() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 2).await;
    let large = "x".repeat(5_000);
    for partition in [0, 0, 1] {
        client.produce("t", partition, batch(Compression::None, 1, &[&large])).await.expect("answered");
    }
    let mut request = fetch_request("t", 0, 0, 0).with_max_bytes(1);
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let second = request.topics[0].partitions[0].clone().with_partition(1);
    request.topics[0].partitions.push(second);
    let response = client.call(12, &request).await.expect("answered");
    let count = |index: usize| {
        let records = response.responses[0].partitions[index].records.clone().unwrap_or_default();
        Batches::new(&records).count()
    };
    assert_eq!((count(0), count(1)), (1, 0));
}

#[tokio::test]
async fn offsets_are_listed_by_their_special_names_and_by_time() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    for (timestamp, values) in [(100, ["a", "b"]), (300, ["c", "d"]), (200, ["e", "f"])] {
        client.produce("t", 0, batch(Compression::Lz4, timestamp, &values)).await.expect("answered");
    }
    let cases = [
        (-1, 10, 0, (6, -1, 0)),
        (-2, 10, 0, (0, -1, 0)),
        (-3, 10, 0, (2, 300, 0)),
        (-4, 10, 0, (0, -1, 0)),
        (-5, 10, 0, (-1, -1, -1)),
        (0, 10, 0, (0, 100, 0)),
        (101, 10, 0, (2, 300, 0)),
        (300, 1, 0, (2, 300, 0)),
        (301, 5, 0, (-1, -1, -1)),
        (-3, 6, 35, (-1, -1, -1)),
        (-6, 10, 35, (-1, -1, -1)),
    ];
    for (timestamp, version, code, expected) in cases {
        let response = client.call(version, &offsets("t", 0, timestamp)).await.expect("answered");
        let found = &response.topics[0].partitions[0];
        assert_eq!(found.error_code, code, "{timestamp} in version {version}");
        let epoch = if version >= 4 { found.leader_epoch } else { expected.2 };
        assert_eq!((found.offset, found.timestamp, epoch), expected, "{timestamp} in version {version}");
    }
    for (topic, partition) in [("t", 1), ("nowhere", 0)] {
        let response = client.call(10, &offsets(topic, partition, -1)).await.expect("answered");
        assert_eq!(response.topics[0].partitions[0].error_code, 3);
    }
    let mut twice = offsets("t", 0, -1);
    let again = twice.topics[0].partitions[0].clone();
    twice.topics[0].partitions.push(again);
    let response = client.call(10, &twice).await.expect("answered");
    assert_eq!(response.topics[0].partitions[1].error_code, 42);
}

#[tokio::test]
async fn the_only_epoch_ends_with_the_log() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.produce("t", 0, batch(Compression::None, 1, &["a"])).await.expect("answered");
    let cases = [(0, 0, -1, (0, 0, 1)), (0, 3, -1, (0, -1, -1)), (0, 0, 5, (75, -1, -1)), (9, 0, -1, (3, -1, -1))];
    for (partition, epoch, current, expected) in cases {
        let wanted = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default().with_topic(topic_name("t")).with_partitions(vec![wanted]);
        let request = OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        for version in 2..=4 {
            let version_request =
                if version < 3 { request.clone().with_replica_id((-2).into()) } else { request.clone() };
            let response = client.call(version, &version_request).await.expect("answered");
            let found = &response.topics[0].partitions[0];
            assert_eq!((found.error_code, found.leader_epoch, found.end_offset), expected, "{partition} {epoch}");
        }
    }
}

#[tokio::test]
async fn consumers_that_do_not_read_hold_no_more_than_the_budget() {
    let world = World::new();
    let settings = BrokerSettings { fetched_bytes_in_flight: 12 << 20, ..BrokerSettings::default() };
    let broker = world.start_with(0, None, settings).await;
    let mut client = broker.client_with("t", 8).await;
    let large = "x".repeat(1_000_000);
    for partition in 0..8 {
        client.produce("t", partition, batch(Compression::None, 1, &[&large])).await.expect("answered");
    }
    let mut request = fetch_request("t", 0, 0, 0);
    let first = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..8).map(|index| first.clone().with_partition(index)).collect();
    let mut lazy = Vec::new();
    for _ in 0..6 {
        let mut client = broker.client().await;
        client.send(12, &request).await.expect("sent");
        lazy.push(client);
    }
    while !broker.metrics().contains("frazil_back_pressure_waits_total 5") {
        tokio::task::yield_now().await;
    }
    let metrics = broker.metrics();
    let line = metrics.lines().find(|line| line.starts_with("frazil_fetched_bytes_in_flight ")).expect("a line");
    let held: usize = line.rsplit(' ').next().expect("a value").parse().expect("a number");
    assert!(held <= 20 << 20, "{held} bytes: the budget, and one who overdraws");
    for mut client in lazy {
        let response = client.receive::<FetchRequest>(12).await.expect("answered in the end");
        assert!(
            response.responses[0]
                .partitions
                .iter()
                .all(|part| part.records.as_ref().is_some_and(|records| records.len() > 1_000_000))
        );
    }
    assert!(broker.metrics().contains("frazil_fetched_bytes_in_flight 0"));
}
