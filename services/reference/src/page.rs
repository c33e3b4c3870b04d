//! The document as a page for people: plain HTML, made once, with nothing from elsewhere.

mod html;
mod operation;

use axum::http::HeaderValue;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use self::html::{escaped, prose, shown};
use self::operation::Operation;

const STYLE: &str = include_str!("page/style.css");

/// The page, and what a browser may do with it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) html: String,
    /// The `Content-Security-Policy`: this very style, and nothing else.
    pub(crate) policy: HeaderValue,
}

impl Page {
    /// The page of this document.
    pub(crate) fn of(document: &str) -> Self {
        let document: Value =
            serde_json::from_str(document).expect("the committed document is JSON");
        let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        let policy = HeaderValue::try_from(policy).expect("a policy is ASCII");
        Self { html: whole(&document), policy }
    }
}

fn whole(document: &Value) -> String {
    let info = &document["info"];
    let title = escaped(text(info, "title"));
    let sections: Vec<Section<'_>> =
        list(document, "tags").map(|tag| Section::of(document, tag)).collect();
    let contents: String = sections.iter().map(Section::contents).collect();
    let bodies: String = sections.iter().map(|section| section.body(document)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: HTTP API</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title} <small>{version}</small></h1>\n{about}\
         <p><a href=\"/openapi.json\">OpenAPI document</a> · \
         <a href=\"/llms.txt\">Guide for agents</a></p></header>\n\
         <nav>{contents}<h2><a href=\"#problems\">Problems</a></h2>\
         <h2><a href=\"#schemas\">Schemas</a></h2></nav>\n\
         <main>{bodies}{keys}{problems}{schemas}</main>\n</body>\n</html>\n",
        version = escaped(text(info, "version")),
        about = prose(text(info, "description")),
        keys = keys(document),
        problems = problems(document),
        schemas = schemas(document),
    )
}

/// The operations of one tag.
struct Section<'a> {
    name: &'a str,
    about: &'a str,
    operations: Vec<Operation<'a>>,
}

impl<'a> Section<'a> {
    fn of(document: &'a Value, tag: &'a Value) -> Self {
        let (name, about) = (text(tag, "name"), text(tag, "description"));
        let mut operations = Vec::new();
        for (path, item) in members(&document["paths"]) {
            for (method, it) in item.as_object().into_iter().flatten() {
                if list(it, "tags").any(|tag| tag == name) {
                    operations.push(Operation { method, path, it });
                }
            }
        }
        Self { name, about, operations }
    }

    fn contents(&self) -> String {
        let links: String = self.operations.iter().map(Operation::link).collect();
        format!("<h2>{}</h2>\n<ul>\n{links}</ul>\n", escaped(self.name))
    }

    fn body(&self, document: &Value) -> String {
        let articles: String =
            self.operations.iter().map(|operation| operation.article(document)).collect();
        format!("<h2>{}</h2>\n{}{articles}", escaped(self.name), prose(self.about))
    }
}

fn keys(document: &Value) -> String {
    let schemes = members(&document["components"]["securitySchemes"]);
    let rows: String = schemes
        .map(|(_, scheme)| {
            let form = escaped(text(scheme, "bearerFormat"));
            let about = prose(text(scheme, "description"));
            format!("<tr><td><code>Authorization: Bearer {form}</code></td><td>{about}</td></tr>\n")
        })
        .collect();
    format!("<h2 id=\"keys\">Keys</h2>\n<table>\n{rows}</table>\n")
}

fn problems(document: &Value) -> String {
    let row = |(code, example): (&String, &Value)| {
        let value = &example["value"];
        let again = if value["retryable"] == true { "later" } else { "never" };
        format!(
            "<tr id=\"problem-{code}\"><td><code>{code}</code></td><td>{status}</td>\
             <td>{again}</td><td>{title}{example}</td></tr>\n",
            status = value["status"],
            title = prose(text(example, "summary")),
            example = shown("Example", value),
        )
    };
    let rows: String = members(&document["components"]["examples"]).map(row).collect();
    format!(
        "<h2 id=\"problems\">Problems</h2>\n<p>Every refusal is \
         <code>application/problem+json</code>. Match on its code.</p>\n<table>\n\
         <tr><th>Code</th><th>Status</th><th>Retry</th><th>Means</th></tr>\n{rows}</table>\n"
    )
}

fn schemas(document: &Value) -> String {
    let each = |(name, schema): (&String, &Value)| {
        let about = prose(text(schema, "description"));
        format!("<h3 id=\"schema-{name}\">{name}</h3>\n{about}{}", shown("Schema", schema))
    };
    let all: String = members(&document["components"]["schemas"]).map(each).collect();
    format!("<h2 id=\"schemas\">Schemas</h2>\n{all}")
}

/// The text of this member, or none.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// The items of this member, if it is a list.
fn list<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> {
    value[member].as_array().into_iter().flatten()
}

/// The members of an object, if it is one.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
