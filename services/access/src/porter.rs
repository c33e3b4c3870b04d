//! Who stands before every route and counts.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, request};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use moka::sync::Cache;
use queue::{Queue, Quota, Turnstile, Verdict};
use runtime::http::ClientAddress;
use runtime::problem::Allowance;
use runtime::{Clock, Problem};
use tower::{Layer, Service};

use crate::keys::GoodKey;
use crate::limits::Kind;
use crate::{ApiKeys, ApiToken, LimitSettings, allowance, bearer, begun_seconds, poll_token};

/// How long a key that was good is let pass to the look-up without a second thought, since it was
/// last used.
const TRUSTED_FOR: Duration = Duration::from_secs(600);

/// How long one look-up answers for a key. No longer than answers are believed.
const ASKED_FOR: Duration = Duration::from_secs(3);

/// The most keys remembered, good ones and others.
const REMEMBERED: u64 = 20_000;

const ANONYMOUS: &str = "anonymous";
const GUESSES: &str = "guesses";

/// Counts every request before it is handled, and turns away whoever asks too often. Cheap to clone.
///
/// Good API keys count for themselves, all else for the address that it comes from. A key that nobody
/// here knows to be good costs its address a guess before the ledger is asked; where it turns out to
/// be good the guess is given back. It decides in memory, without waiting for anybody.
#[derive(Clone, Debug)]
pub struct Porter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: LimitSettings,
    keys: ApiKeys,
    turnstile: Turnstile,
    clock: Clock,
    /// Keys that were good when they were last used.
    trusted: Cache<[u8; 32], GoodKey>,
    /// Keys that somebody has paid a guess for.
    asked: Cache<[u8; 32], ()>,
}

/// Somebody who was let in, and what is to be settled when the answer is there.
#[derive(Debug)]
enum Ticket {
    /// It was counted.
    Counted(Allowance),
    /// What it brings may be a key.
    Unproven { digest: [u8; 32], client: String, kind: Kind, guessed: bool },
    /// It brings a key that was good.
    Trusted { digest: [u8; 32], allowance: Allowance },
}

impl Porter {
    /// For an API that looks its keys up here. Must be called within a tokio runtime.
    pub fn new(settings: LimitSettings, keys: ApiKeys, queue: &Queue, clock: Clock) -> Self {
        let remembered = || Cache::builder().max_capacity(REMEMBERED);
        Self(Arc::new(Shared {
            settings,
            keys,
            turnstile: queue.turnstile("requests"),
            clock,
            trusted: remembered().time_to_idle(TRUSTED_FOR).build(),
            asked: Cache::builder().max_capacity(REMEMBERED).time_to_live(ASKED_FOR).build(),
        }))
    }

    /// Puts it before every route of this router.
    pub fn before(&self, router: Router) -> Router {
        router.layer(self.clone())
    }

    fn admit(&self, request: Request) -> Result<(Request, Ticket), Problem> {
        let (head, body) = request.into_parts();
        let ticket = self.ticket(&head)?;
        Ok((Request::from_parts(head, body), ticket))
    }

    fn ticket(&self, head: &request::Parts) -> Result<Ticket, Problem> {
        let shared = &*self.0;
        let kind = Kind::of(&head.method, head.uri.path());
        let client = || ClientAddress::of(head, shared.settings.trusted_proxies).to_string();
        let Some(digest) = key_digest(&head.headers) else {
            let anonymous = shared.settings.anonymous;
            return self.count(ANONYMOUS, anonymous, &client()).map(Ticket::Counted);
        };
        if let Some(key) = self.good_key(&digest) {
            let (quota, subject) = shared.settings.of_key(&key, kind);
            let allowance = self.count(kind.as_str(), quota, &subject)?;
            return Ok(Ticket::Trusted { digest, allowance });
        }
        let client = client();
        // It is counted when the answer is there: whoever brings it may be right.
        self.has_room(ANONYMOUS, shared.settings.anonymous, &client)?;
        let guessed = !shared.asked.contains_key(&digest);
        if guessed {
            self.count(GUESSES, shared.settings.guesses, &guesses_of(&client))?;
            shared.asked.insert(digest, ());
        }
        Ok(Ticket::Unproven { digest, client, kind, guessed })
    }

