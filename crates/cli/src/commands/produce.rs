//! `frazil produce`: lines from stdin or files become records.
//!
//! What arrives while a batch is under way makes up the next one, so a person who types sees each line stored at once,
//! and a file goes through in large batches.

use crate::args::{ClusterArgs, parse_pair};
use crate::client::{Acks, NewRecord, Producer, ProducerOptions};
use crate::exit::{Exit, Failure, Outcome};
use bytes::Bytes;
use frazil_base::Env;
use frazil_wire::Compression;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Shown after the help.
pub const EXAMPLES: &str = "\
Examples:
  echo '{\"id\": 1}' | frazil produce orders
  frazil produce orders -K : -z zstd orders.txt   # lines such as key:value
  frazil produce orders -k customer-7 -Z < /dev/null";

const LINES_QUEUED_MAX: usize = 4096;

/// Arguments of `frazil produce`.
#[derive(Debug, clap::Args)]
pub struct ProduceArgs {
    /// Topic to write to
    topic: String,
    /// Files to read, `-` for stdin [default: stdin]
    files: Vec<PathBuf>,
    /// Text between key and value of each line, such as : or \t
    #[arg(short = 'K', long, value_name = "TEXT", value_parser = parse_delimiter)]
    key_delimiter: Option<String>,
    /// Key of all records
    #[arg(short, long, conflicts_with = "key_delimiter")]
    key: Option<String>,
    /// A header of all records: name=value; may be repeated
    #[arg(short = 'H', long = "header", value_parser = parse_pair, value_name = "NAME=VALUE")]
    headers: Vec<(String, String)>,
    /// Partition to write to [default: by key, else in turn]
    #[arg(short, long)]
    partition: Option<i32>,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, default_value = "none", value_parser = parse_compression)]
    compression: Compression,
    /// Acknowledgement to wait for: all, 1 or 0
    #[arg(short = 'X', long, default_value = "all", value_parser = parse_acks)]
    acks: Acks,
    /// An empty value is a tombstone
    #[arg(short = 'Z', long)]
    tombstones: bool,
    /// Let the broker make a missing topic, if it allows that
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

fn parse_delimiter(text: &str) -> Result<String, String> {
    match text.replace("\\t", "\t") {
        delimiter if delimiter.is_empty() => Err("an empty text separates nothing".to_string()),
        delimiter => Ok(delimiter),
    }
}

fn parse_compression(name: &str) -> Result<Compression, String> {
    Compression::from_name(name).ok_or_else(|| "one of none, gzip, snappy, lz4, zstd".to_string())
}

fn parse_acks(text: &str) -> Result<Acks, String> {
    match text {
        "all" | "-1" => Ok(Acks::All),
        "1" => Ok(Acks::Leader),
        "0" => Ok(Acks::None),
        _ => Err("one of all, 1, 0".to_string()),
    }
}

/// Writes records until the input ends.
pub async fn run(args: ProduceArgs) -> Outcome {
    let client = args.cluster.client();
    let options = ProducerOptions { compression: args.compression, acks: args.acks, create_topic: args.create };
    let mut producer = Producer::open(client, &args.topic, options).await?;
    if let Some(partition) = args.partition.filter(|partition| !producer.partitions().contains(partition)) {
        return Err(Failure::usage(format!("topic {} has no partition {partition}", args.topic)));
    }
    let shape = Shape::of(&args);
    let mut lines = read_lines(args.files);
    let mut records = 0usize;
    while let Some(line) = lines.recv().await {
        let mut next = Some(line);
        while let Some(line) = next {
            let record = shape.record(line.map_err(Failure::new)?)?;
            if !producer.has_room_for(&record) {
                records += flush(&mut producer, records).await?;
            }
            next = if producer.push(&record) { None } else { lines.try_recv().ok() };
        }
        records += flush(&mut producer, records).await?;
    }
    eprintln!("{records} records written to {}", args.topic);
    Ok(Exit::Ok)
}

