//! MinIO as a process of its own, and its own count of requests.

use anyhow::{Context as _, Result, ensure};
use frazil_tests::{FrazilSettings, answers_tcp, free_address};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const USER: &str = "minio";
const PASSWORD: &str = "minio12345";

/// A running MinIO.
#[derive(Debug)]
pub struct Minio {
    child: Child,
    address: SocketAddr,
}

impl Minio {
    /// Starts `binary` with its data in `folder` and waits until it serves.
    pub fn start(binary: &Path, folder: &Path) -> Result<Minio> {
        let address = free_address();
        let child = Command::new(binary)
            .arg("server")
            .arg(folder)
            .args(["--quiet", "--address", &address.to_string()])
            .env("MINIO_ROOT_USER", USER)
            .env("MINIO_ROOT_PASSWORD", PASSWORD)
            .env("MINIO_PROMETHEUS_AUTH_TYPE", "public")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let minio = Minio { child, address };
        let began = Instant::now();
        while !(answers_tcp(address) && http_get(address, "/minio/health/ready").is_ok()) {
            ensure!(began.elapsed() < Duration::from_secs(60), "MinIO is not ready");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(minio)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The URL of a bucket, as `FRAZIL__STORE__URL` takes it.
    pub fn url(&self, bucket: &str) -> String {
        format!("s3://{bucket}?endpoint=http://{}&region=us-east-1", self.address)
    }

    /// The settings of a broker on a bucket.
    pub fn frazil(&self, bucket: &str) -> FrazilSettings {
        credentials().iter().fold(FrazilSettings::on(&self.url(bucket)), |settings, (name, value)| {
            settings.with(name, value)
        })
    }

    /// Requests that write objects and requests that read them, since its start, as MinIO counts them.
    pub fn requests(&self) -> Result<(u64, u64)> {
        let metrics = http_get(self.address, "/minio/v2/metrics/cluster")?;
        let count = |api: &str| -> u64 {
            let wanted = format!("api=\"{api}\"");
            let lines = metrics.lines().filter(|line| line.starts_with("minio_s3_requests_total{"));
            let of_api = lines.filter(|line| line.to_lowercase().contains(&wanted));
            of_api.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
        };
        Ok((count("putobject"), count("getobject")))
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The environment that its clients need.
pub fn credentials() -> [(&'static str, &'static str); 3] {
    [("AWS_ACCESS_KEY_ID", USER), ("AWS_SECRET_ACCESS_KEY", PASSWORD), ("AWS_REGION", "us-east-1")]
}

/// The body of an answer with status 200.
fn http_get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    ensure!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    Ok(body.to_owned())
}
