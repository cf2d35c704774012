//! HTTP/2 with prior knowledge.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};

use super::*;

type Sender = SendRequest<Full<Bytes>>;

/// A connection, with pings every so many milliseconds, and what becomes of it.
async fn connect(
    address: std::net::SocketAddr,
    ping_ms: Option<u64>,
) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).initial_stream_window_size(8 << 20);
    builder.keep_alive_interval(ping_ms.map(Duration::from_millis)).keep_alive_while_idle(true);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn send(sender: &mut Sender, path: &str, body: Bytes) -> hyper::Result<(u16, Bytes)> {
    sender.ready().await?;
    let method = if body.is_empty() { "GET" } else { "POST" };
    let uri = format!("http://x{path}");
    let request = Request::builder().method(method).uri(uri).body(Full::new(body)).unwrap();
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

async fn get_path(sender: &mut Sender, path: &str) -> hyper::Result<(u16, Bytes)> {
    send(sender, path, Bytes::new()).await
}

fn short() -> HttpSettings {
    HttpSettings {
        head_timeout: Duration::from_millis(80),
        idle_timeout: Duration::from_millis(400),
        ..Default::default()
    }
}

#[tokio::test]
async fn requests_share_a_connection() {
    let (address, _shutdown, _task) = start(HttpSettings::default()).await;
    let (sender, _connection) = connect(address, None).await;
    let began = tokio::time::Instant::now();
    let slow = (0..20).map(|_| {
        let mut sender = sender.clone();
        async move { get_path(&mut sender, "/slow").await.unwrap() }
    });
    for (status, body) in futures_join(slow).await {
        assert_eq!((status, &body[..]), (200, &b"slow"[..]));
    }
    assert!(began.elapsed() < Duration::from_millis(1500), "one after the other: {:?}", began.elapsed());
    let mut sender = sender;
    let large = Bytes::from(vec![7; 1 << 20]);
    assert_eq!(send(&mut sender, "/echo", large.clone()).await.unwrap(), (200, large));
    assert_eq!(get_path(&mut sender, "/panic").await.unwrap().0, 500);
}

async fn futures_join<T: Send + 'static>(
    all: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut set: JoinSet<T> = all.collect();
    let mut out = Vec::new();
    while let Some(one) = set.join_next().await {
        out.push(one.unwrap());
    }
    out
}

#[tokio::test]
async fn pings_between_requests_keep_a_connection_and_silence_ends_it_with_a_goodbye() {
    let (address, _shutdown, _task) = start(short()).await;
    let (mut pinging, _connection) = connect(address, Some(50)).await;
    let (mut quiet, gone) = connect(address, None).await;
    assert_eq!(get_path(&mut quiet, "/").await.unwrap().0, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Longer than a head may take.
    assert_eq!(get_path(&mut quiet, "/").await.unwrap().0, 200);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(get_path(&mut pinging, "/").await.unwrap().0, 200);
    gone.await.unwrap().expect("closed by the word, not by a reset");
    assert!(quiet.ready().await.is_err());
}

#[tokio::test]
async fn a_shutdown_lets_streams_finish_and_takes_no_new_ones() {
    let (address, shutdown, task) = start(HttpSettings::default()).await;
    let (mut sender, connection) = connect(address, None).await;
    let mut running = sender.clone();
    let running = tokio::spawn(async move { get_path(&mut running, "/slow").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    shutdown.trigger();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(get_path(&mut sender, "/").await.is_err());
    assert_eq!(running.await.unwrap().unwrap(), (200, Bytes::from("slow")));
    connection.await.unwrap().unwrap();
    task.await.unwrap();
}

#[tokio::test]
async fn half_a_preface_is_given_up_and_a_whole_one_is_told_the_windows() {
    let (address, _shutdown, _task) = start(short()).await;
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let began = tokio::time::Instant::now();
    let mut rest = Vec::new();
    assert_eq!(half.read_to_end(&mut rest).await.unwrap_or(0), 0);
    assert!(began.elapsed() < Duration::from_millis(300));

    let mut whole = TcpStream::connect(address).await.unwrap();
    // An empty SETTINGS frame behind the preface.
    whole.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let (mut streams, mut stream_window, mut connection_window) = (0, 0, 65_535);
    while (stream_window, connection_window) != (4 << 20, 16 << 20) {
        let mut head = [0; 9];
        whole.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        whole.read_exact(&mut payload).await.unwrap();
        let number = |b: &[u8]| u32::from_be_bytes(b.try_into().unwrap());
        match head[3] {
            4 => payload.chunks(6).for_each(|setting| match setting[1] {
                3 => streams = number(&setting[2..]),
                4 => stream_window = number(&setting[2..]),
                _ => {}
            }),
            8 => connection_window += number(&payload),
            _ => {}
        }
    }
    assert_eq!(streams, 256);
}
