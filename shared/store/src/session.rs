//! What every connection to the ledger is set to, whatever the server's defaults are.

use sqlx::PgConnection;

/// The longest that a transaction may stand still between two statements, in milliseconds.
///
/// A process that is stopped in the middle of one holds its locks: nobody could lease its signer
/// or move its payments. So this is below the time that a lease lasts.
const IDLE_IN_TRANSACTION_MS: u32 = 10_000;

/// Sets up a new connection.
///
/// - What is answered is on disk: a server that commits asynchronously by default could forget a
///   payment that was accepted. Anything stricter stays as it is.
/// - Statements see what was committed before them: waiting for a row and then judging it as it
///   is now is how two transactions at the same instant agree.
/// - A transaction that stands still is ended.
/// - Rows are looked up, whatever the server believes of a table. A connection keeps the plan of a
///   statement until statistics change: one that was made while a table was nearly empty would
///   walk through it for each batch of the burst that fills it, for up to a minute. What the
///   planner adds to a walk that nothing can replace must not look like work worth compiling.
pub(crate) async fn set_up(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select
           set_config('default_transaction_isolation', 'read committed', false) as isolation,
           set_config('idle_in_transaction_session_timeout', $1, false) as idle,
           set_config('enable_seqscan', 'off', false) as walks,
           set_config('jit', 'off', false) as compilation,
           set_config('synchronous_commit', case current_setting('synchronous_commit')
               when 'off' then 'on' else current_setting('synchronous_commit') end, false) as durability",
        IDLE_IN_TRANSACTION_MS.to_string(),
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}
