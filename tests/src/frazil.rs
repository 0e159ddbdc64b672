//! The built `frazil` as a process of its own.
//!
//! Its configuration is environment variables, as a person would set them; its working folder is empty and temporary,
//! so that "another machine" is simply the next start. It is killed when it is dropped.

use crate::command::wait;
use crate::tools::{repository, sibling};
use crate::{answers_kafka, free_address};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a start, and how long a drain, may take before a test fails; generous, for loaded machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a [`FrazilProcess`] is started with. Ports stay the same over restarts, so that clients find it again.
#[derive(Clone, Debug)]
pub struct FrazilSettings {
    /// The Kafka address.
    pub kafka: SocketAddr,
    /// The address of health and metrics.
    pub http: SocketAddr,
    /// The binary; by default that of this workspace and profile, built first when it is not up to date.
    pub binary: Option<PathBuf>,
    variables: BTreeMap<String, String>,
}

impl FrazilSettings {
    /// A broker on free ports whose records lie at `store_url`.
    pub fn on(store_url: &str) -> FrazilSettings {
        let settings =
            FrazilSettings { kafka: free_address(), http: free_address(), binary: None, variables: BTreeMap::new() };
        settings.with("FRAZIL__STORE__URL", store_url)
    }

    /// A broker on free ports whose records lie in the local folder `path`.
    pub fn on_folder(path: &Path) -> FrazilSettings {
        FrazilSettings::on(&format!("file://{}", path.display()))
    }

    /// Sets one environment variable.
    pub fn with(mut self, name: &str, value: &str) -> FrazilSettings {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Uses this binary instead of the workspace's.
    pub fn with_binary(mut self, path: &Path) -> FrazilSettings {
        self.binary = Some(path.to_owned());
        self
    }
}

/// A running broker.
#[derive(Debug)]
pub struct FrazilProcess {
    settings: FrazilSettings,
    child: Child,
    // The working folder lives as long as the process.
    _folder: TempDir,
    said: Arc<Mutex<Vec<u8>>>,
    started_in: Duration,
}

impl FrazilProcess {
    /// Starts `frazil server` in an empty working folder and waits until it answers a Kafka client. When it ends before,
    /// the error carries what it said.
    pub fn start(settings: FrazilSettings) -> Result<FrazilProcess> {
        let binary = settings.binary.clone().map_or_else(built_binary, Ok)?;
        let folder = TempDir::new()?;
        let began = Instant::now();
        let mut child = Command::new(&binary)
            .arg("server")
            .current_dir(folder.path())
            .env("FRAZIL__KAFKA__LISTEN", settings.kafka.to_string())
            .env("FRAZIL__HTTP__LISTEN", settings.http.to_string())
            .envs(&settings.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let said = collect(child.stderr.take());
        let mut process = FrazilProcess { settings, child, _folder: folder, said, started_in: Duration::ZERO };
        process.wait_until_ready(began)?;
        process.started_in = began.elapsed();
        Ok(process)
    }

    fn wait_until_ready(&mut self, began: Instant) -> Result<()> {
        while !answers_kafka(self.settings.kafka) {
            if let Some(status) = self.child.try_wait()? {
                bail!("frazil ended with {status} before it was ready:\n{}", self.stderr());
            }
            ensure!(began.elapsed() < PATIENCE, "frazil does not answer after {PATIENCE:?}:\n{}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Its settings, to start it again.
    pub fn settings(&self) -> FrazilSettings {
        self.settings.clone()
    }

    /// `host:port` for clients.
    pub fn bootstrap(&self) -> String {
        self.settings.kafka.to_string()
    }

    /// `http://host:port` of health and metrics.
    pub fn http(&self) -> String {
        format!("http://{}", self.settings.http)
    }

    /// The time from its start to its first answer.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("the reader does not panic")).into_owned()
    }

    /// `kill -9`: no drain, no farewell. Returns the settings to start it again with.
    pub fn kill(mut self) -> Result<FrazilSettings> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.settings())
    }

    /// `kill -9` and a start in an empty working folder on the same ports.
    pub fn kill_and_restart(self) -> Result<FrazilProcess> {
        FrazilProcess::start(self.kill()?)
    }

    /// Stops it from running at all, as a long pause of a virtual machine does (SIGSTOP).
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Ends a pause.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to drain (SIGTERM), waits for its end, and returns its status and what it said.
    pub fn terminate(mut self) -> Result<(ExitStatus, String)> {
        self.signal(Signal::TERM)?;
        let status = wait(&mut self.child, PATIENCE)?;
        let status = status.with_context(|| format!("frazil did not drain in {PATIENCE:?}:\n{}", self.stderr()))?;
        Ok((status, self.stderr()))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        Ok(kill_process(id, signal)?)
    }
}

impl Drop for FrazilProcess {
    fn drop(&mut self) {
        // It may have ended already; nothing else can go wrong with a child of ours.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(source: Option<ChildStderr>) -> Arc<Mutex<Vec<u8>>> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&said);
    thread::spawn(move || {
        let Some(mut source) = source else { return };
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = source.read(&mut piece) {
            into.lock().expect("nobody panics with it").extend_from_slice(&piece[..count]);
        }
    });
    said
}

/// The binary of this workspace in this profile: `$FRAZIL_BIN`, else built by cargo, which does nothing when it is up to
/// date. `cargo test` alone does not build it, and an old one must not be tested by mistake.
pub fn built_binary() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let outcome = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    outcome.clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("FRAZIL_BIN") {
        return Ok(PathBuf::from(given));
    }
    let binary = sibling("frazil")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(repository()).args(["build", "--workspace", "--bin", "frazil", "--locked", "--quiet"]);
    if binary.parent().is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    // What cargo tells this program about its own package; build scripts that look at it would run again, and with them
    // everything behind them.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let built = command.stdin(Stdio::null()).output().context("running cargo")?;
    ensure!(built.status.success(), "building frazil: {}", String::from_utf8_lossy(&built.stderr));
    Ok(binary)
}
