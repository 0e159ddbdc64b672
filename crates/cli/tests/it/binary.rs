//! The built binary: exit codes, what goes to stdout and what to stderr, signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PLANTED: &str = "hunter2-planted";

fn frazil(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frazil"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    outcome(frazil(arguments).output().unwrap())
}

fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A `frazil dev` on free ports; killed when dropped.
struct Dev {
    process: Child,
    bootstrap: String,
    http: String,
    banner: String,
}

impl Dev {
    fn start(directory: &Path, more: &[&str]) -> Dev {
        let data = directory.join("data");
        let mut arguments = vec!["dev", "--data", data.to_str().unwrap()];
        arguments.extend(["--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        arguments.extend(more);
        let mut process = frazil(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut banner = String::new();
        while !banner.contains("try: ") {
            banner.push_str(&lines.next().expect("the banner ends with an example").unwrap());
            banner.push('\n');
        }
        std::thread::spawn(move || lines.for_each(drop));
        let after = |label: &str| banner.split_once(label).unwrap().1.split_whitespace().next().unwrap().to_string();
        let (bootstrap, http) = (after("Kafka"), after("http://"));
        Dev { process, bootstrap, http, banner }
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        outcome(frazil(arguments).env("FRAZIL_BOOTSTRAP", &self.bootstrap).output().unwrap())
    }

    fn feed(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = frazil(arguments);
        command.env("FRAZIL_BOOTSTRAP", &self.bootstrap).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        outcome(child.wait_with_output().unwrap())
    }

    fn signal(&mut self, name: &str) -> i32 {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.process.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_first_minute_works_as_promised() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path(), &[]);
    assert!(dev.banner.contains("demo topic \"orders\" receives 500 records a second"), "{}", dev.banner);
    assert!(dev.banner.contains("durable; delete to reset"), "{}", dev.banner);
    let (code, stdout, stderr) = dev.run(&["tail", "orders", "-n", "3"]);
    assert_eq!((code, stdout.lines().count()), (0, 3), "{stdout}{stderr}");
    assert!(stdout.lines().all(|line| line.starts_with("{\"order_id\":")), "{stdout}");
    let (code, stdout, _) = run(&["health", "--http", &dev.http]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.ends_with("ready\n"), "{stdout}");
    assert_eq!(dev.signal("-INT"), 0);
    let again = Dev::start(directory.path(), &[]);
    assert!(again.banner.contains("no demo"), "{}", again.banner);
    let (code, stdout, stderr) = again.run(&["consume", "orders", "-n", "1"]);
    assert_eq!((code, stdout.lines().count()), (0, 1), "{stderr}");
}

#[test]
fn records_go_in_by_line_and_come_out_by_format() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path(), &["--no-demo"]);
    assert_eq!(dev.run(&["topic", "create", "t", "-p", "1"]).0, 0);
    let (code, stdout, stderr) =
        dev.feed(&["produce", "t", "-K", ":", "-H", "a=b", "-z", "lz4"], "k1:v1\nk2:v2\nk3:v3\n");
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "3 records written to t\n"));
    let consume = |arguments: &[&str]| {
        let (code, stdout, stderr) = dev.run(&[&["consume", "t"], arguments].concat());
        assert_eq!(code, 0, "{stderr}");
        stdout
    };
    assert_eq!(consume(&["-e", "-f", r"%t %p %o %k=%v %h\n"]), "t 0 0 k1=v1 a=b\nt 0 1 k2=v2 a=b\nt 0 2 k3=v3 a=b\n");
    assert_eq!(consume(&["-n", "2"]), "v1\nv2\n");
    assert_eq!(consume(&["-o", "1:2"]), "v2\n");
    assert_eq!(consume(&["-o", "-1", "-n", "1"]), "v3\n");
    assert_eq!(consume(&["-o", "1:100"]), "v2\nv3\n");
    assert_eq!(consume(&["-o", "@-1h:newest"]), "v1\nv2\nv3\n");
    assert_eq!(consume(&["-o", "newest", "-e"]), "");
    let json: Vec<serde_json::Value> =
        consume(&["-e", "-o", "json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&json[0]["key"], &json[0]["value"], &json[0]["offset"]), (&"k1".into(), &"v1".into(), &0.into()));
    let (code, stdout, _) = dev.run(&["topic", "describe", "t", "-o", "json"]);
    let described: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &described["partitions"][0]["end"]), (0, &3.into()));
    assert_eq!(dev.signal("-TERM"), 0);
}

