use super::world::World;
use crate::BrokerSettings;
use crate::testing::{batch, fetch_request, produce_request};
use frazil_store::Operation;
use frazil_store::testing::Point;
use frazil_wire::Compression;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, FetchRequest, MetadataRequest, ProduceRequest, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use std::time::Duration;

fn one(value: &str) -> bytes::Bytes {
    batch(Compression::None, 1, &[value])
}

#[tokio::test]
async fn five_produces_in_flight_are_submitted_before_the_first_commits_and_answered_in_order() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let gate = world.faults.hold(Operation::Put, "wal/", Point::Before);
    for number in 0..5 {
        client.send(11, &produce_request("t", 0, one(&number.to_string()))).await.expect("sent");
    }
    client.send(9, &MetadataRequest::default().with_topics(Some(Vec::new()))).await.expect("sent");
    while broker.log.in_flight_bytes() < 5 * one("0").len() {
        tokio::task::yield_now().await;
    }
    assert_eq!(broker.log.state().topic_by_name("t").expect("created").partitions[0].next_offset, 0);
    gate.open();
    for number in 0..5 {
        let response = client.receive::<ProduceRequest>(11).await.expect("answers come in order");
        assert_eq!(response.responses[0].partition_responses[0].base_offset, number);
    }
    client.receive::<MetadataRequest>(9).await.expect("and what stands behind them after them");
    let records = client.fetch("t", 0, 0, 0).await.expect("fetched").records.expect("records");
    let values = records_of(&records);
    assert_eq!(values, ["0", "1", "2", "3", "4"]);
}

fn records_of(bytes: &bytes::Bytes) -> Vec<String> {
    let mut values = Vec::new();
    for (position, header) in frazil_wire::Batches::new(bytes) {
        let batch = bytes.slice(position..position + header.total_bytes());
        for record in frazil_wire::Records::new(&batch, 1 << 20).expect("a batch") {
            let value = record.expect("a record").value.expect("a value");
            values.push(String::from_utf8(value.to_vec()).expect("text"));
        }
    }
    values
}

#[tokio::test]
async fn a_full_pipeline_stops_reading_until_an_answer_is_out() {
    let world = World::new();
    let settings = BrokerSettings { pipeline_depth: 2, ..BrokerSettings::default() };
    let broker = world.start_with(0, None, settings).await;
    let mut client = broker.client_with("t", 1).await;
    let gate = world.faults.hold(Operation::Put, "wal/", Point::Before);
    for number in 0..20 {
        client.send(11, &produce_request("t", 0, one(&number.to_string()))).await.expect("sent");
    }
    gate.arrived(1).await;
    assert!(broker.log.in_flight_bytes() <= 2 * one("0").len());
    gate.open();
    for number in 0..20 {
        let response = client.receive::<ProduceRequest>(11).await.expect("answered");
        assert_eq!(response.responses[0].partition_responses[0].base_offset, number);
    }
}

#[tokio::test]
async fn acks_0_is_not_answered_and_closes_on_error() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.send(11, &produce_request("t", 0, one("a")).with_acks(0)).await.expect("sent");
    client.expect_no_answer();
    let fetched = client.fetch("t", 0, 0, 0).await.expect("the next answer is the fetch's");
    assert_eq!(fetched.high_watermark, 1);

    client.send(11, &produce_request("nowhere", 0, one("a")).with_acks(0)).await.expect("sent");
    assert_eq!(client.until_closed().await, b"");
}

#[tokio::test]
async fn api_versions_of_the_future_is_answered_in_version_0() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let frame = client.frame(18, 99, 2, b"whatever a later version says").expect("encodes");
    client.send_bytes(&frame).await.expect("sent");
    let mut answer = client.receive_frame().await.expect("answered");
    assert_eq!(ResponseHeader::decode(&mut answer, 0).expect("a header").correlation_id, 0);
    let response = ApiVersionsResponse::decode(&mut answer, 0).expect("version 0");
    assert_eq!(response.error_code, 35);
    let ranges: Vec<_> = response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    assert_eq!(ranges, [(18, 0, 4)]);
    client.expect_no_answer();
    let name = StrBytes::from_static_str("test-client");
    let request =
        ApiVersionsRequest::default().with_client_software_name(name.clone()).with_client_software_version(name);
    let response = client.call(4, &request).await.expect("the connection is still good");
    assert_eq!((response.error_code, response.api_keys[0].min_version), (0, 0), "Produce is advertised from 0");
}

