//! What is printed: the table, and what it adds up to.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use domain::{B256, StateName, Timestamp};

use super::audit::Books;
use super::board::Track;
use super::payment::{Change, Payment};
use super::receiver::Mail;
use super::verdict::Webhook;
use crate::failure::{Failure, print};

/// Digits of a hash in the table of payments; the table of transactions has all of them.
const SHORT_HASH: usize = 12;

/// The most that is said about what did not hold.
const MOST_COMPLAINTS: usize = 25;

const RULER: LineStyle = LineStyle::none().fill('─').junction('─');

/// Lines above and below the header, and at the end.
const STYLE: TableStyle =
    TableStyle::new().top_border(RULER).header_separator(RULER).bottom_border(RULER);

/// Where a timestamp (RFC 3339) has the time of day.
const TIME_OF_DAY: std::ops::Range<usize> = 11..23;

/// Prints one row for each payment.
pub(crate) fn print_payments(tracks: &[Track], mail: &Mail) -> Result<(), Failure> {
    let mut table = table(&["", "payment", "posted", "states", "transaction", "webhook"]);
    for track in tracks {
        let hash = track.payment.as_ref().and_then(|payment| payment.transaction);
        table.add_row([
            track.planned.order.reference.clone(),
            track.id().map_or_else(|| "–".to_owned(), |id| id.to_string()),
            track.planned.kind.label().to_owned(),
            states(track),
            hash.map_or_else(|| "–".to_owned(), |transaction| short(transaction.hash)),
            Webhook::of(track, mail).label().to_owned(),
        ]);
    }
    print(format_args!("\n{table}"))
}

