//! Under which names a service answers, and what pages in browsers may do with its answers.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    ORIGIN, STRICT_TRANSPORT_SECURITY, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tower::{Layer, Service};

use crate::config::{HostName, HttpConfig, Origin};
use crate::problem::{Problem, ProblemCode};

/// What a page may ask with.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, \
     X-AP2-EVIDENCE, X-PAYMENT, X-PAYMENT-SECURE, X-RISK-SESSION, X-RISK-TRACE, X-Request-Id, \
     traceparent",
);

/// What a page may read besides the body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Idempotent-Replayed, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, \
     Retry-After, WWW-Authenticate, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, \
     X-Request-Id",
);

/// How long a browser need not ask again, in seconds.
const ASKED_FOR: HeaderValue = HeaderValue::from_static("600");

/// The outside of a service: the hosts it answers for, the pages that may read its answers, and
/// whether browsers are to insist on TLS. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Frontage(Arc<Settings>);

#[derive(Debug, Default)]
struct Settings {
    hosts: HashSet<HostName>,
    origins: HashSet<String>,
    hsts: Option<HeaderValue>,
}

impl Frontage {
    /// As the configuration has it.
    #[must_use]
    pub fn from_config(config: &HttpConfig) -> Self {
        let HttpConfig { hosts, cors_origins, hsts_secs } = config;
        let hsts = (*hsts_secs > 0).then(|| {
            let value = format!("max-age={hsts_secs}");
            HeaderValue::try_from(value).expect("letters and digits are ASCII")
        });
        Self(Arc::new(Settings {
            hosts: hosts.iter().cloned().collect(),
            origins: cors_origins
                .iter()
                .map(|origin: &Origin| origin.as_str().to_owned())
                .collect(),
            hsts,
        }))
    }

    /// Puts it before every route of this router.
    pub fn before(&self, router: Router) -> Router {
        router.layer(self.clone())
    }

    /// Whether the request is for one of our hosts.
    fn answers_for(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let hosts = &self.0.hosts;
        hosts.is_empty() || asked_host(uri, headers).is_some_and(|host| hosts.contains(&host))
    }

    /// The page's origin, if it may read our answers.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let listed = origin.to_str().is_ok_and(|origin| self.0.origins.contains(origin));
        listed.then(|| origin.clone())
    }

    fn mark(&self, response: &mut Response, origin: Option<HeaderValue>) {
        let headers = response.headers_mut();
        if !self.0.origins.is_empty() {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        if let Some(hsts) = &self.0.hsts {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }
}

/// The host of a request, where it says one, and the same one wherever it does.
fn asked_host(uri: &Uri, headers: &HeaderMap) -> Option<HostName> {
    let mut lines = headers.get_all(HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return None;
    }
    let line = match line {
        Some(line) => Some(read_host(line.to_str().ok()?)?),
        None => None,
    };
    // HTTP/2, and whoever takes us for a proxy, says it before the path.
    let authority = match uri.authority() {
        Some(authority) => Some(read_host(authority.as_str())?),
        None => None,
    };
    match (line, authority) {
        (Some(line), Some(authority)) if line != authority => None,
        (line, authority) => line.or(authority),
    }
}

/// The name in `name:port`.
fn read_host(text: &str) -> Option<HostName> {
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => text,
    };
    HostName::parse(name).ok()
}

/// Whether a browser asks if a page may ask.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (ACCESS_CONTROL_MAX_AGE, ASKED_FOR),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

impl<S> Layer<S> for Frontage {
    type Service = Fronted<S>;

    fn layer(&self, inner: S) -> Fronted<S> {
        Fronted { frontage: self.clone(), inner }
    }
}

/// A route behind a frontage.
#[derive(Clone, Debug)]
pub struct Fronted<S> {
    frontage: Frontage,
    inner: S,
}

impl<S> Service<Request> for Fronted<S>
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

    fn call(&mut self, request: Request) -> Self::Future {
        let origin = self.frontage.allowed_origin(request.headers());
        let answer = if !self.frontage.answers_for(request.uri(), request.headers()) {
            Some(Problem::new(ProblemCode::MisdirectedRequest).into_response())
        } else if origin.is_some() && is_preflight(&request) {
            Some(preflight())
        } else {
            None
        };
        let frontage = self.frontage.clone();
        if let Some(mut answer) = answer {
            frontage.mark(&mut answer, origin);
            return ready(Ok(answer)).boxed();
        }
        let handling = self.inner.call(request);
        let marked = async move {
            let mut response = handling.await?;
            frontage.mark(&mut response, origin);
            Ok(response)
        };
        marked.boxed()
    }
}
