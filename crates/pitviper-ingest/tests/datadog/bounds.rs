//! Bodies and packets that are small and ask for much. Each is refused or cut, counted, and told why.

use pitviper_ingest::Limits;
use pitviper_ingest::receivers::datadog::{Packets, receive};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::watch;

use crate::house::{House, spans};
use crate::profiles::{EVENT, HEADERS, form};

const MIB: usize = 1024 * 1024;

/// Path, subject, and what a body is that nests.
const READ: [(&str, &str, &[u8]); 6] = [
    ("/v0.3/traces", "traces", b"\x91"),
    ("/v0.4/traces", "traces", b"\x81\xa1a"),
    ("/v0.5/traces", "traces", b"\x91"),
    ("/v0.6/stats", "stats", b"\x81\xa1a"),
    ("/v0.7/config", "config", b"{\"a\":"),
    ("/telemetry/proxy/api/v2/apmtelemetry", "telemetry", b"["),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bombs_are_refused_at_every_path() {
    let house = House::open(Limits::default()).await;
    let zeros = vec![0; 64 * MIB + 1];
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd::bulk::compress(&zeros, 1).unwrap())] {
        for (path, subject, _) in READ {
            let before = house.requests(subject, "refused", "too_large");
            let answer = house.send("POST", path, &format!("content-encoding: {encoding}\r\n"), &bomb).await;
            assert_eq!((answer.status, answer.body.contains("send smaller")), (413, true), "{path}: {}", answer.body);
            assert_eq!(house.requests(subject, "refused", "too_large"), before + 1, "{path} {encoding}");
        }
    }
    // A form that is small, with a part that is packed by itself.
    let bomb = zstd::bulk::compress(&vec![0; 128 * MIB + 1], 1).unwrap();
    for parts in [[("event.json", EVENT), ("profile.pprof", &bomb[..])], [("event.json", &bomb[..]), ("a.pprof", b"")]]
    {
        let answer = house.send("POST", "/profiling/v1/input", HEADERS, &form(&parts)).await;
        assert_eq!(answer.status, 413, "{}", answer.body);
    }
    assert_eq!(house.requests("profiles", "refused", "too_large"), 2);
    house.until("all room is given back", |house| house.ingest.figures().bytes_under_way == 0).await;
    assert_eq!(house.post("/v0.4/traces", &spans(2)).await.status, 200, "others go on");
}

#[tokio::test]
async fn deep_nesting_is_refused_at_every_path() {
    let house = House::open(Limits::default()).await;
    for (path, subject, unit) in READ {
        let before = |reason| house.requests(subject, "refused", reason);
        let counted = before("bad_msgpack") + before("bad_json");
        let answer = house.post(path, &unit.repeat(200_000)).await;
        assert_eq!((answer.status, answer.body.len() > 20), (400, true), "{path}: {}", answer.body);
        assert_eq!(before("bad_msgpack") + before("bad_json"), counted + 1, "{path}");
    }
}

#[tokio::test]
async fn tables_of_strings_that_stand_for_much_are_refused() {
    let house = House::open(Limits { bytes_under_way: 64 * MIB, ..Limits::default() }).await;
    // A text of a megabyte, that each of a thousand spans has as its name, in three bytes each.
    let text = [&b"\xdb\x00\x10\x00\x00"[..], &vec![b'a'; MIB]].concat();
    let span = b"\x9c\x01\x01\x01\x07\x01\x00\xcf\x18\xea\0\0\0\0\0\0\x09\x00\x80\x80\x00";
    let body = [&b"\x92\x92\xa0"[..], &text, b"\x91\xdd\x00\x00\x03\xe8", &span.repeat(1_000)].concat();
    let answer = house.post("/v0.5/traces", &body).await;
    assert_eq!((answer.status, answer.body.contains("send smaller")), (413, true), "{}", answer.body);
    // Strings that are empty: few bytes each, and much as a table.
    let table = [&b"\x92\xdd\x00\xa0\x00\x00"[..], &b"\xa0".repeat(0x00a0_0000), b"\x90"].concat();
    let answer = house.post("/v0.5/traces", &table).await;
    assert_eq!((answer.status, answer.body.contains("send smaller")), (413, true), "{}", answer.body);
    assert_eq!(house.requests("traces", "refused", "too_large"), 2);
    house.until("all room is given back", |house| house.ingest.figures().bytes_under_way == 0).await;
}

#[tokio::test]
async fn packets_that_are_too_long_are_cut_and_floods_of_tags_are_left_out() {
    let house = House::open(Limits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dsd.socket");
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let sockets = vec![Packets::Udp(udp), Packets::Unix(UnixDatagram::bind(&path).unwrap())];
    let running = tokio::spawn(receive(house.datadog.clone(), sockets, stopping));
    let counts = |house: &House| house.datadog.figures().lines.map(|line| line.count);

    let client = UnixDatagram::unbound().unwrap();
    let long = format!("a:1|c\n{}", "b:1|c|#tag:value\n".repeat(5_000));
    client.send_to(long.as_bytes(), &path).await.unwrap();
    house.until("it was read and cut", |house| house.datadog.figures().packets_cut == 1).await;
    house.until("its lines were counted", |house| counts(house).iter().sum::<u64>() > 3_800).await;
    assert!(counts(&house).iter().sum::<u64>() <= 3_860, "what is cut off is not counted: {:?}", counts(&house));

    let before = counts(&house);
    // Fewer than are read of a line, and each of them long.
    let tags: Vec<String> = (0..20).map(|number| format!("k{number}:{}", "v".repeat(1_000))).collect();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(format!("c:1|c|#{}", tags.join(",")).as_bytes(), address).await.unwrap();
    house.until("the flood came", |house| counts(house)[4] == before[4] + 1).await;
    client.send_to(b"d:1|c", address).await.unwrap();
    house.until("others go on", |house| counts(house)[0] == before[0] + 1).await;
    stop.send_replace(true);
    running.await.unwrap();
}
