//! The page at `/`: health in one sentence, and where everything else is. No script, nothing from elsewhere.

use crate::HealthReport;

/// The page's style sheet; follows the reader's choice of dark or light.
pub const STYLE: &str = "\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } p.state { font-size: 1.2rem }
.ok::before { content: '\\25CF '; color: #2a9d58 } .bad::before { content: '\\25CF '; color: #d1433f }
table { border-collapse: collapse } td { padding: .2rem 1.2rem .2rem 0; vertical-align: top }
code { font-family: ui-monospace, monospace }
";

const ENDPOINTS: &[(&str, &str)] = &[
    ("/metrics", "metrics for Prometheus"),
    ("/readyz?verbose", "whether clients should come here, and why not"),
    ("/livez", "whether the process answers"),
    ("/startupz", "whether start-up has come to its end"),
];

/// The page for this state of health.
pub fn render(report: &HealthReport) -> String {
    let class = if report.is_ready() { "ok" } else { "bad" };
    let sentence = escape(report.brief().trim());
    let checks: String = report.checks.iter().map(|check| row(check.ok, check.name, &check.detail)).collect();
    let endpoints: String = ENDPOINTS
        .iter()
        .map(|(path, what)| format!("<tr><td><a href=\"{path}\"><code>{path}</code></a></td><td>{what}</td></tr>"))
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Frazil</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/style.css\"></head>\
         <body><h1>Frazil</h1><p>Kafka for object storage</p><p class=\"state {class}\">{sentence}</p>\
         <table>{checks}</table><h2>Endpoints</h2><table>{endpoints}</table></body></html>\n"
    )
}

fn row(ok: bool, name: &str, detail: &str) -> String {
    let class = if ok { "ok" } else { "bad" };
    format!("<tr><td class=\"{class}\">{}</td><td>{}</td></tr>", escape(name), escape(detail))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
