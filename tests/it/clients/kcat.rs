//! kcat (librdkafka): listing, every codec, headers, tombstones, offsets and timestamps.

use super::{PATIENCE, Subject};
use frazil_tests::{Finished, run, run_with_input};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchResponse, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, StrBytes};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

impl Subject {
    fn kcat(&self, arguments: &[&str]) -> Finished {
        self.kcat_with(arguments, b"")
    }

    fn kcat_with(&self, arguments: &[&str], input: &[u8]) -> Finished {
        run_with_input(self.tools.kcat(&self.bootstrap).args(arguments), input, PATIENCE).expect("kcat")
    }

    fn read_all(&self, topic: &str, format: &str) -> String {
        self.kcat(&["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", format]).text()
    }
}

#[test]
fn kcat_lists_the_broker_and_a_topic_made_by_producing() {
    let subject = Subject::start();
    subject.kcat_with(&["-P", "-t", "made-by-producing"], b"one\n");
    let listing = subject.kcat(&["-L"]).text();
    assert!(listing.contains(&subject.bootstrap), "{listing}");
    assert!(listing.contains("topic \"made-by-producing\" with 1 partitions"), "{listing}");
}

#[test]
fn every_codec_through_kcat_arrives_compressed_and_comes_back_whole() {
    let subject = Subject::start();
    let lines: String =
        (0..2_000).map(|number| format!("key-{number}:a value that repeats itself, number {number}\n")).collect();
    for (codec, id) in [("none", 0), ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)] {
        let topic = format!("codec-{codec}");
        subject.kcat_with(&["-P", "-t", &topic, "-K", ":", "-z", codec, "-X", "linger.ms=100"], lines.as_bytes());
        assert_eq!(subject.read_all(&topic, "%k:%s\n"), lines, "{codec}");
        assert_eq!(codec_of_first_batch(&subject.bootstrap, &topic), id, "the codec that was stored for {codec}");
    }
}

#[test]
fn headers_keys_empty_values_and_tombstones_come_back_as_they_went() {
    let subject = Subject::start();
    subject.kcat_with(&["-P", "-t", "headers", "-K", ":", "-H", "trace=1", "-H", "trace=2", "-H", "empty="], b"k:v\n");
    subject.kcat_with(&["-P", "-t", "headers", "-K", ":", "-Z"], b"gone:\n");
    // Lengths of -1 are nulls.
    let read = subject.read_all("headers", "%o|%K|%k|%S|%s|%h\n");
    assert_eq!(read, "0|1|k|1|v|trace=1,trace=2,empty=\n1|4|gone|-1||\n");
}

#[test]
fn kcat_starts_at_absolute_and_relative_offsets() {
    let subject = Subject::start();
    let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
    subject.kcat_with(&["-P", "-t", "offsets"], lines.as_bytes());
    assert_eq!(subject.kcat(&["-C", "-t", "offsets", "-o", "97", "-e", "-q"]).text(), "97\n98\n99\n");
    assert_eq!(subject.kcat(&["-C", "-t", "offsets", "-o", "-2", "-e", "-q"]).text(), "98\n99\n");
    assert_eq!(subject.kcat(&["-C", "-t", "offsets", "-o", "end", "-e", "-q"]).text(), "");
    assert_eq!(subject.kcat(&["-C", "-t", "offsets", "-o", "50", "-c", "1", "-q"]).text(), "50\n");
}

#[test]
fn kcat_finds_offsets_by_the_timestamps_of_records() {
    let subject = Subject::start();
    subject.kcat_with(&["-P", "-t", "times", "-X", "linger.ms=0"], b"first\n");
    let first = timestamp(&subject, "0");
    // Each producer starts later than the one before; at least a millisecond passes between their records.
    subject.kcat_with(&["-P", "-t", "times"], b"second\nthird\n");
    let second = timestamp(&subject, "1");
    assert!(first < second, "{first} {second}");

    let query = |at: i64| subject.kcat(&["-Q", "-t", &format!("times:0:{at}")]).text();
    assert_eq!(query(first).trim(), "times [0] offset 0");
    assert_eq!(query(first + 1).trim(), "times [0] offset 1");
    assert_eq!(query(second).trim(), "times [0] offset 1");
    let from_second = subject.kcat(&["-C", "-t", "times", "-o", &format!("s@{second}"), "-e", "-q"]).text();
    assert_eq!(from_second, "second\nthird\n");
    let (from, until) = (format!("s@{first}"), format!("e@{second}"));
    let window = subject.kcat(&["-C", "-t", "times", "-o", &from, "-o", &until, "-e", "-q"]).text();
    assert_eq!(window, "first\n");
}

fn timestamp(subject: &Subject, offset: &str) -> i64 {
    let printed = subject.kcat(&["-C", "-t", "times", "-o", offset, "-c", "1", "-q", "-f", "%T"]).text();
    printed.parse().expect("a timestamp")
}

/// The codec in the attributes of the first batch, as a consumer gets it: clients hide whether they sent compressed.
fn codec_of_first_batch(bootstrap: &str, topic: &str) -> u8 {
    let version = 11;
    let partition = FetchPartition::default().with_partition(0).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let mut frame = Vec::new();
    let header = RequestHeader::default().with_request_api_key(ApiKey::Fetch as i16).with_request_api_version(version);
    header.encode(&mut frame, 1).expect("a header");
    request.encode(&mut frame, version).expect("a request");

    let mut stream = TcpStream::connect(bootstrap).expect("a connection");
    stream.write_all(&(frame.len() as u32).to_be_bytes()).expect("sent");
    stream.write_all(&frame).expect("sent");
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("a size");
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).expect("an answer");
    let mut answer = bytes::Bytes::from(answer);
    ResponseHeader::decode(&mut answer, 0).expect("a header");
    let answer = FetchResponse::decode(&mut answer, version).expect("a fetch answer");
    let records = answer.responses[0].partitions[0].records.clone().expect("records");
    // Attributes stand at byte 21 of a batch, two bytes; the codec is their lowest three bits.
    records[22] & 7
}

#[test]
fn a_listing_works_without_any_topic() {
    let subject = Subject::start();
    let listing = run(subject.tools.kcat(&subject.bootstrap).arg("-L"), PATIENCE).expect("kcat").text();
    assert!(listing.contains(" 1 brokers:"), "{listing}");
}
