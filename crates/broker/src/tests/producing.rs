use super::world::{Running, World};
use crate::testing::{batch, produce_request, topic_name};
use bytes::{Bytes, BytesMut};
use frazil_store::Operation;
use frazil_store::testing::{Mode, Point};
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Batches, Compression, Records};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, TransactionalId};
use kafka_protocol::protocol::StrBytes;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn keyed(values: &[(Option<&str>, &str)]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    values.iter().for_each(|(key, value)| builder.push(5, key.map(str::as_bytes), Some(value.as_bytes()), &[]));
    builder.build()
}

fn sequenced(id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None).producer(ProducerFields { id, epoch, base_sequence });
    values.iter().for_each(|value| builder.push(5, None, Some(value.as_bytes()), &[]));
    builder.build()
}

fn changed(batch: &Bytes, position: usize, bytes: &[u8]) -> Bytes {
    let mut batch = BytesMut::from(&batch[..]);
    batch[position..position + bytes.len()].copy_from_slice(bytes);
    batch.freeze()
}

/// Changes bytes under the CRC, and the CRC with them.
fn forged(batch: &Bytes, position: usize, bytes: &[u8]) -> Bytes {
    let batch = changed(batch, position, bytes);
    let crc = frazil_wire::batch::crc32c(&batch[21..]);
    changed(&batch, 17, &crc.to_be_bytes())
}

#[tokio::test]
async fn every_codec_goes_in_and_comes_out_byte_for_byte() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    for (number, codec) in (0..).zip(CODECS) {
        let sent = batch(codec, 7, &["some value", "some value"]);
        let produced = client.produce("t", 0, sent.clone()).await.expect("answered");
        assert_eq!((produced.error_code, produced.base_offset), (0, 2 * number), "{codec}");
        assert_eq!((produced.log_append_time_ms, produced.log_start_offset), (-1, 0));
        let got = client.fetch("t", 0, 2 * number, 0).await.expect("answered").records.expect("records");
        assert_eq!(&got[8..12], &sent[8..12]);
        assert_eq!(&got[16..], &sent[16..], "{codec}: everything but place and epoch is the producer's");
        let header = Batches::new(&got).next().expect("a batch").1;
        assert_eq!((header.base_offset, header.leader_epoch), (2 * number, 0));
    }
}

#[tokio::test]
async fn bad_batches_get_kafkas_codes() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let good = batch(Compression::None, 7, &["a", "b"]);
    let far_future = world.now_ms() + 2 * 3_600_000;
    let two = [good.clone(), good.clone()].concat();
    let cases: Vec<(&str, i16, Bytes)> = vec![
        ("wrong CRC", 2, changed(&good, 17, &[1, 2, 3, 4])),
        ("flipped record", 2, changed(&good, good.len() - 1, &[0x55])),
        ("magic 1", 87, changed(&good, 16, &[1])),
        ("magic 0", 87, changed(&good, 16, &[0])),
        ("magic 3", 2, changed(&good, 16, &[3])),
        ("truncated", 87, good.slice(..good.len() - 3)),
        ("not even a header", 87, good.slice(..10)),
        ("shorter than its header", 2, changed(&good, 8, &[0, 0, 0, 20])),
        ("two batches", 87, two.into()),
        ("empty", 87, Bytes::new()),
        ("base offset", 87, changed(&good, 0, &5_i64.to_be_bytes())),
        ("count", 87, forged(&good, 57, &3_i32.to_be_bytes())),
        ("control", 87, BatchBuilderControl::build()),
        ("transactional, and nobody named", 53, transactional()),
        ("unknown codec", 76, forged(&good, 21, &5_i16.to_be_bytes())),
        ("future", 32, batch(Compression::None, far_future, &["a"])),
        ("too large", 10, batch(Compression::None, 7, &["x".repeat(1_100_000).as_str()])),
    ];
    for (name, code, bytes) in cases {
        let produced = client.produce("t", 0, bytes).await.expect("answered");
        assert_eq!((produced.error_code, produced.base_offset), (code, -1), "{name}: {:?}", produced.error_message);
        assert!(produced.error_message.is_some(), "{name}");
    }
    let produced = client.produce("t", 0, good).await.expect("answered");
    assert_eq!((produced.error_code, produced.base_offset), (0, 0), "nothing of all that was stored");
}

struct BatchBuilderControl;

impl BatchBuilderControl {
    fn build() -> Bytes {
        let mut builder = BatchBuilder::new(Compression::None).control();
        builder.push(7, Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[]);
        builder.build()
    }
}

fn transactional() -> Bytes {
    let fields = ProducerFields { id: 5, epoch: 0, base_sequence: 0 };
    let mut builder = BatchBuilder::new(Compression::None).producer(fields).transactional();
    builder.push(7, None, Some(b"a"), &[]);
    builder.build()
}

