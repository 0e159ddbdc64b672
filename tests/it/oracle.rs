//! The same requests to Frazil and to Apache Kafka 4.1.1, and the same answers: error codes of what goes wrong.
//!
//! `answers` is a table: a row is one request, whose error codes are compared; where Frazil is different on purpose, the
//! row says so with the reason, and a difference that has gone is a failure too. So is `groups`. `configs` compares what DescribeConfigs
//! tells. Where one answer leads to the next question (`transactions`), a case is a script of requests that writes down
//! what each is answered with. It runs against both, each fresh, and the two transcripts have to be equal line by line.

mod answers;
mod configs;
mod groups;
mod pair;
mod requests;
mod row;
mod transactions;

use frazil_broker::testing::Client;
use frazil_tests::{FrazilProcess, FrazilSettings, KafkaProcess, Tools};
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use std::net::SocketAddr;
use tempfile::TempDir;

/// What was asked, and how it was answered.
#[derive(Debug, Default)]
struct Transcript(Vec<String>);

impl Transcript {
    fn note(&mut self, asked: impl std::fmt::Display, error_code: i16) {
        let answer = match ResponseError::try_from_code(error_code) {
            None => "fine".to_owned(),
            Some(error) => format!("{error:?}"),
        };
        self.0.push(format!("{asked}: {answer}"));
    }
}

/// Runs a script against both systems and compares.
fn compare(script: impl AsyncFn(SocketAddr) -> Transcript) {
    let tools = Tools::locate().expect("the tools");
    let folder = TempDir::new().expect("a folder");
    let kafka = KafkaProcess::start(&tools, folder.path(), &[]).expect("Kafka starts");
    let settings = FrazilSettings::on_folder(&folder.path().join("frazil"));
    let frazil = FrazilProcess::start(settings).expect("frazil starts");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let run = |bootstrap: String| runtime.block_on(script(bootstrap.parse().expect("an address")));
    let (theirs, ours) = (run(kafka.bootstrap()), run(frazil.bootstrap()));
    let differing = theirs.0.iter().zip(&ours.0).filter(|(theirs, ours)| theirs != ours);
    let differing: Vec<String> = differing.map(|(theirs, ours)| format!("Kafka  {theirs}\nFrazil {ours}")).collect();
    assert!(differing.is_empty(), "{} of {} differ:\n{}", differing.len(), theirs.0.len(), differing.join("\n"));
    assert_eq!(theirs.0.len(), ours.0.len());
    assert!(theirs.0.len() > 10, "a script that asks something: {theirs:?}");
}

async fn connect(address: SocketAddr) -> Client {
    Client::connect(address).await.expect("it listens")
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
