//! DogStatsD over both kinds of sockets.

use pitviper_ingest::Limits;
use pitviper_ingest::receivers::datadog::{Packets, receive};
use pitviper_model::Signal;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::watch;

use crate::house::House;

#[tokio::test]
async fn lines_become_points_when_the_server_stops_at_the_latest() {
    let house = House::open(Limits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dsd.socket");
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    let sockets = vec![Packets::Udp(udp), Packets::Unix(UnixDatagram::bind(&path).unwrap())];
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(receive(house.datadog.clone(), sockets, stopping));

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"a:1|c|#service:shop\nb:2|g\nwhat?\n", address).await.unwrap();
    let client = UnixDatagram::unbound().unwrap();
    client.send_to(b"a:1|c|#service:shop\n_e{1,1}:a|b\n_sc|db|0\n", &path).await.unwrap();
    let counts = |house: &House| house.datadog.figures().lines.map(|line| (line.outcome, line.count));
    house.until("both packets came", |house| counts(house).iter().map(|(_, count)| count).sum::<u64>() == 6).await;
    let expected = [("added", 3), ("event", 1), ("service_check", 1), ("malformed", 1), ("too_many", 0)];
    assert_eq!(counts(&house), expected);
    assert_eq!(house.datadog.figures().series, 2);

    stop.send_replace(true);
    running.await.unwrap();
    assert_eq!((house.items(Signal::Metrics, "stored"), house.datadog.figures().series), (2, 0));
}