#[tokio::test]
async fn requests_that_name_the_wrong_things_get_kafkas_codes() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 2).await;
    let good = batch(Compression::None, 7, &["a"]);
    let transactional_id = TransactionalId(StrBytes::from_static_str("tx"));
    let cases = [
        ("unknown topic", 3, produce_request("nowhere", 0, good.clone())),
        ("unknown partition", 3, produce_request("t", 2, good.clone())),
        ("negative partition", 3, produce_request("t", -1, good.clone())),
        ("acks", 21, produce_request("t", 0, good.clone()).with_acks(2)),
        ("of nobody", 49, produce_request("t", 0, transactional()).with_transactional_id(Some(transactional_id))),
    ];
    for (name, code, request) in cases {
        let response = client.call(11, &request).await.expect("answered");
        assert_eq!(response.responses[0].partition_responses[0].error_code, code, "{name}");
    }
    let mut by_id = produce_request("", 0, good);
    by_id.topic_data[0].topic_id = uuid::Uuid::from_u128(7);
    let response = client.call(13, &by_id).await.expect("answered");
    assert_eq!(response.responses[0].partition_responses[0].error_code, 100);
    assert_eq!(response.responses[0].topic_id, uuid::Uuid::from_u128(7));
}

#[tokio::test]
async fn produce_works_in_every_version_and_by_id() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let id = broker.log.state().topic_by_name("t").expect("created").id.0;
    for version in 3..=13 {
        let mut request = produce_request("t", 0, batch(Compression::None, 7, &["a"]));
        if version == 13 {
            request.topic_data[0].name = topic_name("");
            request.topic_data[0].topic_id = uuid::Uuid::from_u128(id);
        }
        let response = client.call(version, &request).await.expect("answered");
        let produced = &response.responses[0].partition_responses[0];
        assert_eq!((produced.error_code, produced.base_offset), (0, i64::from(version) - 3), "version {version}");
    }
    let zstd = produce_request("t", 0, batch(Compression::Zstd, 7, &["a"]));
    let response = client.call(6, &zstd).await.expect("answered");
    assert_eq!(response.responses[0].partition_responses[0].error_code, 76, "zstd came with version 7");
}

#[tokio::test]
async fn one_bad_partition_does_not_spoil_the_others() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 3).await;
    let good = batch(Compression::None, 7, &["a"]);
    let mut request = produce_request("t", 0, good.clone());
    for (index, bytes) in [(1, changed(&good, 17, &[0; 4])), (2, good)] {
        let data = kafka_protocol::messages::produce_request::PartitionProduceData::default();
        request.topic_data[0].partition_data.push(data.with_index(index).with_records(Some(bytes)));
    }
    let response = client.call(11, &request).await.expect("answered");
    let codes: Vec<_> =
        response.responses[0].partition_responses.iter().map(|part| (part.index, part.error_code)).collect();
    assert_eq!(codes, [(0, 0), (1, 2), (2, 0)]);
}

#[tokio::test]
async fn a_duplicate_batch_gets_its_original_offset_and_gaps_and_old_epochs_are_refused() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let response =
        client.call(4, &InitProducerIdRequest::default().with_transactional_id(None)).await.expect("answered");
    assert_eq!((response.error_code, response.producer_epoch), (0, 0));
    let id = response.producer_id.0;
    let cases = [
        ("first", sequenced(id, 0, 0, &["a", "b"]), (0, 0)),
        ("again", sequenced(id, 0, 0, &["a", "b"]), (0, 0)),
        ("next", sequenced(id, 0, 2, &["c"]), (0, 2)),
        ("the first once more", sequenced(id, 0, 0, &["a", "b"]), (0, 0)),
        ("gap", sequenced(id, 0, 4, &["e"]), (45, -1)),
        ("new epoch", sequenced(id, 1, 0, &["d"]), (0, 3)),
        ("old epoch", sequenced(id, 0, 3, &["d"]), (47, -1)),
    ];
    for (name, bytes, expected) in cases {
        let produced = client.produce("t", 0, bytes).await.expect("answered");
        assert_eq!((produced.error_code, produced.base_offset), expected, "{name}");
    }
    let other = client.call(0, &InitProducerIdRequest::default().with_transactional_id(None)).await.expect("answered");
    assert_ne!(other.producer_id.0, id);
}

async fn configured(broker: &Running, name: &str, value: &str) -> crate::testing::Client {
    let mut client = broker.client().await;
    assert_eq!(client.create_topic("t", 1, &[(name, value)]).await.expect("answered"), 0);
    client
}

#[tokio::test]
async fn log_append_time_gives_records_the_brokers_time() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = configured(&broker, "message.timestamp.type", "LogAppendTime").await;
    let before = world.now_ms();
    let produced = client.produce("t", 0, batch(Compression::Lz4, 7, &["a", "b"])).await.expect("answered");
    let time = produced.log_append_time_ms;
    assert!((before..=world.now_ms()).contains(&time), "{time}");
    let got = client.fetch("t", 0, 0, 0).await.expect("answered").records.expect("records");
    frazil_wire::batch::check_stored(&got).expect("the CRC fits");
    let times: Vec<_> =
        Records::new(&got, 1 << 20).expect("a batch").map(|record| record.expect("a record").timestamp).collect();
    assert_eq!(times, [time, time]);
}

