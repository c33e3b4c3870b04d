//! Tenants' policies: one row for each version, of which the newest counts.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use domain::{AccountId, ApiKeyId, Policy, Timestamp};
use sqlx::PgTransaction;
use uuid::Uuid;

use crate::row::{count, moment, unreadable};
use crate::{Store, StoreError};

/// What counts where a tenant has no policy.
pub(super) static NO_RULES: LazyLock<Policy> = LazyLock::new(Policy::default);

/// A policy as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// One more than that of the policy before it.
    pub version: u32,
    /// The rules.
    pub policy: Policy,
    /// When it was written.
    pub created_at: Timestamp,
}

/// A policy to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewPolicy<'a> {
    /// Whose.
    pub account: AccountId,
    /// The rules; they make sense.
    pub policy: &'a Policy,
    /// Only if this is the newest version still (0: there is none), where it is given.
    pub seen: Option<u32>,
    /// The key that writes it.
    pub by: ApiKeyId,
}

/// What became of the wish for another policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It counts from now on, as this version.
    Version(u32),
    /// The newest version is this one, and not the one that the writer had seen.
    Overtaken(u32),
}

impl Store {
    /// The account's newest policy, or the one of this version, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the ledger cannot answer, or holds what no policy can be.
    pub async fn policy(
        &self,
        account: AccountId,
        version: Option<u32>,
    ) -> Result<Option<PolicyVersion>, StoreError> {
        let row = sqlx::query!(
            "select version, document, created_at from risk_policies
             where account_id = $1 and ($2::bigint is null or version = $2)
             order by version desc limit 1",
            account.uuid(),
            version.map(i64::from),
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| read(row.version, row.document, row.created_at)).transpose()
    }

    /// Writes the account's next policy, which counts from now on.
    ///
    /// # Errors
    /// [`StoreError`] when nothing was written.
    pub async fn write_policy(
        &self,
        new: NewPolicy<'_>,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let NewPolicy { account, policy, seen, by } = new;
        let document = serde_json::to_value(policy).map_err(|_| unreadable("policy"))?;
        let mut tx = self.pool.begin().await?;
        // Writers of one account come one after the other.
        sqlx::query!("select id from accounts where id = $1 for no key update", account.uuid())
            .fetch_optional(&mut *tx)
            .await?;
        let newest = sqlx::query_scalar!(
            r#"select coalesce(max(version), 0) as "newest!" from risk_policies
               where account_id = $1"#,
            account.uuid(),
        )
        .fetch_one(&mut *tx)
        .await?;
        if seen.is_some_and(|seen| i64::from(seen) != i64::from(newest)) {
            return Ok(Written::Overtaken(count(newest)?));
        }
        let version = newest.saturating_add(1);
        sqlx::query!(
            "insert into risk_policies (account_id, version, document, created_at, created_by)
             values ($1, $2, $3, $4, $5)",
            account.uuid(),
            version,
            document,
            now.to_datetime(),
            by.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Written::Version(count(version)?))
    }
}

/// The newest policies of some accounts.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// By their accounts.
    pub(super) policies: HashMap<Uuid, PolicyVersion>,
    /// Accounts that have one which this process cannot read. Nothing is known to be allowed there.
    pub(super) unreadable: HashSet<Uuid>,
}

/// The newest policy of each of these accounts that has one.
pub(super) async fn newest(
    tx: &mut PgTransaction<'_>,
    accounts: &[Uuid],
) -> Result<Newest, StoreError> {
    let rows = sqlx::query!(
        r#"select a.id as "account!", p.version, p.document, p.created_at
           from (select distinct unnest($1::uuid[]) as id) a
           cross join lateral (
               select version, document, created_at from risk_policies
               where account_id = a.id order by version desc limit 1
           ) p"#,
        accounts,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut newest = Newest::default();
    for row in rows {
        match read(row.version, row.document, row.created_at) {
            Ok(policy) => drop(newest.policies.insert(row.account, policy)),
            Err(_) => drop(newest.unreadable.insert(row.account)),
        }
    }
    Ok(newest)
}

fn read(
    version: i32,
    document: serde_json::Value,
    created_at: time::OffsetDateTime,
) -> Result<PolicyVersion, StoreError> {
    let policy = serde_json::from_value(document).map_err(|_| unreadable("policy"))?;
    Ok(PolicyVersion { version: count(version)?, policy, created_at: moment(created_at) })
}
