use super::world::{Running, World};
use crate::testing::{batch, produce_request};
use bytes::{BufMut, BytesMut};
use frazil_base::entropy::SeededEntropy;
use frazil_base::{Entropy, limits};
use frazil_wire::{BatchBuilder, Compression, api};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};

async fn is_alive(broker: &Running) {
    let mut client = broker.client().await;
    assert_eq!(client.call(0, &ApiVersionsRequest::default()).await.expect("answered").error_code, 0);
    let produced = client.produce("t", 0, batch(Compression::None, 1, &["a"])).await.expect("answered");
    assert_eq!(produced.error_code, 0);
}

fn no_handler_panicked(broker: &Running) {
    let metrics = broker.metrics();
    assert!(metrics.contains("frazil_connection_panics_total 0"), "{metrics}");
    assert!(metrics.contains("frazil_request_bytes_in_flight 0"), "{metrics}");
}

#[tokio::test]
async fn random_bytes_close_the_connection_and_nothing_else() {
    let world = World::new();
    let broker = world.start(0).await;
    broker.client_with("t", 1).await;
    let entropy = SeededEntropy::new(3);
    for round in 0..500 {
        let mut client = broker.client().await;
        let mut bytes = BytesMut::new();
        let length = 8 + (entropy.bits64() % 200) as i32;
        // Half of the rounds have a true length, so that the header and the body are looked at.
        bytes.put_i32(if round % 2 == 0 { length } else { entropy.bits64() as i32 });
        (0..length).for_each(|_| bytes.put_u8(entropy.bits64() as u8));
        client.send_bytes(&bytes).await.expect("sent");
        drop(client);
    }
    is_alive(&broker).await;
    while !broker.metrics().contains("frazil_connections 0") {
        tokio::task::yield_now().await;
    }
    no_handler_panicked(&broker);
}

#[tokio::test]
async fn lengths_that_lie_close_the_connection() {
    let world = World::new();
    let broker = world.start(0).await;
    broker.client_with("t", 1).await;
    let frames: [(i32, &[u8]); 7] = [
        (-1, b""),
        (0, b""),
        (7, b"\0\x12\0\0\0\0\0"),
        (i32::MAX, b"\0\0\0\x0b"),
        (i32::MIN, b""),
        (limits::FRAME_BYTES_MAX as i32 + 1, b"\0\0\0\x0b"),
        (limits::CONTROL_FRAME_BYTES_MAX as i32 + 1, b"\0\x03\0\x09"),
    ];
    for (length, begin) in frames {
        let mut client = broker.client().await;
        client.send_bytes(&[&length.to_be_bytes(), begin].concat()).await.expect("sent");
        assert_eq!(client.until_closed().await, b"", "{length}");
    }
    let mut liars = Vec::new();
    for _ in 0..50 {
        let mut client = broker.client().await;
        let length = limits::FRAME_BYTES_MAX as i32;
        client.send_bytes(&[&length.to_be_bytes()[..], b"\0\0\0\x0b"].concat()).await.expect("sent");
        liars.push(client);
    }
    is_alive(&broker).await;
    let metrics = broker.metrics();
    let line = metrics.lines().find(|line| line.starts_with("frazil_request_bytes_in_flight ")).expect("a line");
    let held: usize = line.rsplit(' ').next().expect("a value").parse().expect("a number");
    assert!(held <= 50 << 20, "50 claims of 100 MiB hold {held} bytes");
}

#[tokio::test]
async fn hostile_counts_in_every_api_and_version_do_no_harm() {
    let world = World::new();
    let broker = world.start(0).await;
    broker.client_with("t", 1).await;
    let bodies: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
        &[0xff; 64],
        &[0x7f; 64],
        &[0x00; 64],
        &[0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0, 1, b'x', 0x7f, 0xff, 0xff, 0xff],
    ];
    for support in api::SUPPORTED {
        let key = ApiKey::try_from(support.key).expect("a key that Kafka has");
        for version in support.min..=support.max {
            for body in bodies {
                let mut client = broker.client().await;
                let frame =
                    client.frame(support.key, version, key.request_header_version(version), body).expect("encodes");
                client.send_bytes(&frame).await.expect("sent");
                // Some bodies are requests after all; long polls among them end with the connection.
            }
        }
    }
    is_alive(&broker).await;
    while !broker.metrics().contains("frazil_connections 0") {
        tokio::task::yield_now().await;
    }
    no_handler_panicked(&broker);
}

#[tokio::test]
async fn changed_requests_are_answered_or_end_the_connection() {
    let world = World::new();
    let broker = world.start(0).await;
    broker.client_with("t", 1).await;
    let entropy = SeededEntropy::new(11);
    let mut body = BytesMut::new();
    let request = produce_request("t", 0, batch(Compression::Lz4, 1, &["some value", "another value"]));
    kafka_protocol::protocol::Encodable::encode(&request, &mut body, 11).expect("encodes");
    for _ in 0..500 {
        let mut client = broker.client().await;
        let mut changed = body.clone();
        let position = entropy.bits64() as usize % changed.len();
        changed[position] ^= 1 << (entropy.bits64() % 8);
        changed.truncate(changed.len() - (entropy.bits64() % 3) as usize);
        let frame = client.frame(0, 11, 2, &changed).expect("encodes");
        client.send_bytes(&frame).await.expect("sent");
    }
    is_alive(&broker).await;
}

#[tokio::test]
async fn a_decompression_bomb_is_refused() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await.expect("answered");
    let mut builder = BatchBuilder::new(Compression::Zstd);
    let value = vec![0; limits::DECOMPRESSED_BATCH_BYTES_MAX];
    builder.push(1, Some(b"k"), Some(&value), &[]);
    let bomb = builder.build();
    assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
    let produced = client.produce("compacted", 0, bomb).await.expect("answered");
    assert_eq!(produced.error_code, 2, "{:?}", produced.error_message);
    is_alive(&broker).await;
}
