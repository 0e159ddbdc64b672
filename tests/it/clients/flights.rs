//! Real input, whole: 336,776 flights go in through kafka-python and come out, byte for byte and in order, through three
//! other clients, before and after the death of the broker.
//!
//! kafka-python 3 produces idempotently unless told otherwise, and then keeps one batch of a partition under way whatever
//! `max_in_flight_requests_per_connection` says. With 16 KiB batches and a flush each 250 ms that is 64 KiB a second and
//! partition. Kafka-python 2 really has five requests in flight; it is the one that sends to the bucket.

use super::{PATIENCE, against_kafka, script};
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings, Tools, run};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const TOPIC: &str = "flights";
const PARTITIONS: usize = 6;
const FLIGHTS: usize = 336_776;

#[test]
fn flights_survive_a_kill_and_an_empty_disk_on_minio() {
    if against_kafka() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let minio = runtime.block_on(Minio::start());
    flights_survive(FrazilSettings::on(&minio.url("flights")), Tools::python_with_kafka_python_2);
}

#[test]
fn flights_survive_a_kill_on_a_local_directory() {
    if against_kafka() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    flights_survive(FrazilSettings::on_folder(folder.path()), Tools::python);
}

fn flights_survive(settings: FrazilSettings, python: fn(&Tools, &str) -> Command) {
    let tools = Tools::locate().expect("the tools");
    let folder = TempDir::new().expect("a folder");
    let sent = folder.path().join("sent.tsv");
    let broker = FrazilProcess::start(settings).expect("frazil starts");
    let expected = send(python(&tools, &script("flights_send.py")), &broker.bootstrap(), &sent);
    read_through_every_client(&tools, &broker.bootstrap(), &expected);

    // The working folder of the next process is a new one: all it has is what the store holds.
    let broker = broker.kill_and_restart().expect("frazil starts again");
    read_through_every_client(&tools, &broker.bootstrap(), &expected);
}

/// Sends the flights; gives the lines that every reader must print, in the order of partitions and offsets. That each
/// key's records are in the order in which they were sent is checked by the script, on the acknowledged offsets.
fn send(mut python: Command, bootstrap: &str, path: &Path) -> Vec<u8> {
    python.args([bootstrap, TOPIC, &PARTITIONS.to_string()]).arg(path);
    run(&mut python, PATIENCE).expect("kafka-python sends the flights");
    let expected = fs::read(path).expect("the script wrote what it sent");
    assert_eq!(expected.iter().filter(|&&byte| byte == b'\n').count(), FLIGHTS);
    expected
}

fn read_through_every_client(tools: &Tools, bootstrap: &str, expected: &[u8]) {
    assert_same("kcat", &read_with_kcat(tools, bootstrap), expected);
    assert_same("confluent-kafka", &read_with_confluent(tools, bootstrap), expected);
    assert_same("the Java console consumer", &read_with_java(tools, bootstrap, expected), expected);
}

fn read_with_kcat(tools: &Tools, bootstrap: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let mut kcat = tools.kcat(bootstrap);
        kcat.args(["-C", "-t", TOPIC, "-p", &partition.to_string(), "-o", "beginning", "-e", "-q"]);
        kcat.args(["-X", "check.crcs=true", "-f", "%p\t%o\t%k\t%s\n"]);
        all.extend(run(&mut kcat, PATIENCE).expect("kcat reads").stdout);
    }
    all
}

fn read_with_confluent(tools: &Tools, bootstrap: &str) -> Vec<u8> {
    let mut python = tools.python(&script("confluent_read.py"));
    python.args([bootstrap, TOPIC, &PARTITIONS.to_string(), &FLIGHTS.to_string()]);
    run(&mut python, PATIENCE).expect("confluent-kafka reads").stdout
}

fn read_with_java(tools: &Tools, bootstrap: &str, expected: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let start = format!("{partition}\t").into_bytes();
        let count = lines(expected).filter(|line| line.starts_with(&start)).count();
        let mut java = tools.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
        java.args(["--bootstrap-server", bootstrap, "--topic", TOPIC, "--partition", &partition.to_string()]);
        java.args(["--offset", "earliest", "--max-messages", &count.to_string()]);
        for property in ["print.partition=true", "print.offset=true", "print.key=true"] {
            java.args(["--property", property]);
        }
        let printed = run(&mut java, PATIENCE).expect("the Java consumer reads").stdout;
        lines(&printed).for_each(|line| all.extend(without_labels(line)));
    }
    all
}

/// The Java consumer prints `Partition:0\tOffset:7\t…`, the others `0\t7\t…`.
fn without_labels(line: &[u8]) -> Vec<u8> {
    let line = line.strip_prefix(b"Partition:").expect("a line of the Java consumer");
    let tab = line.iter().position(|&byte| byte == b'\t').expect("a tab behind the partition");
    let rest = line[tab + 1..].strip_prefix(b"Offset:").expect("an offset behind the partition");
    [&line[..=tab], rest].concat()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
}

/// Equality of much text, with a short message.
fn assert_same(client: &str, read: &[u8], expected: &[u8]) {
    for (at, (read, expected)) in lines(read).zip(lines(expected)).enumerate() {
        assert!(read == expected, "{client}, line {at}: {:?} instead of {:?}", text(read), text(expected));
    }
    assert_eq!(read.len(), expected.len(), "{client} read another number of bytes");
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}
