//! Shared harness of the tests and benchmarks: real processes on this machine.
//!
//! [`FrazilProcess`] is the built binary with free ports and a data folder that can be thrown away; it can be killed,
//! paused, drained and started again. [`KafkaProcess`] is Apache Kafka put together from its jars: the oracle that a
//! test script is tried on first, and the peer of the benchmarks. [`Tools`] finds the clients that `make tools`
//! installed, and [`run`] runs one with a deadline. Nothing here knows how Frazil works inside.

pub mod command;
pub mod frazil;
pub mod kafka;
pub mod minio;
pub mod simulation;
pub mod suites;
pub mod tools;

pub use command::{Finished, run, run_with_input};
pub use frazil::{FrazilProcess, FrazilSettings};
pub use kafka::KafkaProcess;
pub use tools::Tools;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Installs what every process of ours installs first: the TLS provider, of which two are compiled in.
pub fn install_tls_provider() {
    // An error means that another test of this process was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A loopback address whose port was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

/// Whether something listens there.
pub fn answers_tcp(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok()
}

/// Asks a Kafka server for its API versions; true when it gives a real answer. The first request of every client, so a
/// server that answers it is up.
pub fn answers_kafka(address: SocketAddr) -> bool {
    ask_api_versions(address).is_ok()
}

fn ask_api_versions(address: SocketAddr) -> std::io::Result<()> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    // Size 10; key 18, version 0, correlation id 7, null client id.
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff])?;
    let mut head = [0; 10];
    stream.read_exact(&mut head)?;
    let (correlation_id, error_code) = (&head[4..8], &head[8..10]);
    if correlation_id == [0, 0, 0, 7] && error_code == [0, 0] { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}
