//! Posting the payments and following each to its end.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::api::Api;
use super::board::Board;
use super::plan::{Planned, Posting};

/// So many payments are posted at the same moment, as when a page with many parts is paid for.
const BURST: usize = 20;

/// The pause between two bursts.
const PAUSE: Duration = Duration::from_secs(1);

/// Posts every payment, burst by burst, and follows each until it is over.
/// To be dropped when the time is up.
pub(crate) async fn travel(api: &Arc<Api>, board: &Arc<Board>, run: &Arc<str>) {
    let mut pace = interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut journeys = JoinSet::new();
    for burst in board.tracks().chunks(BURST) {
        pace.tick().await;
        for track in burst {
            let (api, board, run) = (Arc::clone(api), Arc::clone(board), Arc::clone(run));
            let planned = track.planned.clone();
            journeys.spawn(async move { journey(&api, &board, &run, &planned).await });
        }
    }
    // A journey that panics leaves its payment unfinished, which the verdict tells.
    while journeys.join_next().await.is_some() {}
}

async fn journey(api: &Api, board: &Board, run: &str, planned: &Planned) {
    let number = planned.number;
    let mut posts: FuturesUnordered<_> = planned
        .forms()
        .into_iter()
        .map(|form| async move {
            // Another form is another request; it gets a key of its own.
            let key = format!("{run}-{number:03}-{form:?}");
            api.submit(&key, &planned.order.body(form)).await
        })
        .collect();
    while let Some(answer) = posts.next().await {
        board.answered(number, answer);
    }
    if planned.kind.posting() == Posting::Again {
        for form in planned.forms() {
            let key = format!("{run}-{number:03}-{form:?}");
            board.answered(number, api.submit(&key, &planned.order.body(form)).await);
        }
    }
    let Some(id) = board.id_of(number) else { return };
    let mut known = 0;
    loop {
        let payment = api.follow(id, known).await;
        known = payment.version;
        let over = payment.terminal;
        board.seen(number, payment);
        if over {
            return;
        }
    }
}
