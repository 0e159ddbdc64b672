//! What `make bench` prints: the figures as they come, then each target with what was reached.

use std::fmt::Write as _;

/// Rows of figures and verdicts on targets.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(String, String)>,
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    what: String,
    wanted: String,
    got: String,
    reached: bool,
}

impl Report {
    /// Adds figures, and prints them at once.
    pub fn row(&mut self, what: impl Into<String>, figures: impl Into<String>) {
        let (what, figures) = (what.into(), figures.into());
        println!("{what:<44}{figures}");
        self.rows.push((what, figures));
    }

    /// A value that should be at least `bound`.
    pub fn at_least(&mut self, what: &str, value: f64, bound: f64, unit: &str) {
        self.target(what, format!("at least {}", shown(bound, unit)), shown(value, unit), value >= bound);
    }

    /// A value that should be at most `bound`.
    pub fn at_most(&mut self, what: &str, value: f64, bound: f64, unit: &str) {
        self.target(what, format!("at most {}", shown(bound, unit)), shown(value, unit), value <= bound);
    }

    fn target(&mut self, what: &str, wanted: String, got: String, reached: bool) {
        self.targets.push(Target { what: what.to_owned(), wanted, got, reached });
    }

    /// The table of targets.
    pub fn summary(&self) -> String {
        let mut text = format!("\n{:<64}{:>24}{:>18}\n", "target", "wanted", "got");
        for target in &self.targets {
            let verdict = if target.reached { "reached" } else { "MISSED" };
            // Writing into a string does not fail.
            let _ = writeln!(text, "{:<64}{:>24}{:>18}  {verdict}", target.what, target.wanted, target.got);
        }
        let reached = self.targets.iter().filter(|target| target.reached).count();
        let _ = writeln!(text, "{reached} of {} targets reached", self.targets.len());
        text
    }
}

fn shown(value: f64, unit: &str) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { 0 };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}
