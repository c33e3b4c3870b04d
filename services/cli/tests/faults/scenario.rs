//! Everything that can go wrong, by name.

use runtime::FailPoint;

use crate::role::Role;

/// Blocks after which a payment is settled, where nothing reorganises the chain.
pub(crate) const SHALLOW: u64 = 1;

/// The same where something does: more than the deepest reorganisation.
pub(crate) const DEEP: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// A process is killed at this point.
    KilledAt(FailPoint),
    /// A settlement process sleeps at this point for longer than its lease, then goes on.
    StoppedAt(FailPoint),
    TwoProcessesOneSigner,
    /// Connections are cut, and refused for a while.
    PostgresRestarted,
    /// The server is killed (SIGKILL) and started again; it is everybody's.
    PostgresKilled,
    /// It is killed, and nobody starts it for half a minute.
    PostgresAway,
    RedisEmptied,
    RedisKilled,
    RpcErrors,
    RpcHanging,
    RpcLagging,
    RpcAnswerLost,
    MempoolDropped,
    /// So many of the newest blocks are replaced by empty ones.
    Reorg(u64),
}

impl Scenario {
    /// Every scenario; those that share a world beside each other.
    pub(crate) fn all() -> Vec<Self> {
        let killed = FailPoint::ALL.into_iter().map(Self::KilledAt);
        let others = [
            Self::StoppedAt(FailPoint::AfterSign),
            Self::StoppedAt(FailPoint::AfterStore),
            Self::TwoProcessesOneSigner,
            Self::PostgresRestarted,
            Self::PostgresKilled,
            Self::PostgresAway,
            Self::RedisEmptied,
            Self::RedisKilled,
            Self::RpcErrors,
            Self::RpcHanging,
            Self::RpcLagging,
            Self::RpcAnswerLost,
            Self::MempoolDropped,
            Self::Reorg(1),
            Self::Reorg(2),
            Self::Reorg(3),
        ];
        killed.chain(others).collect()
    }

    /// Settlement's own points.
    pub(crate) fn short() -> Vec<Self> {
        let settlement = |scenario: &Self| match scenario {
            Self::KilledAt(point) => role(*point) == Role::SettlementA,
            Self::StoppedAt(_) => true,
            _ => false,
        };
        Self::all().into_iter().filter(settlement).collect()
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::KilledAt(point) => point.name().to_owned(),
            Self::StoppedAt(point) => format!("lease_lost_while_stopped_{}", point.name()),
            Self::TwoProcessesOneSigner => "two_processes_one_signer".to_owned(),
            Self::PostgresRestarted => "postgres_restarted".to_owned(),
            Self::PostgresKilled => "postgres_killed".to_owned(),
            Self::PostgresAway => "postgres_away".to_owned(),
            Self::RedisEmptied => "redis_emptied".to_owned(),
            Self::RedisKilled => "redis_killed".to_owned(),
            Self::RpcErrors => "rpc_errors".to_owned(),
            Self::RpcHanging => "rpc_hanging".to_owned(),
            Self::RpcLagging => "rpc_lagging".to_owned(),
            Self::RpcAnswerLost => "rpc_answer_lost".to_owned(),
            Self::MempoolDropped => "mempool_dropped".to_owned(),
            Self::Reorg(depth) => format!("reorg_{depth}"),
        }
    }

    /// Whether it is done to the server of all worlds, so that none may work beside it.
    pub(crate) const fn is_everybodys(self) -> bool {
        matches!(self, Self::PostgresKilled | Self::PostgresAway)
    }

    pub(crate) const fn confirmations(self) -> u64 {
        match self {
            Self::Reorg(_) => DEEP,
            _ => SHALLOW,
        }
    }
}

/// The process that comes to this point.
pub(crate) const fn role(point: FailPoint) -> Role {
    match point {
        FailPoint::AfterCommit => Role::Ingress,
        FailPoint::AfterDecision => Role::Risk,
        FailPoint::AfterAttempt => Role::Notifier,
        FailPoint::AfterGather
        | FailPoint::AfterSimulate
        | FailPoint::AfterSign
        | FailPoint::AfterStore
        | FailPoint::AfterBroadcast
        | FailPoint::AfterMined
        | FailPoint::AfterRecorded
        | FailPoint::InBumpAfterStore
        | FailPoint::InCatchUp
        | FailPoint::InHoleFill
        | FailPoint::BeforeGiveBack => Role::SettlementA,
    }
}
