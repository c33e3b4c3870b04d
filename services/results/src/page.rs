//! Pages: how many, from where, and where the next one begins.
//!
//! A page begins after the last id of the one before (a keyset), so what arrives meanwhile moves
//! nothing: each item that was there at the first page is on exactly one page.

use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, LINK};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use runtime::{Problem, ProblemCode};
use serde::Serialize;
use sha2::{Digest, Sha256};
use url::form_urlencoded;
use utoipa::ToSchema;
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use uuid::Uuid;

use crate::query::{Query, invalid};

/// Items on a page unless the client says otherwise.
pub(crate) const USUAL_LIMIT: usize = 50;

/// The most items on a page.
pub(crate) const MAX_LIMIT: usize = 100;

/// Raised when cursors change their form; older ones are then refused.
const FORM: u8 = 1;

/// Bytes of the list's digest in a cursor: enough to tell lists apart, no secret.
const LIST_BYTES: usize = 8;

const ID_BYTES: usize = 16;
const CURSOR_BYTES: usize = 1 + ID_BYTES + LIST_BYTES;

/// One list: its path, and the filters that were asked for. A cursor is good for its list alone.
#[derive(Clone, Debug)]
pub(crate) struct List {
    path: String,
    filters: Vec<(&'static str, String)>,
}

impl List {
    /// The list of this path, not filtered yet. Two accounts never share one.
    pub(crate) fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), filters: Vec::new() }
    }

    /// Names a filter that was asked for, always in the same order.
    pub(crate) fn filtered(&mut self, name: &'static str, value: Option<impl ToString>) {
        self.filters.extend(value.map(|value| (name, value.to_string())));
    }

    fn digest(&self) -> [u8; LIST_BYTES] {
        let mut digest = Sha256::new();
        for text in std::iter::once(self.path.as_str())
            .chain(self.filters.iter().flat_map(|(name, value)| [*name, value.as_str()]))
        {
            // Lengths keep "ab" + "c" and "a" + "bc" apart.
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        let mut first = [0; LIST_BYTES];
        first.copy_from_slice(&digest.finalize()[..LIST_BYTES]);
        first
    }
}

/// The page that a client asked for.
#[derive(Debug)]
pub(crate) struct Page {
    list: List,
    limit: usize,
    /// Whether the client said how many, and is to find it in the next page's address.
    limited: bool,
    before: Option<Uuid>,
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
#[schema(as = Page)]
pub(crate) struct Body<T> {
    #[schema(schema_with = items::<T>)]
    data: Vec<T>,
    /// Whether there is another page.
    has_more: bool,
    /// Where it begins; null when this is the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A list of these, by the name of their schema.
fn items<T: ToSchema>() -> RefOr<Schema> {
    ArrayBuilder::new().items(Ref::from_schema_name(T::name())).into()
}

impl Page {
    /// Takes `limit` and `cursor` out of the query, and refuses what nobody asked for.
    pub(crate) fn read(mut query: Query, list: List) -> Result<Self, Problem> {
        let limit = limit(&mut query)?;
        let cursor: Option<String> = query.take("cursor", "a cursor")?;
        query.finish()?;
        let before = cursor.map(|cursor| decode(&cursor, &list)).transpose()?;
        Ok(Self { list, limit: limit.unwrap_or(USUAL_LIMIT), limited: limit.is_some(), before })
    }

    /// The id that every item of this page is older than.
    pub(crate) fn before(&self) -> Option<Uuid> {
        self.before
    }

    /// How many items to fetch: one more than are shown, to know whether there are more.
    pub(crate) fn fetch(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    /// Takes the item off again that only says that there are more.
    pub(crate) fn cut<T>(&self, items: &mut Vec<T>) -> bool {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        more
    }

    /// The answer with these items; `last` is the id of the last one where there are more.
    pub(crate) fn into_response<T: Serialize>(self, data: Vec<T>, last: Option<Uuid>) -> Response {
        let next_cursor = last.map(|last| encode(last, &self.list));
        let link = next_cursor.as_ref().map(|cursor| self.address_of(cursor));
        let body = Body { data, has_more: next_cursor.is_some(), next_cursor };
        let mut response = Json(body).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        if let Some(link) = link {
            let link = format!("<{link}>; rel=\"next\"");
            headers.insert(LINK, link.try_into().expect("a form-encoded address is ASCII"));
        }
        response
    }

    fn address_of(&self, cursor: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.list.filters);
        if self.limited {
            query.append_pair("limit", &self.limit.to_string());
        }
        query.append_pair("cursor", cursor);
        format!("{}?{}", self.list.path, query.finish())
    }
}

/// How many items the client wants on a page, if it says so.
pub(crate) fn limit(query: &mut Query) -> Result<Option<usize>, Problem> {
    let limit = query.take("limit", "a number between 1 and 100")?;
    if limit.is_some_and(|limit| !(1..=MAX_LIMIT).contains(&limit)) {
        return Err(invalid("limit", "must be a number between 1 and 100"));
    }
    Ok(limit)
}

fn encode(last: Uuid, list: &List) -> String {
    let mut bytes = Vec::with_capacity(CURSOR_BYTES);
    bytes.push(FORM);
    bytes.extend_from_slice(last.as_bytes());
    bytes.extend_from_slice(&list.digest());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(cursor: &str, list: &List) -> Result<Uuid, Problem> {
    let foreign = || Problem::new(ProblemCode::InvalidCursor);
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| foreign())?;
    let bytes: [u8; CURSOR_BYTES] = bytes.try_into().map_err(|_| foreign())?;
    let (form, rest) = bytes.split_first().ok_or_else(foreign)?;
    let (id, digest) = rest.split_at_checked(ID_BYTES).ok_or_else(foreign)?;
    if *form != FORM {
        return Err(foreign());
    }
    if digest != list.digest() {
        return Err(foreign().detail("The cursor belongs to another list or other filters"));
    }
    Uuid::from_slice(id).map_err(|_| foreign())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(status: Option<&str>) -> List {
        let mut list = List::new("/v1/payments");
        list.filtered("status", status);
        list
    }

    fn read(text: &str, list: List) -> Result<Page, ProblemCode> {
        Page::read(Query::read(Some(text)).unwrap(), list).map_err(|problem| problem.code())
    }

    #[test]
    fn a_cursor_leads_to_where_it_was_made() {
        let last = Uuid::from_u128(7);
        let cursor = encode(last, &list(Some("settled")));
        let page = read(&format!("cursor={cursor}"), list(Some("settled"))).unwrap();
        assert_eq!(page.before(), Some(last));
    }

    #[test]
    fn a_cursor_of_other_filters_or_none_of_ours_is_refused() {
        let other = encode(Uuid::from_u128(7), &list(None));
        for cursor in [other.as_str(), "", "x", "AAAA", &"A".repeat(10_000)] {
            let answer = read(&format!("cursor={cursor}"), list(Some("settled")));
            assert_eq!(answer.unwrap_err(), ProblemCode::InvalidCursor, "{cursor:.20}");
        }
    }

    #[test]
    fn a_limit_that_is_none_is_refused() {
        for limit in ["0", "101", "-1", "x", ""] {
            let answer = read(&format!("limit={limit}"), list(None));
            assert_eq!(answer.unwrap_err(), ProblemCode::InvalidQuery, "{limit}");
        }
    }

    #[test]
    fn the_next_page_keeps_filters_and_limit() {
        let page = read("limit=2", list(Some("a b&c"))).unwrap();
        assert_eq!(page.address_of("X"), "/v1/payments?status=a+b%26c&limit=2&cursor=X");
    }
}
