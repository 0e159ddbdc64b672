use super::world::World;
use crate::testing::{batch, fetch_request, produce_request};
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Batches, Compression};
use kafka_protocol::messages::{FetchRequest, InitProducerIdRequest, ProduceRequest};

#[tokio::test]
async fn a_long_poll_wakes_for_a_record_produced_through_another_broker() {
    let world = World::new();
    let (first, second) = (world.start(1).await, world.start(2).await);
    let mut producer = first.client_with("t", 1).await;
    second.catch_up_with(&first).await;
    let mut consumer = second.client().await;
    consumer.send(12, &fetch_request("t", 0, 0, 60_000)).await.expect("sent");
    let produced = producer.produce("t", 0, batch(Compression::None, 1, &["hello"])).await.expect("answered");
    assert_eq!((produced.error_code, produced.base_offset), (0, 0));
    let fetched = consumer.receive::<FetchRequest>(12).await.expect("the poll wakes");
    let records = fetched.responses[0].partitions[0].records.clone().expect("records");
    assert_eq!(Batches::new(&records).count(), 1);
}

#[tokio::test]
async fn a_retry_through_another_broker_is_stored_once_and_gets_the_original_offset() {
    let world = World::new();
    let (first, second) = (world.start(1).await, world.start(2).await);
    let mut here = first.client_with("t", 1).await;
    second.catch_up_with(&first).await;
    let mut there = second.client().await;
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let id = here.call(4, &request).await.expect("answered").producer_id.0;
    let other = there.call(4, &request).await.expect("answered").producer_id.0;
    assert_ne!(id, other, "ids are unique over all brokers");
    let mut builder = BatchBuilder::new(Compression::None).producer(ProducerFields { id, epoch: 0, base_sequence: 0 });
    builder.push(1, None, Some(b"a"), &[]);
    for client in [&mut here, &mut there] {
        let produced = client.produce("t", 0, builder.build()).await.expect("answered");
        assert_eq!((produced.error_code, produced.base_offset), (0, 0));
    }
    assert_eq!(second.log.state().topic_by_name("t").expect("created").partitions[0].next_offset, 1);
}

#[tokio::test]
async fn offsets_are_without_gaps_when_two_brokers_take_turns() {
    let world = World::new();
    let (first, second) = (world.start(1).await, world.start(2).await);
    let mut here = first.client_with("t", 1).await;
    second.catch_up_with(&first).await;
    let mut there = second.client().await;
    for number in 0..20 {
        let client = if number % 2 == 0 { &mut here } else { &mut there };
        let produced = client.produce("t", 0, batch(Compression::None, 1, &["a"])).await.expect("answered");
        assert_eq!((produced.error_code, produced.base_offset), (0, number));
    }
}

/// Eight producers with a pipeline each and two consumers, on two threads and two brokers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_of_many_pipelined_producers_is_read_once_and_in_its_producers_order() {
    const PRODUCERS: usize = 8;
    const BATCHES: usize = 200;
    const IN_FLIGHT: usize = 5;
    let world = World::new();
    let (first, second) = (world.start(1).await, world.start(2).await);
    first.client_with("t", 1).await;
    second.catch_up_with(&first).await;
    let mut tasks = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        let mut client = if producer % 2 == 0 { first.client().await } else { second.client().await };
        tasks.spawn(async move {
            for number in 0..BATCHES + IN_FLIGHT {
                if number < BATCHES {
                    let batch = batch(Compression::None, 1, &[&format!("{producer}/{number}")]);
                    client.send(11, &produce_request("t", 0, batch)).await.expect("sent");
                }
                if number >= IN_FLIGHT {
                    let response = client.receive::<ProduceRequest>(11).await.expect("answered");
                    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
                }
            }
        });
    }
    for broker in [&first, &second] {
        let mut client = broker.client().await;
        tasks.spawn(async move {
            let (mut offset, mut next) = (0, [0; PRODUCERS]);
            while offset < (PRODUCERS * BATCHES) as i64 {
                let fetched = client.fetch("t", 0, offset, 10_000).await.expect("answered");
                let bytes = fetched.records.unwrap_or_default();
                for (position, header) in Batches::new(&bytes) {
                    assert_eq!(header.base_offset, offset, "no gap");
                    let batch = bytes.slice(position..position + header.total_bytes());
                    let record = frazil_wire::Records::new(&batch, 1 << 20).expect("a batch").next().expect("one");
                    let value = record.expect("a record").value.expect("a value");
                    let text = std::str::from_utf8(&value).expect("text");
                    let (producer, number) = text.split_once('/').expect("two numbers");
                    let expected = &mut next[producer.parse::<usize>().expect("a number")];
                    assert_eq!(number.parse::<usize>().expect("a number"), *expected, "producer {producer}");
                    *expected += 1;
                    offset += 1;
                }
            }
            assert_eq!(next, [BATCHES; PRODUCERS]);
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no panic");
    }
}
