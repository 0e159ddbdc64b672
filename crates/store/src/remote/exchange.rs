//! Watches the HTTP exchanges of a request, and signs S3's.
//!
//! `object_store` lets us stand between it and its HTTP client. Here a request gets its checksum header and signature,
//! and what came of it is noted for the task that waits: how far it got, status, error code and message. Only code
//! and message of an error document are kept: other elements repeat parts of the request.

use super::credentials::Signer;
use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, HeaderValue};
use parking_lot::Mutex;
use std::error::Error;
use std::sync::Arc;

/// Longest message of a store that is repeated in an error.
const MESSAGE_CHARS_MAX: usize = 300;

/// An extra header of a request.
#[derive(Clone, Debug)]
pub struct Header {
    /// Lower case.
    pub name: &'static str,
    /// Visible ASCII.
    pub value: String,
}

/// What was seen of the last HTTP exchange of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// No request was made.
    #[default]
    Nothing,
    /// There were no credentials to sign it with: nothing was sent.
    NoCredentials {
        /// Why not.
        cause: String,
        /// Whether there may be some later.
        passing: bool,
    },
    /// No connection came about: nothing was sent.
    NotConnected(String),
    /// No answer came within the time: some or all of it was sent.
    TimedOut(String),
    /// The connection broke: some or all of it may have been sent.
    Torn(String),
    /// An answer.
    Answered(Answered),
}

/// An answer's head, and what its error document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// `<Code>`, or empty.
    pub code: String,
    /// `<Message>`, or empty.
    pub message: String,
    /// The region in which S3 says the bucket lies.
    pub region: Option<String>,
}

impl Seen {
    fn code(&self) -> &str {
        match self {
            Seen::Answered(answered) => &answered.code,
            _ => "",
        }
    }

    /// Whether the bucket or container does not exist.
    pub fn says_bucket_missing(&self) -> bool {
        matches!(self.code(), "NoSuchBucket" | "ContainerNotFound")
    }

    /// Whether other credentials are needed.
    pub fn says_credentials_expired(&self) -> bool {
        matches!(self.code(), "ExpiredToken" | "InvalidToken" | "InvalidAccessKeyId" | "TokenRefreshRequired")
    }
}

#[derive(Debug, Default)]
struct Watched {
    header: Option<Header>,
    seen: Mutex<Seen>,
}

tokio::task_local! {
    static WATCHED: Arc<Watched>;
}

/// Runs a request with an extra header and tells what was seen of its last exchange.
pub async fn watch<T>(header: Option<Header>, request: impl Future<Output = T>) -> (T, Seen) {
    let watched = Arc::new(Watched { header, seen: Mutex::default() });
    let result = WATCHED.scope(watched.clone(), request).await;
    let seen = std::mem::take(&mut *watched.seen.lock());
    (result, seen)
}

fn note(seen: Seen) {
    let _ = WATCHED.try_with(|watched| *watched.seen.lock() = seen);
}

/// Makes a watched HTTP client whenever it is asked; its requests are signed elsewhere.
#[derive(Clone, Debug)]
pub struct WatchedConnector;

impl HttpConnector for WatchedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        watched_client(options, None)
    }
}

/// Gives everybody the same client: making one reads the system's certificates, and connections are shared.
#[derive(Clone, Debug)]
pub struct SharedConnector(pub HttpClient);

impl HttpConnector for SharedConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// An HTTP client that is watched and, with a signer, signs S3 requests.
pub fn watched_client(options: &ClientOptions, signer: Option<Signer>) -> object_store::Result<HttpClient> {
    let http = ReqwestConnector::default().connect(options)?;
    Ok(HttpClient::new(WatchedService { http, signer }))
}

#[derive(Debug)]
struct WatchedService {
    http: HttpClient,
    signer: Option<Signer>,
}

#[async_trait]
impl HttpService for WatchedService {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        add_header(&mut request);
        if let Some(signer) = &self.signer
            && let Err(error) = signer.sign(&mut request).await
        {
            note(Seen::NoCredentials { cause: causes(&error), passing: error.is_passing() });
            return Err(HttpError::new(HttpErrorKind::Unknown, error));
        }
        match self.http.execute(request).await {
            Ok(response) => noted(response).await,
            Err(error) => {
                note(broken(&error));
                Err(error)
            }
        }
    }
}

fn add_header(request: &mut HttpRequest) {
    let header = WATCHED.try_with(|watched| watched.header.clone()).ok().flatten();
    if let Some(Header { name, value }) = header {
        let value = HeaderValue::from_str(&value).expect("header values are made of visible ASCII");
        request.headers_mut().insert(name, value);
    }
}

fn broken(error: &HttpError) -> Seen {
    let cause = causes(error);
    match error.kind() {
        HttpErrorKind::Connect => Seen::NotConnected(cause),
        // Connecting can time out too, which the kind does not tell.
        HttpErrorKind::Timeout if cause.contains("connect") => Seen::NotConnected(cause),
        HttpErrorKind::Timeout => Seen::TimedOut(cause),
        _ => Seen::Torn(cause),
    }
}

/// Notes the answer. An error document is read here and handed on as if it had not been.
async fn noted(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let status = response.status().as_u16();
    let region = response.headers().get("x-amz-bucket-region").and_then(|value| value.to_str().ok()).map(String::from);
    if response.status().is_success() {
        note(Seen::Answered(Answered { status, ..Answered::default() }));
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = body.bytes().await.unwrap_or_default(); // the status says enough
    let text = String::from_utf8_lossy(&body);
    let message = element(&text, "Message").chars().take(MESSAGE_CHARS_MAX).collect();
    let region = region.or_else(|| Some(element(&text, "Region").to_owned()).filter(|region| !region.is_empty()));
    note(Seen::Answered(Answered { status, code: element(&text, "Code").to_owned(), message, region }));
    Ok(HttpResponse::from_parts(parts, body.into()))
}

/// The text of the first `<name>` element, or nothing.
fn element<'a>(document: &'a str, name: &str) -> &'a str {
    let text = document.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    text.split_once("</").map_or("", |(text, _)| text).trim()
}

/// An error and its causes in one line, without repetitions.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_an_error_document_are_found() {
        let document =
            "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>Nope &amp; no</Message></Error>";
        assert_eq!(element(document, "Code"), "NoSuchBucket");
        assert_eq!(element(document, "Message"), "Nope &amp; no");
        assert_eq!(element(document, "Region"), "");
        assert_eq!(element("<Code>unfinished", "Code"), "");
    }

    #[tokio::test]
    async fn nothing_is_seen_of_a_request_that_was_not_made() {
        assert_eq!(watch(None, async { 7 }).await, (7, Seen::Nothing));
    }
}
