//! `GET /v1/payments`

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::schema::{Address, Hash};
use domain::{
    ChainId, Payment, PaymentId, PaymentResource, Scope, StateName, Timestamp, TransactionId,
};
use runtime::Problem;
use runtime::problem::document::{Keyed, Positioned, Queried, Refused, Stored};
use store::PaymentFilter;

use crate::page::{Body, List, Page};
use crate::payment_answer::carrier;
use crate::query::{Query, invalid};
use crate::refusal::Refusal;
use crate::{App, example};

/// The longest reference that a payment can have, in characters.
const LONGEST_REFERENCE: usize = 200;

/// The account's payments, newest first, page by page.
#[utoipa::path(
    get,
    path = "/v1/payments",
    tag = "Payments",
    summary = "List payments",
    description = "The account's payments, newest first, page by page. Each that was there at the \
        first page is on exactly one page.",
    params(
        ("status" = Option<StateName>, Query, description = "Only those that stand so."),
        ("network" = Option<ChainId>, Query, description = "Only those on this network."),
        ("payer" = Option<Address>, Query, description = "Only this payer's."),
        ("reference" = Option<String>, Query, max_length = 200,
            description = "Only those that the seller has called so."),
        ("tx_hash" = Option<Hash>, Query, description = "Only those that it paid or carries."),
        ("nonce" = Option<Hash>, Query, description = "With an authorization of this nonce."),
        ("created_gte" = Option<Timestamp>, Query, description = "Accepted then or later."),
        ("created_lt" = Option<Timestamp>, Query, description = "Accepted before then."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100,
            description = "How many at most; 50 unless it is said."),
        ("cursor" = Option<String>, Query, min_length = 1,
            description = "The `next_cursor` of the page before, with the same filters."),
    ),
    responses(
        (status = 200, body = Body<PaymentResource<'_>>, description = "A page.",
            headers(("Link" = String, description = "The next page's address, if there is one.")),
            example = example::payments),
        Refused<(Keyed, (Queried, Positioned), Stored)>,
    ),
    security(("api_key" = ["payments:read"])),
)]
pub(crate) async fn list_payments(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers, Scope::PaymentsRead).await?;
    let mut query = Query::read(query.as_deref())?;
    let mut filter = read_filter(&mut query)?;
    let page = Page::read(query, list(&filter))?;
    filter.before = page.before().map(PaymentId::new);

    let mut payments = app.store().list_payments(caller.account, &filter, page.fetch()).await?;
    let more = page.cut(&mut payments);
    let carriers: Vec<TransactionId> = payments.iter().filter_map(carrier).collect();
    let hashes = app.store().newest_hashes(&carriers).await?;

    let show = |payment| {
        let hash = carrier(payment).and_then(|transaction| hashes.get(&transaction).copied());
        PaymentResource::new(payment, hash)
    };
    let last = payments.last().filter(|_| more).map(|payment: &Payment| payment.id.uuid());
    Ok(page.into_response(payments.iter().map(show).collect(), last))
}

fn read_filter(query: &mut Query) -> Result<PaymentFilter, Problem> {
    let filter = PaymentFilter {
        state: query.take("status", "the name of a status")?,
        payer: query.take("payer", "an address of 0x and 40 hexadecimal digits")?,
        chain: query.take("network", "a network of the form eip155:<id>")?,
        reference: query.take("reference", "a text")?,
        tx_hash: query.take("tx_hash", "a hash of 0x and 64 hexadecimal digits")?,
        nonce: query.take("nonce", "a nonce of 0x and 64 hexadecimal digits")?,
        created_gte: time(query, "created_gte")?,
        created_lt: time(query, "created_lt")?,
        before: None,
    };
    let too_long = |text: &String| text.chars().count() > LONGEST_REFERENCE || text.contains('\0');
    if filter.reference.as_ref().is_some_and(too_long) {
        return Err(invalid("reference", "is not one that a payment can have"));
    }
    Ok(filter)
}

fn time(query: &mut Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.take::<String>(name, "a time of RFC 3339")? else { return Ok(None) };
    let time = Timestamp::from_rfc3339(&text);
    time.map(Some).ok_or_else(|| invalid(name, "must be a time of RFC 3339"))
}

/// The list that these filters make, in a form that does not depend on how they were written.
fn list(filter: &PaymentFilter) -> List {
    let mut list = List::new("/v1/payments");
    list.filtered("status", filter.state);
    list.filtered("payer", filter.payer);
    list.filtered("network", filter.chain);
    list.filtered("reference", filter.reference.as_ref());
    list.filtered("tx_hash", filter.tx_hash);
    list.filtered("nonce", filter.nonce);
    list.filtered("created_gte", filter.created_gte);
    list.filtered("created_lt", filter.created_lt);
    list
}