    /// The key with this digest, where it is good by what is remembered, or was a while ago.
    fn good_key(&self, digest: &[u8; 32]) -> Option<GoodKey> {
        let Shared { keys, trusted, .. } = &*self.0;
        let known = trusted.get(digest);
        match keys.recall(digest) {
            Some(key) => {
                if known != Some(key) {
                    trusted.insert(*digest, key);
                }
                Some(key)
            }
            None => known,
        }
    }

    fn count(
        &self,
        policy: &'static str,
        quota: Quota,
        subject: &str,
    ) -> Result<Allowance, Problem> {
        let verdict = self.0.turnstile.take(quota, subject, 1);
        let allowance = allowance(policy, quota, &verdict, self.0.clock.now_unix_secs());
        if verdict.allowed { Ok(allowance) } else { Err(too_many(allowance, verdict)) }
    }

    fn has_room(&self, policy: &'static str, quota: Quota, subject: &str) -> Result<(), Problem> {
        let verdict = self.0.turnstile.take(quota, subject, 0);
        if verdict.remaining > 0 {
            return Ok(());
        }
        let allowance = allowance(policy, quota, &verdict, self.0.clock.now_unix_secs());
        Err(too_many(allowance, verdict))
    }

    /// Settles what only the answer shows, and tells of the limit.
    fn see_out(&self, ticket: Ticket, response: &mut Response) {
        let Shared { settings, turnstile, trusted, .. } = &*self.0;
        let is_refused = response.status() == StatusCode::UNAUTHORIZED;
        let allowance = match ticket {
            Ticket::Counted(allowance) => Some(allowance),
            Ticket::Trusted { digest, allowance } => {
                if is_refused {
                    trusted.invalidate(&digest);
                }
                Some(allowance)
            }
            Ticket::Unproven { digest, client, kind, guessed } => {
                let key = self.good_key(&digest);
                // What nobody looked up, or could look up, was no guess.
                if guessed && (key.is_some() || !is_refused) {
                    turnstile.give_back(settings.guesses, &guesses_of(&client), 1);
                }
                match key {
                    Some(key) => {
                        let (quota, subject) = settings.of_key(&key, kind);
                        self.count(kind.as_str(), quota, &subject).ok()
                    }
                    None if response.status().is_server_error() => None,
                    None => self.count(ANONYMOUS, settings.anonymous, &client).ok(),
                }
            }
        };
        if let Some(allowance) = allowance {
            allowance.tell(response.headers_mut());
        }
    }
}

/// The digest of what may be an API key.
fn key_digest(headers: &HeaderMap) -> Option<[u8; 32]> {
    let token = bearer::token(headers).ok()?;
    (!token.starts_with(poll_token::PREFIX)).then(|| ApiToken::digest_of(token))
}

fn guesses_of(client: &str) -> String {
    format!("{GUESSES} {client}")
}

fn too_many(allowance: Allowance, verdict: Verdict) -> Problem {
    let policy = allowance.policy;
    let words = match policy {
        ANONYMOUS => "Too many requests without a good API key from this address".to_owned(),
        GUESSES => "Too many keys from this address that are not good".to_owned(),
        kind => format!("Too many requests of this API key, by the limit {kind}"),
    };
    Problem::rate_limited(allowance, begun_seconds(verdict.retry_after)).detail(words)
}

impl<S> Layer<S> for Porter {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { porter: self.clone(), inner }
    }
}

/// A route behind a [`Porter`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    porter: Porter,
    inner: S,
}

impl<S> Service<Request> for Guarded<S>
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
        let (request, ticket) = match self.porter.admit(request) {
            Ok(admitted) => admitted,
            Err(problem) => return ready(Ok(problem.into_response())).boxed(),
        };
        let handling = self.inner.call(request);
        let porter = self.porter.clone();
        let seen_out = async move {
            let mut response = handling.await?;
            porter.see_out(ticket, &mut response);
            Ok(response)
        };
        seen_out.boxed()
    }
}
