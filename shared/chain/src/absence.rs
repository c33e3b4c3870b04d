//! When "there is none" is an answer.

use crate::ChainError;

/// Collects what endpoints say about something that none of them has. One that failed may have
/// it, so that nothing is known; one that lags is no witness, and in nobody's way.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    said: bool,
    failed: Option<ChainError>,
}

impl Absence {
    /// Notes that an endpoint that keeps up says that there is none.
    pub(crate) fn said(&mut self) {
        self.said = true;
    }

    /// Notes that an endpoint did not say.
    pub(crate) fn unsaid(&mut self, error: ChainError) {
        if !matches!(error, ChainError::Behind) {
            self.failed.get_or_insert(error);
        }
    }

    /// That there is none.
    ///
    /// # Errors
    /// What kept somebody from saying so; [`ChainError::Behind`] when everybody lags.
    pub(crate) fn proven(self) -> Result<(), ChainError> {
        match (self.failed, self.said) {
            (Some(error), _) => Err(error),
            (None, true) => Ok(()),
            (None, false) => Err(ChainError::Behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_none_when_all_who_keep_up_say_so() {
        let failure = || Some(ChainError::Unreachable("refused".to_owned()));
        let lag = || Some(ChainError::Behind);
        for (answers, proven) in [
            (vec![None], true),
            (vec![None, None], true),
            (vec![None, lag()], true),
            (vec![lag(), None], true),
            (vec![None, failure()], false),
            (vec![failure(), None], false),
            (vec![lag()], false),
            (vec![lag(), failure()], false),
            (vec![], false),
        ] {
            let mut absence = Absence::default();
            let case = format!("{answers:?}");
            for answer in answers {
                match answer {
                    None => absence.said(),
                    Some(error) => absence.unsaid(error),
                }
            }
            assert_eq!(absence.proven().is_ok(), proven, "{case}");
        }
    }
}
