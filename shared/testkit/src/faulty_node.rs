//! A node in front of the chain that lags, forgets, refuses and lies as it is told.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What becomes of a request; the rule may change it before it is passed on.
#[derive(Clone, Debug)]
pub enum Fate {
    /// The chain answers it.
    Passed,
    /// The chain never hears of it: this is the result.
    Answered(Value),
    /// The chain never hears of it: this is the error.
    Refused(&'static str),
    /// The chain never hears of it, and these bytes come back, whatever they are.
    Rubbish(&'static str),
    /// The chain never hears of it, and the answer is this HTTP status with nothing else.
    Status(u16),
    /// The chain never hears of it: this HTTP status comes back, with an error in the words of
    /// JSON-RPC, as of a provider who does not know this customer.
    TurnedAway(u16),
    /// The chain never hears of it, and no answer ever comes.
    Ignored,
    /// The chain takes it, and its answer is lost: the caller is told that nobody is there.
    Lost,
    /// The chain takes it, and no answer ever comes.
    Swallowed,
}

type Rule = Box<dyn FnMut(&str, &mut Value) -> Fate + Send>;

/// A node that behaves until it is told otherwise. It ends with this value.
#[derive(Debug)]
pub struct FaultyNode {
    port: u16,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

struct Desk {
    upstream: String,
    client: reqwest::Client,
    rule: Mutex<Rule>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl FaultyNode {
    /// Stands in front of the node at this URL.
    pub async fn before(upstream: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = crate::http::client();
        let rule: Mutex<Rule> = Mutex::new(Box::new(|_, _| Fate::Passed));
        let desk = Arc::new(Desk { upstream, client, rule });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&desk));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, desk, server }
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this decides about each request, by its method and parameters.
    pub fn obey(&self, rule: impl FnMut(&str, &mut Value) -> Fate + Send + 'static) {
        *self.desk.rule.lock().unwrap() = Box::new(rule);
    }

    /// From now on all is well.
    pub fn behave(&self) {
        self.obey(|_, _| Fate::Passed);
    }
}

impl Drop for FaultyNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(desk): State<Arc<Desk>>, Json(mut request): Json<Value>) -> Response {
    let method = request["method"].as_str().unwrap().to_owned();
    let fate = (desk.rule.lock().unwrap())(&method, &mut request["params"]);
    let answer = |part: &str, value: Value| {
        Json(json!({"jsonrpc": "2.0", "id": request["id"], part: value})).into_response()
    };
    match fate {
        Fate::Answered(result) => answer("result", result),
        Fate::Refused(message) => answer("error", json!({"code": -32000, "message": message})),
        Fate::Rubbish(bytes) => bytes.into_response(),
        Fate::TurnedAway(status) => {
            let status = StatusCode::from_u16(status).unwrap();
            let error = json!({"code": -32600, "message": "no such customer"});
            (status, answer("error", error)).into_response()
        }
        Fate::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Fate::Ignored => std::future::pending().await,
        Fate::Passed => match forward(&desk, &request).await {
            Some(passed) => Json(passed).into_response(),
            None => StatusCode::BAD_GATEWAY.into_response(),
        },
        Fate::Lost => {
            forward(&desk, &request).await;
            StatusCode::BAD_GATEWAY.into_response()
        }
        Fate::Swallowed => {
            forward(&desk, &request).await;
            std::future::pending().await
        }
    }
}

async fn forward(desk: &Desk, request: &Value) -> Option<Value> {
    let sent = desk.client.post(&desk.upstream).json(request).send().await.ok()?;
    sent.json().await.ok()
}
