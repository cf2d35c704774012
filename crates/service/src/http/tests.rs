//! Connections of both kinds against a real socket.

use super::*;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod http2;

async fn start(settings: HttpSettings) -> (std::net::SocketAddr, Shutdown, tokio::task::JoinHandle<()>) {
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        "slow"
    };
    let router = Router::new()
        .route("/", get(|| async { "fast" }))
        .route("/slow", get(slow))
        .route("/echo", axum::routing::post(|body: axum::body::Bytes| async { body }))
        .route("/panic", get(|| async { if true { panic!("on purpose") } else { "" } }));
    let listener = Listener::bind("--http-address", "127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.address(), Shutdown::new());
    let task = tokio::spawn(serve_http(listener, router, settings, shutdown.clone()));
    (address, shutdown, task)
}

async fn ask(address: std::net::SocketAddr, path: &str) -> String {
    let mut s = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    s.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    s.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_running_request_ends_within_the_grace_period_and_a_panic_is_an_answer() {
    let (address, shutdown, task) = start(HttpSettings::default()).await;
    assert!(ask(address, "/").await.ends_with("fast"));
    assert!(ask(address, "/panic").await.starts_with("HTTP/1.1 500"));
    let slow = tokio::spawn(async move { ask(address, "/slow").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    shutdown.trigger();
    assert!(slow.await.unwrap().ends_with("slow"));
    task.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_grace_period_of_nothing_cuts_requests_off() {
    let (address, shutdown, task) =
        start(HttpSettings { grace_period: Duration::ZERO, ..Default::default() }).await;
    let slow = tokio::spawn(async move { ask(address, "/slow").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    shutdown.trigger();
    task.await.unwrap();
    assert_eq!(slow.await.unwrap(), "");
}

#[tokio::test]
async fn half_a_head_and_silence_are_closed_and_connections_are_counted() {
    let settings = HttpSettings {
        head_timeout: Duration::from_millis(80),
        idle_timeout: Duration::from_millis(400),
        max_connections: 1,
        ..Default::default()
    };
    let (address, _shutdown, _task) = start(settings).await;
    let began = tokio::time::Instant::now();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HT").await.unwrap();
    // The only place is taken until the half head is given up.
    assert!(ask(address, "/").await.ends_with("fast"));
    assert!(began.elapsed() >= Duration::from_millis(80));
    let mut rest = Vec::new();
    assert_eq!(half.read_to_end(&mut rest).await.unwrap_or(0), 0);
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(silent.read_to_end(&mut rest).await.unwrap(), 0);
    assert!(began.elapsed() >= Duration::from_millis(400));
}