#[tokio::test]
async fn a_compacted_topic_refuses_records_without_key_and_names_them() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = configured(&broker, "cleanup.policy", "compact").await;
    let produced = client
        .produce("t", 0, keyed(&[(Some("k"), "a"), (None, "b"), (Some("l"), "c"), (None, "d")]))
        .await
        .expect("answered");
    assert_eq!(produced.error_code, 87);
    assert_eq!(produced.record_errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1, 3]);
    let produced = client.produce("t", 0, keyed(&[(Some("k"), "a"), (Some(""), "b")])).await.expect("answered");
    assert_eq!(produced.error_code, 0, "an empty key is a key");
}

#[tokio::test]
async fn a_topics_own_codec_and_limits_are_kept() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = configured(&broker, "compression.type", "zstd").await;
    let mut builder =
        BatchBuilder::new(Compression::Gzip).producer(ProducerFields { id: 3, epoch: 0, base_sequence: 0 });
    builder.push(5, Some(b"k"), None, &[(b"h", Some(b"1")), (b"h", None)]);
    builder.push(4, None, Some(b"v"), &[]);
    assert_eq!(client.produce("t", 0, builder.build()).await.expect("answered").error_code, 0);
    let got = client.fetch("t", 0, 0, 0).await.expect("answered").records.expect("records");
    let header = frazil_wire::batch::check_stored(&got).expect("a good batch");
    assert_eq!(header.compression().expect("a codec"), Compression::Zstd);
    assert_eq!((header.producer_id, header.base_sequence, header.max_timestamp), (3, 0, 5));
    let records: Vec<_> =
        Records::new(&got, 1 << 20).expect("a batch").map(|record| record.expect("a record")).collect();
    assert_eq!((records[0].value.as_ref(), records[0].headers.len(), records[1].timestamp), (None, 2, 4));

    assert_eq!(client.create_topic("small", 1, &[("max.message.bytes", "100")]).await.expect("answered"), 0);
    let large = batch(Compression::None, 5, &["x".repeat(100).as_str()]);
    assert_eq!(client.produce("small", 0, large).await.expect("answered").error_code, 10);

    assert_eq!(
        client.create_topic("young", 1, &[("message.timestamp.before.max.ms", "60000")]).await.expect("answered"),
        0
    );
    let mixed = {
        let mut builder = BatchBuilder::new(Compression::Lz4);
        builder.push(world.now_ms(), None, Some(b"new"), &[]);
        builder.push(world.now_ms() - 120_000, None, Some(b"old"), &[]);
        builder.build()
    };
    assert_eq!(client.produce("young", 0, mixed).await.expect("answered").error_code, 32);
    let fresh = batch(Compression::Lz4, world.now_ms(), &["new"]);
    assert_eq!(client.produce("young", 0, fresh).await.expect("answered").error_code, 0);
}

#[tokio::test]
async fn a_produce_that_outlasts_its_timeout_is_answered_and_may_still_be_stored() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let gate = world.faults.hold(Operation::Put, "wal/", Point::Before);
    let request = produce_request("t", 0, batch(Compression::None, 7, &["a"])).with_timeout_ms(30);
    let response = client.call(11, &request).await.expect("answered");
    assert_eq!(response.responses[0].partition_responses[0].error_code, 7);
    gate.open();
    let fetched = client.fetch("t", 0, 0, 10_000).await.expect("answered");
    assert_eq!(fetched.high_watermark, 1);
}

#[tokio::test]
async fn a_store_that_refuses_gives_a_retriable_code_and_its_cause() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    world.faults.mode(Mode::ReadOnly);
    let produced = client.produce("t", 0, batch(Compression::None, 7, &["a"])).await.expect("answered");
    let error = kafka_protocol::ResponseError::try_from_code(produced.error_code).expect("an error");
    assert!(error.is_retriable(), "{error}");
    assert!(produced.error_message.is_some_and(|message| !message.is_empty()));
    world.faults.mode(Mode::default());
    let produced = client.produce("t", 0, batch(Compression::None, 7, &["a"])).await.expect("answered");
    assert_eq!(produced.error_code, 0);
}

#[tokio::test]
async fn produce_order_is_kept_across_a_long_pipeline() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    const REQUESTS: i64 = 300;
    for number in 0..REQUESTS {
        let request = produce_request("t", 0, sequenced(9, 0, number as i32, &[&number.to_string()]));
        client.send(11, &request).await.expect("sent");
        if number >= 32 {
            let response = client.receive::<ProduceRequest>(11).await.expect("answered");
            assert_eq!(response.responses[0].partition_responses[0].base_offset, number - 32);
        }
    }
    for number in REQUESTS - 32..REQUESTS {
        let response = client.receive::<ProduceRequest>(11).await.expect("answered");
        let produced = &response.responses[0].partition_responses[0];
        assert_eq!((produced.error_code, produced.base_offset), (0, number));
    }
}
