//! Apache Kafka 4.1.1, one KRaft node, put together from its jars: oracle and peer.

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

const PATIENCE: Duration = Duration::from_secs(60);

/// A running Kafka with a data folder that goes with it.
#[derive(Debug)]
pub struct KafkaProcess {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl KafkaProcess {
    /// Formats and starts a node whose data lie in a new folder below `parent`, with `extra` broker properties such as
    /// `("log.flush.interval.messages", "1")`, and waits until it answers.
    pub fn start(tools: &Tools, parent: &Path, extra: &[(&str, &str)]) -> Result<KafkaProcess> {
        KafkaProcess::start_at(free_address(), tools, parent, extra)
    }

    /// As [`KafkaProcess::start`], listening at `address`.
    pub fn start_at(
        address: SocketAddr,
        tools: &Tools,
        parent: &Path,
        extra: &[(&str, &str)],
    ) -> Result<KafkaProcess> {
        let folder = TempDir::with_prefix_in("kafka-", parent)?;
        let properties = folder.path().join("server.properties");
        fs::write(&properties, server_properties(folder.path(), address, extra))?;
        format_storage(tools, &properties)?;
        let log = folder.path().join("server.log");
        let mut child = server(tools, &properties)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("starting Kafka")?;
        let began = Instant::now();
        while !answers_kafka(address) {
            let ended = child.try_wait()?.is_some() || began.elapsed() > PATIENCE;
            if ended {
                let _ = child.kill();
            }
            ensure!(!ended, "Kafka does not answer:\n{}", fs::read_to_string(&log)?);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(KafkaProcess { child, address, _folder: folder })
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

fn server_properties(folder: &Path, address: SocketAddr, extra: &[(&str, &str)]) -> String {
    let controller = free_address();
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers={controller}\n\
         listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{address}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n",
        folder.join("data").display()
    );
    for (name, value) in extra {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

fn format_storage(tools: &Tools, properties: &Path) -> Result<()> {
    let cluster = run(tools.java("kafka.tools.StorageTool").arg("random-uuid"), PATIENCE)?.text();
    let mut format = tools.java("kafka.tools.StorageTool");
    format.args(["format", "--standalone", "-t", cluster.trim(), "-c"]).arg(properties);
    run(&mut format, PATIENCE)?;
    Ok(())
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
