//! The processes of a pipeline.

/// A process of the pipeline. Settlement is there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Ingress,
    Results,
    Risk,
    SettlementA,
    SettlementB,
    Notifier,
    Reconciler,
}

impl Role {
    pub(crate) const ALL: [Self; 7] = [
        Self::Ingress,
        Self::Results,
        Self::Risk,
        Self::SettlementA,
        Self::SettlementB,
        Self::Notifier,
        Self::Reconciler,
    ];

    pub(crate) const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Ingress => &["ingress"],
            Self::Results => &["results"],
            Self::Risk => &["worker", "risk"],
            Self::SettlementA | Self::SettlementB => &["worker", "settlement"],
            Self::Notifier => &["worker", "notifier"],
            Self::Reconciler => &["worker", "reconciler"],
        }
    }

    /// The name of its log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Results => "results",
            Self::Risk => "risk",
            Self::SettlementA => "settlement-a",
            Self::SettlementB => "settlement-b",
            Self::Notifier => "notifier",
            Self::Reconciler => "reconciler",
        }
    }

    /// Whether it needs keys.
    pub(crate) const fn settles(self) -> bool {
        matches!(self, Self::SettlementA | Self::SettlementB)
    }
}
