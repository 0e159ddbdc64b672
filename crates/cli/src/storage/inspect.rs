//! Explains the bytes of one object or file, whatever it is.

use crate::settings::units::round_bytes;
use crate::time::Timestamp;
use bytes::Bytes;
use frazil_log::format::Segment;
use frazil_meta::engine::inspect::{self, SeenChunk, SeenEntry, SeenObject};
use frazil_meta::record::{Command, Record};
use frazil_meta::state::State;
use frazil_wire::Batches;
use serde_json::{Value, json};

/// What an object is, and what it says: one sentence, then everything.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// One sentence.
    pub summary: String,
    /// Whether everything in it is whole.
    pub is_whole: bool,
    /// Everything, as JSON.
    pub details: Value,
}

/// Explains bytes by what they begin with.
pub fn explain(bytes: &Bytes) -> Explanation {
    match bytes.get(..4) {
        Some(b"FRZC") => chunk(bytes),
        Some(b"FRZL") => log_object(bytes),
        Some(b"FRAZ") if bytes.starts_with(b"FRAZSNAP") => snapshot(bytes),
        Some(b"FRAZ") if bytes.starts_with(b"FRAZIL") => segment(bytes),
        Some(b"PAR1") => foreign("a Parquet file; this version writes none", bytes),
        _ if bytes.len() == 22 => cluster_id(bytes),
        _ => foreign("nothing that Frazil wrote", bytes),
    }
}

fn foreign(what: &str, bytes: &Bytes) -> Explanation {
    let details = json!({ "kind": "unknown", "bytes": bytes.len() });
    Explanation { summary: format!("{what} ({} bytes)", bytes.len()), is_whole: false, details }
}

fn cluster_id(bytes: &Bytes) -> Explanation {
    let id = String::from_utf8_lossy(bytes);
    let details = json!({ "kind": "cluster-id", "cluster_id": id });
    Explanation { summary: format!("the cluster's id: {id}"), is_whole: true, details }
}

fn segment(bytes: &Bytes) -> Explanation {
    let (details, problem) = segment_details(bytes);
    let summary = match (&problem, details["parts"].as_array()) {
        (None, Some(parts)) => {
            format!("a segment of {} partitions, {}, whole", parts.len(), round_bytes(bytes.len() as u64))
        }
        _ => format!("a segment that is damaged: {}", problem.as_deref().unwrap_or("it has no parts")),
    };
    Explanation { summary, is_whole: problem.is_none(), details }
}

/// A segment's parts and batches; and what is wrong with them.
fn segment_details(bytes: &Bytes) -> (Value, Option<String>) {
    let segment = match Segment::parse(bytes) {
        Ok(segment) => segment,
        Err(error) => {
            let details = json!({ "kind": "segment", "bytes": bytes.len(), "error": error.to_string() });
            return (details, Some(error.to_string()));
        }
    };
    let problem = segment.check_batches(bytes).err().map(|error| error.to_string());
    let parts = segment.parts.iter().map(|part| {
        let range = part.position as usize..part.position as usize + part.bytes as usize;
        json!({
            "topic_id": part.partition.topic.to_string(),
            "partition": part.partition.partition,
            "position": part.position,
            "bytes": part.bytes,
            "records": part.records,
            "batches": batches(&bytes[range]),
        })
    });
    let parts: Vec<Value> = parts.collect();
    let details = json!({
        "kind": "segment",
        "object": segment.object.to_string(),
        "bytes": bytes.len(),
        "whole": problem.is_none(),
        "error": problem,
        "parts": parts,
    });
    (details, problem)
}

fn batches(bytes: &[u8]) -> Vec<Value> {
    let batch = |(position, header): (usize, frazil_wire::BatchHeader)| {
        json!({
            "position": position,
            "bytes": header.total_bytes(),
            "records": header.record_count,
            "compression": header.compression().map_or("unknown", |codec| codec.name()),
            "max_timestamp": header.max_timestamp,
            "producer_id": header.producer_id,
            "base_sequence": header.base_sequence,
        })
    };
    Batches::new(bytes).map(batch).collect()
}

