//! The one binary `frazil`: wiring, roles, commands.
//!
//! `server` wires a broker from the other crates and is what `frazil dev` and `frazil server` run; tests and
//! benchmarks start it in their own process. `settings` is the configuration. `client` is a small Kafka client on
//! which the other commands stand. Each command is one file under `commands`. Data goes to stdout, talk to stderr,
//! and the exit code says how it ended (`exit`).

pub mod args;
pub mod client;
pub mod commands;
pub mod consume;
mod demo;
pub mod exit;
pub mod group;
mod logging;
pub mod output;
pub mod server;
pub mod settings;
pub mod storage;
pub mod time;

use args::{CommandLine, Verb};
use exit::{Exit, Failure, Outcome};
use std::process::ExitCode;

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    let line = CommandLine::of_process();
    logging::start(&line.verb);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(cores()).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(error.into())),
    };
    let outcome = runtime.block_on(run(line.verb));
    // Threads that read stdin or wait for a disk must not keep a finished command alive.
    runtime.shutdown_background();
    finish(outcome)
}

async fn run(verb: Verb) -> Outcome {
    use commands::{
        bench, cluster, completion, config, consume, dev, group, health, produce, server, storage, topic, txn,
    };
    match verb {
        Verb::Dev(args) => dev::run(args).await,
        Verb::Server(args) => server::run(args).await,
        Verb::Topic(verb) => topic::run(verb).await,
        Verb::Produce(args) => produce::run(args).await,
        Verb::Consume(args) => consume::run(args, false).await,
        Verb::Tail(args) => consume::run(args, true).await,
        Verb::Group(verb) => group::run(verb).await,
        Verb::Txn(verb) => txn::run(verb).await,
        Verb::Cluster(verb) => cluster::run(verb).await,
        Verb::Storage(verb) => storage::run(verb).await,
        Verb::Config(verb) => config::run(verb),
        Verb::Health(args) => health::run(args).await,
        Verb::Bench(args) => bench::run(args).await,
        Verb::Completion => completion::run(),
    }
}

/// At least two, so that a reader who does not take our output holds up nothing else.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}

fn finish(outcome: Outcome) -> ExitCode {
    let exit = match outcome {
        Ok(exit) => exit,
        Err(failure) if failure.is_broken_pipe() => Exit::Ok,
        Err(failure) => {
            tell(&failure);
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn tell(failure: &Failure) {
    eprintln!("{}", failure.story());
}
