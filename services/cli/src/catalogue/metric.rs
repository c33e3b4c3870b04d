//! One metric.

use metrics::{describe_counter, describe_gauge, describe_histogram};

use crate::role::Role;

/// What is known of a metric before anything is counted.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// All labels that a series may have.
    pub(super) labels: &'static [&'static str],
    /// Whose processes show it.
    pub(super) roles: &'static [Role],
    pub(super) shown: Shown,
    pub(super) help: &'static str,
}

/// How it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Whether a process has a series of it from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// As soon as its role does its work.
    Always,
    /// Only after something that need not happen, or with a setting that need not be.
    Sometimes,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Metric {
    /// A metric of these roles, without labels.
    const fn new(
        kind: Kind,
        name: &'static str,
        roles: &'static [Role],
        help: &'static str,
    ) -> Self {
        Self { name, kind, labels: &[], roles, shown: Shown::Always, help }
    }

    pub(super) const fn counter(
        name: &'static str,
        roles: &'static [Role],
        help: &'static str,
    ) -> Self {
        Self::new(Kind::Counter, name, roles, help)
    }

    pub(super) const fn gauge(
        name: &'static str,
        roles: &'static [Role],
        help: &'static str,
    ) -> Self {
        Self::new(Kind::Gauge, name, roles, help)
    }

    pub(super) const fn histogram(
        name: &'static str,
        roles: &'static [Role],
        help: &'static str,
    ) -> Self {
        Self::new(Kind::Histogram, name, roles, help)
    }

    /// The same with these labels.
    pub(super) const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// The same, of which a process may have no series for long.
    pub(super) const fn sometimes(self) -> Self {
        Self { shown: Shown::Sometimes, ..self }
    }

    /// Gives it its help text.
    pub(super) fn describe(&self) {
        match self.kind {
            Kind::Counter => describe_counter!(self.name, self.help),
            Kind::Gauge => describe_gauge!(self.name, self.help),
            Kind::Histogram => describe_histogram!(self.name, self.help),
        }
    }
}
