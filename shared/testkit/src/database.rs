//! A PostgreSQL database of its own for each test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use store::Store;
use uuid::Uuid;

/// How long dropping a database may take: the server waits for everybody who is just connecting, and
/// who connects from the test that ends does not go on.
const AT_MOST: &str = "set statement_timeout = '5s'";

/// Names the server: a URL whose user may create databases.
const ADMIN_URL: &str = "QUITTANCE_PG_ADMIN_URL";

/// Connections of one test's pool; the server's limit is shared by all tests that run at once.
const MAX_CONNECTIONS: u32 = 8;

/// How long a test waits for a connection of its own pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);

/// Databases of earlier runs that nobody dropped go when they are older than this.
const STALE_AFTER_SECS: i64 = 6 * 3600;

/// Whether this process has looked for such databases.
static SWEPT: AtomicBool = AtomicBool::new(false);

/// The advisory lock under which the template is made: any number that nothing else uses.
const TEMPLATE_LOCK: i64 = 0x7175_6974_7465_7374;

/// A migrated database that no other test sees. Dropping this drops the database, with whatever
/// is still connected to it; that of a failed test is kept, for a look, until a later run sweeps.
#[must_use = "the database is dropped with this value"]
#[derive(Debug)]
pub struct Database {
    /// Where it is.
    pub url: String,
    /// The ledger in it.
    pub store: Store,
    name: String,
}

impl Database {
    /// Makes a database from a template that is migrated once for each version of the schema.
    ///
    /// # Panics
    /// When no server is named by `QUITTANCE_PG_ADMIN_URL`, or it does not play along.
    pub async fn create() -> Self {
        let admin_url = admin_url();
        let mut admin = PgConnection::connect(&admin_url).await.unwrap_or_else(|error| {
            panic!(
                "the PostgreSQL server of {ADMIN_URL} does not answer ({error}); {HOW_TO_GET_ONE}"
            )
        });
        let template = ensure_template(&mut admin, &admin_url).await;
        if !SWEPT.swap(true, Ordering::Relaxed) {
            sweep(&mut admin).await;
        }
        let name = format!("quittance_test_{}_{}", now(&mut admin).await, Uuid::new_v4().simple());
        run(&mut admin, format!("create database {name} template {template}")).await;
        admin.close().await.ok();
        let url = database_url(&admin_url, &name);
        let store = Store::connect(&url, MAX_CONNECTIONS, ACQUIRE_TIMEOUT).unwrap();
        Self { url, store, name }
    }

    /// Ends every connection to it and takes no new ones, as a server that is being restarted.
    pub async fn refuse_connections(&self) {
        let mut admin = PgConnection::connect(&admin_url()).await.unwrap();
        let name = &self.name;
        run(&mut admin, format!("alter database {name} with allow_connections false")).await;
        let cut = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        );
        run(&mut admin, cut).await;
    }

    /// Takes connections again.
    pub async fn accept_connections(&self) {
        let mut admin = PgConnection::connect(&admin_url()).await.unwrap();
        let name = &self.name;
        run(&mut admin, format!("alter database {name} with allow_connections true")).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let drop_it = format!("drop database if exists {} with (force)", self.name);
        // A thread of its own, because a destructor cannot wait inside the test's runtime.
        let dropper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut admin = PgConnection::connect(&admin_url()).await?;
                admin.execute(sqlx::raw_sql(AT_MOST)).await?;
                admin.execute(sqlx::raw_sql(AssertSqlSafe(drop_it))).await?;
                admin.close().await
            })
        });
        // Best effort: what stays is swept by a later run.
        let _ = dropper.join();
    }
}

const HOW_TO_GET_ONE: &str =
    "run the tests with `make test`, or start servers with `compose/local up` and use what it says";

#[expect(clippy::disallowed_methods, reason = "tests have no configuration but this")]
fn admin_url() -> String {
    std::env::var(ADMIN_URL).unwrap_or_else(|_| {
        panic!("{ADMIN_URL} names no PostgreSQL server to create databases on; {HOW_TO_GET_ONE}")
    })
}

/// The same server, another database.
fn database_url(admin_url: &str, name: &str) -> String {
    let (base, query) = match admin_url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (admin_url, String::new()),
    };
    let authority_at = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority_at..].find('/').map_or(base.len(), |at| authority_at + at);
    format!("{}/{name}{query}", &base[..end])
}

