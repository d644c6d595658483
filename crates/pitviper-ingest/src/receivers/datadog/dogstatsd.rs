//! DogStatsD over UDP and unix datagrams.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pitviper_wire::decode::Decoded;
use pitviper_wire::decode::datadog::dogstatsd::{Line, lines};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Datadog;
use super::figures::{LineOutcome, add};
use crate::accounting::Transport;

/// Longest packet, in bytes; UDP has none that are longer.
const MAX_PACKET_BYTES: usize = 64 * 1024;
/// How often series become points: as often as Datadog's agent does it.
const FLUSH_EVERY: Duration = Duration::from_secs(10);
/// Series that are written at once.
const SERIES_AT_ONCE: usize = 5_000;
/// How long to wait after the system refused to hand over a packet.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Where packets come from.
#[derive(Debug)]
pub enum Packets {
    /// UDP.
    Udp(UdpSocket),
    /// A unix datagram socket.
    Unix(UnixDatagram),
}

impl Packets {
    async fn next(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.recv(buffer).await,
            Self::Unix(socket) => socket.recv(buffer).await,
        }
    }
}

/// Adds up what comes in, and writes it every ten seconds and when told to stop.
pub async fn receive(datadog: Arc<Datadog>, sockets: Vec<Packets>, mut stopping: watch::Receiver<bool>) {
    let mut receivers = JoinSet::new();
    for packets in sockets {
        receivers.spawn(take_packets(Arc::clone(&datadog), packets, stopping.clone()));
    }
    let mut ticks = tokio::time::interval(FLUSH_EVERY);
    let mut start = now_unix_nano();
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // An error means the sender is gone, and then the server is stopping as well.
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
        start = datadog.flush(start).await;
    }
    while receivers.join_next().await.is_some() {}
    datadog.flush(start).await;
}

async fn take_packets(datadog: Arc<Datadog>, packets: Packets, mut stopping: watch::Receiver<bool>) {
    // One byte more, which tells that a packet was longer.
    let mut buffer = vec![0; MAX_PACKET_BYTES + 1];
    loop {
        let read = tokio::select! {
            biased;
            read = packets.next(&mut buffer) => read,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match read {
            Ok(length) => datadog.packet(&buffer[..length]),
            Err(error) => {
                tracing::warn!(%error, "a packet of DogStatsD could not be read");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

impl Datadog {
    /// Adds the lines of a packet.
    pub(super) fn packet(&self, packet: &[u8]) {
        if packet.len() > MAX_PACKET_BYTES {
            add(&self.counters.packets_cut, 1);
        }
        for line in lines(packet) {
            if let Some(Line::Stat(stat)) = &line {
                add(&self.counters.tags_dropped, stat.tags_dropped as u64);
            }
            let outcome = match line {
                Some(Line::Stat(stat)) if self.series.add(&stat) => LineOutcome::Added,
                Some(Line::Stat(_)) => LineOutcome::TooMany,
                Some(Line::Event(_)) => LineOutcome::Event,
                Some(Line::ServiceCheck(_)) => LineOutcome::ServiceCheck,
                None => LineOutcome::Malformed,
            };
            self.counters.count_line(outcome);
        }
    }

    /// Writes what was added since `start`; returns when that was taken away.
    async fn flush(&self, start: u64) -> u64 {
        let now = now_unix_nano().max(start);
        for batch in self.series.drain(start, now, SERIES_AT_ONCE) {
            let decoded = Decoded { batch, rejected: Vec::new() };
            // What the store does not take is counted there; later points say no less.
            if let Err(error) = self.ingest.accept(Transport::Dogstatsd, decoded).await {
                tracing::warn!(%error, "points of DogStatsD were not kept");
            }
        }
        now
    }
}

fn now_unix_nano() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