fn snapshot(bytes: &Bytes) -> Explanation {
    match State::from_snapshot(bytes) {
        Err(error) => {
            let details = json!({ "kind": "snapshot", "bytes": bytes.len(), "error": error.to_string() });
            Explanation { summary: format!("a snapshot that is damaged: {error}"), is_whole: false, details }
        }
        Ok(state) => {
            let details = state_details(&state);
            let topics = state.topics().count();
            let summary =
                format!("a snapshot of the metadata after record {}: {topics} topics, whole", state.applied());
            Explanation { summary, is_whole: true, details }
        }
    }
}

fn state_details(state: &State) -> Value {
    let topics = state.topics().map(|topic| {
        let partitions = topic.partitions.iter().enumerate().map(|(number, partition)| {
            json!({
                "partition": number,
                "log_start": partition.log_start,
                "next_offset": partition.next_offset,
                "extents": partition.extents.len(),
                "bytes": partition.bytes(),
            })
        });
        let partitions: Vec<Value> = partitions.collect();
        json!({ "name": topic.name, "id": topic.id.to_string(), "configs": topic.configs, "partitions": partitions })
    });
    let topics: Vec<Value> = topics.collect();
    let brokers = state.brokers().map(|broker| {
        json!({ "id": broker.id.0, "epoch": broker.epoch.0, "host": broker.host, "port": broker.port, "zone": broker.zone })
    });
    let brokers: Vec<Value> = brokers.collect();
    json!({
        "kind": "snapshot",
        "applied": state.applied().0,
        "hash": format!("{:016x}", state.hash()),
        "feature_level": state.feature_level(),
        "bodies": state.bodies().count(),
        "brokers": brokers,
        "topics": topics,
    })
}

fn chunk(bytes: &Bytes) -> Explanation {
    let Some(chunk) = inspect::chunk(bytes) else {
        return foreign("a journal chunk whose first block is damaged", bytes);
    };
    let SeenChunk { first, entries, end, witness } = &chunk;
    let described: Vec<Value> = entries.iter().map(|entry| entry_details(bytes, entry)).collect();
    let broken = entries.iter().filter(|entry| !is_whole(entry)).count();
    let is_whole = broken == 0 && witness.is_none();
    let state = match (is_whole, witness) {
        (true, _) => "whole".to_string(),
        (false, Some(witness)) => format!("damaged: the entry at {end} was durable (the one at {witness} says so)"),
        (false, None) => format!("{broken} entries are not whole"),
    };
    let summary = format!("a journal chunk with {} entries from {first} on, {state}", entries.len());
    let details = json!({ "kind": "chunk", "first": first.0, "end": end, "bytes": bytes.len(), "entries": described });
    Explanation { summary, is_whole, details }
}

fn log_object(bytes: &Bytes) -> Explanation {
    let Some(object) = inspect::object(bytes) else { return foreign("a log entry whose envelope is damaged", bytes) };
    let SeenObject { entry, epoch, position, opener, .. } = &object;
    let is_whole = is_whole(entry);
    let what = match opener {
        Some(holder) => format!("opens epoch {epoch} for {holder}"),
        None => format!("entry {position} of epoch {epoch}: {}", record_line(entry)),
    };
    let state = if is_whole { "whole" } else { "damaged" };
    let mut details = match opener {
        Some(_) => json!({ "seq": entry.seq.0, "durable": entry.durable.0 }),
        None => entry_details(bytes, entry),
    };
    details["kind"] = json!("log-entry");
    details["epoch"] = json!(epoch);
    details["position"] = json!(position);
    details["opener"] = json!(opener);
    Explanation { summary: format!("log entry {}, {what}, {state}", entry.seq), is_whole, details }
}

fn is_whole(entry: &SeenEntry) -> bool {
    entry.record.is_some() && entry.body_is_whole
}

