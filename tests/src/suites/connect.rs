//! Kafka Connect, distributed: workers that share connectors through a group, keep their state in compacted topics, and
//! write source records in transactions.

use super::checks::{Check, Scene, lines_of, names, run_checks, same_lines, wait_until};
use super::logged::Logged;
use super::subject::Broker;
use super::{Case, Run, Suite};
use crate::{Tools, free_address};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The suite.
pub struct Connect;

const CASES: &[Check] = &[
    ("file-source-and-sink", file_source_and_sink),
    ("exactly-once-source-killed", exactly_once_source_killed),
    ("sink-survives-a-killed-worker", sink_survives),
    ("connectors-are-managed", connectors_are_managed),
];

impl Suite for Connect {
    fn name(&self) -> &'static str {
        "connect"
    }

    fn broker(&self) -> Broker {
        Broker::default()
    }

    fn cases(&self, _: &Tools) -> Result<Vec<String>> {
        Ok(names(CASES))
    }

    fn run(&self, run: &Run<'_>, cases: &[String]) -> Result<Vec<Case>> {
        // Workers are large: two cases at once are enough for two cores.
        run_checks(CASES, &Run { jobs: run.jobs.min(2), ..*run }, cases)
    }
}

const PATIENCE: Duration = Duration::from_secs(180);

/// One worker and its REST address.
struct Worker {
    process: Logged,
    rest: SocketAddr,
    // Behind the names of connectors: sinks are groups, which all cases would share otherwise.
    id: String,
    http: tokio::runtime::Runtime,
}

impl Worker {
    fn start(scene: &Scene<'_>, name: &str) -> Result<Worker> {
        let rest = free_address();
        let own = |what: &str| scene.own(what);
        let settings = format!(
            "bootstrap.servers={}\ngroup.id={}\nlisteners=http://{rest}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n\
             config.storage.topic={}\nconfig.storage.replication.factor=1\n\
             offset.storage.topic={}\noffset.storage.replication.factor=1\noffset.storage.partitions=3\n\
             status.storage.topic={}\nstatus.storage.replication.factor=1\nstatus.storage.partitions=2\n\
             exactly.once.source.support=enabled\noffset.flush.interval.ms=1000\n\
             session.timeout.ms=6000\nheartbeat.interval.ms=1000\nscheduled.rebalance.max.delay.ms=1000\n",
            scene.bootstrap(),
            own("cluster"),
            own("configs"),
            own("offsets"),
            own("statuses"),
        );
        let settings = scene.file(&format!("{name}.properties"), &settings)?;
        let mut java = scene.java("org.apache.kafka.connect.cli.ConnectDistributed")?;
        let process = scene.start(java.arg(settings), name)?;
        let http = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker = Worker { process, rest, id: scene.own("connector"), http };
        // The REST server answers before the group is joined; a list of connectors needs the config topic.
        wait_until(&format!("{name} answers"), PATIENCE, || Ok(worker.get("connectors").is_ok()))?;
        Ok(worker)
    }

    fn ask(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Result<Value> {
        self.http.block_on(async {
            let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
            let mut request = client.request(method, format!("http://{}/{path}", self.rest));
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let answer = request.send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            ensure!(status.is_success(), "{path}: {status} {text}");
            Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
        })
    }

    /// Where a connector, or something of it, is found.
    fn path(&self, connector: &str, what: &str) -> String {
        format!("connectors/{connector}-{}{what}", self.id)
    }

    /// Asks for something about a connector without a body.
    fn act(&self, method: reqwest::Method, connector: &str, what: &str) -> Result<Value> {
        self.ask(method, &self.path(connector, what), None)
    }

    fn get(&self, path: &str) -> Result<Value> {
        self.ask(reqwest::Method::GET, path, None)
    }

    /// Creates or changes a connector; a worker that has just started may ask to try again.
    fn put(&self, name: &str, settings: &Value) -> Result<()> {
        let mut last = Ok(Value::Null);
        let put = wait_until(&format!("{name} is accepted"), PATIENCE, || {
            last = self.ask(reqwest::Method::PUT, &self.path(name, "/config"), Some(settings));
            Ok(last.is_ok())
        });
        last?;
        put
    }

    fn wait_until_running(&self, connector: &str) -> Result<()> {
        let mut last = Value::Null;
        let waited = wait_until(&format!("{connector} runs"), PATIENCE, || {
            last = self.get(&self.path(connector, "/status")).unwrap_or_default();
            let tasks = last["tasks"].as_array().cloned().unwrap_or_default();
            let all_run = !tasks.is_empty() && tasks.iter().all(|task| task["state"] == "RUNNING");
            Ok(last["connector"]["state"] == "RUNNING" && all_run)
        });
        waited.with_context(|| format!("its status: {last}"))
    }
}

/// A text file that grows, and the topic it goes to.
struct Source {
    file: PathBuf,
    topic: String,
    written: usize,
}

impl Source {
    fn new(scene: &Scene<'_>) -> Result<Source> {
        let file = PathBuf::from(scene.file("source.txt", "")?);
        let source = Source { file, topic: scene.own("lines"), written: 0 };
        scene.create_topic(&source.topic, 1)?;
        Ok(source)
    }

    fn settings(&self) -> Value {
        json!({
            "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max": "1",
            "file": self.file, "topic": self.topic, "batch.size": "100",
        })
    }

