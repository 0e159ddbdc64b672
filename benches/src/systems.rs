//! The systems that are compared, each as processes of its own, with data in a folder that goes when they stop.

use anyhow::{Context as _, Result, ensure};
use frazil_tests::{FrazilProcess, FrazilSettings, KafkaProcess, Tools, answers_tcp, free_address};
use std::any::Any;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Something that takes the load.
pub struct System {
    /// Its name in the report.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its processes.
    pub processes: Vec<u32>,
    /// Where its metrics are, when it has some.
    pub metrics: Option<SocketAddr>,
    // Dropped in this order: first what runs, then its data.
    _running: Box<dyn Any>,
    _folder: Option<TempDir>,
}

/// Where binaries, tools and data are.
#[derive(Debug)]
pub struct Place {
    /// The binary under test.
    pub frazil: PathBuf,
    /// Data of all systems lie below it: one disk for all.
    pub data: PathBuf,
    /// Kafka.
    pub tools: Tools,
}

impl Place {
    /// Frazil with its defaults on a synced local directory.
    pub fn frazil(&self) -> Result<System> {
        let folder = self.folder()?;
        let process = FrazilProcess::start(FrazilSettings::on_folder(folder.path()).with_binary(&self.frazil))?;
        System::of_frazil(process, Some(folder))
    }

    /// Kafka with its defaults: it answers when the page cache has the records.
    pub fn kafka(&self) -> Result<System> {
        self.kafka_with("Kafka", &[])
    }

    /// Kafka that syncs before it answers, as Frazil does.
    pub fn kafka_synced(&self) -> Result<System> {
        self.kafka_with("Kafka, synced", &[("log.flush.interval.messages", "1")])
    }

    fn kafka_with(&self, name: &'static str, properties: &[(&str, &str)]) -> Result<System> {
        let process = KafkaProcess::start(&self.tools, &self.data, properties)?;
        let address = process.bootstrap().parse()?;
        let processes = vec![process.id()];
        Ok(System { name, address, processes, metrics: None, _running: Box::new(process), _folder: None })
    }

    /// The bare server, in a process of its own.
    pub fn floor(&self) -> Result<System> {
        let folder = self.folder()?;
        let address = free_address();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor-server", "--listen", &address.to_string(), "--folder"]).arg(folder.path());
        let child = Killed(command.stdin(Stdio::null()).spawn().context("starting the bare server")?);
        let began = Instant::now();
        while !answers_tcp(address) {
            ensure!(began.elapsed() < Duration::from_secs(60), "the bare server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let processes = vec![child.0.id()];
        let (name, metrics) = ("bare server", None);
        Ok(System { name, address, processes, metrics, _running: Box::new(child), _folder: Some(folder) })
    }

    /// A new folder below [`Place::data`].
    pub fn folder(&self) -> Result<TempDir> {
        TempDir::with_prefix_in("bench-", &self.data).with_context(|| format!("a folder in {}", self.data.display()))
    }
}

impl System {
    /// A Frazil that runs already.
    pub fn of_frazil(process: FrazilProcess, folder: Option<TempDir>) -> Result<System> {
        let address = process.bootstrap().parse()?;
        let processes = vec![process.id()];
        let metrics = Some(process.settings().http);
        Ok(System { name: "Frazil", address, processes, metrics, _running: Box::new(process), _folder: folder })
    }
}

impl System {
    /// Requests to the object store so far whose operation begins with `operation`, as Frazil counts them.
    pub fn store_requests(&self, operation: &str) -> Result<u64> {
        let address = self.metrics.context("this system has no metrics")?;
        let wanted = format!("frazil_store_requests_total{{operation=\"{operation}");
        let metrics = http_get(address, "/metrics")?;
        let lines = metrics.lines().filter(|line| line.starts_with(&wanted));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}

/// An answer of an HTTP server of ours, head and body.
fn http_get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {}", answer.lines().next().unwrap_or_default());
    Ok(answer)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Removes what a path holds from the page cache, so that the next reading comes from the disk. Needs privileges.
pub fn drop_page_cache() -> bool {
    rustix::fs::sync();
    std::fs::write(Path::new("/proc/sys/vm/drop_caches"), "3").is_ok()
}