#[test]
fn what_was_acknowledged_survives_kill_nine_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path(), &["--no-demo"]);
    assert_eq!(dev.feed(&["produce", "t", "--create"], "precious\n").0, 0);
    assert_eq!(dev.signal("-KILL"), -1);
    let data = directory.path().join("data");
    let (code, stdout, stderr) = run(&["storage", "verify", data.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert!(stderr.starts_with("proved: 1 topics, 1 partitions, 1 records"), "{stderr}");
    let dev = Dev::start(directory.path(), &["--no-demo"]);
    assert_eq!(dev.run(&["consume", "t", "-e"]).1, "precious\n");
}

#[test]
fn storage_inspect_explains_what_a_broker_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(directory.path(), &["--no-demo"]);
    assert_eq!(dev.feed(&["produce", "t", "--create"], "x\n").0, 0);
    assert_eq!(dev.signal("-TERM"), 0);
    let data = directory.path().join("data");
    let newest = |folder: &str| {
        let files = std::fs::read_dir(data.join(folder)).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some()).max().unwrap().to_str().unwrap().to_string()
    };
    let (code, stdout, stderr) = run(&["storage", "inspect", &newest("journal")]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("a journal chunk with ") && stdout.contains("topic t is created"), "{stdout}");
    let (code, stdout, _) = run(&["storage", "inspect", &newest("snap"), "-o", "json"]);
    let snapshot: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &snapshot["topics"][0]["name"]), (0, &"t".into()));
    let (code, stdout, _) = run(&["storage", "inspect", "cluster-id", "--store-url", data.to_str().unwrap()]);
    assert!(code == 0 && stdout.starts_with("the cluster's id: "), "{stdout}");
    let (code, _, stderr) = run(&["storage", "inspect", "no/such", "--store-url", data.to_str().unwrap()]);
    assert!(code == 1 && stderr.contains("next:"), "{stderr}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path(), &["--no-demo"]);
    let lines = "a line that fills the pipe, again and again and again and again\n".repeat(20_000);
    assert_eq!(dev.feed(&["produce", "t", "--create"], &lines).0, 0);
    let mut command = frazil(&["consume", "t", "-e"]);
    command.env("FRAZIL_BOOTSTRAP", &dev.bootstrap).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let (code, _, stderr) = outcome(child.wait_with_output().unwrap());
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn exit_codes_tell_usage_failure_partial_and_timeout_apart() {
    assert_eq!(run(&["--version"]).0, 0);
    assert_eq!(run(&["no-such-command"]).0, 2);
    assert_eq!(run(&["server", "--store-url", "ftp://x"]).0, 2);
    assert_eq!(run(&["consume", "t", "-o", "soon"]).0, 2);
    let (code, _, stderr) = run(&["topic", "list", "-b", "127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no broker can be reached") && stderr.contains("next: start a broker"), "{stderr}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    assert_eq!(run(&["health", "--http", &address, "--timeout", "50ms"]).0, 4);

    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(directory.path(), &["--no-demo"]);
    assert_eq!(dev.run(&["topic", "create", "t"]).0, 0);
    assert_eq!(dev.run(&["topic", "create", "t"]).0, 1);
    assert_eq!(dev.run(&["topic", "create", "t", "--if-not-exists"]).0, 0);
    assert_eq!(dev.run(&["topic", "delete", "t", "nowhere"]).0, 3);
}

#[test]
fn a_taken_port_says_so_and_names_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = directory.path().join("data");
    let arguments =
        ["dev", "--data", data.to_str().unwrap(), "--kafka-listen", &address, "--http-listen", "127.0.0.1:0"];
    let (code, stdout, stderr) = run(&arguments);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains(&format!("{address} is taken")) && stderr.contains("--any-port"), "{stderr}");
}

