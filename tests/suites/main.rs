//! `make suites`: other projects' own test suites against a running broker, one line each; see `frazil_tests::suites`.

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use frazil_tests::suites::exceptions::Kind;
use frazil_tests::suites::verdict::Verdict;
use frazil_tests::suites::{self, Against, Selection, Suite};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Runs other projects' own test suites. Fails when a case fails that tests/suites does not list.
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker to run against.
    #[arg(long, value_enum, default_value = "frazil")]
    against: Whom,
    /// Only cases whose name contains one of these, with commas between them.
    #[arg(long, conflicts_with = "fast", value_delimiter = ',')]
    case: Vec<String>,
    /// Only the cases of tests/suites/fast.txt.
    #[arg(long)]
    fast: bool,
    /// Print a line for each case, too.
    #[arg(long)]
    each: bool,
    /// Cases to run at once: most of them wait most of the time.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Where cases leave what they said; by default the folder `suites` beside the program.
    #[arg(long)]
    logs: Option<PathBuf>,
    /// Print the cases instead of running them.
    #[arg(long)]
    list: bool,
    /// Suites to run; all when none is named.
    suites: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Whom {
    Frazil,
    Kafka,
}

impl Arguments {
    fn selection(&self) -> Result<Selection> {
        match self.case.as_slice() {
            [] if self.fast => Selection::fast(),
            [] => Ok(Selection::All),
            texts => Ok(Selection::Containing(texts.to_vec())),
        }
    }

    fn chosen(&self) -> Result<Vec<Box<dyn Suite>>> {
        let all = suites::catalogue();
        let known: Vec<&str> = all.iter().map(|suite| suite.name()).collect();
        for name in &self.suites {
            ensure!(known.contains(&name.as_str()), "no suite {name:?}: {}", known.join(", "));
        }
        let is_chosen =
            |suite: &dyn Suite| self.suites.is_empty() || self.suites.iter().any(|name| name == suite.name());
        Ok(all.into_iter().filter(|suite| is_chosen(suite.as_ref())).collect())
    }

    fn logs(&self) -> Result<PathBuf> {
        let program = std::env::current_exe()?;
        let beside = program.parent().context("a program lies in a folder")?.join("suites");
        Ok(self.logs.clone().unwrap_or(beside))
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen = arguments.chosen()?;
    if arguments.list {
        return list(&chosen);
    }
    let (selection, logs, began) = (arguments.selection()?, arguments.logs()?, Instant::now());
    let against = match arguments.against {
        Whom::Frazil => Against::Frazil,
        Whom::Kafka => Against::Kafka,
    };
    let mut verdicts = Vec::new();
    let mut broken = 0;
    for suite in chosen.into_iter().filter(|suite| selection.wants_some_of(suite.name())) {
        match suites::run_suite(suite.as_ref(), against, &selection, arguments.jobs, &logs.join(suite.name())) {
            Ok(verdict) => {
                let each = if arguments.each { verdict.each() } else { String::new() };
                print!("{each}{verdict}");
                verdicts.push(verdict);
            }
            Err(error) => {
                println!("{:24} could not be run: {error:#}", suite.name());
                broken += 1;
            }
        }
    }
    println!("{}, {} s; what each case said: {}", total(&verdicts, broken), began.elapsed().as_secs(), logs.display());
    let is_good = broken == 0 && verdicts.iter().all(Verdict::is_good);
    println!("{}", as_cargo_says(&verdicts, broken, is_good));
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(chosen: &[Box<dyn Suite>]) -> Result<ExitCode> {
    let tools = frazil_tests::Tools::locate()?;
    for suite in chosen {
        for case in suite.cases(&tools)? {
            println!("{} {case}", suite.name());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The line that cargo ends a test program with: .ci/run adds them up.
fn as_cargo_says(verdicts: &[Verdict], broken: usize, is_good: bool) -> String {
    let passed: usize = verdicts.iter().map(|verdict| verdict.passed).sum();
    let failed: usize = broken + verdicts.iter().map(|verdict| verdict.failed.len()).sum::<usize>();
    let excused: usize = verdicts.iter().map(Verdict::excused).sum();
    let result = if is_good { "ok" } else { "FAILED" };
    format!("test result: {result}. {passed} passed; {failed} failed; {excused} ignored; 0 measured; 0 filtered out")
}

fn total(verdicts: &[Verdict], broken: usize) -> String {
    let count = |kind| verdicts.iter().map(|verdict| verdict.count(kind)).sum::<usize>();
    format!(
        "all suites: {} passed, {} failed, {} not applicable, {} fail against Kafka too, {} lacking, {broken} suites not run",
        verdicts.iter().map(|verdict| verdict.passed).sum::<usize>(),
        verdicts.iter().map(|verdict| verdict.failed.len()).sum::<usize>(),
        count(Kind::NotApplicable),
        count(Kind::KafkaFails) + count(Kind::Flaky),
        count(Kind::FrazilLacks),
    )
}
