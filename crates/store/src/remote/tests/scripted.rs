//! An HTTP server that gives prepared answers, one per request, and keeps the requests.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes are sent and the connection is closed.
    Bytes { head: String, body: String },
    /// The connection is closed without an answer.
    Hangup,
    /// The connection stays open without an answer.
    Silence,
}

impl Answer {
    pub fn status(status: u16, body: &str) -> Answer {
        let head =
            format!("HTTP/1.1 {status} Said\r\nConnection: close\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        Answer::Bytes { head, body: body.to_owned() }
    }

    pub fn with_header(self, name: &str, value: &str) -> Answer {
        match self {
            Answer::Bytes { head, body } => Answer::Bytes { head: format!("{head}{name}: {value}\r\n"), body },
            other => other,
        }
    }
}

/// The server; it ends when dropped.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(answers: Vec<Answer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = requests.clone();
        let task = tokio::spawn(async move {
            let mut silent = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                kept.lock().push(request);
                match answer {
                    Answer::Bytes { head, body } => reply(&mut stream, &head, &body).await,
                    Answer::Hangup => drop(stream),
                    Answer::Silence => silent.push(stream),
                }
            }
            std::future::pending::<()>().await;
        });
        Server { port, requests, task }
    }

    /// Stops listening, for certain.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await; // ends with "cancelled"
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn reply(stream: &mut TcpStream, head: &str, body: &str) {
    let length =
        if head.contains("Content-Length") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    stream.write_all(format!("{head}{length}\r\n{body}").as_bytes()).await.unwrap();
}

/// Head and body of a request, as text.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if read == 0 || is_whole(&text) {
            return text;
        }
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}
