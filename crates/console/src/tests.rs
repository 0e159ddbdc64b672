use super::*;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Fixture {
    console: Console,
    registry: SharedRegistry,
    health: Arc<Mutex<HealthReport>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn fixture(report: HealthReport) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let health = Arc::new(Mutex::new(report));
    let registry = SharedRegistry::default();
    let source = health.clone();
    let console = serve(listener, registry.clone(), Arc::new(move || source.lock().clone()), "1.2.3").unwrap();
    Fixture { console, registry, health }
}

async fn get_path(address: SocketAddr, path: &str) -> Answer {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: frazil\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_string() }
}

fn ready_report() -> HealthReport {
    let check = Check { name: "log", ok: true, detail: "appending".into() };
    HealthReport { started: true, draining: false, checks: vec![check] }
}

#[tokio::test]
async fn a_started_healthy_broker_is_live_started_and_ready() {
    let fixture = fixture(ready_report()).await;
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(get_path(fixture.console.local_addr(), path).await.status, 200, "{path}");
    }
    fixture.console.stop().await;
}

#[tokio::test]
async fn an_outage_makes_it_not_ready_but_leaves_it_live_and_started() {
    let fixture = fixture(ready_report()).await;
    let address = fixture.console.local_addr();
    fixture.health.lock().checks[0] = Check { name: "log", ok: false, detail: "bucket unreachable".into() };
    assert_eq!(get_path(address, "/livez").await.status, 200);
    assert_eq!(get_path(address, "/startupz").await.status, 200);
    let brief = get_path(address, "/readyz").await;
    assert_eq!((brief.status, brief.body.as_str()), (503, "not ready: log: bucket unreachable\n"));
    let verbose = get_path(address, "/readyz?verbose").await;
    assert_eq!(verbose.status, 503);
    assert!(verbose.body.contains("[+]started\n"), "{}", verbose.body);
    assert!(verbose.body.contains("[-]log bucket unreachable\n"), "{}", verbose.body);
}

#[tokio::test]
async fn while_starting_only_livez_answers_with_success() {
    let fixture = fixture(HealthReport::default()).await;
    let address = fixture.console.local_addr();
    assert_eq!(get_path(address, "/livez").await.status, 200);
    assert_eq!(get_path(address, "/startupz").await.status, 503);
    let ready = get_path(address, "/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: starting\n"));
}

#[tokio::test]
async fn a_draining_broker_is_not_ready() {
    let fixture = fixture(HealthReport { draining: true, ..ready_report() }).await;
    let ready = get_path(fixture.console.local_addr(), "/readyz").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: draining\n"));
}

#[tokio::test]
async fn metrics_hold_the_process_and_later_the_shared_registry_and_end_once() {
    let fixture = fixture(ready_report()).await;
    let address = fixture.console.local_addr();
    let early = get_path(address, "/metrics").await;
    assert!(!early.body.contains("tried_total"), "{}", early.body);

    let counter: Counter = Counter::default();
    counter.inc_by(7);
    let mut registry = Registry::default();
    registry.register("tried", "How often", counter);
    fixture.registry.set(registry).expect("set once");
    let answer = get_path(address, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("application/openmetrics-text"), "{}", answer.head);
    assert!(answer.body.contains("tried_total 7\n"), "{}", answer.body);
    assert!(answer.body.contains("frazil_build_info{version=\"1.2.3\"} 1"), "{}", answer.body);
    assert_eq!(answer.body.matches("# EOF").count(), 1);
    assert!(answer.body.ends_with("# EOF\n"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn process_figures_are_plausible() {
    let fixture = fixture(ready_report()).await;
    let body = get_path(fixture.console.local_addr(), "/metrics").await.body;
    let figure = |name: &str| -> f64 {
        let line = body.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).expect(name);
        line.parse().expect(name)
    };
    assert!(figure("process_resident_memory_bytes") > 1e6);
    assert!(figure("process_resident_memory_max_bytes") >= figure("process_resident_memory_bytes") * 0.5);
    assert!(figure("process_start_time_seconds") > 1.5e9);
    assert!(figure("process_cpu_seconds_total") >= 0.0);
}

#[tokio::test]
async fn the_page_asks_nothing_from_elsewhere_and_escapes_what_it_shows() {
    let mut report = ready_report();
    report.checks[0] = Check { name: "log", ok: false, detail: "<script>alert(1)</script>".into() };
    let fixture = fixture(report).await;
    let address = fixture.console.local_addr();
    let page = get_path(address, "/").await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{}", page.head);
    assert!(!page.body.contains("http:") && !page.body.contains("https:") && !page.body.contains("<script"));
    assert!(page.body.contains("/readyz?verbose") && page.body.contains("/metrics"));
    assert_eq!(get_path(address, "/style.css").await.status, 200);
    assert_eq!(get_path(address, "/nowhere").await.status, 404);
}

#[tokio::test]
async fn after_stop_nobody_listens() {
    let fixture = fixture(ready_report()).await;
    let address = fixture.console.local_addr();
    fixture.console.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
