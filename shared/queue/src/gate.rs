//! Bounds that all processes keep together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::Link;
use crate::error::QueueError;
use crate::scripts::GATE_ENTER;

/// How much may pass a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// At most so many inside at once.
    pub at_once: Option<u32>,
    /// At most so many a second.
    pub per_second: Option<u32>,
}

/// The answer of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Inside, until they leave or their stay is over.
    Inside,
    /// As many are inside as may be.
    Full,
    /// Too many came within this second; there is room again after this long.
    After(Duration),
}

/// Gates, each with a name and the bounds that its callers give it.
///
/// Redis keeps who is inside, and forgets it when it is lost: a bound is then exceeded once by what
/// is inside already. Whoever dies inside is out when the stay is over.
#[derive(Clone)]
pub struct Gates {
    link: Link,
    prefix: Arc<str>,
}

impl Gates {
    pub(crate) fn new(link: Link, prefix: Arc<str>) -> Self {
        Self { link, prefix }
    }

    /// Asks to let `who` through, for `stay` at most.
    ///
    /// # Errors
    /// [`QueueError`] when Redis does not answer: whether they are inside is unknown.
    pub async fn enter(
        &self,
        gate: &str,
        who: &str,
        bounds: Bounds,
        stay: Duration,
    ) -> Result<Passage, QueueError> {
        let mut script = GATE_ENTER.key(self.held(gate));
        script.key(format!("{}:due", self.tag(gate)));
        script.arg(who).arg(bounds.at_once.unwrap_or_default());
        script.arg(bounds.per_second.unwrap_or_default());
        script.arg(u64::try_from(stay.as_millis()).unwrap_or(u64::MAX));
        let answer: i64 = self.link.invoke("gate_enter", &script).await?;
        Ok(match u64::try_from(answer) {
            Ok(0) => Passage::Inside,
            Ok(micros) => Passage::After(Duration::from_micros(micros)),
            Err(_) => Passage::Full,
        })
    }

    /// Says that `who` has left.
    ///
    /// # Errors
    /// [`QueueError`] when Redis does not answer; they are out when their stay is over.
    pub async fn leave(&self, gate: &str, who: &str) -> Result<(), QueueError> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.held(gate)).arg(who);
        self.link.query::<()>("gate_leave", &command).await?;
        Ok(())
    }

    fn held(&self, gate: &str) -> String {
        format!("{}:held", self.tag(gate))
    }

    /// The hash tag keeps both keys of a gate in one slot.
    fn tag(&self, gate: &str) -> String {
        format!("{{{}gate:{gate}}}", self.prefix)
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates").finish_non_exhaustive()
    }
}
