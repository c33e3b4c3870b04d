//! What every answer has in common: a request id, one access line, one measurement, and a problem for every failure.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use super::meters::{self, Answered};
use crate::id;
use crate::problem::{Problem, ProblemCode};
use crate::trace::TraceContext;

/// A request that takes longer is logged as a warning.
const SLOW_REQUEST: Duration = Duration::from_secs(1);

/// The longest client's request id that is logged, in characters.
const MAX_CLIENT_ID_CHARS: usize = 128;

/// The longest path told in a problem, in characters.
const MAX_PATH_CHARS: usize = 256;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id of the request at hand, `req_…`; in the request's extensions and in the answer's `X-Request-Id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    fn new() -> Self {
        Self(format!("req_{}", id::new_uuid().simple()).into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What protects a browser that shows one of our answers, and whoever it belongs to from caches; a
/// handler's own header wins.
const PROTECTION: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (X_XSS_PROTECTION, HeaderValue::from_static("0")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'"),
    ),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Put into a response's extensions when it is meant to take its time (a long poll): no warning is logged.
#[derive(Clone, Copy, Debug)]
pub struct SlowByDesign;

/// Wraps a finished router with what all of them have in common.
///
/// Adds to every request a [`RequestId`], a [`TraceContext`] and a log span; to every answer
/// `X-Request-Id`, the headers that protect browsers, an access line and the counts of `http::meters`. Unknown paths and methods, panics and failures in plain
/// text become problems. Query strings and bodies are never logged.
pub fn instrument(router: Router) -> Router {
    instrument_behind(router, |router| router)
}

/// The same, with something between what all answers have in common and every route, unknown paths
/// included: whom it turns away is answered like anybody else.
pub fn instrument_behind(router: Router, guard: impl FnOnce(Router) -> Router) -> Router {
    meters::begin();
    let router = router
        .fallback(|| async { Problem::new(ProblemCode::NotFound) })
        .method_not_allowed_fallback(|| async { Problem::new(ProblemCode::MethodNotAllowed) });
    guard(router).layer(Observe)
}

/// What is known of a request before it is handled.
struct Seen {
    id: RequestId,
    method: Method,
    route: Arc<str>,
    path: String,
    started: Instant,
}

/// Puts [`Observed`] around every route. Not `axum::middleware::from_fn`, whose future keeps room for a copy of the request
/// at each step on the way, for as long as a client waits.
#[derive(Clone, Copy, Debug)]
struct Observe;

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner }
    }
}

/// A route whose requests are observed.
#[derive(Clone, Debug)]
struct Observed<S> {
    inner: S,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let seen = Seen::of(&request);
        let span = open_span(&mut request, &seen);
        // The state a handler may leave half-changed is its own: nothing of it is used after the panic.
        let begun = span.in_scope(|| catch_unwind(AssertUnwindSafe(|| self.inner.call(request))));
        let observed = async move {
            let outcome = match begun {
                Ok(handling) => AssertUnwindSafe(handling).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let response = match outcome {
                Ok(Ok(response)) => response,
                Err(_panic) => answer_to_panic(),
            };
            let response = completed(response, &seen);
            record(&response, &seen);
            Ok(response)
        };
        observed.instrument(span).boxed()
    }
}

impl Seen {
    fn of(request: &Request) -> Self {
        let matched = request.extensions().get::<MatchedPath>();
        Self {
            id: RequestId::new(),
            method: request.method().clone(),
            route: matched.map_or(meters::UNMATCHED, MatchedPath::as_str).into(),
            path: request.uri().path().chars().take(MAX_PATH_CHARS).collect(),
            started: Instant::now(),
        }
    }
}

fn open_span(request: &mut Request, seen: &Seen) -> Span {
    let trace = trace_of(request.headers());
    // The level is the highest so that the ids are there for whatever is logged.
    let span = tracing::error_span!(
        "request",
        request_id = seen.id.as_str(),
        trace_id = trace.trace_id(),
        span_id = trace.span_id(),
        client_request_id = tracing::field::Empty,
        user_id = tracing::field::Empty,
    );
    if let Some(client_id) = client_id(request.headers()) {
        span.record("client_request_id", client_id);
    }
    request.extensions_mut().insert(seen.id.clone());
    request.extensions_mut().insert(trace);
    span
}

/// Names the wallet that the request at hand is about, in whatever is logged of it from now on.
pub fn note_user(wallet: &impl std::fmt::Display) {
    Span::current().record("user_id", tracing::field::display(wallet));
}

fn trace_of(headers: &HeaderMap) -> TraceContext {
    let parent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()?.parse().ok());
    parent.map_or_else(TraceContext::new_root, |parent: TraceContext| parent.child())
}

/// The client's own id, for the log alone; unprintable or overlong ones are dropped.
fn client_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let fits = !id.is_empty() && id.len() <= MAX_CLIENT_ID_CHARS;
    fits.then(|| id.to_owned())
}

fn answer_to_panic() -> Response {
    // The panic hook has logged what happened; the client learns only that it did.
    tracing::error!("a request handler panicked");
    Problem::new(ProblemCode::InternalError).into_response()
}

/// Adds what only this layer knows.
fn completed(mut response: Response, seen: &Seen) -> Response {
    if let Some(mut problem) = problem_in(&mut response) {
        meters::denied(problem.code());
        problem.located_at(&seen.path, seen.id.as_str());
        *response.body_mut() = Body::from(problem.to_json());
        // The router has set the length of the body that stood here before.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    let id = HeaderValue::from_str(seen.id.as_str()).expect("the id is made of ASCII letters");
    response.headers_mut().insert(X_REQUEST_ID, id);
    for (name, value) in PROTECTION {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// The problem that a handler answered with, or one for a failure that a framework put in plain words.
fn problem_in(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let code = code_of_plain_failure(response)?;
    let mut replacement = Problem::new(code).into_response();
    let problem = replacement.extensions_mut().remove::<Problem>();
    *response.status_mut() = replacement.status();
    response.headers_mut().extend(std::mem::take(replacement.headers_mut()));
    problem
}

fn code_of_plain_failure(response: &Response) -> Option<ProblemCode> {
    let content_type = response.headers().get(CONTENT_TYPE);
    let plain = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    if !plain {
        return None;
    }
    let status = response.status();
    match status {
        StatusCode::NOT_FOUND => Some(ProblemCode::NotFound),
        StatusCode::METHOD_NOT_ALLOWED => Some(ProblemCode::MethodNotAllowed),
        StatusCode::PAYLOAD_TOO_LARGE => Some(ProblemCode::PayloadTooLarge),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(ProblemCode::UnsupportedMediaType),
        StatusCode::REQUEST_TIMEOUT => Some(ProblemCode::RequestTimeout),
        StatusCode::SERVICE_UNAVAILABLE => Some(ProblemCode::Unavailable),
        _ if status.is_client_error() => Some(ProblemCode::InvalidRequest),
        _ if status.is_server_error() => Some(ProblemCode::InternalError),
        _ => None,
    }
}

fn record(response: &Response, seen: &Seen) {
    let elapsed = seen.started.elapsed();
    let status = response.status();
    let waited = response.extensions().get::<SlowByDesign>().is_some();
    let (method, route) = (method_label(&seen.method), seen.route.as_ref());
    meters::answered(&Answered { route, method, status, took: elapsed, waited });
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let slow = elapsed > SLOW_REQUEST && !waited;
    let status_code = status.as_u16();
    if status.is_server_error() {
        tracing::error!(target: "access", method, route, status = status_code, duration_ms, "request");
    } else if slow {
        tracing::warn!(target: "access", method, route, status = status_code, duration_ms, "slow request");
    } else {
        tracing::info!(target: "access", method, route, status = status_code, duration_ms, "request");
    }
}

/// The method as a label; a client can invent methods, but not labels.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
