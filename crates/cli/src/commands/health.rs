//! `frazil health`: asks a broker's HTTP side. Exit code 0 means ready; containers use it as their health check.

use crate::args::parse_duration;
use crate::exit::{Exit, Failure, Outcome};
use crate::settings::HostPort;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `frazil health`.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// Address of the broker's HTTP side
    #[arg(long, env = "FRAZIL__HTTP__LISTEN", default_value = "localhost:8080", value_parser = parse_http_address)]
    http: HostPort,
    /// Only ask whether the process answers
    #[arg(long)]
    live: bool,
    /// How long to wait for the answer
    #[arg(long, default_value = "3s", value_parser = parse_duration)]
    timeout: Duration,
}

fn parse_http_address(text: &str) -> Result<HostPort, String> {
    let address = HostPort::parse(text, Some(8080)).ok_or("not an address; write it as host:port")?;
    let host = if address.is_wildcard() { "localhost".to_string() } else { address.host };
    Ok(HostPort { host, port: address.port })
}

/// Asks, and prints the answer.
pub async fn run(args: HealthArgs) -> Outcome {
    let path = if args.live { "/livez" } else { "/readyz?verbose" };
    let (status, body) = match tokio::time::timeout(args.timeout, get(&args.http, path)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let error = anyhow::Error::from(error).context(format!("no broker answers on http://{}", args.http));
            return Err(Failure::new(error).advising("name its HTTP side with --http host:port"));
        }
        Err(_) => {
            let error = anyhow::anyhow!("http://{}{path} did not answer within {:?}", args.http, args.timeout);
            return Err(Failure { exit: Exit::Timeout, error, next: None });
        }
    };
    print!("{body}");
    match status {
        200 => Ok(Exit::Ok),
        503 => Ok(Exit::Failure),
        other => Err(Failure::new(anyhow::anyhow!("http://{}{path} answered with status {other}", args.http))
            .advising("is this the HTTP side of a Frazil broker? name it with --http host:port")),
    }
}

async fn get(address: &HostPort, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let malformed = || std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is no HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    Ok((status, body.to_string()))
}
