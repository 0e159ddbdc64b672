//! One TCP connection to one broker: requests are pipelined, responses come back in their order.
//!
//! A task writes frames and a task reads them, so that a caller who goes away never leaves half a frame behind.

use super::ClientError;
use crate::settings::HostPort;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUESTS_QUEUED_MAX: usize = 256;
const CLIENT_ID: &str = "frazil";

/// Requests beyond these versions name topics by id, which this client does not need.
const VERSION_CAPS: &[(ApiKey, i16)] = &[(ApiKey::Produce, 12), (ApiKey::Fetch, 12)];

type Reply = oneshot::Sender<Bytes>;

struct Outgoing {
    correlation_id: i32,
    frame: Bytes,
    reply: Option<Reply>,
}

#[derive(Default)]
struct Pending {
    waiting: VecDeque<(i32, Reply)>,
    broken: Option<String>,
}

impl Pending {
    /// Fails everybody who waits, and all who come later.
    fn fail(&mut self, cause: String) {
        self.broken.get_or_insert(cause);
        self.waiting.clear();
    }
}

/// A connection. Dropping it closes the socket.
pub struct Connection {
    address: HostPort,
    outgoing: mpsc::Sender<Outgoing>,
    pending: Arc<Mutex<Pending>>,
    next_correlation_id: AtomicI32,
    versions: BTreeMap<i16, (i16, i16)>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Connection {
    /// Connects and asks which versions the broker speaks.
    pub async fn open(address: &HostPort) -> Result<Connection, ClientError> {
        let broken = |cause: String| ClientError::Connection { address: address.clone(), cause };
        let target = (address.host.as_str(), address.port);
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
            Err(_) => return Err(broken(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
            Ok(Err(error)) => return Err(broken(error.to_string())),
            Ok(Ok(stream)) => stream,
        };
        stream.set_nodelay(true).map_err(|error| broken(error.to_string()))?;
        let (read, write) = stream.into_split();
        let (outgoing, queue) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let pending = Arc::new(Mutex::new(Pending::default()));
        let tasks = [
            tokio::spawn(write_frames(write, queue, pending.clone())),
            tokio::spawn(read_frames(read, pending.clone())),
        ];
        let next_correlation_id = AtomicI32::new(1);
        let address = address.clone();
        let mut connection =
            Connection { address, outgoing, pending, next_correlation_id, versions: BTreeMap::new(), tasks };
        connection.versions = connection.ask_versions().await?;
        Ok(connection)
    }

    /// Where it goes.
    pub fn address(&self) -> &HostPort {
        &self.address
    }

    /// Whether it can still be used.
    pub fn is_open(&self) -> bool {
        self.pending.lock().broken.is_none()
    }

    async fn ask_versions(&self) -> Result<BTreeMap<i16, (i16, i16)>, ClientError> {
        let response = self.call_version(&ApiVersionsRequest::default(), 0, CONNECT_TIMEOUT).await?;
        let ranges = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        Ok(ranges.collect())
    }

    /// Sends a request in the newest version that both sides speak, and waits for its response.
    pub async fn call<R: Request>(&self, request: &R, timeout: Duration) -> Result<R::Response, ClientError> {
        self.call_version(request, self.version::<R>()?, timeout).await
    }

    /// Sends a request that the broker does not answer (a produce with `acks=0`).
    pub async fn tell<R: Request>(&self, request: &R) -> Result<(), ClientError> {
        let version = self.version::<R>()?;
        self.send(request, version, None).await
    }

    fn version<R: Request>(&self) -> Result<i16, ClientError> {
        let cap = VERSION_CAPS.iter().find(|(key, _)| *key as i16 == R::KEY).map_or(i16::MAX, |(_, cap)| *cap);
        let (min, max) = self.versions.get(&R::KEY).copied().unwrap_or((0, -1));
        let version = max.min(R::VERSIONS.max).min(cap);
        if version < min.max(R::VERSIONS.min) {
            let api = ApiKey::try_from(R::KEY).map_or("this request".to_string(), |key| format!("{key:?}"));
            return Err(ClientError::Unsupported { address: self.address.clone(), api });
        }
        Ok(version)
    }

    async fn call_version<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.send(request, version, Some(reply)).await?;
        let mut frame = match tokio::time::timeout(timeout, answer).await {
            Err(_) => return Err(ClientError::Timeout { address: self.address.clone(), waited: timeout }),
            Ok(Err(_)) => return Err(self.broken()),
            Ok(Ok(frame)) => frame,
        };
        ResponseHeader::decode(&mut frame, R::Response::header_version(version))
            .and_then(|_| R::Response::decode(&mut frame, version))
            .map_err(|error| ClientError::Protocol { address: self.address.clone(), cause: format!("{error:#}") })
    }

    async fn send<R: Request>(&self, request: &R, version: i16, reply: Option<Reply>) -> Result<(), ClientError> {
        let correlation_id = self.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = encode(request, version, correlation_id)
            .map_err(|error| ClientError::Protocol { address: self.address.clone(), cause: format!("{error:#}") })?;
        self.outgoing.send(Outgoing { correlation_id, frame, reply }).await.map_err(|_| self.broken())
    }

    fn broken(&self) -> ClientError {
        let cause = self.pending.lock().broken.clone().unwrap_or("closed".to_string());
        ClientError::Connection { address: self.address.clone(), cause }
    }
}

fn encode<R: Request>(request: &R, version: i16, correlation_id: i32) -> anyhow::Result<Bytes> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let header_version = R::header_version(version);
    let bytes = header.compute_size(header_version)? + request.compute_size(version)?;
    let mut frame = BytesMut::with_capacity(4 + bytes);
    frame.extend_from_slice(&i32::try_from(bytes)?.to_be_bytes());
    header.encode(&mut frame, header_version)?;
    request.encode(&mut frame, version)?;
    Ok(frame.freeze())
}

