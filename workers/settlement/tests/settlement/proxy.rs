//! A node in front of the chain that lags, forgets and refuses as it is told.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What becomes of a request; the rule may change it before it is passed on.
pub(crate) enum Fate {
    /// The chain answers it.
    Passed,
    /// The chain never hears of it: this is the result.
    Answered(Value),
    /// The chain never hears of it: this is the error.
    Refused(&'static str),
    /// The chain takes it, and its answer is lost.
    Lost,
}

type Rule = Box<dyn FnMut(&str, &mut Value) -> Fate + Send>;

/// A node that behaves until it is told otherwise. It ends with this value.
pub(crate) struct Proxy {
    port: u16,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

struct Desk {
    upstream: String,
    client: reqwest::Client,
    rule: Mutex<Rule>,
}

impl Proxy {
    /// Stands in front of the node at this URL.
    pub(crate) async fn before(upstream: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let rule: Mutex<Rule> = Mutex::new(Box::new(|_, _| Fate::Passed));
        let desk = Arc::new(Desk { upstream, client, rule });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&desk));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, desk, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this decides about each request, by its method and parameters.
    pub(crate) fn obey(&self, rule: impl FnMut(&str, &mut Value) -> Fate + Send + 'static) {
        *self.desk.rule.lock().unwrap() = Box::new(rule);
    }

    /// From now on all is well.
    pub(crate) fn behave(&self) {
        self.obey(|_, _| Fate::Passed);
    }
}

impl Drop for Proxy {
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
        Fate::Passed => match forward(&desk, &request).await {
            Some(passed) => Json(passed).into_response(),
            None => StatusCode::BAD_GATEWAY.into_response(),
        },
        Fate::Lost => {
            forward(&desk, &request).await;
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

async fn forward(desk: &Desk, request: &Value) -> Option<Value> {
    let sent = desk.client.post(&desk.upstream).json(request).send().await.ok()?;
    sent.json().await.ok()
}
