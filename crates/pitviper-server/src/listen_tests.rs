//! Clients that connect and do not behave, over TCP and a unix socket, in front of HTTP and gRPC.

use axum::body::Bytes;
use axum::routing::post;

use super::*;

/// How long something that happens at once may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const HEAD_TIMEOUT: Duration = Duration::from_millis(300);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A port with a route that answers with the body.
struct House {
    directory: tempfile::TempDir,
    port: Port,
    address: Option<SocketAddr>,
    connections: Arc<Connections>,
    stop: watch::Sender<bool>,
}

impl House {
    async fn open(port: Port, most: usize) -> Self {
        let connections = Arc::new(Connections::default());
        let door = Door { most, head_timeout: HEAD_TIMEOUT, ..Door::new(port, &connections) };
        let (stop, stopping) = watch::channel(false);
        let router = Router::new().route("/", post(async |body: Bytes| body));
        let directory = tempfile::tempdir().unwrap();
        let address = if port == Port::DatadogSocket {
            let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
            tokio::spawn(serve_http(listener, router, door, stopping));
            None
        } else {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(serve_http(listener, router, door, stopping));
            Some(address)
        };
        Self { directory, port, address, connections, stop }
    }

    async fn connect(&self) -> Box<dyn Stream> {
        match self.address {
            Some(address) => Box::new(TcpStream::connect(address).await.unwrap()),
            None => Box::new(UnixStream::connect(self.directory.path().join("socket")).await.unwrap()),
        }
    }

    fn count(&self, how: Ended) -> u64 {
        self.connections.count(self.port, how)
    }

    /// Waits until so many have ended that way.
    async fn until(&self, how: Ended, count: u64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.count(how) < count {
            assert!(tokio::time::Instant::now() < deadline, "{how:?}: {:?}", self.connections);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.count(how), count, "{:?}", self.connections);
    }

    /// Others are served.
    async fn goes_on(&self) {
        let mut stream = self.connect().await;
        stream
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    }
}

/// All that comes until the connection ends.
async fn rest(stream: &mut Box<dyn Stream>) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection ends");
    // A reset is an end too.
    drop(read);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a byte now and then until nobody takes it any more.
async fn trickle(stream: &mut Box<dyn Stream>, beginning: &[u8]) {
    let trickling = async {
        stream.write_all(beginning).await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, trickling).await.expect("it is given up");
}

#[tokio::test]
async fn clients_that_ask_for_nothing_are_given_up() {
    for port in [Port::Http, Port::OtlpGrpc, Port::DatadogSocket] {
        let house = House::open(port, 10).await;
        let (mut silent, mut half) = (house.connect().await, house.connect().await);
        half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
        rest(&mut silent).await;
        rest(&mut half).await;
        house.until(Ended::HeadTimeout, 2).await;
        assert_eq!(house.connections.open(port), 0);
    }
}

#[tokio::test]
async fn heads_that_come_drop_by_drop_are_given_up_and_idle_connections_are_closed() {
    for port in [Port::Http, Port::DatadogSocket] {
        let house = House::open(port, 10).await;
        trickle(&mut house.connect().await, b"POST / HTTP/1.1\r\nx: ").await;
        house.until(Ended::HeadTimeout, 1).await;
        let mut idle = house.connect().await;
        idle.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        assert!(rest(&mut idle).await.ends_with("ok"));
        house.until(Ended::Closed, 1).await;
        assert_eq!(house.count(Ended::HeadTimeout), 1, "it was answered");
        // Answered once, and then slow.
        let again = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nokPOST";
        trickle(&mut house.connect().await, again).await;
        house.until(Ended::HeadTimeout, 2).await;
        house.goes_on().await;
    }
}

#[tokio::test]
async fn floods_of_headers_and_what_is_no_request_are_refused() {
    let house = House::open(Port::Http, 10).await;
    let baggage = format!("baggage: {}\r\n", "k=v,".repeat(1_000_000));
    let many = "baggage: k=v\r\n".repeat(1_000);
    let long = format!("POST /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    for (request, status, how, count) in [
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{baggage}\r\n"), "431", Ended::HeadTooLarge, 1),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), "431", Ended::HeadTooLarge, 2),
        (long, "414", Ended::HeadTooLarge, 3),
        ("no request at all\r\n\r\n".to_owned(), "400", Ended::BadHead, 1),
    ] {
        let mut stream = house.connect().await;
        // A server that has refused may close before all is written.
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = rest(&mut stream).await;
        // What it says may be lost when it closes on what still comes.
        assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        house.until(how, count).await;
    }
    house.goes_on().await;
}

#[tokio::test]
async fn half_closed_connections_end() {
    for port in [Port::Http, Port::DatadogSocket] {
        let house = House::open(port, 10).await;
        for sent in [&b"POST / HT"[..], b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab"] {
            let mut stream = house.connect().await;
            stream.write_all(sent).await.unwrap();
            stream.shutdown().await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while house.connections.open(port) > 0 {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", house.connections);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(house.count(Ended::HeadTimeout), 0, "at once, not when time is up");
        house.goes_on().await;
    }
}

#[tokio::test]
async fn too_many_are_told_to_come_back_and_have_room_when_others_leave() {
    for port in [Port::Http, Port::DatadogSocket] {
        let house = House::open(port, 2).await;
        // Busy ones, which time does not take away.
        let busy = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\nab";
        let mut first = house.connect().await;
        first.write_all(busy).await.unwrap();
        let mut second = house.connect().await;
        second.write_all(busy).await.unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while house.connections.open(port) < 2 {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", house.connections);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for number in 1..=3 {
            let answer = rest(&mut house.connect().await).await;
            assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
            assert!(answer.ends_with("2 connections open, as many as it takes: close some, or try again"), "{answer}");
            house.until(Ended::TurnedAway, number).await;
        }
        first.write_all(b"cdefghi").await.unwrap();
        assert!(rest(&mut first).await.ends_with("abcdefghi"));
        house.until(Ended::Closed, 1).await;
        house.goes_on().await;
        drop(second);
    }
}

#[tokio::test]
async fn grpc_clients_are_told_to_go_away() {
    let house = House::open(Port::OtlpGrpc, 0).await;
    let mut stream = house.connect().await;
    let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let told = rest(&mut stream).await;
    assert!(told.ends_with("0 connections open, as many as it takes: close some, or try again"), "{told:?}");
    // The type of the second frame is GOAWAY's.
    assert_eq!(told.as_bytes()[9 + 3], 7);
    house.until(Ended::TurnedAway, 1).await;
    house.stop.send_replace(true);
}
