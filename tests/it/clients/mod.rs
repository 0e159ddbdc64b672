//! Real clients, unmodified: kcat, kafka-python, confluent-kafka, and Apache Kafka's own tools.
//!
//! Each test starts the built `frazil` on free ports. With `FRAZIL_TEST_AGAINST=kafka` the same tests run against Apache
//! Kafka 4.1.1 instead (those that kill the broker are left out), which shows that a test asks for what Kafka does.
//! `groups` has consumers share their topics; elsewhere they are given their partitions by hand.

mod confluent;
mod consumer_protocol;
mod flights;
mod groups;
mod java;
mod java_admin;
mod kcat;
mod python;
mod transactions;

use frazil_tests::{FrazilProcess, FrazilSettings, KafkaProcess, Tools};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long one client may take: minutes of slack, because the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(600);

/// The broker that clients are tried on, with its data in a folder that goes with it.
struct Subject {
    bootstrap: String,
    tools: Tools,
    // In this order: the process ends before its folder goes.
    _process: Process,
    folder: TempDir,
}

enum Process {
    Frazil(#[expect(dead_code, reason = "held for its end")] FrazilProcess),
    Kafka(#[expect(dead_code, reason = "held for its end")] KafkaProcess),
}

impl Subject {
    fn start() -> Subject {
        Subject::start_with(&[])
    }

    /// With broker settings under Kafka's names.
    fn start_with(properties: &[(&str, &str)]) -> Subject {
        let tools = Tools::locate().expect("the tools");
        let folder = TempDir::new().expect("a folder");
        let (bootstrap, process) = if against_kafka() {
            let kafka = KafkaProcess::start(&tools, folder.path(), properties).expect("Kafka starts");
            (kafka.bootstrap(), Process::Kafka(kafka))
        } else {
            let settings = Subject::frazil_settings(folder.path(), properties);
            let frazil = FrazilProcess::start(settings).expect("frazil starts");
            (frazil.bootstrap(), Process::Frazil(frazil))
        };
        Subject { bootstrap, tools, _process: process, folder }
    }

    /// Frazil's settings of these names, on a local folder.
    fn frazil_settings(folder: &Path, properties: &[(&str, &str)]) -> FrazilSettings {
        let all = [("group.initial.rebalance.delay.ms", "0")].iter().chain(properties);
        all.fold(FrazilSettings::on_folder(folder), |settings, (name, value)| {
            settings.with(&format!("FRAZIL__KAFKA__{}", name.replace('.', "_").to_ascii_uppercase()), value)
        })
    }
}

fn against_kafka() -> bool {
    std::env::var("FRAZIL_TEST_AGAINST").is_ok_and(|name| name == "kafka")
}

/// Where the scripts of these tests lie, from the root of the repository.
fn script(name: &str) -> String {
    Path::new("tests/it/clients").join(name).display().to_string()
}
