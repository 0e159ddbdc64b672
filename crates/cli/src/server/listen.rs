//! Ports, and the address that clients are told.

use crate::settings::HostPort;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use tokio::net::TcpListener;

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has it.
    #[error("{address} is taken by another process")]
    Taken {
        /// The setting that asks for it.
        setting: &'static str,
        /// The address.
        address: HostPort,
    },
    /// Something else is wrong with it.
    #[error("cannot listen on {address}")]
    Failed {
        /// The setting that asks for it.
        setting: &'static str,
        /// The address.
        address: HostPort,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A listener on `address`; with `any_port` on a free port of the same host, when that one is taken.
pub async fn bind(setting: &'static str, address: &HostPort, any_port: bool) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind((address.host.as_str(), address.port)).await;
    match bound {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse && any_port => {
            let free = TcpListener::bind((address.host.as_str(), 0)).await;
            free.map_err(|source| ListenError::Failed { setting, address: address.clone(), source })
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(ListenError::Taken { setting, address: address.clone() })
        }
        Err(source) => Err(ListenError::Failed { setting, address: address.clone(), source }),
    }
}

/// The address that clients are told: the one that is set, else the listen address. A listener on all addresses has
/// none that a client could use, so the address of the interface that leads outside stands in, with a warning.
pub fn advertised_address(listen: &HostPort, advertise: Option<&HostPort>, bound: SocketAddr) -> HostPort {
    match advertise {
        Some(address) if address.port == 0 => HostPort { host: address.host.clone(), port: bound.port() },
        Some(address) => address.clone(),
        None if listen.is_wildcard() => guessed(bound.port()),
        None => HostPort { host: listen.host.clone(), port: bound.port() },
    }
}

fn guessed(port: u16) -> HostPort {
    let host = outward_address().map_or("127.0.0.1".to_string(), |address| address.to_string());
    let guess = HostPort { host, port };
    tracing::warn!(
        advertised = %guess,
        "listening on all addresses; clients are told {guess}. If they cannot reach that, set FRAZIL__KAFKA__ADVERTISE"
    );
    guess
}

/// The address of the interface that leads outside. Connecting a datagram socket only asks the routing table;
/// nothing is sent. The destination is from a range for documentation (RFC 5737).
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> HostPort {
        HostPort::parse(text, None).unwrap()
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_that_names_it_unless_any_port_will_do() {
        let first = bind("kafka.listen", &address("127.0.0.1:0"), false).await.unwrap();
        let taken = HostPort { host: "127.0.0.1".into(), port: first.local_addr().unwrap().port() };
        let error = bind("kafka.listen", &taken, false).await.unwrap_err();
        assert!(matches!(&error, ListenError::Taken { setting: "kafka.listen", .. }));
        assert_eq!(error.to_string(), format!("{taken} is taken by another process"));
        let other = bind("kafka.listen", &taken, true).await.unwrap();
        assert_ne!(other.local_addr().unwrap().port(), taken.port);
    }

    #[test]
    fn clients_are_told_what_is_set_else_where_we_listen_and_never_a_wildcard() {
        let bound: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        let told = |listen, advertise: Option<&str>| {
            advertised_address(&address(listen), advertise.map(address).as_ref(), bound).to_string()
        };
        assert_eq!(told("127.0.0.1:0", None), "127.0.0.1:5000");
        assert_eq!(told("localhost:5000", None), "localhost:5000");
        assert_eq!(told("0.0.0.0:5000", Some("broker.example:9092")), "broker.example:9092");
        assert_eq!(told("0.0.0.0:0", Some("broker.example:0")), "broker.example:5000");
        let guess = told("0.0.0.0:5000", None);
        assert!(guess.ends_with(":5000") && !guess.starts_with("0.0.0.0"), "{guess}");
    }
}
