//! `/v1/risk/policy`: what a tenant allows, and what its rules would have done.

pub(crate) mod dry_run;

use axum::Json;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use domain::schema::constant;
use domain::{Policy, Scope, Timestamp};
use runtime::problem::document::{
    Absent, Bodied, Contested, Keyed, Malformed, Queried, Refused, Stored,
};
use runtime::{FieldError, Problem, ProblemCode, json};
use serde::Serialize;
use store::{NewPolicy, PolicyVersion, Written};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::query::Query;
use crate::refusal::Refusal;
use crate::{App, etag, example};

/// A policy as its tenant sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = RiskPolicy)]
struct PolicyResource {
    #[schema(schema_with = policy_object)]
    object: &'static str,
    /// One more with each change; 0 where there is none, and everything is allowed.
    version: u32,
    /// Lists, bounds and budgets.
    #[schema(value_type = Object)]
    policy: Policy,
    #[schema(required = true)]
    created_at: Option<Timestamp>,
}

fn policy_object() -> RefOr<Schema> {
    constant("risk_policy")
}

impl PolicyResource {
    fn answer(found: Option<PolicyVersion>) -> Response {
        let body = match found {
            Some(PolicyVersion { version, policy, created_at }) => {
                Self { object: "risk_policy", version, policy, created_at: Some(created_at) }
            }
            None => Self {
                object: "risk_policy",
                version: 0,
                policy: Policy::default(),
                created_at: None,
            },
        };
        let tag = etag::of_version(body.version);
        let mut response = Json(body).into_response();
        response.headers_mut().insert(ETAG, tag);
        response
    }
}

/// Shows the policy that counts, or one that has counted.
#[utoipa::path(
    get,
    path = "/v1/risk/policy",
    tag = "Risk",
    summary = "See what is allowed",
    description = "The tenant's newest policy, or the one of a version, as decisions name it. Without \
        a policy everything is allowed that the chain can pay.",
    params(("version" = Option<u32>, Query, minimum = 1,
        description = "This version in place of the newest.")),
    responses(
        (status = 200, body = PolicyResource, description = "The policy.",
            headers(("ETag" = String, description = "Its version.")),
            example = example::policy),
        Refused<(Keyed, Absent, Queried, Stored)>,
    ),
    security(("api_key" = ["risk"])),
)]
pub(crate) async fn show_policy(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::Risk).await?;
    let mut query = Query::read(query.as_deref())?;
    let version: Option<u32> = query.take("version", "a version of a policy")?;
    query.finish()?;
    let found = app.store().policy(caller.account, version).await?;
    if version.is_some() && found.is_none() {
        return Err(ProblemCode::NotFound.into());
    }
    Ok(PolicyResource::answer(found))
}

/// Writes a policy, which counts from the next decision on.
#[utoipa::path(
    put,
    path = "/v1/risk/policy",
    tag = "Risk",
    summary = "Change what is allowed",
    description = "The whole policy, as a new version; it counts from the next decision on. With \
        `If-Match` it is written only where that version is the newest still.",
    params(("If-Match" = Option<String>, Header, example = json!("\"v3\""),
        description = "The version that the writer has seen.")),
    request_body(content = Object, description = "Lists, bounds and budgets.",
        example = example::policy_rules),
    responses(
        (status = 200, body = PolicyResource, description = "The policy as it counts now.",
            headers(("ETag" = String, description = "Its version.")),
            example = example::policy),
        Refused<(Keyed, Bodied, Contested, Malformed, Stored)>,
    ),
    security(("api_key" = ["risk"])),
)]
pub(crate) async fn write_policy(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = app.caller(request.headers(), Scope::Risk).await?;
    let seen = seen(request.headers())?;
    let policy: Policy = json::parse(&json::read_body(request).await?)?;
    sensible(&policy)?;
    let now = app.now();
    let new = NewPolicy { account: caller.account, policy: &policy, seen, by: caller.key };
    match app.store().write_policy(new, now).await? {
        Written::Version(version) => {
            Ok(PolicyResource::answer(Some(PolicyVersion { version, policy, created_at: now })))
        }
        Written::Overtaken(newest) => Err(Problem::new(ProblemCode::Conflict)
            .detail(format!("Version {newest} is the newest; read it before you change it"))
            .into()),
    }
}

fn sensible(policy: &Policy) -> Result<(), Problem> {
    policy.check().map_err(|invalid| {
        Problem::new(ProblemCode::MalformedField)
            .detail(invalid.to_string())
            .field(FieldError::new(invalid.pointer, "invalid", invalid.detail))
    })
}

/// The version that `If-Match` names; a conflict where it is none of ours.
fn seen(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let Some(value) = headers.get(IF_MATCH).map(HeaderValue::to_str) else { return Ok(None) };
    let version =
        value.ok().and_then(|tag| tag.trim().strip_prefix("\"v")?.strip_suffix('"')?.parse().ok());
    version.map(Some).ok_or_else(|| {
        Problem::new(ProblemCode::Conflict).detail("If-Match names no version of a policy")
    })
}
