//! Apache Kafka 4.1.1, one KRaft node or several, put together from its jars: oracle and peer.

use crate::command::run;
use crate::{Tools, answers_kafka, free_address};
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A start takes two seconds; on a machine with ten builds at once it was seen to take a minute.
const PATIENCE: Duration = Duration::from_secs(240);

/// A running Kafka with a data folder that goes with it.
#[derive(Debug)]
pub struct KafkaProcess {
    child: Child,
    address: SocketAddr,
    controller: SocketAddr,
    cluster_id: String,
    _folder: TempDir,
}

impl KafkaProcess {
    /// Formats and starts a node whose data lie in a new folder below `parent`, with `extra` broker properties such as
    /// `("log.flush.interval.messages", "1")`, and waits until it answers.
    pub fn start(tools: &Tools, parent: &Path, extra: &[(&str, &str)]) -> Result<KafkaProcess> {
        KafkaProcess::start_at(free_address(), tools, parent, extra)
    }

    /// As [`KafkaProcess::start`], listening at `address`.
    pub fn start_at(address: SocketAddr, tools: &Tools, parent: &Path, extra: &[(&str, &str)]) -> Result<KafkaProcess> {
        let controller = free_address();
        let own = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", "1".to_owned()),
            ("listeners", format!("PLAINTEXT://{address},CONTROLLER://{controller}")),
        ];
        let cluster_id = run(tools.java("kafka.tools.StorageTool").arg("random-uuid"), PATIENCE)?.text();
        start_node(
            tools,
            parent,
            Node { address, controller, cluster_id: cluster_id.trim(), is_first: true, own: &own, extra },
        )
    }

    /// Starts one more broker of the same cluster, which has this node's controller.
    pub fn join(&self, tools: &Tools, parent: &Path, node_id: u32, extra: &[(&str, &str)]) -> Result<KafkaProcess> {
        let address = free_address();
        let own = [
            ("process.roles", "broker".to_owned()),
            ("node.id", node_id.to_string()),
            ("listeners", format!("PLAINTEXT://{address}")),
        ];
        let (controller, cluster_id) = (self.controller, self.cluster_id.as_str());
        start_node(tools, parent, Node { address, controller, cluster_id, is_first: false, own: &own, extra })
    }

    /// `host:port` for clients.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for KafkaProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What makes a node.
struct Node<'a> {
    address: SocketAddr,
    controller: SocketAddr,
    cluster_id: &'a str,
    is_first: bool,
    own: &'a [(&'a str, String)],
    extra: &'a [(&'a str, &'a str)],
}

fn start_node(tools: &Tools, parent: &Path, node: Node<'_>) -> Result<KafkaProcess> {
    let folder = TempDir::with_prefix_in("kafka-", parent)?;
    let properties = folder.path().join("server.properties");
    fs::write(&properties, server_properties(folder.path(), &node))?;
    let mut format = tools.java("kafka.tools.StorageTool");
    format.args(["format", "-t", node.cluster_id, "-c"]).arg(&properties);
    run(format.args(node.is_first.then_some("--standalone")), PATIENCE)?;
    let log = folder.path().join("server.log");
    let mut child = server(tools, &properties)
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?)
        .spawn()
        .context("starting Kafka")?;
    let began = Instant::now();
    while !answers_kafka(node.address) {
        let ended = child.try_wait()?.is_some() || began.elapsed() > PATIENCE;
        if ended {
            let _ = child.kill();
        }
        ensure!(!ended, "Kafka does not answer:\n{}", fs::read_to_string(&log)?);
        thread::sleep(Duration::from_millis(20));
    }
    let (address, controller, cluster_id) = (node.address, node.controller, node.cluster_id.to_owned());
    Ok(KafkaProcess { child, address, controller, cluster_id, _folder: folder })
}

/// Java takes the last of two lines about one property, so `extra` may change what stands before it.
fn server_properties(folder: &Path, node: &Node<'_>) -> String {
    let mut text = format!(
        "controller.quorum.bootstrap.servers={}\n\
         advertised.listeners=PLAINTEXT://{}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n",
        node.controller,
        node.address,
        folder.join("data").display()
    );
    let own = node.own.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in own.chain(node.extra.iter().copied()) {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

/// As its own start script runs it, with 1 GiB of heap; unlike the tools, with both compilers.
fn server(tools: &Tools, properties: &Path) -> Command {
    let tool = tools.java("kafka.Kafka");
    let mut command = Command::new("java");
    command.args(["-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]);
    command.args([
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent",
        "-Djava.awt.headless=true",
    ]);
    command.args(tool.get_args().skip_while(|argument| argument.to_string_lossy().starts_with("-X")));
    command.arg(properties);
    command
}
