//! `quittance demo`: two hundred payments, good and bad, from the seller's post to the chain's own
//! books, over nothing but the public HTTP API and a node's JSON-RPC.

mod api;
mod audit;
mod board;
mod buyer;
mod chain_view;
mod journey;
mod payment;
mod plan;
mod progress;
mod receiver;
mod report;
mod request;
mod scene;
mod verdict;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use domain::PaymentId;
use runtime::Config;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use self::audit::Books;
use self::board::Board;

use self::progress::Progress;
use self::scene::Scene;
use crate::args::DemoCommand;
use crate::failure::Failure;

/// How long the books of the chain, and the account's list, may take to read in the end.
const READING: Duration = Duration::from_secs(30);

/// How often it is looked whether all webhooks have come.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs the demo; the exit code is 0 only if every expectation held.
pub(crate) async fn run(
    config: &Config,
    deadline: Duration,
    command: Option<DemoCommand>,
) -> Result<ExitCode, Failure> {
    match command {
        Some(DemoCommand::Payment) => scene::print_payment(config).await?,
        None => return play(config, deadline).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn play(config: &Config, deadline: Duration) -> Result<ExitCode, Failure> {
    let scene = Scene::set(config).await?;
    scene.describe()?;
    let deadline = Instant::now() + deadline;
    let board = Arc::new(Board::new(scene.plan()?));
    let outcome = watch(&scene, &board, deadline).await;
    scene.close().await;
    let in_time = outcome?;

    let tracks = board.tracks();
    let mail = scene.receiver.mail();
    let read = timeout(READING, read_books(&scene)).await;
    let (books, listed) = read.map_err(|_| {
        Failure::Said("ledger = chain: no, the chain or the account could not be read".into())
    })?;
    report::print_payments(&tracks, &mail)?;
    report::print_transactions(&tracks, &books)?;
    report::print_totals(&tracks, &mail, &books)?;
    let differences = books.compare(&tracks, &scene.parties);
    let mut complaints = verdict::complaints(&tracks, &listed, &mail);
    if !in_time {
        complaints.insert(0, "the time was up before everything had ended".to_owned());
    }
    report::print_verdict(&differences, &complaints)?;
    let held = differences.is_empty() && complaints.is_empty();
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Posts and follows the payments and waits for the webhooks, telling all the while how it goes;
/// whether that ended before the deadline.
async fn watch(scene: &Scene, board: &Arc<Board>, deadline: Instant) -> Result<bool, Failure> {
    let run: Arc<str> = runtime::new_uuid().to_string().into();
    let (api, of_journeys) = (Arc::clone(&scene.api), Arc::clone(board));
    let journeys = AbortOnDropHandle::new(tokio::spawn(async move {
        journey::travel(&api, &of_journeys, &run).await;
    }));
    let all = async {
        // A journey that panics leaves its payment unfinished, which the verdict tells.
        let _ = journeys.await;
        while !verdict::all_told(&board.tracks(), &scene.receiver.mail()) {
            tokio::time::sleep(GLANCE).await;
        }
    };
    let progress = Progress::new(board, &scene.receiver, &scene.api);
    tokio::select! {
        ended = timeout_at(deadline, all) => {
            progress.tell()?;
            Ok(ended.is_ok())
        }
        failure = progress.keep_telling() => Err(failure),
    }
}

async fn read_books(scene: &Scene) -> (Books, Vec<PaymentId>) {
    tokio::join!(Books::read(&scene.chain, &scene.parties), scene.api.payments())
}
