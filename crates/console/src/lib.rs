//! The HTTP side of a broker: health for orchestrators, metrics for Prometheus, and a small page for people.
//!
//! `/livez` answers as long as the process can answer at all. `/startupz` turns to 200 once and stays there.
//! `/readyz` follows the health state that the broker keeps up to date by itself. None of them asks the object store
//! or the metadata log, so an outage there makes a broker not ready without restarting it, and a probe costs nothing.
//!
//! `/metrics` prints the shared registry and the process's own figures (memory, CPU, start time, build).
//!
//! The listener is served before the broker has opened its log, so that ports and probes are there while a large
//! start-up is under way; the registry is handed in when it is complete.

mod health;
mod page;
mod process;
#[cfg(test)]
mod tests;

pub use health::{Check, HealthReport};
pub use prometheus_client::registry::Registry;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Gives the present health. Called per request, so it must be cheap and must not wait.
pub type HealthSource = Arc<dyn Fn() -> HealthReport + Send + Sync>;

/// The registry that `/metrics` prints, set once all parts have registered their metrics.
pub type SharedRegistry = Arc<OnceLock<Registry>>;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A running HTTP server.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Console {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, and ends when the requests under way are answered.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the HTTP server ended badly");
        }
    }
}

#[derive(Clone)]
struct Shared {
    registry: SharedRegistry,
    process: Arc<Registry>,
    health: HealthSource,
}

/// Serves the endpoints on `listener`. `version` is shown as build information.
///
/// Must be called inside a tokio runtime. Fails only when the listener has no local address.
pub fn serve(
    listener: TcpListener,
    registry: SharedRegistry,
    health: HealthSource,
    version: &str,
) -> std::io::Result<Console> {
    let address = listener.local_addr()?;
    let (stop, mut stopped) = watch::channel(false);
    let routes = routes(Shared { registry, process: Arc::new(process::registry(version)), health });
    let task = tokio::spawn(async move {
        let shutdown = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(shutdown).await {
            tracing::error!(%error, "the HTTP server stopped");
        }
    });
    Ok(Console { address, stop, task })
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/", get(landing_page))
        .route("/style.css", get(style_sheet))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn landing_page(State(shared): State<Shared>) -> Response {
    let page = page::render(&(shared.health)());
    guarded("text/html; charset=utf-8", page)
}

async fn style_sheet() -> Response {
    guarded("text/css; charset=utf-8", page::STYLE.to_string())
}

async fn live() -> Response {
    text(StatusCode::OK, "ok\n".to_string())
}

async fn ready(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let report = (shared.health)();
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, if query.contains_key("verbose") { report.verbose() } else { report.brief() })
}

async fn started(State(shared): State<Shared>) -> Response {
    match (shared.health)().started {
        true => text(StatusCode::OK, "ok\n".to_string()),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_string()),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match encode_metrics(&shared) {
        Ok(body) => ([(header::CONTENT_TYPE, OPEN_METRICS)], body).into_response(),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics cannot be printed: {error}\n")),
    }
}

fn encode_metrics(shared: &Shared) -> Result<String, std::fmt::Error> {
    let mut body = String::with_capacity(16 << 10);
    prometheus_client::encoding::text::encode_registry(&mut body, &shared.process)?;
    if let Some(registry) = shared.registry.get() {
        prometheus_client::encoding::text::encode_registry(&mut body, registry)?;
    }
    prometheus_client::encoding::text::encode_eof(&mut body)?;
    Ok(body)
}

fn text(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, PLAIN_TEXT), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

fn guarded(content_type: &'static str, body: String) -> Response {
    let headers: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body).into_response()
}