fn entry_details(bytes: &Bytes, entry: &SeenEntry) -> Value {
    let body = entry.body.as_ref().and_then(|body| {
        let range = usize::try_from(body.start).ok()?..usize::try_from(body.end).ok()?;
        (range.end <= bytes.len()).then(|| segment_details(&bytes.slice(range)).0)
    });
    json!({
        "seq": entry.seq.0,
        "durable": entry.durable.0,
        "record": record_line(entry),
        "record_whole": entry.record.is_some(),
        "body_whole": entry.body_is_whole,
        "body": body,
    })
}

fn record_line(entry: &SeenEntry) -> String {
    let Some(bytes) = &entry.record else { return "a record that does not fit its checksum".to_string() };
    match Record::decode(bytes) {
        Err(error) => format!("a record that cannot be read: {error}"),
        Ok(record) => {
            let at = Timestamp(record.time_ms);
            format!("{} (broker epoch {}, number {}, {at})", command_line(&record.command), record.epoch, record.number)
        }
    }
}

fn command_line(command: &Command) -> String {
    match command {
        Command::RegisterBroker(broker) => {
            format!("broker {} registers at {}:{}", broker.broker, broker.host, broker.port)
        }
        Command::CloseBroker { epoch } => format!("registration {epoch} ends"),
        Command::FeatureLevel { level } => format!("feature level {level}"),
        Command::CreateTopic(topic) => format!("topic {} is created with {} partitions", topic.name, topic.partitions),
        Command::DeleteTopic { topic } => format!("topic {topic} is deleted"),
        Command::CreatePartitions { topic, total } => format!("topic {topic} gets {total} partitions"),
        Command::AlterConfigs { changes, .. } => format!("{} settings change", changes.len()),
        Command::AllocateProducerIds { count } => format!("{count} producer ids are set apart"),
        Command::Commit(commit) => {
            let records: u64 = commit.parts.iter().flat_map(|part| &part.runs).map(|run| u64::from(run.records)).sum();
            let (parts, size) = (commit.parts.len(), round_bytes(commit.bytes.into()));
            format!("segment {} commits {records} records of {parts} partitions, {size}", commit.object)
        }
        Command::ForgetObjects { objects } => format!("{} deleted objects are forgotten", objects.len()),
        Command::CompareState { seq, hash } => format!("the state after record {seq} has the hash {hash:016x}"),
        Command::MoveLogStart { starts } => format!("{} partitions move their start", starts.len()),
        Command::AlterQuotas { changes, .. } => format!("{} quotas change", changes.len()),
        Command::AlterScramUser { user, .. } => format!("a credential of {user} changes"),
        command => coordinated_line(command),
    }
}

/// Commands of groups and transactions.
fn coordinated_line(command: &Command) -> String {
    match command {
        Command::GroupGeneration(new) => {
            format!("group {} is at generation {} with {} members", new.group, new.generation, new.members.len())
        }
        Command::ConsumerGroup(update) => {
            let (changed, gone) = (update.upserted.len(), update.removed.len());
            format!("group {} is at epoch {}, {changed} members change, {gone} go", update.group, update.group_epoch)
        }
        Command::DeleteGroups { groups } => format!("groups are deleted: {}", groups.join(", ")),
        Command::CommitOffsets { commits } => {
            let offsets: usize = commits.iter().map(|commit| commit.offsets.len()).sum();
            format!("{} commits of {offsets} offsets", commits.len())
        }
        Command::DeleteOffsets { group, partitions } => format!("group {group} loses {} offsets", partitions.len()),
        Command::InitTransactions(init) => format!("transactional id {} is taken over", init.transactional_id),
        Command::AddToTransaction(add) => {
            let (partitions, groups) = (add.partitions.len(), add.groups.len());
            format!("{partitions} partitions and {groups} groups join the transaction of {}", add.transactional_id)
        }
        Command::EndTransaction(end) => {
            let result = if end.commit { "committed" } else { "aborted" };
            format!("the transaction of {} is {result} ({:?})", end.transactional_id, end.reason)
        }
        other => format!("{other:?}"),
    }
}
