//! What the schema itself refuses, by the name of the constraint that refuses it.

use std::collections::BTreeMap;

use domain::{EventType, StateName};
use uuid::Uuid;

use crate::ledger::{Ledger, unique_address, unique_hash};

/// The constraint that refuses these statements; `None` when they are taken.
async fn refused_by(ledger: &Ledger, statements: &str) -> Option<String> {
    match ledger.sql(statements).await {
        Ok(()) => None,
        Err(sqlx::Error::Database(error)) => {
            let name = error.constraint();
            Some(name.unwrap_or_else(|| panic!("not by a constraint: {error}")).to_owned())
        }
        Err(other) => panic!("{other}"),
    }
}

/// A row, by column: each value as it stands in a statement.
type Row = BTreeMap<&'static str, String>;

fn insert(table: &str, row: &Row) -> String {
    let columns: Vec<&str> = row.keys().copied().collect();
    let values: Vec<&str> = row.values().map(String::as_str).collect();
    format!("insert into {table} ({}) values ({})", columns.join(", "), values.join(", "))
}

fn with(row: &Row, changes: &[(&'static str, &str)]) -> Row {
    let mut row = row.clone();
    row.extend(changes.iter().map(|(column, value)| (*column, (*value).to_owned())));
    row
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digits: String = bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'\\x{digits}'")
}

fn uuid() -> String {
    format!("'{}'", Uuid::now_v7())
}

/// A ledger with a transaction that payments may rest on.
struct Scene {
    ledger: Ledger,
    transaction: Row,
    signer: Row,
}

impl Scene {
    async fn open() -> Self {
        let ledger = Ledger::open().await;
        let signer = Row::from([
            ("id", uuid()),
            ("chain_id", "1".to_owned()),
            ("address", hex(unique_address())),
        ]);
        let transaction = Row::from([
            ("id", uuid()),
            ("signer_id", signer["id"].clone()),
            ("chain_id", "1".to_owned()),
            ("nonce", "0".to_owned()),
            ("target", hex(unique_address())),
            ("input", "''".to_owned()),
            ("gas_limit", "21000".to_owned()),
            ("state", "'open'".to_owned()),
            ("signed_at_block", "1".to_owned()),
            ("created_at", "now()".to_owned()),
            ("updated_at", "now()".to_owned()),
        ]);
        ledger.sql(&insert("signers", &signer)).await.unwrap();
        ledger.sql(&insert("chain_transactions", &transaction)).await.unwrap();
        Self { ledger, transaction, signer }
    }

    /// What is known about a payment beside its state.
    fn facts(&self) -> Row {
        Row::from([
            ("held_until", "now()".to_owned()),
            ("approved_until", "now()".to_owned()),
            ("transaction_id", self.transaction["id"].clone()),
            ("tx_hash", hex([1; 32])),
            ("log_index", "0".to_owned()),
            ("block_number", "1".to_owned()),
            ("block_hash", hex([2; 32])),
            ("failure_code", "'denied'".to_owned()),
            ("due_at", "now()".to_owned()),
        ])
    }

    /// A new payment in this state, of which only these facts are known.
    fn payment(&self, state: StateName, known: &[&str]) -> Row {
        let facts = self.facts().into_iter().filter(|(fact, _)| known.contains(fact));
        let mut row = Row::from([
            ("id", uuid()),
            ("account_id", format!("'{}'", self.ledger.seller.uuid())),
            ("chain_id", "1".to_owned()),
            ("asset", hex([3; 20])),
            ("payer", hex([4; 20])),
            ("nonce", hex(unique_hash())),
            ("pay_to", hex([5; 20])),
            ("amount", "1".to_owned()),
            ("valid_after", "0".to_owned()),
            ("valid_before", "1".to_owned()),
            ("signature", hex([6; 65])),
            ("x402_version", "2".to_owned()),
            ("finality", "'safe'".to_owned()),
            ("request_id", "'req'".to_owned()),
            ("created_at", "now()".to_owned()),
            ("updated_at", "now()".to_owned()),
            ("version", "1".to_owned()),
            ("state", format!("'{state}'")),
        ]);
        row.extend(facts);
        row
    }

    async fn payment_refused_by(&self, row: &Row) -> Option<String> {
        refused_by(&self.ledger, &insert("payments", row)).await
    }
}

const BLOCK: [&str; 4] = ["tx_hash", "log_index", "block_number", "block_hash"];
const CARRIED: [&str; 2] = ["approved_until", "transaction_id"];

/// What is known in each state, and the constraint that says so. A payment may be confirmed by our
/// transaction or by somebody else's.
fn known() -> Vec<(StateName, Vec<&'static str>, &'static str)> {
    use StateName as S;
    let [due, block, carried] = [&["due_at"][..], &BLOCK, &CARRIED];
    vec![
        (S::Accepted, due.to_vec(), "payments_accepted"),
        (S::Held, [due, &["held_until"]].concat(), "payments_held"),
        (S::Approved, [due, &["approved_until"]].concat(), "payments_approved"),
        (S::Submitted, [due, carried].concat(), "payments_submitted"),
        (S::Confirmed, [due, block].concat(), "payments_confirmed"),
        (S::Confirmed, [due, block, carried].concat(), "payments_confirmed"),
        (S::Settled, block.to_vec(), "payments_settled"),
        (S::Rejected, vec!["failure_code"], "payments_rejected_or_failed"),
        (S::Canceled, Vec::new(), "payments_canceled_or_expired"),
        (S::Expired, Vec::new(), "payments_canceled_or_expired"),
        (S::Failed, vec!["failure_code"], "payments_rejected_or_failed"),
    ]
}

#[tokio::test]
async fn a_payment_says_what_is_known_in_its_state_and_nothing_else() {
    let scene = Scene::open().await;
    for (state, known, constraint) in known() {
        let whole = scene.payment(state, &known);
        assert_eq!(scene.payment_refused_by(&whole).await, None, "{state} with {known:?}");
        for fact in scene.facts().into_keys() {
            let mut other: Vec<&str> = known.clone();
            match other.iter().position(|known| *known == fact) {
                Some(at) => drop(other.remove(at)),
                None => other.push(fact),
            }
            let expected = if fact == "due_at" { "payments_due" } else { constraint };
            let refused = scene.payment_refused_by(&scene.payment(state, &other)).await;
            assert_eq!(refused.as_deref(), Some(expected), "{state} with {other:?}");
        }
    }
}

#[tokio::test]
async fn a_payment_is_within_its_bounds() {
    let scene = Scene::open().await;
    let good = scene.payment(StateName::Accepted, &["due_at"]);
    let long = format!("'{}'", "x".repeat(201));
    let metadata = format!("'{{\"long\": \"{}\"}}'", "x".repeat(8192));
    let too_much = format!("1{}", "0".repeat(78));
    for (column, value, constraint) in [
        ("state", "'dreaming'", "payments_state"),
        ("valid_before", "0", "payments_window"),
        ("valid_after", "-1", "payments_valid_after_check"),
        ("version", "0", "payments_version_check"),
        ("amount", "-1", "payments_amount_check"),
        ("chain_id", "0", "payments_chain_id_check"),
        ("asset", "'\\x01'", "payments_asset_check"),
        ("payer", "'\\x01'", "payments_payer_check"),
        ("nonce", "'\\x01'", "payments_nonce_check"),
        ("pay_to", "'\\x01'", "payments_pay_to_check"),
        ("signature", "''", "payments_signature_check"),
        ("x402_version", "3", "payments_x402_version_check"),
        ("finality", "'soon'", "payments_finality_check"),
        ("reference", &long, "payments_reference_check"),
        ("request_id", &long, "payments_request_id_check"),
        ("metadata", "'[]'", "payments_metadata_check"),
        ("metadata", &metadata, "payments_metadata_check"),
        ("rings", "-1", "payments_rings_check"),
        ("account_id", &uuid(), "payments_account_id_fkey"),
    ] {
        let refused = scene.payment_refused_by(&with(&good, &[(column, value)])).await;
        assert_eq!(refused.as_deref(), Some(constraint), "{column} = {value:.20}");
    }
    let too_much = insert("payments", &with(&good, &[("amount", &too_much)]));
    let refused = scene.ledger.sql(&too_much).await;
    assert!(refused.unwrap_err().to_string().contains("overflow"));
    assert_eq!(scene.payment_refused_by(&good).await, None);
}

#[tokio::test]
async fn an_authorization_is_one_payments_alone() {
    let scene = Scene::open().await;
    let first = scene.payment(StateName::Accepted, &["due_at"]);
    assert_eq!(scene.payment_refused_by(&first).await, None);
    let second = with(&first, &[("id", &uuid())]);
    let refused = scene.payment_refused_by(&second).await;
    assert_eq!(refused.as_deref(), Some("payments_one_authorization"));

    for (column, value) in [
        ("chain_id", "2".to_owned()),
        ("asset", hex([8; 20])),
        ("payer", hex([8; 20])),
        ("nonce", hex([8; 32])),
    ] {
        let other = with(&second, &[("id", &uuid()), (column, &value)]);
        assert_eq!(scene.payment_refused_by(&other).await, None, "another {column}");
    }
}

#[tokio::test]
async fn permit2_takes_a_nonce_once_and_its_transfers_pay_one_payment_each() {
    let scene = Scene::open().await;
    let by_permit2 = [("permit2_spender", hex([7; 20]))];
    let by_permit2 = by_permit2.each_ref().map(|(column, value)| (*column, value.as_str()));
    let first = with(&scene.payment(StateName::Settled, &BLOCK), &by_permit2);
    assert_eq!(scene.payment_refused_by(&first).await, None);

    let (id, asset, nonce) = (uuid(), hex([8; 20]), hex([8; 32]));
    let in_another_token = with(&first, &[("id", &id), ("asset", &asset)]);
    let refused = scene.payment_refused_by(&in_another_token).await;
    assert_eq!(refused.as_deref(), Some("payments_one_permit"));

    let of_another_nonce = with(&first, &[("id", &id), ("nonce", &nonce)]);
    let refused = scene.payment_refused_by(&of_another_nonce).await;
    assert_eq!(refused.as_deref(), Some("payments_one_transfer_by_permit2"));

    let elsewhere = with(&of_another_nonce, &[("log_index", "99")]);
    assert_eq!(scene.payment_refused_by(&elsewhere).await, None);
    let no_address = with(&elsewhere, &[("id", &uuid()), ("permit2_spender", "'\\x01'")]);
    let refused = scene.payment_refused_by(&no_address).await;
    assert_eq!(refused.as_deref(), Some("payments_permit2_spender"));
}

#[tokio::test]
async fn a_payment_up_to_an_amount_has_a_signer_and_a_bound_that_it_keeps() {
    let scene = Scene::open().await;
    let (spender, sender) = (hex([7; 20]), hex([9; 20]));
    let row = |amount: &str, bound: &str, sender: &str, spender: &str| {
        let (id, nonce) = (uuid(), hex(unique_hash()));
        let changes = [
            ("id", id.as_str()),
            ("nonce", nonce.as_str()),
            ("amount", amount),
            ("upto_amount", bound),
            ("upto_sender", sender),
            ("permit2_spender", spender),
        ];
        with(&scene.payment(StateName::Accepted, &["due_at"]), &changes)
    };
    for taken in [
        row("5", "5", &sender, &spender),
        row("0", "5", &sender, &spender),
        row("5", "null", "null", &spender),
        row("5", "null", "null", "null"),
    ] {
        assert_eq!(scene.payment_refused_by(&taken).await, None, "{taken:?}");
    }
    for refused in [
        row("6", "5", &sender, &spender),
        row("0", "0", &sender, &spender),
        row("5", "5", "null", &spender),
        row("5", "null", &sender, &spender),
        row("5", "5", &sender, "null"),
        row("5", "5", "'\\x01'", &spender),
    ] {
        let by = scene.payment_refused_by(&refused).await;
        assert_eq!(by.as_deref(), Some("payments_upto"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_payment_is_carried_by_one_open_transaction_at_a_time() {
    let scene = Scene::open().await;
    let payment = scene.payment(StateName::Accepted, &["due_at"]);
    assert_eq!(scene.payment_refused_by(&payment).await, None);
    let second = with(&scene.transaction, &[("id", &uuid()), ("nonce", "1")]);
    let second_id = second["id"].clone();
    assert_eq!(refused_by(&scene.ledger, &insert("chain_transactions", &second)).await, None);
    let item = |transaction: &str, position: &str, open: &str| {
        let row = Row::from([
            ("transaction_id", transaction.to_owned()),
            ("position", position.to_owned()),
            ("payment_id", payment["id"].clone()),
            ("open", open.to_owned()),
        ]);
        insert("transaction_items", &row)
    };
    let first_id = &scene.transaction["id"];

    assert_eq!(refused_by(&scene.ledger, &item(first_id, "0", "true")).await, None);
    assert_eq!(refused_by(&scene.ledger, &item(&second_id, "0", "false")).await, None);
    let refused = refused_by(&scene.ledger, &item(&second_id, "1", "true")).await;
    assert_eq!(refused.as_deref(), Some("transaction_items_one_open"));
}

#[tokio::test]
async fn a_transaction_has_a_nonce_of_its_own_and_a_block_when_it_is_mined() {
    let scene = Scene::open().await;
    let next = with(&scene.transaction, &[("id", &uuid()), ("nonce", "1")]);
    let block = hex([2; 32]);
    let mined = [("mined_hash", block.as_str()), ("block_number", "1"), ("block_hash", &block)];
    let mut cases = vec![
        (vec![("nonce", "0")], "chain_transactions_one_nonce"),
        (vec![("state", "'lost'")], "chain_transactions_state"),
        (vec![("gas_limit", "0")], "chain_transactions_gas_limit_check"),
    ];
    for state in ["'open'", "'dropped'"] {
        for fact in mined {
            cases.push((vec![("state", state), fact], "chain_transactions_unmined"));
        }
    }
    for state in ["'mined'", "'final'"] {
        for missing in 0..mined.len() {
            let mut facts = mined.to_vec();
            facts.remove(missing);
            facts.push(("state", state));
            cases.push((facts, "chain_transactions_mined"));
        }
    }
    for (changes, constraint) in cases {
        let row = insert("chain_transactions", &with(&next, &changes));
        let refused = refused_by(&scene.ledger, &row).await;
        assert_eq!(refused.as_deref(), Some(constraint), "{changes:?}");
    }
}

#[tokio::test]
async fn a_signer_is_one_address_with_a_whole_lease_or_none() {
    let scene = Scene::open().await;
    let other = with(&scene.signer, &[("id", &uuid()), ("address", &hex(unique_address()))]);
    let same_address = with(&scene.signer, &[("id", &uuid())]);
    for (row, constraint) in [
        (same_address, "signers_one_address"),
        (with(&other, &[("lease_owner", &uuid())]), "signers_lease_is_whole"),
        (with(&other, &[("lease_until", "now()")]), "signers_lease_is_whole"),
        (with(&other, &[("next_nonce", "-1")]), "signers_next_nonce_check"),
    ] {
        let refused = refused_by(&scene.ledger, &insert("signers", &row)).await;
        assert_eq!(refused.as_deref(), Some(constraint), "{row:?}");
    }
}

#[tokio::test]
async fn a_delivery_is_due_while_it_is_pending_and_finished_when_it_is_over() {
    let scene = Scene::open().await;
    let ledger = &scene.ledger;
    ledger.endpoint(ledger.seller, &EventType::ALL).await;
    ledger.payment().await;
    for (changes, constraint) in [
        ("state = 'lost', due_at = null", "webhook_deliveries_state"),
        ("due_at = null", "webhook_deliveries_pending"),
        ("state = 'held'", "webhook_deliveries_pending"),
        ("finished_at = now()", "webhook_deliveries_finished"),
        ("state = 'delivered', due_at = null", "webhook_deliveries_finished"),
        ("state = 'held', due_at = null, finished_at = now()", "webhook_deliveries_finished"),
        ("state = 'held', due_at = null, lease_until = now()", "webhook_deliveries_leased"),
        ("body = decode(repeat('00', 16385), 'hex')", "webhook_deliveries_body_check"),
        ("attempts = -1", "webhook_deliveries_attempts_check"),
    ] {
        let refused = refused_by(ledger, &format!("update webhook_deliveries set {changes}")).await;
        assert_eq!(refused.as_deref(), Some(constraint), "{changes}");
    }
    let again = "insert into webhook_deliveries (id, endpoint_id, account_id, event_id, payment_id,
                     event_type, body, state, due_at, created_at)
                 select gen_random_uuid(), endpoint_id, account_id, event_id, payment_id,
                     event_type, body, state, due_at, created_at from webhook_deliveries";
    assert_eq!(refused_by(ledger, again).await.as_deref(), Some("webhook_deliveries_once"));
}
