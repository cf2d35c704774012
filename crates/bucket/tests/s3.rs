//! The S3 client against a server that is no S3 at all: its answers, and its silence.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_bucket::{Bucket, BucketMetrics, from_store, open};
use dolmen_model::Kind;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: \"e\"\r\n\
                  Last-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\n\r\nbody";

fn refuse(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno")
}

/// Answers request after request with these, one connection each; `None`: says nothing.
async fn server(answers: Vec<Option<String>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            // Requests without a body fit one read.
            let n = socket.read(&mut [0; 8192]).await.unwrap();
            assert!(n > 0);
            match answer {
                Some(text) => socket.write_all(text.as_bytes()).await.unwrap(),
                None => silent.push(socket),
            }
        }
        std::future::pending::<()>().await;
    });
    port
}

fn bucket(port: u16, metrics: &BucketMetrics) -> Arc<Bucket> {
    let yaml = format!(
        "type: S3\nconfig:\n  bucket: b\n  endpoint: 127.0.0.1:{port}\n  access_key: a\n  secret_key: s\n  \
         insecure: true\n  max_retries: 3\n  http_config: {{response_header_timeout: 300ms}}\n"
    );
    open(&yaml, metrics).unwrap()
}

#[tokio::test]
async fn answers_that_pass_are_asked_for_again() {
    let metrics = BucketMetrics::new(&mut Registry::default());
    let slow = refuse("503 Slow Down");
    let short = OK.replace("body", "b");
    let port = server(vec![Some(slow), Some(refuse("500 Oops")), Some(short), Some(OK.to_owned())]).await;
    let store = bucket(port, &metrics).store_for("test");
    assert_eq!(store.get(&Path::from("x")).await.unwrap().bytes().await.unwrap(), "body");
    for code in ["503", "500", "error", "200"] {
        assert_eq!(metrics.requests("get", "test", code), 1, "{code}");
    }
}

#[tokio::test]
async fn refusals_are_told_at_once() {
    let metrics = BucketMetrics::new(&mut Registry::default());
    for (status, kind) in
        [("403 Forbidden", Kind::Halt), ("404 Not Found", Kind::NotFound), ("400 Bad Request", Kind::Halt)]
    {
        let store = bucket(server(vec![Some(refuse(status))]).await, &metrics).store();
        let e = store.get(&Path::from("x")).await.unwrap_err();
        assert_eq!(from_store("get", e).kind(), kind, "{status}");
        // A bucket that is missing, or not ours, is never taken for an empty one.
        let store = bucket(server(vec![Some(refuse(status))]).await, &metrics).store();
        let e = store.list(None).try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(from_store("list", e).kind(), Kind::Halt, "{status}");
    }
}

#[tokio::test]
async fn silence_and_closed_doors_are_errors_soon() {
    let metrics = BucketMetrics::new(&mut Registry::default());
    let silent = server(vec![None, None, None, None]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for (port, code) in [(silent, "timeout"), (closed, "connect")] {
        let begin = Instant::now();
        let store = bucket(port, &metrics).store_for("test");
        let e = store.get(&Path::from("x")).await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(metrics.requests("get", "test", code), 4, "{e}");
        assert_eq!(from_store("get", e).kind(), Kind::Retry);
    }
}