    fn write(&mut self, count: usize) -> Result<()> {
        let mut file = File::options().append(true).open(&self.file)?;
        let lines: String = (self.written..self.written + count).map(|number| format!("line {number}\n")).collect();
        file.write_all(lines.as_bytes())?;
        self.written += count;
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        (0..self.written).map(|number| format!("line {number}")).collect()
    }
}

fn sink_settings(scene: &Scene<'_>, topic: &str) -> Value {
    json!({
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max": "1",
        "file": scene.folder.path().join("sink.txt"), "topics": topic,
    })
}

fn file_source_and_sink(scene: &Scene<'_>) -> Result<()> {
    let mut source = Source::new(scene)?;
    let worker = Worker::start(scene, "first")?;
    worker.put("source", &source.settings())?;
    worker.put("sink", &sink_settings(scene, &source.topic))?;
    worker.wait_until_running("source")?;
    worker.wait_until_running("sink")?;
    let sink = scene.folder.path().join("sink.txt");
    for _ in 0..3 {
        source.write(1_000)?;
        wait_until("the sink has all lines", PATIENCE, || Ok(lines_of(&sink).len() >= source.written))?;
    }
    ensure!(lines_of(&sink) == source.lines(), "the sink's lines are not the source's");
    worker.process.terminate()?;
    worker.process.wait(PATIENCE)?;
    Ok(())
}

/// Two workers; the one that runs the source is killed in the middle, twice. What a read_committed consumer sees is the
/// file, line by line.
fn exactly_once_source_killed(scene: &Scene<'_>) -> Result<()> {
    let mut source = Source::new(scene)?;
    let mut workers = vec![Worker::start(scene, "first")?, Worker::start(scene, "second")?];
    workers[0].put("source", &source.settings())?;
    workers[0].wait_until_running("source")?;
    for name in ["third", "fourth"] {
        source.write(3_000)?;
        let worker = workers.remove(0);
        worker.process.kill();
        source.write(1_000)?;
        workers.push(Worker::start(scene, name)?);
        workers[0].wait_until_running("source")?;
    }
    source.write(500)?;
    let mut found = Vec::new();
    wait_until("the topic has all lines", PATIENCE, || {
        found = scene.committed_values(&source.topic)?;
        Ok(found.len() >= source.written)
    })?;
    same_lines(found.clone(), source.lines())?;
    ensure!(found == source.lines(), "the lines came in another order");
    Ok(())
}

/// The worker that runs the sink is killed; the other one goes on from what was committed.
fn sink_survives(scene: &Scene<'_>) -> Result<()> {
    let mut source = Source::new(scene)?;
    let first = Worker::start(scene, "first")?;
    first.put("source", &source.settings())?;
    first.put("sink", &sink_settings(scene, &source.topic))?;
    first.wait_until_running("sink")?;
    source.write(2_000)?;
    let second = Worker::start(scene, "second")?;
    first.process.kill();
    source.write(2_000)?;
    let sink = scene.folder.path().join("sink.txt");
    let all = |lines: &[String]| source.lines().iter().all(|line| lines.contains(line));
    wait_until("the sink has all lines", PATIENCE, || Ok(all(&lines_of(&sink))))?;
    second.wait_until_running("sink")
}

/// Pause, resume, restart, offsets and deletion: what the REST interface asks of groups, topics and transactions.
fn connectors_are_managed(scene: &Scene<'_>) -> Result<()> {
    use reqwest::Method;
    let mut source = Source::new(scene)?;
    let worker = Worker::start(scene, "first")?;
    worker.put("source", &source.settings())?;
    worker.put("sink", &sink_settings(scene, &source.topic))?;
    worker.wait_until_running("sink")?;
    source.write(500)?;
    let sink = scene.folder.path().join("sink.txt");
    wait_until("the sink has all lines", PATIENCE, || Ok(lines_of(&sink).len() >= source.written))?;
    let state = |connector: &str| worker.act(Method::GET, connector, "/status");
    worker.act(Method::PUT, "sink", "/pause")?;
    wait_until("the sink pauses", PATIENCE, || Ok(state("sink")?["tasks"][0]["state"] == "PAUSED"))?;
    worker.act(Method::PUT, "sink", "/resume")?;
    worker.wait_until_running("sink")?;
    worker.act(Method::POST, "sink", "/restart?includeTasks=true")?;
    worker.wait_until_running("sink")?;
    worker.act(Method::PUT, "sink", "/stop")?;
    wait_until("the sink stops", PATIENCE, || Ok(state("sink")?["connector"]["state"] == "STOPPED"))?;
    let offsets = worker.act(Method::GET, "sink", "/offsets")?;
    // Records, and the markers of the transactions that they were written in.
    let offset = offsets["offsets"][0]["offset"]["kafka_offset"].as_u64();
    ensure!(offset.is_some_and(|offset| offset >= 500), "offsets of the sink: {offsets}");
    worker.act(Method::DELETE, "sink", "/offsets")?;
    worker.act(Method::PUT, "sink", "/resume")?;
    wait_until("the sink reads all again", PATIENCE, || Ok(lines_of(&sink).len() >= 2 * source.written))?;
    worker.act(Method::PUT, "source", "/stop")?;
    wait_until("the source stops", PATIENCE, || Ok(state("source")?["connector"]["state"] == "STOPPED"))?;
    // With exactly-once support this fences the tasks' producers first.
    worker.act(Method::DELETE, "source", "/offsets")?;
    worker.act(Method::DELETE, "source", "")?;
    worker.act(Method::DELETE, "sink", "")?;
    let left = worker.get("connectors")?;
    ensure!(left.as_array().is_some_and(Vec::is_empty), "connectors left: {left}");
    Ok(())
}
