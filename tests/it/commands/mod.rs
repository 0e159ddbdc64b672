//! The commands that speak to a cluster, as processes, against Apache Kafka and against Frazil.
//!
//! A case is a function of its subject. On Kafka 4.1.1, the oracle, all cases of a file share one broker; on Frazil each
//! has one of its own. So a case names topics and groups that no other one names.

mod clusters;
mod groups;
mod members;
mod records;
mod storage;
mod topics;
mod transactions;

use frazil_tests::command::Running;
use frazil_tests::frazil::built_binary;
use frazil_tests::{FrazilProcess, FrazilSettings, KafkaProcess, Tools, run, run_with_input};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take: minutes of slack, because the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

/// Declares the cases of a file: one test runs all of them on Kafka, one each runs them on Frazil.
macro_rules! cases {
    ($($case:ident,)*) => {
        #[test]
        fn every_case_passes_on_apache_kafka() {
            let kafka = $crate::commands::Subject::kafka();
            $(
                eprintln!("case {}", stringify!($case));
                $case(&kafka);
            )*
        }

        mod on_frazil {
            $(
                #[test]
                fn $case() {
                    super::$case(&$crate::commands::Subject::frazil());
                }
            )*
        }
    };
}
use cases;

/// The cluster that commands are tried on, with its data in a folder that goes with it.
struct Subject {
    bootstrap: String,
    tools: Tools,
    // In this order: the process ends before its folder goes.
    process: Process,
    _folder: TempDir,
}

enum Process {
    Frazil(FrazilProcess),
    Kafka(#[expect(dead_code, reason = "held for its end")] KafkaProcess),
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Subject {
    fn kafka() -> Subject {
        let (tools, folder) = (Tools::locate().expect("the tools"), TempDir::new().expect("a folder"));
        let kafka = KafkaProcess::start(&tools, folder.path(), &[("broker.rack", "zone-a")]).expect("Kafka starts");
        Subject { bootstrap: kafka.bootstrap(), tools, process: Process::Kafka(kafka), _folder: folder }
    }

    fn frazil() -> Subject {
        let (tools, folder) = (Tools::locate().expect("the tools"), TempDir::new().expect("a folder"));
        let settings = FrazilSettings::on_folder(folder.path())
            .with("FRAZIL__BROKER__ZONE", "zone-a")
            .with("FRAZIL__KAFKA__GROUP_INITIAL_REBALANCE_DELAY_MS", "0");
        let frazil = FrazilProcess::start(settings).expect("frazil starts");
        Subject { bootstrap: frazil.bootstrap(), tools, process: Process::Frazil(frazil), _folder: folder }
    }

    fn is_frazil(&self) -> bool {
        matches!(self.process, Process::Frazil(_))
    }

    /// `kill -9` and a new start on the same address and data.
    fn kill_and_restart(self) -> Subject {
        let process = match self.process {
            Process::Frazil(frazil) => Process::Frazil(frazil.kill_and_restart().expect("frazil starts again")),
            kafka => kafka,
        };
        Subject { process, ..self }
    }

    /// `frazil` with these arguments, on this cluster.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built_binary().expect("the binary"));
        command.args(arguments).env("FRAZIL_BOOTSTRAP", &self.bootstrap).stdin(Stdio::null());
        command
    }

    /// Runs it to its end, whatever that is.
    fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("frazil runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("an exit code");
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Standard output of a command that must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments), PATIENCE).expect("the command").text()
    }

    /// What a command that must succeed prints with `-o json`.
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["-o", "json"]].concat())).expect("JSON")
    }

    /// What a command that must fail with this code says about it: cause and next step.
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains("\n  next: "), "{ran:?}");
        ran.stderr
    }

    /// A command that goes on.
    fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(arguments)).expect("frazil starts")
    }

    /// Writes `lines`, one record each, to one partition.
    fn produce(&self, topic: &str, partition: i32, lines: &[String]) {
        let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut command = self.command(&["produce", topic, "--partition", &partition.to_string()]);
        run_with_input(&mut command, input.as_bytes(), PATIENCE).expect("produce");
    }

    /// A topic of so many partitions, with so many records `PARTITION-NUMBER` in each.
    fn topic(&self, topic: &str, partitions: i32, records: usize) {
        self.ok(&["topic", "create", topic, "--partitions", &partitions.to_string()]);
        for partition in 0..partitions {
            self.produce(topic, partition, &values(partition, 0..records));
        }
    }

    /// A Java tool of Apache Kafka on this cluster.
    fn java(&self, class: &str, arguments: &[&str]) -> String {
        let mut java = self.tools.java(class);
        java.args(["--bootstrap-server", &self.bootstrap]).args(arguments);
        run(&mut java, PATIENCE).expect("a Java tool").text()
    }

    fn python(&self, script: &str) -> Command {
        let script = Path::new("tests/it/commands").join(script);
        let mut python = self.tools.python(&script.display().to_string());
        python.arg(&self.bootstrap);
        python
    }
}

fn values(partition: i32, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{partition}-{number}")).collect()
}

/// Asks until the answer is there.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
