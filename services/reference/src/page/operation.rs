//! One operation on the page.

use serde_json::Value;

use super::html::{escaped, prose, shown};
use super::{list, members, text};

/// A method of a path, as the document has it.
pub(super) struct Operation<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) it: &'a Value,
}

impl Operation<'_> {
    /// Its line in the contents.
    pub(super) fn link(&self) -> String {
        let id = escaped(text(self.it, "operationId"));
        format!("<li><a href=\"#{id}\">{}</a></li>\n", self.name())
    }

    /// All that is to say of it.
    pub(super) fn article(&self, document: &Value) -> String {
        let id = escaped(text(self.it, "operationId"));
        format!(
            "<article id=\"{id}\">\n<h3>{name} <small>{summary}</small></h3>\n\
             {about}{parameters}{body}{answers}</article>\n",
            name = self.name(),
            summary = escaped(text(self.it, "summary")),
            about = prose(text(self.it, "description")),
            parameters = self.parameters(),
            body = self.body(),
            answers = self.answers(document),
        )
    }

    fn name(&self) -> String {
        let (method, path) = (self.method.to_uppercase(), escaped(self.path));
        format!("<code><b>{method}</b> {path}</code>")
    }

    fn parameters(&self) -> String {
        let row = |parameter: &Value| {
            let needed = if parameter["required"] == true { "" } else { ", optional" };
            let example = parameter
                .get("example")
                .and_then(Value::as_str)
                .map_or_else(String::new, |example| {
                    format!("<p>Example: <code>{}</code></p>", escaped(example))
                });
            format!(
                "<tr><td><code>{}</code></td><td>{}{needed}</td><td>{}</td><td>{}{example}</td></tr>\n",
                escaped(text(parameter, "name")),
                escaped(text(parameter, "in")),
                kind(&parameter["schema"]),
                prose(text(parameter, "description")),
            )
        };
        let rows: String = list(self.it, "parameters").map(row).collect();
        titled("Parameters", "Name</th><th>In</th><th>Form</th><th>Means", &rows)
    }

    fn body(&self) -> String {
        let Some(body) = self.it.get("requestBody") else { return String::new() };
        let about = prose(text(body, "description"));
        let media: String = members(&body["content"]).map(medium).collect();
        format!("<h4>Body</h4>\n{about}{media}")
    }

    fn answers(&self, document: &Value) -> String {
        let row = |(status, answer): (&String, &Value)| {
            let headers: String = members(&answer["headers"])
                .filter(|(_, header)| header.get("$ref").is_none())
                .map(|(name, header)| {
                    let about = prose(text(header, "description"));
                    format!("<li><code>{}</code> {about}</li>", escaped(name))
                })
                .collect();
            format!(
                "<tr><td>{status}</td><td>{about}{problems}{media}<ul>{headers}</ul></td></tr>\n",
                about = if is_refusal(answer) {
                    String::new()
                } else {
                    prose(text(answer, "description"))
                },
                problems = problems(answer, document),
                media = members(&answer["content"])
                    .filter(|(kind, _)| *kind != PROBLEM)
                    .map(medium)
                    .collect::<String>(),
            )
        };
        let rows: String = members(&self.it["responses"]).map(row).collect();
        titled("Answers", "Status</th><th>Means", &rows)
    }
}

const PROBLEM: &str = "application/problem+json";

fn is_refusal(answer: &Value) -> bool {
    answer["content"].get(PROBLEM).is_some()
}

/// The codes that a refusal may have, each with a way to its example.
fn problems(answer: &Value, document: &Value) -> String {
    let shown = &document["components"]["examples"];
    let each = |(code, _): (&String, &Value)| {
        let summary = escaped(text(&shown[code], "summary"));
        format!("<p><a href=\"#problem-{code}\"><code>{code}</code></a> {summary}</p>\n")
    };
    members(&answer["content"][PROBLEM]["examples"]).map(each).collect()
}

/// A body of one media type: its form, and an example.
fn medium((name, medium): (&String, &Value)) -> String {
    let example = medium.get("example").map(|example| shown("Example", example));
    format!(
        "<p><code>{}</code>: {}</p>\n{}",
        escaped(name),
        kind(&medium["schema"]),
        example.unwrap_or_default()
    )
}

/// The form of a value, in a word.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
        let name = escaped(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    let choices: Vec<String> = list(schema, "oneOf").map(kind).collect();
    if !choices.is_empty() {
        return choices.join(" or ");
    }
    escaped(text(schema, "type"))
}

fn titled(title: &str, columns: &str, rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("<h4>{title}</h4>\n<table>\n<tr><th>{columns}</th></tr>\n{rows}</table>\n")
}
