//! Who is let in.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;

use crate::support::{Request, Server, now_ns, request, run, send, span};

const TOKEN: &str = "correct-horse-battery-staple";

#[test]
fn loopback_answers_only_requests_addressed_to_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let ask = |address: &str, path: &str, host: &str| send(address, &Request::get(path).header("host", host)).unwrap();
    for host in ["localhost", "localhost:4390", "127.0.0.1", "[::1]:4390"] {
        assert_eq!(ask(&server.http, "/api/v1/meta", host).status, 200, "{host}");
    }
    for host in ["evil.example", "evil.example:4390", "192.168.0.1", "localhost.evil.example", ""] {
        let problem = ask(&server.http, "/api/v1/meta", host).problem(403, "forbidden_host");
        assert!(problem["detail"].as_str().unwrap().contains("token"), "{problem}");
        assert_eq!(ask(&server.http, "/", host).status, 403, "{host}");
        assert_eq!(ask(&server.otlp_http, "/v1/traces", host).status, 403, "{host}");
    }
    assert_eq!(ask(&server.http, "/healthz", "anything.example").status, 200);
}

#[test]
fn other_addresses_need_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    for flag in ["--http", "--otlp-http", "--otlp-grpc"] {
        let refused = run(&["serve", "--data-dir", data, flag, "0.0.0.0:0"], &[]);
        let message = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{message}");
        assert!(message.contains("PITVIPER_SERVER_TOKEN") && message.contains("--token-file"), "{message}");
        assert!(!std::path::Path::new(data).exists(), "nothing is made before the rule is checked");
    }
    let weak = run(&["serve", "--data-dir", data], &[("PITVIPER_SERVER_TOKEN", "short")]);
    assert!(String::from_utf8(weak.stderr).unwrap().contains("shorter than 16"));
    let absent = run(&["serve", "--data-dir", data, "--token-file", "/nonexistent/token"], &[]);
    assert!(String::from_utf8(absent.stderr).unwrap().contains("/nonexistent/token"));
}

#[test]
fn a_token_is_asked_for_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let server = Server::start_with(dir.path(), &["--token-file", file.to_str().unwrap()], &[]);
    let with = |request: Request, authorization: &str| {
        send(&server.http, &request.header("authorization", authorization)).unwrap()
    };
    let bearer = format!("Bearer {TOKEN}");

    let refused = server.get("/api/v1/services");
    refused.problem(401, "unauthorized");
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"pitviper\"");
    with(Request::get("/api/v1/services"), "Bearer wrong-horse-battery").problem(401, "unauthorized");
    with(Request::get("/api/v1/services"), &format!("Basic {TOKEN}")).problem(401, "unauthorized");
    assert_eq!(with(Request::get("/api/v1/services"), &bearer).status, 200);
    assert_eq!(with(Request::get("/api/v1/services").header("host", "apm.example.org"), &bearer).status, 200);
    assert_eq!(server.get("/healthz").status, 200);
    server.get("/metrics").problem(401, "unauthorized");

    let body = prost::Message::encode_to_vec(&request("a", vec![span([1; 16], 1, 0, "GET /", 2, now_ns(), 5)]));
    let post = || Request::post("/v1/traces", "application/x-protobuf", &body);
    for address in [&server.http, &server.otlp_http] {
        assert_eq!(send(address, &post()).unwrap().status, 401);
        assert_eq!(send(address, &post().header("authorization", &bearer)).unwrap().status, 200);
    }
    over_grpc(&server, &bearer);
    let metrics = with(Request::get("/metrics"), &bearer).text();
    assert!(metrics.contains("pitviper_access_refusals_total{protocol=\"grpc\",reason=\"token\"} 1\n"), "{metrics}");
    assert!(!server.log().contains(TOKEN), "the token is in the log");
}

fn over_grpc(server: &Server, bearer: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = TraceServiceClient::connect(format!("http://{}", server.otlp_grpc)).await.unwrap();
        let export = || tonic::Request::new(request("a", vec![span([2; 16], 1, 0, "GET /", 2, now_ns(), 5)]));
        let refused = client.export(export()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        let mut allowed = export();
        allowed.metadata_mut().insert("authorization", bearer.parse().unwrap());
        client.export(allowed).await.unwrap();
    });
}

#[test]
fn browsers_trade_the_token_for_a_cookie() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &[], &[("PITVIPER_SERVER_TOKEN", TOKEN)]);
    let page = |path: &str| Request::get(path).header("accept", "text/html");
    let away = send(&server.http, &page("/traces?query=a%20b")).unwrap();
    assert_eq!((away.status, away.header("location")), (303, "/login?next=/traces%3Fquery%3Da%2520b"));
    let login = send(&server.http, &page("/login?next=/traces%3Fquery%3Da%2520b")).unwrap();
    assert_eq!(login.status, 200);
    assert!(login.text().contains("value=\"/traces?query=a%20b\""), "{}", login.text());

    let submit = |token: &str, next: &str| {
        let form = format!("token={token}&next={next}");
        send(&server.http, &Request::post("/login", "application/x-www-form-urlencoded", form.as_bytes())).unwrap()
    };
    let wrong = submit("not-the-right-token", "/");
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
    assert!(wrong.text().contains("not the token"));
    assert_eq!(submit(TOKEN, "https://evil.example").header("location"), "/");
    let right = submit(TOKEN, "/traces");
    assert_eq!((right.status, right.header("location")), (303, "/traces"));
    let cookie = right.header("set-cookie");
    for property in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(property), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN));
    let session = cookie.split(';').next().unwrap();
    let meta = Request::get("/api/v1/meta").header("cookie", session);
    assert_eq!(send(&server.http, &meta).unwrap().data()["auth"], true);
    assert_eq!(send(&server.http, &page("/").header("cookie", session)).unwrap().status, 200);
    let forged = Request::get("/api/v1/meta").header("cookie", "pitviper_session=0000");
    assert_eq!(send(&server.http, &forged).unwrap().status, 401);
    assert!(
        send(&server.http, &Request::post("/logout", "text/plain", b""))
            .unwrap()
            .header("set-cookie")
            .contains("Max-Age=0")
    );
}