/// Sends what is gathered; `before` records were written by then.
async fn flush(producer: &mut Producer, before: usize) -> Result<usize, Failure> {
    match producer.flush().await {
        Ok(placed) => Ok(placed.iter().map(|placed| placed.records).sum()),
        Err(error) => {
            let mut failure = Failure::from(error);
            if before > 0 {
                failure.error = failure.error.context(format!("{before} records were written, then a batch failed"));
                failure.exit = Exit::Partial;
            }
            Err(failure)
        }
    }
}

/// How lines become records.
struct Shape {
    delimiter: Option<String>,
    key: Option<Bytes>,
    headers: Vec<(Bytes, Option<Bytes>)>,
    partition: Option<i32>,
    tombstones: bool,
    env: Env,
}

impl Shape {
    fn of(args: &ProduceArgs) -> Shape {
        let header = |(name, value): &(String, String)| (Bytes::from(name.clone()), Some(Bytes::from(value.clone())));
        Shape {
            delimiter: args.key_delimiter.clone(),
            key: args.key.clone().map(Bytes::from),
            headers: args.headers.iter().map(header).collect(),
            partition: args.partition,
            tombstones: args.tombstones,
            env: Env::system(),
        }
    }

    fn record(&self, line: Vec<u8>) -> Result<NewRecord, Failure> {
        let line = Bytes::from(line);
        let (key, value) = match &self.delimiter {
            None => (self.key.clone(), line),
            Some(delimiter) => match find(&line, delimiter.as_bytes()) {
                Some(at) => (Some(line.slice(..at)), line.slice(at + delimiter.len()..)),
                None => {
                    let message = format!("a line without the key delimiter {delimiter:?}");
                    return Err(Failure::usage(message).advising("lines must look like key, delimiter, value"));
                }
            },
        };
        let value = if value.is_empty() && self.tombstones { None } else { Some(value) };
        let (partition, headers, timestamp) = (self.partition, self.headers.clone(), self.env.clock.now_ms());
        Ok(NewRecord { partition, key, value, headers, timestamp })
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Reads lines on a thread of its own, because stdin cannot be waited for.
fn read_lines(files: Vec<PathBuf>) -> mpsc::Receiver<anyhow::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_QUEUED_MAX);
    let files = if files.is_empty() { vec![PathBuf::from("-")] } else { files };
    std::thread::spawn(move || {
        for file in files {
            let read = if file.as_os_str() == "-" {
                send_lines(io::stdin().lock(), &sender)
            } else {
                File::open(&file).and_then(|opened| send_lines(BufReader::new(opened), &sender))
            };
            if let Err(error) = read {
                let error = anyhow::Error::from(error).context(format!("cannot read {}", file.display()));
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
    });
    receiver
}

fn send_lines(mut input: impl BufRead, sender: &mpsc::Sender<anyhow::Result<Vec<u8>>>) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if sender.blocking_send(Ok(line)).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(delimiter: Option<&str>, tombstones: bool) -> Shape {
        let delimiter = delimiter.map(str::to_string);
        Shape { delimiter, key: None, headers: Vec::new(), partition: None, tombstones, env: Env::system() }
    }

    #[test]
    fn lines_are_split_at_the_first_delimiter() {
        let record = shape(Some("=>"), false).record(b"k=>v=>w".to_vec()).unwrap();
        assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"k"[..]), Some(&b"v=>w"[..])));
        let failure = shape(Some(":"), false).record(b"no key".to_vec()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn an_empty_value_is_a_tombstone_only_when_asked_for() {
        let empty = shape(Some(":"), false).record(b"k:".to_vec()).unwrap();
        assert_eq!(empty.value.as_deref(), Some(&b""[..]));
        assert_eq!(shape(Some(":"), true).record(b"k:".to_vec()).unwrap().value, None);
    }

    #[test]
    fn any_bytes_are_a_value() {
        let record = shape(None, false).record(vec![0xff, 0, 7]).unwrap();
        assert_eq!((record.key, record.value.as_deref()), (None, Some(&[0xff, 0, 7][..])));
    }
}
