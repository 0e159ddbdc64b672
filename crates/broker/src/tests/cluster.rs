use super::world::World;
use crate::testing::{batch, fetch_request};
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Batches, Compression};
use kafka_protocol::messages::{FetchRequest, InitProducerIdRequest};

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
