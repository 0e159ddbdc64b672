//! What a broker says about itself.

use std::fmt::Write;

/// One thing that must hold for a broker to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Short name, such as `log` or `store`.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// One sentence for the operator: what was seen, and the cause when it does not hold.
    pub detail: String,
}

/// A broker's health at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// Whether start-up came to its end. Never goes back to false.
    pub started: bool,
    /// Whether the broker is on its way out.
    pub draining: bool,
    /// All must hold for the broker to be ready.
    pub checks: Vec<Check>,
}

impl HealthReport {
    /// Whether clients should be sent here.
    pub fn is_ready(&self) -> bool {
        self.started && !self.draining && self.checks.iter().all(|check| check.ok)
    }

    /// One line: `ready`, or what keeps the broker from it.
    pub fn brief(&self) -> String {
        if self.is_ready() {
            return "ready\n".to_string();
        }
        format!("not ready: {}\n", self.obstacle())
    }

    /// One line per check, in the manner of Kubernetes: `[+]name detail` or `[-]name detail`.
    pub fn verbose(&self) -> String {
        let mut text = String::new();
        for (name, ok) in [("started", self.started), ("not draining", !self.draining)] {
            text.push_str(&line(name, ok, ""));
        }
        for check in &self.checks {
            text.push_str(&line(check.name, check.ok, &check.detail));
        }
        text.push_str(&self.brief());
        text
    }

    fn obstacle(&self) -> String {
        if !self.started {
            return "starting".to_string();
        }
        if self.draining {
            return "draining".to_string();
        }
        let failed = self.checks.iter().filter(|check| !check.ok);
        failed.map(|check| format!("{}: {}", check.name, check.detail)).collect::<Vec<_>>().join("; ")
    }
}

fn line(name: &str, ok: bool, detail: &str) -> String {
    let mut line = format!("[{}]{name}", if ok { '+' } else { '-' });
    if !detail.is_empty() {
        let _ = write!(line, " {detail}");
    }
    line.push('\n');
    line
}
