//! `GET /supported`

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{Address, ChainId};
use serde::Serialize;
use utoipa::ToSchema;
use x402::EIP2612_GAS_SPONSORING;

use super::{Facilitator, example, identifier};

/// What is settled here.
#[derive(Serialize, ToSchema)]
pub(crate) struct Supported {
    /// Every version, scheme and network.
    kinds: Vec<Kind>,
    /// The extensions of x402 that are honoured.
    extensions: Vec<&'static str>,
    /// Whose transactions carry the payments, by family of networks.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    signers: BTreeMap<&'static str, Vec<Address>>,
}

/// One of them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SupportedKind)]
struct Kind {
    x402_version: u8,
    scheme: &'static str,
    /// By CAIP-2 in version 2, by name in version 1.
    network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    extra: Option<KindExtra>,
}

/// What servers pass on to buyers, where the scheme is `upto`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SupportedKindExtra)]
struct KindExtra {
    /// The signer to which buyers bind their payments: nobody else can make them.
    #[schema(value_type = String)]
    facilitator_address: Address,
}

/// Says what is settled here.
#[utoipa::path(
    get,
    path = "/supported",
    tag = "Facilitator",
    summary = "See what is settled",
    description = "Every version of x402, scheme and network that is settled here, and the addresses \
        whose transactions carry the payments. Needs no key.",
    responses(
        (status = 200, body = Supported, description = "What is settled.",
            example = example::supported),
    ),
)]
pub(crate) async fn show_supported(State(facilitator): State<Facilitator>) -> Response {
    let shared = &facilitator.0;
    let assets = &shared.assets;
    let chains: Vec<ChainId> = assets.networks();
    // Without the ledger nobody knows whom a payment up to an amount could be bound to.
    let senders = shared.senders.advertised().await.unwrap_or_default();
    let kinds = chains.iter().flat_map(|chain| {
        let kind = |x402_version, network| {
            let (scheme, extra) = ("exact", None);
            Kind { x402_version, scheme, network, extra }
        };
        let v1 = assets.v1_name(*chain).map(|name| kind(1, name.to_owned()));
        let sender = senders.iter().find(|(of, _)| of == chain && assets.takes_upto(*of));
        let upto = sender.map(|(_, facilitator_address)| Kind {
            scheme: "upto",
            extra: Some(KindExtra { facilitator_address: *facilitator_address }),
            ..kind(2, chain.to_string())
        });
        std::iter::once(kind(2, chain.to_string())).chain(upto).chain(v1)
    });
    // Who asks wants to know what is settled; which address sends it is said while the ledger is there.
    let signers = match shared.store.list_signers().await {
        Ok(signers) => signers.into_iter().map(|signer| signer.address).collect(),
        Err(error) => {
            tracing::warn!(%error, "signers could not be read");
            Vec::new()
        }
    };
    let signers = BTreeMap::from([("eip155:*", signers)]);
    let sponsoring = assets.take_permits().then_some(EIP2612_GAS_SPONSORING);
    let extensions = std::iter::once(identifier::EXTENSION).chain(sponsoring).collect();
    Json(Supported { kinds: kinds.collect(), extensions, signers }).into_response()
}
