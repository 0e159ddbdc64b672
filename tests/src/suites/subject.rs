//! The broker that a suite runs against.

use super::Against;
use crate::{FrazilProcess, FrazilSettings, KafkaProcess, Tools, answers_tcp, free_address};
use anyhow::{Result, ensure};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a suite wants of its broker.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Whether topics are made when clients ask for them.
    pub auto_create: bool,
    /// Partitions of a topic that does not say.
    pub partitions: u32,
    /// The port, when the suite's code names it.
    pub port: Option<u16>,
    /// Nodes of a Kafka that has to hold topics with that many replicas. Frazil takes any number of replicas.
    pub kafka_nodes: u32,
}

impl Broker {
    fn address(&self) -> Result<SocketAddr> {
        let Some(port) = self.port else { return Ok(free_address()) };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        ensure!(!answers_tcp(address), "the suite wants a broker of its own at {address}, where something listens");
        Ok(address)
    }
}

impl Default for Broker {
    fn default() -> Broker {
        Broker { auto_create: true, partitions: 4, port: None, kafka_nodes: 1 }
    }
}

/// Settings beyond [`Broker`], by Kafka's names, that all suites share.
const SETTINGS: [(&str, &str); 2] =
    // Groups of tests are small and start at once; kafka-python tests a session of three seconds.
    [("group.initial.rebalance.delay.ms", "0"), ("group.min.session.timeout.ms", "1000")];

/// What only Kafka needs to be told: an authorizer, which lets everybody do everything.
const KAFKA_ONLY: [(&str, &str); 3] = [
    ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
    ("super.users", "User:ANONYMOUS"),
    ("allow.everyone.if.no.acl.found", "true"),
];

/// A running broker whose data go with it.
#[derive(Debug)]
pub struct Subject {
    /// `host:port`
    pub bootstrap: String,
    /// Which of the two it is.
    pub against: Against,
    // In this order: the process ends before its folder goes.
    process: Process,
    _folder: TempDir,
    said: PathBuf,
}

#[derive(Debug)]
enum Process {
    Frazil(FrazilProcess),
    Kafka(#[expect(dead_code, reason = "held for their end")] Vec<KafkaProcess>),
}

impl Subject {
    /// Starts one; what it says goes to `broker.log` in `logs` at its end.
    pub fn start(tools: &Tools, against: Against, broker: &Broker, logs: &Path) -> Result<Subject> {
        let folder = TempDir::with_prefix("suite-")?;
        let (auto_create, partitions) = (broker.auto_create.to_string(), broker.partitions.to_string());
        let wanted = [("auto.create.topics.enable", auto_create.as_str()), ("num.partitions", partitions.as_str())];
        let settings = [&wanted[..], &SETTINGS].concat();
        let (bootstrap, process) = match against {
            Against::Frazil => {
                let mut wanted = frazil_settings(folder.path(), &settings);
                wanted.kafka = broker.address()?;
                let frazil = FrazilProcess::start(wanted)?;
                (frazil.bootstrap(), Process::Frazil(frazil))
            }
            Against::Kafka => {
                let settings = [&settings, &KAFKA_ONLY[..]].concat();
                let nodes = kafka_nodes(tools, broker, folder.path(), &settings)?;
                (nodes[0].bootstrap(), Process::Kafka(nodes))
            }
        };
        Ok(Subject { bootstrap, against, process, _folder: folder, said: logs.join("broker.log") })
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Process::Frazil(frazil) = &self.process {
            // For a person who looks into a failure; nothing depends on it.
            let _ = fs::write(&self.said, frazil.stderr());
        }
    }
}

/// Node 0, as Frazil's first broker is, and more as wanted, each in a rack of its own.
fn kafka_nodes(tools: &Tools, broker: &Broker, folder: &Path, settings: &[(&str, &str)]) -> Result<Vec<KafkaProcess>> {
    let first = [settings, &[("node.id", "0"), ("broker.rack", "RACK1")]].concat();
    let mut nodes = vec![KafkaProcess::start_at(broker.address()?, tools, folder, &first)?];
    for id in 1..broker.kafka_nodes {
        let rack = format!("RACK{}", id + 1);
        let settings = [settings, &[("broker.rack", rack.as_str())]].concat();
        nodes.push(nodes[0].join(tools, folder, id, &settings)?);
    }
    Ok(nodes)
}

/// Kafka's settings keep their names under `[kafka]`, with underscores.
fn frazil_settings(folder: &Path, settings: &[(&str, &str)]) -> FrazilSettings {
    let variable = |name: &str| format!("FRAZIL__KAFKA__{}", name.replace('.', "_").to_uppercase());
    let plain = FrazilSettings::on_folder(folder);
    settings.iter().fold(plain, |frazil, (name, value)| frazil.with(&variable(name), value))
}