/// The name of a migrated template, made first if there is none for this schema yet.
async fn ensure_template(admin: &mut PgConnection, admin_url: &str) -> String {
    let name = template_name();
    if exists(admin, &name).await {
        return name;
    }
    run(admin, format!("select pg_advisory_lock({TEMPLATE_LOCK})")).await;
    // Another process may have made it while this one waited.
    if !exists(admin, &name).await {
        make_template(admin, admin_url, &name).await;
    }
    run(admin, format!("select pg_advisory_unlock({TEMPLATE_LOCK})")).await;
    name
}

/// Migrates under another name first, so that a template that is there is always whole.
async fn make_template(admin: &mut PgConnection, admin_url: &str, name: &str) {
    let draft = format!("{name}_draft");
    run(admin, format!("drop database if exists {draft} with (force)")).await;
    run(admin, format!("create database {draft}")).await;
    let store = Store::connect(&database_url(admin_url, &draft), 1, ACQUIRE_TIMEOUT).unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    run(admin, format!("alter database {draft} with allow_connections false")).await;
    run(admin, format!("alter database {draft} rename to {name}")).await;
}

/// Drops what earlier runs left behind, as far as that goes: others may be at it too.
async fn sweep(admin: &mut PgConnection) {
    let oldest = now(admin).await - STALE_AFTER_SECS;
    let query = "select datname::text from pg_database where datname like 'quittance_test_%'";
    let rows = admin.fetch_all(sqlx::raw_sql(query)).await.unwrap();
    for row in rows {
        let name: String = sqlx::Row::get(&row, 0);
        let made = name.split('_').nth(2).and_then(|secs| secs.parse::<i64>().ok());
        if made.is_some_and(|made| made < oldest) {
            let drop_it = format!("drop database if exists {name} with (force)");
            admin.execute(sqlx::raw_sql(AssertSqlSafe(drop_it))).await.ok();
        }
    }
}

/// Names the template after the schema, so that another schema has another template.
fn template_name() -> String {
    let mut digest = Sha256::new();
    for checksum in store::migration_checksums() {
        digest.update(checksum);
    }
    format!("quittance_template_{}", hex::encode(&digest.finalize()[..8]))
}

async fn exists(admin: &mut PgConnection, name: &str) -> bool {
    let query = format!("select 1 from pg_database where datname = '{name}'");
    admin.fetch_optional(sqlx::raw_sql(AssertSqlSafe(query))).await.unwrap().is_some()
}

/// The server's time in Unix seconds.
async fn now(admin: &mut PgConnection) -> i64 {
    let query = "select extract(epoch from now())::bigint";
    sqlx::Row::get(&admin.fetch_one(sqlx::raw_sql(query)).await.unwrap(), 0)
}

/// Runs a statement. Every name in it is one of ours: letters, digits and underscores.
async fn run(admin: &mut PgConnection, sql: String) {
    admin.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

#[cfg(test)]
mod tests {
    use domain::{AccountId, Timestamp};

    use super::*;

    #[tokio::test]
    async fn two_databases_made_at_once_are_migrated_and_apart() {
        let (one, other) = tokio::join!(Database::create(), Database::create());
        let account = AccountId::new(Uuid::now_v7());
        let now = Timestamp::from_unix_secs(1);
        one.store.create_account(account, "seller", now).await.unwrap();
        assert!(one.store.has_account(account).await.unwrap());
        assert!(!other.store.has_account(account).await.unwrap());
    }

    #[tokio::test]
    async fn a_database_that_refuses_connections_takes_them_again() {
        let database = Database::create().await;
        database.store.ping().await.unwrap();
        database.refuse_connections().await;
        assert!(PgConnection::connect(&database.url).await.is_err());
        assert!(sqlx::raw_sql("select 1").execute(database.store.pool()).await.is_err());
        database.accept_connections().await;
        database.store.ping().await.unwrap();
    }

    #[tokio::test]
    async fn a_database_ends_with_its_test() {
        let database = Database::create().await;
        let name = database.name.clone();
        drop(database);
        let mut admin = PgConnection::connect(&admin_url()).await.unwrap();
        assert!(!exists(&mut admin, &name).await);
    }

    #[test]
    fn another_database_of_a_server_keeps_everything_but_its_name() {
        for (admin, expected) in [
            ("postgres://u:p@h:1/postgres", "postgres://u:p@h:1/x"),
            ("postgres://h", "postgres://h/x"),
            ("postgres://h/a?host=/run/pg", "postgres://h/x?host=/run/pg"),
            ("postgres:///a?host=/run/pg&user=u", "postgres:///x?host=/run/pg&user=u"),
        ] {
            assert_eq!(database_url(admin, "x"), expected);
        }
    }
}
