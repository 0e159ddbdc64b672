//! Offsets by time.

use super::world::*;
use crate::{FetchError, NewBatch};
use frazil_base::TopicPartition;
use frazil_meta::record::Command;
use frazil_wire::{BatchBuilder, Compression};
use proptest::prelude::*;

fn timed(partition: TopicPartition, codec: Compression, timestamps: &[i64]) -> NewBatch {
    let mut builder = BatchBuilder::new(codec);
    timestamps.iter().for_each(|timestamp| builder.push(*timestamp, None, Some(b"v"), &[]));
    let max_timestamp = timestamps.iter().copied().max().unwrap_or(-1);
    NewBatch { partition, bytes: builder.build(), records: timestamps.len() as u32, max_timestamp, producer: None }
}

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

#[test]
fn times_are_found_exactly_at_record_level() {
    proptest!(ProptestConfig::with_cases(60), |(
        batches in proptest::collection::vec((0_usize..5, proptest::collection::vec(0_i64..50, 1..6)), 1..12),
        log_start in 0_i64..10,
    )| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        runtime.block_on(async {
            let world = World::new(Bodies::InStore);
            let log = world.broker(0).await;
            let orders = partition(create_topic(&log, "orders", 1).await, 0);
            let mut times: Vec<i64> = Vec::new();
            for (codec, timestamps) in &batches {
                times.extend(timestamps);
                produce(&log, timed(orders, CODECS[*codec], timestamps)).await.expect("stored");
            }
            let log_start = log_start.min(times.len() as i64);
            log.propose(Command::MoveLogStart { starts: vec![(orders, log_start)] }).await.expect("taken");
            let readable = || (0_i64..).zip(&times).filter(|(offset, _)| *offset >= log_start).map(|(offset, time)| (offset, *time));
            for wanted in -1..52 {
                let expected = readable().find(|(_, time)| *time >= wanted);
                prop_assert_eq!(log.offset_for_time(orders, wanted).await, Ok(expected), "time {}", wanted);
            }
            let greatest = readable().map(|(_, time)| time).max();
            let expected = readable().find(|(_, time)| Some(*time) == greatest);
            let found = log.max_timestamp_offset(orders).await.expect("readable");
            prop_assert_eq!(found, expected);
            Ok(())
        })?;
    });
}

#[tokio::test(start_paused = true)]
async fn records_with_log_append_time_have_their_batches_time() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    produce(&log, timed(orders, Compression::None, &[1, 2])).await.expect("stored");
    let mut bytes = timed(orders, Compression::Lz4, &[1, 2]).bytes.to_vec();
    frazil_wire::batch::set_log_append_time(&mut bytes, 500);
    produce(&log, NewBatch { partition: orders, bytes: bytes.into(), records: 2, max_timestamp: 500, producer: None })
        .await
        .expect("stored");
    assert_eq!(log.offset_for_time(orders, 2).await, Ok(Some((1, 2))));
    assert_eq!(log.offset_for_time(orders, 3).await, Ok(Some((2, 500))));
    assert_eq!(log.max_timestamp_offset(orders).await, Ok(Some((2, 500))));
    assert_eq!(log.offset_for_time(orders, 501).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn an_empty_partition_has_no_times_and_an_unknown_one_is_an_error() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let topic = create_topic(&log, "orders", 1).await;
    assert_eq!(log.offset_for_time(partition(topic, 0), 0).await, Ok(None));
    assert_eq!(log.max_timestamp_offset(partition(topic, 0)).await, Ok(None));
    assert_eq!(log.offset_for_time(partition(topic, 1), 0).await, Err(FetchError::UnknownPartition));
}