/// Prints one row for each transaction that paid.
pub(crate) fn print_transactions(tracks: &[Track], books: &Books) -> Result<(), Failure> {
    let mut table = table(&["transaction", "block", "payments", "gas", "gas per payment"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut rows: Vec<_> = books.receipts.iter().collect();
    rows.sort_by_key(|(_, receipt)| receipt.block_number);
    for (hash, receipt) in rows {
        let gas: u64 = receipt.gas_used.to();
        let paid = settled(tracks).filter(|payment| carried_by(payment, *hash)).count();
        table.add_row([
            hash.to_string(),
            receipt.block_number.to_string(),
            paid.to_string(),
            gas.to_string(),
            share(gas, paid),
        ]);
    }
    print(format_args!("\n{table}"))
}

/// Prints what it all adds up to.
pub(crate) fn print_totals(tracks: &[Track], mail: &Mail, books: &Books) -> Result<(), Failure> {
    let accepted = tracks.iter().filter(|track| track.id().is_some()).count();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for code in tracks.iter().filter_map(Track::refusal) {
        *reasons.entry(code.to_owned()).or_default() += 1;
    }
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for payment in tracks.iter().filter_map(|track| track.payment.as_ref()) {
        *states.entry(standing(payment)).or_default() += 1;
    }
    let posts: usize = tracks.iter().map(|track| track.answers.len()).sum();
    let gas: u64 = books.receipts.values().map(|receipt| receipt.gas_used.to::<u64>()).sum();
    let paid = settled(tracks).count();
    let told = tracks.iter().filter(|track| Webhook::of(track, mail) == Webhook::Verified).count();

    print(format_args!("\npayments      {} in {posts} posts", tracks.len()))?;
    print(format_args!("accepted      {accepted}: {}", list(&states)))?;
    let refused = tracks.len() - accepted;
    print(format_args!("at the door   {refused} refused: {}", list(&reasons)))?;
    print(format_args!("transactions  {}", books.receipts.len()))?;
    print(format_args!("gas           {} per settled payment", share(gas, paid)))?;
    for state in [StateName::Confirmed, StateName::Settled] {
        let took = durations(tracks, state);
        let (p50, p99) = (percentile(&took, 50), percentile(&took, 99));
        print(format_args!("accepted → {state:<9}  p50 {p50}, p99 {p99}"))?;
    }
    let repeats = mail.repeats();
    print(format_args!("webhooks      {told} ends told and verified, {repeats} told again"))
}

/// Prints whether ledger and chain are equal, and everything that did not hold.
pub(crate) fn print_verdict(differences: &[String], complaints: &[String]) -> Result<(), Failure> {
    let equal = if differences.is_empty() { "yes" } else { "no" };
    print(format_args!("\nledger = chain: {equal}"))?;
    let all: Vec<&String> = differences.iter().chain(complaints).collect();
    for what in all.iter().take(MOST_COMPLAINTS) {
        print(format_args!("  ✗ {what}"))?;
    }
    if all.len() > MOST_COMPLAINTS {
        print(format_args!("  … and {} more", all.len() - MOST_COMPLAINTS))?;
    }
    if all.is_empty() { print("every expectation held") } else { Ok(()) }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header.iter().copied());
    table
}

fn settled(tracks: &[Track]) -> impl Iterator<Item = &Payment> {
    let payments = tracks.iter().filter_map(|track| track.payment.as_ref());
    payments.filter(|payment| payment.status == StateName::Settled)
}

fn carried_by(payment: &Payment, hash: B256) -> bool {
    payment.transaction.is_some_and(|transaction| transaction.hash == hash)
}

/// `14:03:07.120 accepted, +31 ms approved, …`, or why there is no payment.
fn states(track: &Track) -> String {
    let Some(payment) = &track.payment else {
        return track.refusal().map_or_else(|| "–".to_owned(), |code| format!("refused: {code}"));
    };
    let Some(Change { status, at: began, .. }) = payment.timeline.first() else {
        return payment.status.to_string();
    };
    let clock = began.to_string();
    let mut text = format!("{} {status}", clock.get(TIME_OF_DAY).unwrap_or(&clock));
    for change in payment.timeline.iter().skip(1) {
        let since = millis(change.at.unix_ms() - began.unix_ms());
        // Writing to a text does not fail.
        let _ = write!(text, ", +{since} {}", change.status);
    }
    if let Some(failure) = payment.failure {
        let _ = write!(text, " ({})", failure.code);
    }
    text
}

/// `settled`, `rejected (insufficient_funds)`.
fn standing(payment: &Payment) -> String {
    let status = payment.status;
    payment.failure.map_or_else(|| status.to_string(), |why| format!("{status} ({})", why.code))
}

/// How long the settled payments took to come to this state, in milliseconds, the shortest first.
fn durations(tracks: &[Track], state: StateName) -> Vec<i64> {
    let took = settled(tracks).filter_map(|payment| {
        let accepted: Timestamp = payment.timeline.first()?.at;
        Some(payment.came_to(state)?.unix_ms() - accepted.unix_ms())
    });
    let mut took: Vec<i64> = took.collect();
    took.sort_unstable();
    took
}

/// `31 ms`, `3.04 s`.
fn millis(ms: i64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10) }
}

/// The smallest of the sorted values that so many in a hundred do not exceed.
fn percentile(sorted: &[i64], percent: usize) -> String {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or_else(|| "–".to_owned(), |ms| millis(*ms))
}

fn share(whole: u64, parts: usize) -> String {
    let parts = u64::try_from(parts).unwrap_or(u64::MAX);
    whole.checked_div(parts).map_or_else(|| "–".to_owned(), |share| share.to_string())
}

fn short(hash: B256) -> String {
    hash.to_string().chars().take(SHORT_HASH).chain(['…']).collect()
}

/// `160 settled, 8 rejected (insufficient_funds)`, the most first.
fn list(counts: &BTreeMap<String, usize>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let parts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let took: Vec<i64> = (1..=200).collect();
        assert_eq!(
            (percentile(&took, 50), percentile(&took, 99)),
            ("100 ms".into(), "198 ms".into())
        );
        assert_eq!((percentile(&[7], 50), percentile(&[], 99)), ("7 ms".into(), "–".into()));
    }

    #[test]
    fn durations_are_written_for_people() {
        assert_eq!([millis(0), millis(999), millis(3_047)], ["0 ms", "999 ms", "3.04 s"]);
    }
}
