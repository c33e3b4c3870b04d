//! The committed document of the HTTP API is what the code says, and holds together.

#![expect(clippy::unwrap_used, reason = "a failed arrangement should stop the test")]

use std::collections::BTreeSet;
use std::process::Command;

use runtime::ProblemCode;
use serde_json::{Map, Value};
use testkit::Contract;

const COMMITTED: &str = include_str!("../../../docs/openapi.json");

#[test]
fn the_committed_document_is_what_the_code_says() {
    let program = Command::new(env!("CARGO_BIN_EXE_quittance")).arg("openapi").output().unwrap();
    let printed = String::from_utf8(program.stdout).unwrap();
    let refresh = "docs/openapi.json is out of date: cargo run -- openapi > docs/openapi.json";
    // Not `assert_eq`, which would print both.
    assert!(printed == COMMITTED, "{refresh}");
}

/// Every operation, by its method and path.
fn operations(contract: &Contract) -> impl Iterator<Item = (String, &Map<String, Value>)> {
    let paths = contract.document()["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, it)| (format!("{method} {path}"), it.as_object().unwrap()))
    })
}

/// Every media type of an operation: its schema and examples.
fn media(operation: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let answers = operation["responses"].as_object().unwrap().values();
    let bodies = operation.get("requestBody").into_iter().chain(answers);
    bodies.filter_map(|body| body["content"].as_object()).flatten().collect()
}

#[test]
fn every_body_has_an_example_that_its_schema_allows() {
    let contract = Contract::committed();
    let shared = &contract.document()["components"]["examples"];
    for (name, operation) in operations(&contract) {
        for (kind, medium) in media(operation) {
            let own = medium.get("example").into_iter().collect::<Vec<_>>();
            let named = medium["examples"].as_object().into_iter().flat_map(Map::keys);
            let examples: Vec<&Value> =
                own.into_iter().chain(named.map(|code| &shared[code]["value"])).collect();
            assert!(!examples.is_empty(), "{name}: no example of {kind}");
            for example in examples {
                assert_eq!(contract.mismatch(&medium["schema"], example), None, "{name}: {kind}");
            }
        }
    }
}

#[test]
fn every_example_of_a_schema_or_parameter_is_allowed_by_it() {
    let contract = Contract::committed();
    let components = contract.document()["components"]["schemas"].as_object().unwrap();
    for (name, schema) in components {
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert_eq!(contract.mismatch(schema, example), None, "{name}");
        }
    }
    for (name, operation) in operations(&contract) {
        let parameters = operation.get("parameters").and_then(Value::as_array);
        for parameter in parameters.into_iter().flatten() {
            if let Some(example) = parameter.get("example") {
                let wrong = contract.mismatch(&parameter["schema"], example);
                assert_eq!(wrong, None, "{name}: {}", parameter["name"]);
            }
        }
    }
}

#[test]
fn every_problem_code_is_in_the_document_with_its_example() {
    let contract = Contract::committed();
    let components = &contract.document()["components"];
    let codes: BTreeSet<&str> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
    let listed = components["schemas"]["ProblemCode"]["enum"].as_array().unwrap();
    assert_eq!(listed.iter().map(|code| code.as_str().unwrap()).collect::<BTreeSet<_>>(), codes);
    let shown = components["examples"].as_object().unwrap();
    assert_eq!(shown.keys().map(String::as_str).collect::<BTreeSet<_>>(), codes);
}

#[test]
fn every_operation_says_what_it_is_and_has_a_name_of_its_own() {
    let contract = Contract::committed();
    let mut names = BTreeSet::new();
    for (name, operation) in operations(&contract) {
        for member in ["summary", "description", "operationId"] {
            assert!(operation[member].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        }
        assert!(
            names.insert(operation["operationId"].as_str()),
            "{name}: the operationId is another's"
        );
    }
}

#[test]
fn nothing_refers_to_what_is_not_there() {
    let contract = Contract::committed();
    let mut left = vec![contract.document()];
    while let Some(value) = left.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(contract.document().pointer(pointer).is_some(), "{reference}");
        }
        match value {
            // What an example shows is not the document's own: schemas that stand alone are among it.
            Value::Object(members) => left.extend(
                members.iter().filter(|(name, _)| *name != "example").map(|(_, member)| member),
            ),
            Value::Array(items) => left.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
