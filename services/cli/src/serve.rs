//! Running roles until the process is told to stop.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use domain::ChainId;
use metrics::gauge;
use queue::{Queue, QueueConfig, Stream};
use reconciler::audit::Auditor;
use risk::{ConsultedEngine, Risk};
use runtime::{Clock, Config, Health, MetricsHandle, Shutdown, health, http};
use secrecy::ExposeSecret;
use settlement::Settlement;
use store::Store;

use crate::catalogue;
use crate::failure::Failure;
use crate::networks::{self, Nodes};
use crate::role::Role;

/// What every role of a process shares.
struct Process<'a> {
    config: &'a Config,
    store: Store,
    queue: Queue,
    clock: Clock,
    nodes: Nodes,
    shutdown: Shutdown,
}

/// Runs these roles until SIGTERM or SIGINT, then lets each finish what is under way.
pub(crate) async fn run(config: &Config, roles: &[Role]) -> Result<ExitCode, Failure> {
    let service = match roles {
        [role] => role.service(),
        _ => "quittance",
    };
    runtime::telemetry::init(service, &config.log.level)?;
    #[cfg(feature = "fail-points")]
    runtime::fail_point::arm(config.fail_point);
    match runtime::open_files::allow_the_most() {
        Ok(limit) => tracing::info!(limit, "files and connections that may be open at once"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    for issue in config.warnings() {
        tracing::warn!(setting = issue.setting, problem = issue.problem, "questionable setting");
    }
    let metrics = runtime::metrics::install()
        .map_err(|error| Failure::Said(format!("cannot start the metrics: {error}")))?;
    catalogue::describe();
    let process = Process {
        config,
        store: open_store(config)?,
        queue: open_queue(config)?,
        clock: Clock::system(),
        nodes: open_nodes(config, roles)?,
        shutdown: Shutdown::on_signals().map_err(Failure::Start)?,
    };
    queue::begin_metrics(&streams(config));
    let metrics = watching_pool(metrics, &process.store, config.database.max_connections);
    let upkeep = metrics.clone();
    let stop = process.shutdown.token();
    process.shutdown.spawn("metrics upkeep", async move { upkeep.upkeep(stop).await });
    let listener = http::bind(config.metrics.listen).await.map_err(Failure::Start)?;
    let address = listener.local_addr().map_err(Failure::Start)?;
    tracing::info!(%address, "serving health and metrics");
    let health = health::router(readiness(&process, roles), metrics);
    let stop = process.shutdown.token();
    process.shutdown.spawn("health", http::serve(listener, health, stop));
    for role in roles {
        process.start(*role).await?;
    }
    tracing::info!(?roles, "started");
    let drained = process.shutdown.drain(Duration::from_secs(config.shutdown.drain_secs)).await;
    process.queue.bell().flush(FLUSH_LIMIT).await;
    tracing::info!(clean = drained.is_clean(), ?drained, "stopped");
    Ok(if drained.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How long a stopping process waits for its last bells to be heard.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

impl Process<'_> {
    async fn start(&self, role: Role) -> Result<(), Failure> {
        let (config, store, queue) = (self.config.clone(), self.store.clone(), self.queue.clone());
        let (clock, stop) = (self.clock.clone(), self.shutdown.token());
        let name = role.service();
        match role {
            Role::Ingress => {
                let nodes = self.nodes.all().cloned().collect();
                self.shutdown.spawn_essential(name, async move {
                    let with = (nodes, clock);
                    if let Err(error) = ingress::run(&config, store, &queue, with, stop).await {
                        tracing::error!(%error, "the payment API did not start");
                    }
                });
            }
            Role::Results => self.shutdown.spawn_essential(name, async move {
                if let Err(error) = results::run(&config, store, &queue, clock, stop).await {
                    tracing::error!(%error, "the results API did not start");
                }
            }),
            Role::Risk => {
                risk::begin_metrics();
                self.shutdown.spawn_essential(name, self.risk()?.run(stop));
            }
            Role::Settlement => {
                begin_volumes(&config);
                let settlement = self.settlement().await?;
                self.shutdown.spawn_essential(name, settlement.run(stop));
            }
            Role::Notifier => {
                notifier::begin_metrics();
                self.shutdown.spawn_essential(name, async move {
                    if let Err(error) = notifier::run(&config, store, &queue, clock, stop).await {
                        tracing::error!(%error, "the notifier did not start");
                    }
                });
            }
            Role::Reconciler => {
                // A task of its own: whatever happens to it, bells are rung.
                self.shutdown.spawn("audit", self.auditor()?.run(self.shutdown.token()));
                self.shutdown.spawn_essential(name, async move {
                    Box::pin(reconciler::run(&config, store, &queue, clock, stop)).await;
                });
            }
        }
        Ok(())
    }

    fn risk(&self) -> Result<Risk, Failure> {
        let settings = &self.config.risk;
        Ok(Risk {
            store: self.store.clone(),
            queue: self.queue.clone(),
            clock: self.clock.clone(),
            networks: networks::for_risk(self.config, &self.nodes)?,
            concurrency: at_least_one(settings.concurrency),
            max_batch: settings.max_batch,
            decision_validity: Duration::from_secs(settings.decision_validity_secs),
            engine: ConsultedEngine::from_config(
                &settings.engine,
                &self.config.http_client,
                &self.store,
            )?,
        })
    }

    fn auditor(&self) -> Result<Auditor, Failure> {
        let settings = &self.config.reconciler;
        Ok(Auditor {
            store: self.store.clone(),
            networks: networks::for_audit(self.config, &self.nodes)?,
            interval: Duration::from_secs(settings.audit_interval_secs),
            blocks: settings.audit_blocks,
        })
    }

    async fn settlement(&self) -> Result<Settlement, Failure> {
        Ok(Settlement {
            store: self.store.clone(),
            queue: self.queue.clone(),
            clock: self.clock.clone(),
            networks: networks::for_settlement(self.config, &self.nodes).await?,
            concurrency: at_least_one(self.config.settlement.concurrency),
        })
    }
}

/// The streams that payments and deliveries of this configuration go through.
fn streams(config: &Config) -> Vec<Stream> {
    let chains = config.networks.iter().filter_map(|network| ChainId::new(network.chain_id));
    [Stream::Risk, Stream::Notify].into_iter().chain(chains.map(Stream::settle)).collect()
}

/// Shows what is settled in each token before anything is.
fn begin_volumes(config: &Config) {
    for network in &config.networks {
        let Some(chain) = ChainId::new(network.chain_id) else { continue };
        for asset in &network.assets {
            // What is no address ends the process elsewhere, and says so.
            if let Ok(token) = asset.address.as_str().parse() {
                settlement::begin_volume(chain, token);
            }
        }
    }
}

/// The same metrics with a look at the connections to the ledger.
fn watching_pool(metrics: MetricsHandle, store: &Store, most: u32) -> MetricsHandle {
    let store = store.clone();
    metrics.looking(move || {
        let pool = store.connections();
        gauge!("db_pool_connections", "state" => "idle").set(pool.idle);
        gauge!("db_pool_connections", "state" => "used").set(pool.used);
        gauge!("db_pool_max_connections").set(most);
    })
}

/// What has to answer for these roles to do their work.
fn readiness(process: &Process<'_>, roles: &[Role]) -> Health {
    let (store, queue) = (process.store.clone(), process.queue.clone());
    let mut health = Health::new()
        .until(process.shutdown.token())
        .check("postgres", move || {
            let store = store.clone();
            async move { store.ping().await }
        })
        .check("redis", move || {
            let queue = queue.clone();
            async move { queue.ping().await }
        });
    let needed = roles.iter().any(|role| role.needs_chain());
    for node in process.nodes.all().filter(|_| needed) {
        let node = node.clone();
        // A handful of networks for the life of the process.
        let name: &'static str = Box::leak(format!("node {}", node.chain()).into_boxed_str());
        health = health.check(name, move || {
            let node = node.clone();
            async move { node.is_on_its_network().await }
        });
    }
    health
}

/// The nodes that these roles need.
fn open_nodes(config: &Config, roles: &[Role]) -> Result<Nodes, Failure> {
    if !roles.iter().any(|role| role.asks_chain()) {
        return Ok(Nodes::default());
    }
    Nodes::open(config)
}

/// A handle on the configured ledger; it connects when it is first used.
pub(crate) fn open_store(config: &Config) -> Result<Store, Failure> {
    let database = &config.database;
    let timeout = Duration::from_millis(database.acquire_timeout_ms);
    Ok(Store::connect(database.url.expose_secret(), database.max_connections, timeout)?)
}

fn open_queue(config: &Config) -> Result<Queue, Failure> {
    let settings = QueueConfig {
        prefix: config.redis.prefix.clone(),
        drain_deadline: Duration::from_secs(config.shutdown.drain_secs),
        ..QueueConfig::new(config.redis.url.clone())
    };
    Ok(Queue::connect(settings)?)
}

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}
