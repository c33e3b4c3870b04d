//! Query strings, read strictly: a misspelt filter must not list everything.

use std::str::FromStr;

use runtime::{Problem, ProblemCode};
use url::form_urlencoded;

/// The most parameters that are looked at.
const MOST_PARAMETERS: usize = 32;

/// The longest name told in a problem, in characters.
const LONGEST_NAME: usize = 64;

/// The parameters of a request that nobody has asked for yet.
#[derive(Debug)]
pub(crate) struct Query {
    left: Vec<(String, String)>,
}

impl Query {
    /// Reads the part of a URL behind the question mark.
    pub(crate) fn read(text: Option<&str>) -> Result<Self, Problem> {
        let mut left: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            if left.iter().any(|(seen, _)| *seen == name) {
                return Err(invalid(&name, "stands there twice"));
            }
            if left.len() == MOST_PARAMETERS {
                return Err(Problem::new(ProblemCode::InvalidQuery)
                    .detail(format!("There are more than {MOST_PARAMETERS} parameters")));
            }
            left.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { left })
    }

    /// Takes a parameter out, if it is there; `expected` says what it must be.
    pub(crate) fn take<T: FromStr>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(at) = self.left.iter().position(|(known, _)| known == name) else {
            return Ok(None);
        };
        let (_, value) = self.left.swap_remove(at);
        value.parse().map(Some).map_err(|_| invalid(name, &format!("must be {expected}")))
    }

    /// Refuses what nobody asked for.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(name, "is not known here")),
        }
    }
}

pub(crate) fn invalid(name: &str, what: &str) -> Problem {
    let name: String = name.chars().take(LONGEST_NAME).collect();
    Problem::new(ProblemCode::InvalidQuery).detail(format!("The parameter {name:?} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_decoded_and_taken_once() {
        let mut query = Query::read(Some("reference=a%20b+c&limit=5")).unwrap();
        assert_eq!(query.take("reference", "a text").unwrap(), Some("a b c".to_owned()));
        assert_eq!(query.take::<u8>("limit", "a number").unwrap(), Some(5));
        assert_eq!(query.take::<u8>("limit", "a number").unwrap(), None);
        assert!(query.finish().is_ok());
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        let mut query = Query::read(Some("limit=5&stauts=settled")).unwrap();
        query.take::<u8>("limit", "a number").unwrap();
        assert_eq!(query.finish().unwrap_err().code(), ProblemCode::InvalidQuery);
    }

    #[test]
    fn a_parameter_given_twice_or_that_does_not_parse_is_refused() {
        assert!(Query::read(Some("a=1&a=1")).is_err());
        let mut query = Query::read(Some("limit=-1")).unwrap();
        assert!(query.take::<u8>("limit", "a number").is_err());
    }
}