#[test]
fn configuration_is_printed_with_origins_and_never_with_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("frazil.toml");
    std::fs::write(&file, "[kafka]\nnum_partitions = 3\n[broker]\nzone = \"${env:PLANTED}\"\n").unwrap();
    let print = |arguments: &[&str]| {
        let mut command = frazil(&[&["config", "print", "--config", file.to_str().unwrap()], arguments].concat());
        command.env("PLANTED", PLANTED).env("FRAZIL__STORE__URL", format!("s3://bucket?secret_access_key={PLANTED}"));
        outcome(command.output().unwrap())
    };
    for arguments in [&[][..], &["--origin"], &["-o", "json"], &["--log-cache-bytes", "64G"]] {
        let (_, stdout, stderr) = print(arguments);
        assert!(!stdout.contains(PLANTED) && !stderr.contains(PLANTED), "{arguments:?}: {stdout}{stderr}");
    }
    let (code, stdout, _) = print(&["--origin", "--kafka-num-partitions", "7"]);
    assert_eq!(code, 0);
    let line = |setting: &str| stdout.lines().find(|line| line.starts_with(setting)).unwrap().to_string();
    assert!(line("kafka.num_partitions").contains("7 ") && stdout.contains("flag --kafka-num-partitions"), "{stdout}");
    assert!(line("broker.zone").contains("${env:PLANTED}"), "{stdout}");
    assert!(line("store.url").contains("env FRAZIL__STORE__URL"), "{stdout}");
    let (code, _, stderr) = run(&["config", "print", "--log-flush-aeg", "1s"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn what_config_print_writes_is_a_file_that_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (code, first, _) = run(&["config", "print", "--store-url", "memory://", "--log-flush-age", "5ms"]);
    assert_eq!(code, 0);
    let file = directory.path().join("frazil.toml");
    std::fs::write(&file, &first).unwrap();
    let (code, second, stderr) = run(&["config", "print", "--config", file.to_str().unwrap()]);
    assert_eq!((code, second), (0, first), "{stderr}");
}

#[test]
fn a_server_runs_with_only_a_store_and_ends_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = frazil(&["server"]);
    command.env("FRAZIL__STORE__URL", directory.path()).env("FRAZIL__KAFKA__LISTEN", "127.0.0.1:0");
    command.env("FRAZIL__HTTP__LISTEN", "127.0.0.1:0").stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let served = lines.by_ref().map(|line| line.unwrap()).find(|line| line.contains("serving"));
    let line: serde_json::Value = serde_json::from_str(&served.unwrap()).expect("log lines off a terminal are JSON");
    assert_eq!(line["level"], "INFO");
    std::thread::spawn(move || lines.for_each(drop));
    assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_store_that_is_away_at_the_start_makes_it_not_ready_but_leaves_it_alive() {
    let mut command = frazil(&["server", "--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    command.env("FRAZIL__STORE__URL", "s3://nowhere?endpoint=http://127.0.0.1:1&region=us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", PLANTED).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    let bound = lines.by_ref().find(|line| line.contains("ports bound")).unwrap();
    let bound: serde_json::Value = serde_json::from_str(&bound).unwrap();
    let http = bound["http"].as_str().unwrap();
    let mut waits = lines.by_ref().inspect(|line| assert!(!line.contains(PLANTED), "{line}"));
    assert!(waits.any(|line| line.contains("waiting for it")), "it says what it waits for");
    assert_eq!(run(&["health", "--http", http, "--live"]).0, 0);
    let (code, stdout, _) = run(&["health", "--http", http]);
    assert_eq!((code, stdout.lines().last()), (1, Some("not ready: starting")));
    std::thread::spawn(move || lines.for_each(drop));
    assert!(Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(0));
}
