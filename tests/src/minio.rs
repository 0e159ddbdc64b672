//! A real MinIO for tests.
//!
//! The binary is looked for in `FRAZIL_TEST_MINIO`, on the `PATH`, and in the cache folder that `make tools` fills.
//! A test that needs it and does not find it fails: a suite that skips its store proves nothing.
//!
//! Each server has a temporary folder and a free loopback port, can be paused, resumed, killed and started again with
//! its data, and is stopped when dropped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The server's only user.
pub const ACCESS_KEY_ID: &str = "frazil-tests";

/// That user's secret; tests look for it where no secret may be.
pub const SECRET_ACCESS_KEY: &str = "PLANTED-SECRET-0123456789";

/// Longest wait for a server that starts.
const START_MAX: Duration = Duration::from_secs(60);

/// Pause between two looks at a server that starts.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Ports that are tried when others take them first.
const PORTS_TRIED_MAX: u32 = 5;

/// A running server.
#[derive(Debug)]
pub struct Minio {
    binary: PathBuf,
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Minio {
    /// Starts a server with an empty folder and waits until it takes requests.
    pub async fn start() -> Minio {
        let binary = binary();
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("credentials"), credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)).expect("a file");
        for _ in 0..PORTS_TRIED_MAX {
            let port = crate::free_address().port();
            let mut process = spawn(&binary, folder.path(), port);
            if is_ready(&mut process, port).await {
                return Minio { binary, folder, port, process };
            }
        }
        panic!("MinIO does not start: {}", log(folder.path()));
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A store's URL for `bucket` or `bucket/prefix`, with endpoint, region and credentials.
    pub fn url(&self, bucket: &str) -> String {
        let credentials = self.folder.path().join("credentials");
        format!("{}&credentials_file={}", self.url_without_credentials(bucket), credentials.display())
    }

    /// A store's URL with endpoint and region; credentials come from the environment, or from what the caller adds.
    pub fn url_without_credentials(&self, bucket: &str) -> String {
        format!("s3://{bucket}?endpoint={}&region=us-east-1", self.endpoint())
    }

    /// What a process needs in its environment to use [`Minio::url_without_credentials`].
    pub fn environment(&self) -> [(&'static str, &'static str); 2] {
        [("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]
    }

    /// A credentials file of its own, for tests with wrong ones.
    pub fn credentials_file(&self, access_key_id: &str, secret_access_key: &str) -> PathBuf {
        let path = self.folder.path().join(format!("credentials-of-{access_key_id}"));
        fs::write(&path, credentials(access_key_id, secret_access_key)).expect("a file");
        path
    }

    /// Stops the process where it stands (`SIGSTOP`): connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Kills the process (`SIGKILL`); the data stay.
    pub fn kill(&mut self) {
        self.process.kill().expect("our own child can be killed");
        self.process.wait().expect("our own child can be waited for");
    }

    /// Starts the server again with its data, on the same port, after [`Minio::kill`].
    pub async fn restart(&mut self) {
        self.process = spawn(&self.binary, self.folder.path(), self.port);
        assert!(
            is_ready(&mut self.process, self.port).await,
            "MinIO does not start again: {}",
            log(self.folder.path())
        );
    }

    /// Requests that the server has answered, by its names of S3's operations (`PutObject`, `GetObject`,
    /// `ListObjectsV2`, `DeleteObject`, `PutBucket`, …), from its own metrics (the older ones at `/minio/v2/` lag by ten
    /// seconds); without `ListBuckets`, which this harness asks for.
    pub async fn requests(&self) -> BTreeMap<String, u64> {
        let url = format!("{}/minio/metrics/v3/api/requests", self.endpoint());
        let response = http().get(&url).send().await.expect("MinIO gives its metrics");
        requests_in(&response.text().await.expect("metrics are text"))
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let process = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(process.expect("a process id"), signal).expect("our own child takes signals");
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may be dead already
        let _ = self.process.wait();
    }
}

/// The binary, or a panic that says how to get it.
fn binary() -> PathBuf {
    let named = std::env::var_os("FRAZIL_TEST_MINIO").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("minio"));
    let cache = std::env::var_os("FRAZIL_CACHE").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository");
    let cached = cache.into_iter().chain([root.join(".cache")]).map(|folder| folder.join("bin/minio"));
    let found = named.into_iter().chain(on_path).chain(cached).find(|binary| binary.is_file());
    found.expect("MinIO is not here: run `make tools`, or set FRAZIL_TEST_MINIO to a minio binary")
}

fn credentials(access_key_id: &str, secret_access_key: &str) -> String {
    format!("[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n")
}

fn http() -> reqwest::Client {
    crate::install_tls_provider();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().expect("an HTTP client")
}

fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn spawn(binary: &Path, folder: &Path, port: u16) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).expect("a file");
    Command::new(binary)
        .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}"), "--certs-dir"])
        .args([folder.join("certs"), folder.join("data")])
        .env("MINIO_ROOT_USER", ACCESS_KEY_ID)
        .env("MINIO_ROOT_PASSWORD", SECRET_ACCESS_KEY)
        .env("MINIO_PROMETHEUS_AUTH_TYPE", "public")
        .env("MINIO_BROWSER", "off")
        .env("MINIO_UPDATE", "off")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file handle"))
        .stderr(log)
        .spawn()
        .expect("the MinIO binary can be executed")
}

/// Waits until the server takes requests; false when it ended instead, for example because its port was taken.
async fn is_ready(process: &mut Child, port: u16) -> bool {
    // Its health endpoints say yes too early. A visitor's request for the buckets is refused when all is ready.
    let (url, refused) = (format!("{}/", endpoint(port)), reqwest::StatusCode::FORBIDDEN);
    let http = http();
    let looks = START_MAX.as_millis() / LOOK_INTERVAL.as_millis();
    for _ in 0..looks {
        if http.get(&url).send().await.is_ok_and(|response| response.status() == refused) {
            return true;
        }
        if process.try_wait().expect("our own child can be looked at").is_some() {
            return false;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let _ = process.kill();
    let _ = process.wait();
    false
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

fn requests_in(metrics: &str) -> BTreeMap<String, u64> {
    let mut requests = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("minio_api_requests_total{")) {
        let api = line.split_once("name=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(api, _)| api);
        let count = line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
        if let (Some(api), Some(count)) = (api.filter(|api| *api != "ListBuckets"), count) {
            *requests.entry(api.to_owned()).or_default() += count as u64;
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_metrics() {
        let metrics = "# HELP minio_api_requests_total\n\
                       minio_api_requests_total{name=\"PutObject\",server=\"s\",type=\"s3\"} 12\n\
                       minio_api_requests_errors_total{name=\"PutObject\"} 3\n\
                       minio_api_requests_total{name=\"ListBuckets\"} 7\n\
                       minio_api_requests_total{name=\"GetObject\"} 1e+2\n";
        let expected = [("GetObject".to_owned(), 100), ("PutObject".to_owned(), 12)];
        assert_eq!(requests_in(metrics), BTreeMap::from(expected));
    }
}
