//! Both systems side by side, for questions that are asked one at a time.

use frazil_broker::testing::Client;
use frazil_tests::{FrazilProcess, FrazilSettings, KafkaProcess, Tools};
use tempfile::TempDir;

/// Kafka's node id in the harness; Frazil gets the same, so that requests that name it are the same.
pub const BROKER_ID: &str = "1";

/// The two, each with its data in a folder that goes with it.
pub struct Pair {
    frazil: FrazilProcess,
    kafka: KafkaProcess,
    _folder: TempDir,
}

impl Pair {
    /// Starts both. `properties` are Kafka's; Frazil's environment has the same values under its own names.
    pub fn start(properties: &[(&str, &str)]) -> Pair {
        let tools = Tools::locate().expect("the tools");
        let folder = TempDir::new().expect("a folder");
        let kafka = KafkaProcess::start(&tools, folder.path(), properties).expect("Kafka starts");
        let mut settings =
            FrazilSettings::on_folder(&folder.path().join("frazil")).with("FRAZIL__BROKER__ID", BROKER_ID);
        for (name, value) in properties.iter().chain(&[("group.initial.rebalance.delay.ms", "0")]) {
            let variable = format!("FRAZIL__KAFKA__{}", name.replace('.', "_").to_ascii_uppercase());
            settings = settings.with(&variable, value);
        }
        let frazil = FrazilProcess::start(settings).expect("frazil starts");
        Pair { frazil, kafka, _folder: folder }
    }

    /// A connection to Frazil and one to Kafka.
    pub async fn connect(&self) -> [Client; 2] {
        let connect =
            async |address: String| Client::connect(address.parse().expect("an address")).await.expect("it listens");
        [connect(self.frazil.bootstrap()).await, connect(self.kafka.bootstrap()).await]
    }
}
