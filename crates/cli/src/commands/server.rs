//! `frazil server`: a broker, until a signal or another broker ends it.

use crate::args::SettingsArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::server::{DRAIN_LIMIT, ListenError, Server, StartError, Starting};
use crate::settings::{HostPort, Settings, resolve};
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `frazil server`.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Runs a broker.
pub async fn run(args: ServerArgs) -> Outcome {
    let settings = Settings::from_resolved(&resolve(&args.settings.sources(false))?)?;
    let stop = Stop::listen()?;
    let starting = Starting::bind(settings, false).await.map_err(start_failure)?;
    serve(starting, stop, async |_| {}).await
}

/// Opens the log, calls `ready`, and serves until there is a reason to stop.
pub async fn serve(starting: Starting, mut stop: Stop, ready: impl AsyncFnOnce(&Server)) -> Outcome {
    let server = tokio::select! {
        biased;
        _ = stop.requested() => return Ok(Exit::Ok),
        started = starting.finish() => started.map_err(start_failure)?,
    };
    ready(&server).await;
    let fenced = tokio::select! {
        biased;
        _ = stop.requested() => None,
        cause = server.fenced() => Some(cause),
    };
    tracing::info!("draining");
    let drained = tokio::select! {
        biased;
        drained = server.stop() => drained,
        _ = stop.requested() => false,
    };
    match (fenced, drained) {
        (Some(cause), _) => Err(taken_over(cause)),
        (None, true) => Ok(Exit::Ok),
        (None, false) => {
            let limit = DRAIN_LIMIT.as_secs();
            Err(Failure::new(anyhow::anyhow!("stopped before everything was drained (limit {limit} s)"))
                .advising("nothing acknowledged is lost; clients repeat what was not"))
        }
    }
}

fn taken_over(cause: String) -> Failure {
    Failure::new(anyhow::anyhow!("another broker took over this store").context(cause).context("fenced"))
        .advising("run one embedded broker per store; stop the other one, or give this one a store of its own")
}

/// A start that failed, with the next thing to try.
pub fn start_failure(error: StartError) -> Failure {
    let next = match &error {
        StartError::Listen(ListenError::Taken { setting, address }) => {
            let other = HostPort { port: address.port.checked_add(10).unwrap_or(9092), ..address.clone() };
            Some(format!("stop that process, or choose another port: --{} {other}", setting.replace('.', "-")))
        }
        StartError::Listen(ListenError::Failed { setting, .. }) => {
            Some(format!("choose another address with --{}", setting.replace('.', "-")))
        }
        StartError::Store { .. } => Some("check FRAZIL__STORE__URL (--store-url)".to_string()),
        StartError::Engine { .. } | StartError::Log { .. } | StartError::Http(_) => None,
    };
    Failure { exit: Exit::Failure, error: error.into(), next }
}

/// The signals that ask a process to stop.
pub struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens for SIGINT and SIGTERM from now on.
    pub fn listen() -> std::io::Result<Stop> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next of them.
    pub async fn requested(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
