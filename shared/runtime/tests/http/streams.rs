//! HTTP/2 with prior knowledge: the same server, and what clients can do to it over one connection.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use reqwest::{Client, ClientBuilder, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::server::Server;

const SOON: Duration = Duration::from_secs(10);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Settings without any: the least that a client has to say.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Requests that wait until they are let go, and what is known of them.
#[derive(Clone, Debug)]
struct Room {
    inside: Arc<AtomicUsize>,
    peers: Arc<Mutex<HashSet<SocketAddr>>>,
    came: Arc<Notify>,
    leave: Arc<Semaphore>,
}

/// Counts a request for as long as its handler lives.
struct Inside(Arc<AtomicUsize>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Room {
    fn new() -> Self {
        Self {
            inside: Arc::default(),
            peers: Arc::default(),
            came: Arc::default(),
            leave: Arc::new(Semaphore::new(0)),
        }
    }

    async fn wait(self, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> &'static str {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let _inside = Inside(Arc::clone(&self.inside));
        self.peers.lock().unwrap().insert(peer);
        self.came.notify_one();
        let _left = self.leave.acquire().await.unwrap();
        "finished"
    }

    /// Comes back once so many are inside.
    async fn holds(&self, count: usize) {
        let reached = async {
            while self.inside.load(Ordering::SeqCst) != count {
                tokio::select! {
                    () = self.came.notified() => {}
                    () = tokio::task::yield_now() => {}
                }
            }
        };
        tokio::time::timeout(SOON, reached).await.expect("so many come, and no more");
    }
}

fn router(room: &Room) -> Router {
    let room = room.clone();
    Router::new()
        .route("/fine/{id}", get(|| async { "fine" }))
        .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/w", get(move |peer| room.clone().wait(peer)))
}

fn client() -> Client {
    client_with(Client::builder().http2_prior_knowledge())
}

fn client_with(builder: ClientBuilder) -> Client {
    // Another test of this process may have installed it.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    builder.build().unwrap()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET /w` as the frame that begins and ends a request.
fn asking_to_wait(stream: u32) -> Vec<u8> {
    const END_STREAM_AND_HEADERS: u8 = 0x5;
    // Method and scheme are entries of the static table, the path is spelled out, the authority is one letter.
    frame(1, END_STREAM_AND_HEADERS, stream, b"\x82\x86\x04\x02/w\x01\x01t")
}

fn taking_back(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

async fn connected(server: &Server) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    stream
}

#[tokio::test]
async fn whoever_begins_with_http2_is_answered_in_it_and_everybody_else_as_before() {
    let server = Server::start(router(&Room::new())).await;
    let (two, one) = (client(), client_with(Client::builder()));
    for (client, version) in [(&two, Version::HTTP_2), (&one, Version::HTTP_11)] {
        let url = format!("http://{}", server.address);
        let fine = client.get(format!("{url}/fine/1")).send().await.unwrap();
        assert_eq!((fine.status().as_u16(), fine.version()), (200, version));
        assert!(fine.headers()["x-request-id"].as_bytes().starts_with(b"req_"));
        let lost = client.get(format!("{url}/nowhere")).send().await.unwrap();
        assert_eq!(lost.status(), 404);
        assert_eq!(lost.headers()["content-type"], "application/problem+json");
        let body = vec![b'x'; 1_000_000];
        let long = client.post(format!("{url}/length")).body(body).send().await.unwrap();
        assert_eq!(long.text().await.unwrap(), "1000000");
        let too_long = vec![b'x'; 3_000_000];
        let refused = client.post(format!("{url}/length")).body(too_long).send().await;
        // A client of HTTP/1 that still sends may find the connection closed before it reads the answer.
        assert!(refused.map_or(version == Version::HTTP_11, |it| it.status() == 413));
    }
}

#[tokio::test]
async fn hundreds_wait_over_one_connection_and_are_answered_before_the_server_stops() {
    let room = Room::new();
    let server = Server::start(router(&room)).await;
    let (client, mut polls) = (client(), JoinSet::new());
    for _ in 0..500 {
        let poll = client.get(format!("http://{}/w", server.address)).send();
        polls.spawn(async move { poll.await.unwrap().text().await.unwrap() });
    }
    room.holds(500).await;
    assert_eq!(room.peers.lock().unwrap().len(), 1);

    server.shutdown.trigger();
    room.leave.add_permits(500);
    assert!(polls.join_all().await.iter().all(|told| told == "finished"));
    assert!(server.shutdown.drain(SOON).await.is_clean());
}

#[tokio::test]
async fn a_request_that_its_client_takes_back_is_dropped_and_the_others_are_not() {
    let room = Room::new();
    let server = Server::start(router(&room)).await;
    let mut stream = connected(&server).await;
    stream.write_all(&[asking_to_wait(1), asking_to_wait(3)].concat()).await.unwrap();
    room.holds(2).await;
    stream.write_all(&taking_back(1)).await.unwrap();
    room.holds(1).await;
    drop(stream);
    room.holds(0).await;
}

#[tokio::test]
async fn a_flood_of_requests_that_are_taken_back_at_once_leaves_nothing_and_harms_nobody() {
    let room = Room::new();
    let server = Server::start(router(&room)).await;
    let patient = client().get(format!("http://{}/w", server.address)).send();
    let patient = tokio::spawn(patient);
    room.holds(1).await;

    let mut stream = connected(&server).await;
    let flood: Vec<u8> = (0..20_000_u32)
        .flat_map(|number| [asking_to_wait(2 * number + 1), taking_back(2 * number + 1)].concat())
        .collect();
    // The server may have had enough before all of it is written.
    let _written = stream.write_all(&flood).await;
    let _closed = stream.shutdown().await;
    let _ended = stream.read_to_end(&mut Vec::new()).await;
    room.holds(1).await;

    let fine = client().get(format!("http://{}/fine/1", server.address)).send().await.unwrap();
    assert_eq!(fine.status(), 200);
    room.leave.add_permits(1);
    assert_eq!(patient.await.unwrap().unwrap().text().await.unwrap(), "finished");
}

#[tokio::test]
async fn more_requests_than_a_connection_may_have_are_refused_and_the_others_wait_on() {
    let room = Room::new();
    let server = Server::start(router(&room)).await;
    let mut stream = connected(&server).await;
    for number in 0..1_100_u32 {
        stream.write_all(&asking_to_wait(2 * number + 1)).await.unwrap();
    }
    room.holds(1_000).await;
    let fine = client().get(format!("http://{}/fine/1", server.address)).send().await.unwrap();
    assert_eq!(fine.status(), 200);
}

#[tokio::test]
async fn rubbish_behind_the_preface_and_prefaces_that_are_none_end_their_connection_alone() {
    let room = Room::new();
    let server = Server::start(router(&room)).await;
    let rubbish: [Vec<u8>; 4] = [
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        [PREFACE, b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"].concat(),
        [PREFACE, &frame(4, 0, 1, &[])].concat(),
        [PREFACE, SETTINGS, &frame(1, 0x5, 1, &[0xff; 64])].concat(),
    ];
    for begun in rubbish {
        let mut stream = server.connect().await;
        stream.write_all(&begun).await.unwrap();
        // Whether it is told why or cut off: it ends.
        let _ended = stream.read_to_end(&mut Vec::new()).await;
    }
    let fine = client().get(format!("http://{}/fine/1", server.address)).send().await.unwrap();
    assert_eq!(fine.status(), 200);
}

/// The clock is paused: it jumps ahead as soon as everything waits.
#[tokio::test(start_paused = true)]
async fn a_client_that_says_no_more_is_cut_off() {
    let server = Server::start(router(&Room::new())).await;
    let begun: [&[u8]; 4] =
        [b"PRI * HT", PREFACE, &[PREFACE, SETTINGS].concat(), &[PREFACE, &SETTINGS[..4]].concat()];
    for begun in begun {
        let mut stream = server.connect().await;
        stream.write_all(begun).await.unwrap();
        let _ended = stream.read_to_end(&mut Vec::new()).await;
    }
}

/// It answers pings, and asks for nothing.
#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_nothing_is_told_to_leave() {
    let server = Server::start(router(&Room::new())).await;
    let (client, connection) = h2::client::handshake(server.connect().await).await.unwrap();
    connection.await.unwrap();
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hears_nothing_does_not_hold_up_the_stop() {
    let server = Server::start(router(&Room::new())).await;
    let mut deaf = connected(&server).await;
    deaf.read_exact(&mut [0; 9]).await.unwrap();
    server.shutdown.trigger();
    assert!(server.shutdown.drain(SOON).await.is_clean());
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_alone() {
    let room = Room::new();
    let server = Server::start(router(&room)).await;
    let client = client();
    let waiting = tokio::spawn(client.get(format!("http://{}/w", server.address)).send());
    room.holds(1).await;
    let url = format!("http://{}/fine/1", server.address);
    let refused = client.get(&url).header("x-long", "x".repeat(100_000)).send().await;
    assert!(refused.is_ok_and(|it| it.status() == 431));
    room.leave.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap().text().await.unwrap(), "finished");
}
