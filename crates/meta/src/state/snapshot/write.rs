//! State to bytes.

use super::super::brokers::Registration;
use super::super::producers::Producer;
use super::super::{BodyId, BodyState, ControlMarker, Extent, Partition, State, Topic, sequence_after};
use super::{MAGIC, VERSION, coordinated};
use crate::codec::Writer;
use crate::record::write_resource;
use frazil_base::Epoch;
use std::collections::BTreeMap;

/// Everything before the checksum.
pub(super) fn body(state: &State) -> Writer {
    let partitions: usize = state.topics.iter_by_id().map(|topic| topic.partitions.len()).sum();
    let mut writer = Writer::with_capacity(4096 + 32 * partitions);
    writer.raw(MAGIC);
    writer.u8(VERSION);
    writer.varint(state.applied.0);
    writer.raw(&state.hash.to_be_bytes());
    writer.varint(u64::from(state.feature_level));
    writer.zigzag(state.next_producer_id);
    writer.zigzag(state.clock_ms);
    writer.zigzag(state.sweep_due_ms);
    write_brokers(&mut writer, state);
    write_configs(&mut writer, state);
    let bodies = write_bodies(&mut writer, state);
    write_dead(&mut writer, state);
    writer.count(state.topics.len());
    state.topics.iter_by_id().for_each(|topic| write_topic(&mut writer, &bodies, topic));
    coordinated::write(&mut writer, state);
    writer
}

fn write_brokers(writer: &mut Writer, state: &State) {
    writer.count(state.brokers.registrations().len());
    for Registration { broker, incarnation, last_number } in state.brokers.registrations() {
        writer.zigzag(i64::from(broker.id.0));
        writer.varint(broker.epoch.0);
        writer.u128(*incarnation);
        writer.varint(*last_number);
        writer.string(&broker.host);
        writer.varint(u64::from(broker.port));
        writer.optional_string(broker.zone.as_deref());
    }
}

fn write_configs(writer: &mut Writer, state: &State) {
    writer.count(state.configs.len());
    for (resource, configs) in &state.configs {
        write_resource(writer, resource);
        write_settings(writer, configs);
    }
}

fn write_settings(writer: &mut Writer, settings: &BTreeMap<String, String>) {
    writer.count(settings.len());
    for (name, value) in settings {
        writer.string(name);
        writer.string(value);
    }
}

/// Entries of the log, then objects, each in relation to the one before. Returns the bodies: extents name them by index.
fn write_bodies(writer: &mut Writer, state: &State) -> Vec<BodyId> {
    let bodies: Vec<BodyId> = state.bodies.live().map(|(body, _)| body).collect();
    let log_count = bodies.partition_point(|body| matches!(body, BodyId::Log(_)));
    writer.count(log_count);
    writer.count(bodies.len() - log_count);
    let (mut seq, mut epoch, mut committed_ms) = (0, Epoch::default(), 0);
    for (body, state) in state.bodies.live() {
        match body {
            BodyId::Log(at) => {
                writer.varint(at.0 - seq);
                seq = at.0;
            }
            BodyId::Object(object) => {
                writer.varint(object.epoch.0 - epoch.0);
                writer.varint(object.number);
                epoch = object.epoch;
            }
            BodyId::Marker(_) => unreachable!("a marker is no body"),
        }
        let BodyState { bytes, committed_ms: at_ms, .. } = *state;
        writer.varint(u64::from(bytes));
        writer.zigzag(at_ms.wrapping_sub(committed_ms));
        committed_ms = at_ms;
    }
    bodies
}

fn write_dead(writer: &mut Writer, state: &State) {
    writer.count(state.bodies.dead_count());
    for (object, died_ms) in state.bodies.dead() {
        writer.varint(object.epoch.0);
        writer.varint(object.number);
        writer.zigzag(died_ms);
    }
}

fn write_topic(writer: &mut Writer, bodies: &[BodyId], topic: &Topic) {
    writer.u128(topic.id.0);
    writer.string(&topic.name);
    writer.zigzag(i64::from(topic.replication_factor));
    writer.zigzag(topic.created_ms);
    write_settings(writer, &topic.configs);
    writer.count(topic.partitions.len());
    topic.partitions.iter().for_each(|partition| write_partition(writer, bodies, partition));
}

fn write_partition(writer: &mut Writer, bodies: &[BodyId], partition: &Partition) {
    writer.zigzag(partition.log_start);
    writer.varint((partition.next_offset - partition.log_start) as u64);
    writer.count(partition.extents.len());
    let mut before = Before::default();
    partition.extents.iter().for_each(|extent| write_extent(writer, bodies, &mut before, extent));
    writer.count(partition.producers.iter().len());
    partition.producers.iter().for_each(|producer| write_producer(writer, producer));
    coordinated::write_partition(writer, partition);
}

/// What an extent is written in relation to.
#[derive(Default)]
struct Before {
    body: i64,
    producer_id: i64,
    max_timestamp: i64,
}

fn write_extent(writer: &mut Writer, bodies: &[BodyId], before: &mut Before, extent: &Extent) {
    let Extent { records, body, position, bytes, max_timestamp, .. } = *extent;
    let is_marker = matches!(body, BodyId::Marker(_));
    writer.varint((u64::from(records) - 1) << 1 | u64::from(is_marker));
    if let BodyId::Marker(ControlMarker { producer_id, epoch, commit }) = body {
        writer.zigzag(producer_id.wrapping_sub(before.producer_id));
        writer.zigzag(i64::from(epoch));
        writer.bool(commit);
        before.producer_id = producer_id;
    } else {
        let body = bodies.binary_search(&body).expect("an extent's body is live") as i64;
        writer.zigzag(body - before.body);
        writer.varint(u64::from(position));
        writer.varint(u64::from(bytes));
        before.body = body;
    }
    writer.zigzag(max_timestamp.wrapping_sub(before.max_timestamp));
    before.max_timestamp = max_timestamp;
}

fn write_producer(writer: &mut Writer, producer: &Producer) {
    writer.zigzag(producer.id);
    writer.zigzag(i64::from(producer.epoch));
    writer.zigzag(producer.last_ms);
    writer.varint(u64::from(producer.stored));
    writer.count(producer.batches().len());
    let (mut offset, mut sequence) = (0, 0);
    for batch in producer.batches() {
        writer.zigzag(batch.base_offset.wrapping_sub(offset));
        writer.zigzag(i64::from(batch.first_sequence.wrapping_sub(sequence)));
        writer.varint(u64::from(batch.records) - 1);
        offset = batch.base_offset;
        sequence = sequence_after(batch.first_sequence, batch.records);
    }
}
