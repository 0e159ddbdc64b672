//! confluent-kafka (librdkafka): idempotent producing, offsets by time, and a producer that lives through a kill.

use super::{PATIENCE, Subject, against_kafka, script};
use frazil_tests::command::Running;
use frazil_tests::{FrazilProcess, FrazilSettings, Tools, run};
use tempfile::TempDir;

#[test]
fn confluent_kafka_produces_idempotently_and_finds_offsets_by_time() {
    let subject = Subject::start();
    run(subject.tools.python(&script("confluent_times.py")).arg(&subject.bootstrap), PATIENCE).expect("the script");
}

/// The producer never learns which of its batches in flight were committed; it sends them again after the restart, and
/// the log decides. Each record must be there once and in order.
#[test]
fn an_idempotent_producer_lives_through_a_kill_without_loss_duplicate_or_reorder() {
    if against_kafka() {
        return;
    }
    let tools = Tools::locate().expect("the tools");
    let folder = TempDir::new().expect("a folder");
    let mut broker = FrazilProcess::start(FrazilSettings::on_folder(folder.path())).expect("frazil starts");
    let mut producer = Running::start(tools.python(&script("confluent_survive.py")).arg(broker.bootstrap()))
        .expect("the script starts");
    for quarter in ["1/4", "2/4", "3/4"] {
        producer.wait_for_line(quarter, PATIENCE).expect("the producer goes on");
        broker = broker.kill_and_restart().expect("frazil starts again");
    }
    producer.finish(PATIENCE).expect("every record is there, once, in order");
}
