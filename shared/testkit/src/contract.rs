//! The promise of the HTTP API, as its document makes it, to hold answers against.

use std::collections::BTreeSet;

use bytes::Bytes;
use jsonschema::Validator;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Map, Value, json};

/// The document as it is committed.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// What the document says of the API.
#[derive(Debug)]
pub struct Contract {
    document: Value,
    /// Its components, with schemas that know every member there may be.
    components: Value,
}

/// An answer as it came.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The request's path, without its query.
    pub path: &'a str,
    /// The answer's status.
    pub status: u16,
    /// The media type of its body, where it has one.
    pub content_type: Option<&'a str>,
    /// Its body, where that is JSON.
    pub body: &'a Value,
}

impl Contract {
    /// The committed one.
    pub fn committed() -> Self {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let components = strict(&document["components"]);
        Self { document, components }
    }

    /// The document itself.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Sends a request, and panics where the answer is not as the document says.
    pub async fn send(&self, request: RequestBuilder) -> (StatusCode, HeaderMap, Bytes) {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let response = client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let heard = Heard {
            method: &method,
            path: &path,
            status: status.as_u16(),
            content_type: headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap()),
            body: &serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        };
        assert_eq!(self.breach(&heard), None, "an answer breaks what docs/openapi.json says");
        (status, headers, bytes)
    }

    /// What is wrong with an answer, if anything is: its operation, status and media type must be
    /// in the document, and its body as that says. What is not in it must be refused.
    pub fn breach(&self, heard: &Heard<'_>) -> Option<String> {
        // Of what is another service's, each says that it has no such thing.
        let fitting = self.path(heard.path);
        if heard.status == 405 || heard.status == 404 && fitting.is_none() {
            return self.mismatch(&json!({"$ref": "#/components/schemas/Problem"}), heard.body);
        }
        let Some((path, item)) = fitting else {
            return Some(format!("{} is not in the document", heard.path));
        };
        let what = format!("{} {path}: {}", heard.method, heard.status);
        let operation = &item[heard.method.to_lowercase()];
        let answer = &operation["responses"][heard.status.to_string()];
        if answer.is_null() {
            return Some(format!("{what} is no answer of it: {}", heard.body));
        }
        let Some(content) = answer["content"].as_object() else {
            return heard.content_type.map(|kind| format!("{what} has no {kind}"));
        };
        let media_type = heard.content_type.unwrap_or_default().split(';').next()?;
        let Some(media) = content.get(media_type) else {
            return Some(format!("{what} is never {media_type:?}"));
        };
        if media_type == "application/problem+json" {
            let code = heard.body["code"].as_str().unwrap_or_default();
            if media["examples"].get(code).is_none() {
                return Some(format!("{what} never has the code {code:?}"));
            }
        }
        if media_type.ends_with("json") {
            let wrong = self.mismatch(&media["schema"], heard.body);
            return wrong.map(|wrong| format!("{what}: {wrong}: {}", heard.body));
        }
        None
    }

    /// How a value is not as a schema of the document says, if it is not.
    pub fn mismatch(&self, schema: &Value, value: &Value) -> Option<String> {
        let validator = self.validator(schema);
        let wrong = validator.iter_errors(value).next()?;
        Some(format!("{} {wrong}", wrong.instance_path()))
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut schema = schema.clone();
        schema["components"] = self.components.clone();
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
    }

    /// The path of the document that fits: the one with the fewest parameters.
    fn path(&self, path: &str) -> Option<(&String, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        let fitting = paths.iter().filter(|(template, _)| fits(template, path));
        fitting.min_by_key(|(template, _)| template.matches('{').count())
    }
}

/// Whether a value is as a JSON Schema that stands alone says (2020-12).
pub fn conforms(schema: &Value, value: &Value) -> bool {
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(schema).unwrap().is_valid(value)
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(named, said)| named.starts_with('{') || named == said)
}

/// The same components, whose schemas refuse what they do not name: a member that is answered and
/// not described would be found by nobody else. Those that others are composed of stay open.
fn strict(components: &Value) -> Value {
    let mut components = components.clone();
    let mut parts = BTreeSet::new();
    let schemas = components["schemas"].as_object_mut().unwrap();
    for part in schemas.values().filter_map(|schema| schema["allOf"].as_array()).flatten() {
        parts.extend(part["$ref"].as_str().and_then(|it| it.rsplit('/').next()).map(str::to_owned));
    }
    for (_, schema) in schemas.iter_mut().filter(|(name, _)| !parts.contains(*name)) {
        close(schema.as_object_mut().unwrap());
    }
    components
}

fn close(schema: &mut Map<String, Value>) {
    if schema.contains_key("properties") || schema.contains_key("allOf") {
        schema.insert("unevaluatedProperties".to_owned(), json!(false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach(method: &str, path: &str, status: u16, body: &Value) -> Option<String> {
        let content_type = Some("application/json");
        Contract::committed().breach(&Heard { method, path, status, content_type, body })
    }

    #[test]
    fn what_the_document_does_not_say_is_a_breach() {
        let endpoints = "/v1/webhook_endpoints";
        assert_eq!(breach("GET", endpoints, 200, &json!({"data": []})), None);
        for (method, path, status, body) in [
            ("GET", endpoints, 200, json!({})),
            ("GET", endpoints, 200, json!({"data": [], "more": 1})),
            ("GET", endpoints, 202, json!({"data": []})),
            ("PUT", endpoints, 200, json!({"data": []})),
            ("GET", "/v1/nothing", 200, json!({"data": []})),
        ] {
            assert!(breach(method, path, status, &body).is_some(), "{method} {path} {body}");
        }
    }
}