#[tokio::test]
async fn api_versions_refuses_impossible_software_names() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let bad = StrBytes::from_static_str("-no-");
    let request =
        ApiVersionsRequest::default().with_client_software_name(bad.clone()).with_client_software_version(bad);
    assert_eq!(client.call(3, &request).await.expect("answered").error_code, 42);
    assert_eq!(client.call(2, &ApiVersionsRequest::default()).await.expect("answered").error_code, 0);
}

#[tokio::test]
async fn unknown_apis_and_versions_close_the_connection() {
    let world = World::new();
    let broker = world.start(0).await;
    for (key, version, header_version) in
        [(0, 2, 1), (0, 14, 2), (1, 3, 1), (7, 0, 1), (3, 99, 2), (999, 0, 1), (-1, 0, 1)]
    {
        let mut client = broker.client().await;
        let frame = client.frame(key, version, header_version, &[0; 32]).expect("encodes");
        client.send_bytes(&frame).await.expect("sent");
        assert_eq!(client.until_closed().await, b"", "API {key} version {version}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let world = World::new();
    let broker = world.start_with(0, None, BrokerSettings { connections_max: 2, ..BrokerSettings::default() }).await;
    let mut first = broker.client().await;
    let mut second = broker.client().await;
    for client in [&mut first, &mut second] {
        client.call(0, &ApiVersionsRequest::default()).await.expect("answered");
    }
    let mut third = broker.client().await;
    assert_eq!(third.until_closed().await, b"");
    drop(first);
    loop {
        let mut fourth = broker.client().await;
        if fourth.call(0, &ApiVersionsRequest::default()).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn idle_and_stalled_connections_end() {
    let world = World::new();
    let short = Duration::from_millis(50);
    let settings = BrokerSettings { idle_timeout: short, stall_timeout: short, ..BrokerSettings::default() };
    let broker = world.start_with(0, None, settings).await;
    let mut idle = broker.client().await;
    assert_eq!(idle.until_closed().await, b"");
    for begun in [&[0, 0][..], &[0, 0, 1, 0, 0, 18], &[0, 16, 0, 0, 0, 0, 0, 11]] {
        let mut stalled = broker.client().await;
        stalled.send_bytes(begun).await.expect("sent");
        assert_eq!(stalled.until_closed().await, b"", "{begun:?}");
    }
    let metrics = broker.metrics();
    assert!(metrics.contains("frazil_request_bytes_in_flight 0"), "{metrics}");
    assert!(metrics.contains("frazil_connections_failed_total 3"), "{metrics}");
}

#[tokio::test]
async fn requests_in_small_pieces_and_many_in_one_write_are_the_same() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let large = "x".repeat(100_000);
    let mut all = Vec::new();
    for value in ["small", large.as_str(), "again"] {
        let mut body = bytes::BytesMut::new();
        kafka_protocol::protocol::Encodable::encode(&produce_request("t", 0, one(value)), &mut body, 11)
            .expect("encodes");
        all.extend_from_slice(&client.frame(0, 11, 2, &body).expect("encodes"));
    }
    let (pieces, rest) = all.split_at(600);
    for byte in pieces.chunks(7) {
        client.send_bytes(byte).await.expect("sent");
        tokio::task::yield_now().await;
    }
    client.send_bytes(rest).await.expect("sent");
    for number in 0..3 {
        let response = client.receive::<ProduceRequest>(11).await.expect("answered");
        assert_eq!(response.responses[0].partition_responses[0].base_offset, number);
    }
    let records = client.fetch("t", 0, 0, 0).await.expect("fetched").records.expect("records");
    assert_eq!(records_of(&records), ["small", large.as_str(), "again"]);
}

#[tokio::test]
async fn requests_beyond_the_byte_budget_wait_for_each_other_and_all_finish() {
    let world = World::new();
    let settings = BrokerSettings { request_bytes_in_flight: 300_000, ..BrokerSettings::default() };
    let broker = world.start_with(0, None, settings).await;
    broker.client_with("t", 1).await;
    let large = batch(Compression::None, 1, &["x".repeat(900_000).as_str()]);
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut client, batch) = (broker.client().await, large.clone());
        producers.spawn(async move { client.produce("t", 0, batch).await.expect("answered").error_code });
    }
    while let Some(error_code) = producers.join_next().await {
        assert_eq!(error_code.expect("no panic"), 0);
    }
    assert!(broker.metrics().contains("frazil_request_bytes_in_flight 0"));
}

#[tokio::test]
async fn stop_answers_what_is_in_flight_and_ends_long_polls_and_idle_connections() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut producer = broker.client_with("t", 1).await;
    let (mut poller, mut idle) = (broker.client().await, broker.client().await);
    idle.call(0, &ApiVersionsRequest::default()).await.expect("answered");
    poller.send(12, &fetch_request("t", 0, 0, 60_000)).await.expect("sent");
    let gate = world.faults.hold(Operation::Put, "wal/", Point::Before);
    producer.send(11, &produce_request("t", 0, one("a"))).await.expect("sent");
    gate.arrived(1).await;
    let address = broker.address;
    let stopping = tokio::spawn(broker.broker.stop());
    assert_eq!(idle.until_closed().await, b"");
    let polled = poller.receive::<FetchRequest>(12).await.expect("the long poll is answered");
    assert_eq!(polled.error_code, 0);
    gate.open();
    let produced = producer.receive::<ProduceRequest>(11).await.expect("the produce is answered");
    assert_eq!(produced.responses[0].partition_responses[0].base_offset, 0);
    stopping.await.expect("no panic");
    assert!(crate::testing::Client::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_long_poll_ends_with_its_connection() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.send(12, &fetch_request("t", 0, 0, 3_600_000)).await.expect("sent");
    drop(client);
    while !broker.metrics().contains("frazil_connections 0") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_are_counted_by_api_and_error() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.produce("t", 0, one("a")).await.expect("answered");
    client.fetch("t", 7, 0, 0).await.expect("answered");
    client.fetch("t", 0, 0, 0).await.expect("answered");
    let metrics = broker.metrics();
    for line in [
        r#"frazil_requests_total{api="Produce",error="none"} 1"#,
        r#"frazil_requests_total{api="Fetch",error="UNKNOWN_TOPIC_OR_PARTITION"} 1"#,
        r#"frazil_request_seconds_count{api="CreateTopics"} 1"#,
        "frazil_connections 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[test]
fn an_idle_connection_takes_little_memory() {
    fn bytes_of<F>(
        _: impl FnOnce(std::sync::Arc<crate::node::Node>, tokio::net::TcpStream, crate::stopping::Stopping) -> F,
    ) -> usize {
        size_of::<F>()
    }
    let bytes = bytes_of(crate::connection::serve);
    assert!(bytes < 6_000, "the task of a connection takes {bytes} bytes");
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_its_connection_and_no_other() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut other = broker.client_with("t", 1).await;
    let mut client = broker.client().await;
    client.rename(crate::api::PANICKING_CLIENT);
    client.send(9, &MetadataRequest::default()).await.expect("sent");
    assert_eq!(client.until_closed().await, b"");
    assert_eq!(other.produce("t", 0, one("a")).await.expect("the other is served").error_code, 0);
    let metrics = broker.metrics();
    assert!(metrics.contains("frazil_connection_panics_total 1"), "{metrics}");
    assert!(metrics.contains("frazil_connections 1"), "{metrics}");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_dropped_when_others_wait_or_at_last() {
    let world = World::new();
    let never = Duration::from_secs(3600);
    let stall_timeout = Duration::from_millis(100);
    for (idle_timeout, fetched_bytes_in_flight) in [(Duration::from_millis(300), 1 << 30), (never, 10 << 20)] {
        let settings =
            BrokerSettings { idle_timeout, stall_timeout, fetched_bytes_in_flight, ..BrokerSettings::default() };
        let broker = world.start_with(0, None, settings).await;
        let mut producer = broker.client().await;
        producer.create_topic("t", 1, &[]).await.expect("answered");
        let large = "x".repeat(1_000_000);
        for _ in 0..8 {
            producer.produce("t", 0, one(&large)).await.expect("answered");
        }
        drop(producer);
        let mut request = fetch_request("t", 0, 0, 0);
        request.topics[0].partitions[0].partition_max_bytes = 8 << 20;
        let mut deaf = Vec::new();
        for _ in 0..5 {
            let mut client = broker.client().await;
            for _ in 0..10 {
                client.send(12, &request).await.expect("sent");
            }
            deaf.push(client);
        }
        // The second time, those go for whose memory another waits; nobody waits for the last one or two.
        let left = if idle_timeout == never { 2 } else { 0 };
        let connections = |metrics: String| -> usize {
            let line = metrics.lines().find_map(|line| line.strip_prefix("frazil_connections ").map(str::to_owned));
            line.expect("a line").parse().expect("a number")
        };
        while connections(broker.metrics()) > left {
            tokio::task::yield_now().await;
        }
    }
}
