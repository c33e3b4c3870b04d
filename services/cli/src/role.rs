//! What a process does.

/// One of the jobs that a process can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Ingress,
    Results,
    Risk,
    Settlement,
    Notifier,
    Reconciler,
}

impl Role {
    pub(crate) const ALL: [Self; 6] = [
        Self::Ingress,
        Self::Results,
        Self::Risk,
        Self::Settlement,
        Self::Notifier,
        Self::Reconciler,
    ];

    /// The `service` in its log lines.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Results => "results",
            Self::Risk => "risk",
            Self::Settlement => "settlement",
            Self::Notifier => "notifier",
            Self::Reconciler => "reconciler",
        }
    }

    /// Whether it asks EVM nodes.
    pub(crate) const fn asks_chain(self) -> bool {
        match self {
            Self::Ingress | Self::Risk | Self::Settlement | Self::Reconciler => true,
            Self::Results | Self::Notifier => false,
        }
    }

    /// Whether it is of no use without EVM nodes. The reconciler is of use, of which only the audit asks
    /// them, and so is ingress, where only who verifies a payment does.
    pub(crate) const fn needs_chain(self) -> bool {
        match self {
            Self::Risk | Self::Settlement => true,
            Self::Ingress | Self::Results | Self::Notifier | Self::Reconciler => false,
        }
    }
}