async fn write_frames(mut socket: OwnedWriteHalf, mut queue: mpsc::Receiver<Outgoing>, pending: Arc<Mutex<Pending>>) {
    while let Some(next) = queue.recv().await {
        if let Some(reply) = next.reply {
            pending.lock().waiting.push_back((next.correlation_id, reply));
        }
        if let Err(error) = socket.write_all(&next.frame).await {
            pending.lock().fail(error.to_string());
            return;
        }
        if pending.lock().broken.is_some() {
            pending.lock().waiting.clear();
            return;
        }
    }
}

async fn read_frames(mut socket: OwnedReadHalf, pending: Arc<Mutex<Pending>>) {
    let cause = loop {
        let mut frame = match read_frame(&mut socket).await {
            Ok(frame) => frame,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                break "the broker closed the connection".to_string();
            }
            Err(error) => break error.to_string(),
        };
        let correlation_id = match frame.try_peek_bytes(0..4) {
            Ok(mut bytes) => bytes::Buf::get_i32(&mut bytes),
            Err(_) => break "the broker sent a frame without header".to_string(),
        };
        match pending.lock().waiting.pop_front() {
            Some((expected, reply)) if expected == correlation_id => {
                let _ = reply.send(frame);
            }
            _ => break format!("the broker answered request {correlation_id}, which was not the next one"),
        }
    };
    pending.lock().fail(cause);
}

async fn read_frame(socket: &mut OwnedReadHalf) -> std::io::Result<Bytes> {
    let bytes = socket.read_i32().await?;
    let most = 2 * frazil_base::limits::FRAME_BYTES_MAX;
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= most).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("a frame of {bytes} bytes; is this a Kafka port?"))
    })?;
    let mut frame = BytesMut::with_capacity(bytes);
    while frame.len() < bytes {
        let missing = bytes - frame.len();
        if (&mut *socket).take(missing as u64).read_buf(&mut frame).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}
